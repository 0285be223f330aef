#include "broker/front/admin_remote.h"

#include <stdlib.h>

#include "os/jlog.h"

#define CONNS 64u
#define CONNS_PER_ADDRESS 16u
#define HANDSHAKES 8u
#define HANDSHAKE_MS 10000u
#define FIRST_CALL_MS 15000u
#define IDLE_MS 120000u
#define STRANGERS 8u /* connections of certificates without a role */

struct mf_admin_remote {
	struct mf_loop *loop;
	struct mf_admin_remote_conf conf;
	struct mf_admin_access *access;
	struct mf_net_listener *listener;
	struct mf_buf bundle; /* of our trust domain, for the next access */
	size_t strangers;
};

/* ---- who connects ---- */

static enum mf_status
verify(void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err)
{
	struct mf_admin_remote *r = ctx;
	struct mf_admin_peer *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	int64_t now_s = mf_loop_now(r->loop).wall_us / 1000000;
	enum mf_status s = mf_admin_access_verify(r->access, chain, n, now_s, &p->id, err);
	p->remote = true;
	p->stranger = s == MF_OK && mf_admin_access_role(r->access, &p->id) == MF_ADMIN_NOBODY;
	if (s == MF_OK && p->stranger && r->strangers >= STRANGERS)
		s = MF_FAIL(err, MF_E_EXHAUSTED, "too many connections of certificates without a role");
	if (s != MF_OK) {
		free(p);
		return s;
	}
	r->strangers += p->stranger;
	mf_net_conn_set_user(conn, p);
	return MF_OK;
}

static void
on_close(void *ctx, struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err)
{
	struct mf_admin_remote *r = ctx;
	struct mf_admin_peer *p = mf_net_conn_user(conn);
	if (p == NULL && why != MF_NET_CLOSED)
		MF_LOG(MF_LOG_WARN, "admin.refused", "a connection to the admin listener was refused",
		    mf_js("peer", mf_net_conn_name(conn)), mf_js("error", err == NULL ? NULL : err->msg));
	if (p != NULL) {
		mf_admin_log_abuse(conn, why, err);
		r->strangers -= p->stranger;
	}
	mf_net_conn_set_user(conn, NULL);
	free(p);
}

static const struct mf_net_conn_ops conn_ops = { .on_close = on_close };

enum mf_admin_role
mf_admin_remote_role(const struct mf_admin_remote *r, const struct mf_admin_peer *p, struct mf_err *why)
{
	if (p->id.not_after_s <= mf_loop_now(r->loop).wall_us / 1000000) {
		(void)MF_FAIL(why, MF_E_DENIED, "the certificate of %s has expired: connect with a new one",
		    mf_admin_id_name(&p->id));
		return MF_ADMIN_NOBODY;
	}
	enum mf_admin_role has = mf_admin_access_role(r->access, &p->id);
	if (has == MF_ADMIN_NOBODY)
		(void)MF_FAIL(why, MF_E_DENIED,
		    "no role here for this certificate: whoever keeps the broker's admins file gives one "
		    "(%s)",
		    mf_admin_id_name(&p->id));
	return has;
}

/* ---- what may change ---- */

static bool
close_one(void *ctx, struct mf_net_conn *c)
{
	MF_UNUSED(ctx);
	mf_net_conn_close(c);
	return true;
}

enum mf_status
mf_admin_remote_access(struct mf_admin_remote *r, struct mf_slice packed, struct mf_err *err)
{
	if (r == NULL)
		return MF_OK;
	MF_AUTO(mf_admin_access_free) struct mf_admin_access *a = NULL;
	MF_TRY(mf_admin_access_new(packed, r->conf.trust_domain, &a, err));
	if (r->bundle.n > 0)
		MF_TRY(mf_admin_access_bundle(a, mf_buf_slice(&r->bundle), err));
	mf_admin_access_free(r->access);
	r->access = MF_TAKE(a);
	/* Whoever lost a role, or an authority, is out now; the others dial again. */
	if (r->listener != NULL)
		mf_net_listener_each(r->listener, close_one, NULL);
	MF_LOG(MF_LOG_INFO, "admin.roles", "roles of remote administrators are in force",
	    mf_ju("admins", mf_admin_access_count(r->access)));
	return MF_OK;
}

enum mf_status
mf_admin_remote_bundle(struct mf_admin_remote *r, struct mf_slice bundle, struct mf_err *err)
{
	if (r == NULL)
		return MF_OK;
	mf_buf_reset(&r->bundle);
	mf_buf_put_slice(&r->bundle, bundle);
	MF_TRY(mf_buf_check(&r->bundle, err));
	return mf_admin_access_bundle(r->access, bundle, err);
}

enum mf_status
mf_admin_remote_identity(struct mf_admin_remote *r, const struct mf_slice *chain, size_t n,
    struct mf_slice key, struct mf_err *err)
{
	if (r == NULL)
		return MF_OK;
	const struct mf_tls_config cfg = {
		.server = true, .chain = chain, .n_chain = n, .key = key, .verify = verify, .ctx = r
	};
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *tls = NULL;
	MF_TRY(mf_tls_ctx_new(&cfg, &tls, err));
	mf_net_listener_set_tls(r->listener, tls);
	return MF_OK;
}

/* ---- life ---- */

static void
or_default(uint32_t *v, uint32_t def)
{
	*v = *v == 0 ? def : *v;
}

enum mf_status
mf_admin_remote_new(struct mf_loop *l, const struct mf_admin_remote_conf *conf,
    struct mf_admin_remote **ret_r, struct mf_err *err)
{
	MF_AUTO(mf_admin_remote_free) struct mf_admin_remote *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	r->loop = l;
	r->conf = *conf;
	mf_buf_init(&r->bundle, MF_LIM_BUNDLE_DER);
	MF_TRY(mf_admin_remote_access(r, mf_slice(NULL, 0), err));
	struct mf_net_listener_config lc = { .fd = conf->fd,
		.tls = true,
		.server = conf->server,
		.limits = conf->net,
		.ops = &conn_ops,
		.ctx = r,
		.counters = conf->counters };
	or_default(&lc.limits.conns, CONNS);
	or_default(&lc.limits.conns_per_peer, CONNS_PER_ADDRESS);
	or_default(&lc.limits.handshakes, HANDSHAKES);
	or_default(&lc.limits.handshake_ms, HANDSHAKE_MS);
	or_default(&lc.limits.first_call_ms, FIRST_CALL_MS);
	or_default(&lc.limits.idle_ms, IDLE_MS);
	MF_TRY(mf_net_listener_new(l, &lc, &r->listener, err));
	*ret_r = MF_TAKE(r);
	return MF_OK;
}

void
mf_admin_remote_drain(struct mf_admin_remote *r)
{
	if (r != NULL)
		mf_net_listener_drain(r->listener);
}

size_t
mf_admin_remote_conns(const struct mf_admin_remote *r)
{
	return r == NULL ? 0 : mf_net_listener_conns(r->listener);
}

void
mf_admin_remote_free(struct mf_admin_remote *r)
{
	if (r == NULL)
		return;
	mf_net_listener_free(r->listener);
	mf_admin_access_free(r->access);
	mf_buf_fini(&r->bundle);
	free(r);
}
