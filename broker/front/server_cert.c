#include "broker/front/server_cert.h"

#include <stdlib.h>

#include "base/limits.h"
#include "codec/bundle.h"
#include "codec/x509_peek.h"
#include "codec/x509_write.h"
#include "crypto/p256.h"
#include "os/jlog.h"

#define ASK_AGAIN_MS 10000u
#define RENEW_MIN_MS 1000u
#define RENEW_MAX_MS (24u * 3600u * 1000u)

struct mf_server_cert {
	struct mf_loop *loop;
	const struct mf_server_cert_ops *ops;
	void *ctx;
	struct mf_loop_timer *timer;
	struct mf_p256_key *asked; /* the key whose certificate is awaited */
	int64_t not_after;
	uint8_t signer[MF_X509_KEY_ID_SIZE]; /* key id of the CA that signed what is in use */
	uint64_t due_ms;		     /* on the loop's clock: when the next one is asked for */
};

static void
ask(struct mf_server_cert *c)
{
	uint8_t point[MF_P256_POINT_SIZE];
	struct mf_err err = { 0 };
	mf_loop_timer_set(c->timer, ASK_AGAIN_MS);
	if (c->asked == NULL && mf_p256_generate(&c->asked, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "tls.key", "no new server key", &err);
		return;
	}
	mf_p256_public(c->asked, point);
	c->ops->ask(c->ctx, mf_slice(point, sizeof(point)));
}

static void
on_timer(void *ctx)
{
	ask(ctx);
}

void
mf_server_cert_begin(struct mf_server_cert *c)
{
	if (mf_loop_now(c->loop).mono_ms >= c->due_ms)
		ask(c);
}

/* ${chain} gets the CA certificate that issued its last one, unless it is there. */
static enum mf_status
add_ca(struct mf_slice chain[MF_LIM_CHAIN], size_t *n, struct mf_slice bundle, struct mf_err *err)
{
	struct mf_x509_peek last, ca;
	struct mf_slice cas[MF_LIM_BUNDLE_CERTS];
	size_t n_ca;
	MF_TRY(mf_x509_peek(chain[*n - 1], &last, err));
	if (mf_slice_eq(last.issuer, last.subject))
		return MF_OK;
	MF_TRY(mf_bundle_split(bundle, cas, MF_LIM_BUNDLE_CERTS, &n_ca, err));
	for (size_t i = 0; i < n_ca; i++) {
		MF_TRY(mf_x509_peek(cas[i], &ca, err));
		if (!mf_slice_eq(ca.subject, last.issuer) ||
		    (last.aki.n > 0 && !mf_slice_eq(ca.ski, last.aki)))
			continue;
		if (*n == MF_LIM_CHAIN)
			return MF_FAIL(
			    err, MF_E_TOOBIG, "server certificate: a chain of %zu leaves no room", *n);
		chain[(*n)++] = cas[i];
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_INVALID, "server certificate: its issuer is not in the bundle");
}

static enum mf_status
check_leaf(const struct mf_server_cert *c, struct mf_slice leaf, struct mf_err *err)
{
	struct mf_x509_peek p;
	struct mf_slice point;
	uint8_t ours[MF_P256_POINT_SIZE];
	MF_TRY(mf_x509_peek(leaf, &p, err));
	mf_p256_public(c->asked, ours);
	if (!mf_x509_peek_point(&p, &point) || !mf_slice_eq(point, mf_slice(ours, sizeof(ours))))
		return MF_FAIL(err, MF_E_INVALID, "server certificate: for another key than was asked for");
	return MF_OK;
}

static void
remember_signer(struct mf_server_cert *c, struct mf_slice leaf)
{
	struct mf_x509_peek p;
	memset(c->signer, 0, sizeof(c->signer));
	if (mf_x509_peek(leaf, &p, NULL) == MF_OK && p.aki.n == sizeof(c->signer))
		memcpy(c->signer, p.aki.p, sizeof(c->signer));
}

void
mf_server_cert_distrust(struct mf_server_cert *c, struct mf_slice id)
{
	if (c->not_after == 0 || !mf_slice_eq(id, mf_slice(c->signer, sizeof(c->signer))))
		return;
	MF_LOG(MF_LOG_WARN, "tls.distrusted",
	    "the CA key that signed our certificate is distrusted: asking for another");
	c->due_ms = mf_loop_now(c->loop).mono_ms;
	ask(c);
}

enum mf_status
mf_server_cert_answer(struct mf_server_cert *c, struct mf_slice chain, int64_t not_after,
    struct mf_slice bundle, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n;
	MF_AUTO(mf_secret_free) struct mf_secret *key = NULL;
	if (c->asked == NULL)
		return MF_FAIL(err, MF_E_INVALID, "server certificate: none was asked for");
	MF_TRY(mf_bundle_split(chain, certs, MF_LIM_CHAIN, &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "server certificate: an empty chain");
	MF_TRY(check_leaf(c, certs[0], err));
	MF_TRY(add_ca(certs, &n, bundle, err));
	MF_TRY(mf_p256_to_pkcs8(c->asked, &key, err));
	if (!c->ops->made(c->ctx, certs, n, mf_secret_slice(key), not_after))
		return MF_FAIL(err, MF_E_INVALID, "server certificate: TLS does not take it");
	mf_p256_key_free(MF_TAKE(c->asked));
	c->not_after = not_after;
	remember_signer(c, certs[0]);
	struct mf_now now = mf_loop_now(c->loop);
	int64_t left_s = not_after - now.wall_us / 1000000;
	uint64_t half = left_s <= 0 ? 0 : (uint64_t)left_s * 500;
	half = half < RENEW_MIN_MS ? RENEW_MIN_MS : half > RENEW_MAX_MS ? RENEW_MAX_MS : half;
	c->due_ms = now.mono_ms + half;
	mf_loop_timer_set(c->timer, half);
	return MF_OK;
}

int64_t
mf_server_cert_not_after(const struct mf_server_cert *c)
{
	return c->not_after;
}

enum mf_status
mf_server_cert_new(struct mf_loop *l, const struct mf_server_cert_ops *ops, void *ctx,
    struct mf_server_cert **ret_c, struct mf_err *err)
{
	struct mf_server_cert *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	c->loop = l;
	c->ops = ops;
	c->ctx = ctx;
	enum mf_status s = mf_loop_timer_new(l, on_timer, c, &c->timer, err);
	if (s != MF_OK) {
		free(c);
		return s;
	}
	*ret_c = c;
	return MF_OK;
}

void
mf_server_cert_free(struct mf_server_cert *c)
{
	if (c == NULL)
		return;
	mf_loop_timer_free(c->timer);
	mf_p256_key_free(c->asked);
	free(c);
}
