#include "agent/front/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "os/jlog.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

#include "roles.pb-c.h"

struct mf_resolve {
	struct mf_resolve_config cfg;
	const char *host; /* NULL: no question is out */
	struct mf_seqpacket *link;
	struct mf_loop_fd *io;
	struct mf_loop_timer *timer;
	enum mf_link_state state;
	char why[160]; /* to be said by the timer: it is never said inside mf_resolve_ask */
};

static void
hang_up(struct mf_resolve *r)
{
	mf_loop_fd_free(MF_TAKE(r->io));
	mf_seqpacket_free(MF_TAKE(r->link));
}

static void
finish(struct mf_resolve *r, const char *const *addresses, size_t n, const char *why)
{
	hang_up(r);
	mf_loop_timer_clear(r->timer);
	r->host = NULL;
	r->cfg.done(r->cfg.ctx, addresses, n, why);
}

static void
on_timer(void *ctx)
{
	struct mf_resolve *r = ctx;
	if (r->host != NULL)
		finish(r, NULL, 0, r->why[0] != '\0' ? r->why : "no answer in time");
}

static enum mf_status
take(struct mf_resolve *r, const struct mf_packet *p, struct mf_err *err)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	const char *good[MF_FRONT_HOSTS];
	size_t n = 0;
	MF_TRY(mf_role_decode(&mf_link_resolver, MF_LINK_INNER, (unsigned)r->state, p->type, p->payload,
	    p->fd >= 0, &row, &msg, err));
	if (p->type == MF_MSG_RESOLVER_HELLO) {
		const Mayfly__Roles__V1__ResolverHello *h = (const void *)msg;
		if (strcmp(h->build_id, r->cfg.build_id) != 0)
			return MF_FAIL(err, MF_E_UNSUPPORTED, "the resolver is of another build");
		r->state = MF_LINK_OPEN;
		return MF_OK;
	}
	const Mayfly__Roles__V1__Resolved *m = (const void *)msg;
	for (size_t i = 0; i < m->n_addresses && n < MF_FRONT_HOSTS; i++)
		if (mf_front_address_literal(m->addresses[i]))
			good[n++] = m->addresses[i];
	finish(r, good, n, m->reason);
	return MF_OK;
}

static void
on_ready(void *ctx, unsigned ready)
{
	MF_UNUSED(ready);
	struct mf_resolve *r = ctx;
	struct mf_err err = { 0 };
	struct mf_packet p;
	while (r->link != NULL) {
		enum mf_status s = mf_seqpacket_recv(r->link, &p, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s == MF_OK)
			s = take(r, &p, &err);
		if (s != MF_OK)
			finish(
			    r, NULL, 0, s == MF_E_CLOSED ? "the resolver ended without an answer" : err.msg);
	}
}

static enum mf_status
put_question(struct mf_resolve *r, struct mf_err *err)
{
	Mayfly__Roles__V1__Resolve q = MAYFLY__ROLES__V1__RESOLVE__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1024);
	q.host = (char *)(uintptr_t)r->host; /* packing reads only */
	MF_TRY(mf_role_encode(&mf_link_resolver, MF_LINK_INNER, MF_MSG_RESOLVE, &q.base, false, &b, err));
	MF_TRY(mf_loop_fd_new(r->cfg.loop, mf_seqpacket_fd(r->link), MF_LOOP_READ, on_ready, r, &r->io, err));
	return mf_seqpacket_send(r->link, MF_MSG_RESOLVE, mf_buf_slice(&b), -1, err);
}

void
mf_resolve_link(struct mf_resolve *r, int fd)
{
	struct mf_err err = { 0 };
	if (r->host == NULL ||
	    r->link != NULL) { /* too late for its question: the end of the link is its end */
		(void)close(fd);
		return;
	}
	r->state = MF_LINK_HELLO;
	enum mf_status s = mf_seqpacket_new(fd, MF_LIM_IPC_MESSAGE, &r->link, &err);
	if (s != MF_OK)
		(void)close(fd);
	else
		s = put_question(r, &err);
	if (s != MF_OK)
		finish(r, NULL, 0, err.msg);
}

void
mf_resolve_ask(struct mf_resolve *r, const char *host)
{
	struct mf_err err = { 0 };
	if (r->host != NULL)
		return;
	r->host = host;
	r->why[0] = '\0';
	enum mf_status s = r->cfg.start == NULL
			       ? MF_FAIL(&err, MF_E_UNSUPPORTED, "nobody looks up names here")
			       : r->cfg.start(r->cfg.start_ctx, &err);
	if (s != MF_OK)
		(void)snprintf(r->why, sizeof(r->why), "%s", err.msg);
	mf_loop_timer_set(r->timer, s != MF_OK ? 0 : r->cfg.patience_ms);
}

enum mf_status
mf_resolve_new(const struct mf_resolve_config *cfg, struct mf_resolve **ret_r, struct mf_err *err)
{
	MF_AUTO(mf_resolve_free) struct mf_resolve *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "resolve: out of memory");
	r->cfg = *cfg;
	if (r->cfg.patience_ms == 0)
		r->cfg.patience_ms = MF_RESOLVE_MS;
	MF_TRY(mf_loop_timer_new(cfg->loop, on_timer, r, &r->timer, err));
	*ret_r = MF_TAKE(r);
	return MF_OK;
}

void
mf_resolve_free(struct mf_resolve *r)
{
	if (r == NULL)
		return;
	hang_up(r);
	mf_loop_timer_free(r->timer);
	free(r);
}
