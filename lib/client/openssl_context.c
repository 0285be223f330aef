/*
 * mayfly/openssl.h: SSL_CTX whose certificate, key and trust come from a watch at every handshake.
 *
 * Nothing of the snapshot is stored in the SSL_CTX: two callbacks look at the slot, one when a certificate is to be
 * shown, one when the peer's is to be judged. libssl's own verification (any anchor, host names) is replaced, not
 * extended (P-26).
 */
#include <mayfly/openssl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/handle.h"
#include "client/status.h"
#include "crypto/provider.h"

#define FLAGS (MAYFLY_TLS_SERVER | MAYFLY_TLS_CLIENT | MAYFLY_TLS_1_3_ONLY | MAYFLY_TLS_NEED_CRL)

MF_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)
MF_DEFINE_CLEANUP(X509, X509_free)

static void
x509_stack_free(STACK_OF(X509) * certs)
{
	sk_X509_pop_free(certs, X509_free);
}
MF_DEFINE_CLEANUP(STACK_OF(X509), x509_stack_free)

/* Of an SSL_CTX. */
struct tls {
	struct mf_slot *slot;
	mayfly_authorizer *authorizer;
	char *hint;
	unsigned flags;
	int pid;
};

/* Of an SSL: the verdict. */
struct verdict {
	struct mf_svid peer; /* id NULL: none */
	mayfly_error why;
};

static struct {
	pthread_once_t once;
	int ctx, ssl;
} slots = { .once = PTHREAD_ONCE_INIT, .ctx = -1, .ssl = -1 };

static void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	mf_slot_unref(t->slot);
	mayfly_authorizer_free(t->authorizer);
	free(t->hint);
	free(t);
}
MF_DEFINE_CLEANUP(struct tls, tls_free)

static void
on_ctx_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	MF_UNUSED(parent), MF_UNUSED(ad), MF_UNUSED(idx), MF_UNUSED(argl), MF_UNUSED(argp);
	tls_free(ptr);
}

static void
on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	struct verdict *v = ptr;
	MF_UNUSED(parent), MF_UNUSED(ad), MF_UNUSED(idx), MF_UNUSED(argl), MF_UNUSED(argp);
	if (v == NULL)
		return;
	mf_svid_fini(&v->peer);
	free(v);
}

static void
take_slots(void)
{
	slots.ctx = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
	slots.ssl = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

static struct verdict *
verdict_of(SSL *ssl)
{
	struct verdict *v = SSL_get_ex_data(ssl, slots.ssl);
	if (v != NULL)
		return v;
	v = calloc(1, sizeof(*v));
	if (v != NULL && SSL_set_ex_data(ssl, slots.ssl, v) != 1) {
		free(v);
		v = NULL;
	}
	return v;
}

/* Why this handshake ends here, for mayfly_tls_why. */
static void
refuse(SSL *ssl, enum mf_status s, const struct mf_err *e)
{
	struct verdict *v = verdict_of(ssl);
	if (v != NULL)
		(void)mf_pub(s, e, &v->why);
}

/* --- our side --- */

static enum mf_status
parse(struct mf_slice der, X509 **ret_x, struct mf_err *err)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);
	if (x == NULL)
		return mf_crypto_fail(err, MF_E_INTERNAL, "TLS: own certificate");
	*ret_x = x;
	return MF_OK;
}

static enum mf_status
show(SSL *ssl, const struct tls *t, struct mf_err *err)
{
	MF_AUTO(mf_x509_drop) mayfly_x509 *now = mf_slot_x509(t->slot, mf_now().wall_us / 1000000);
	MF_AUTO(X509_free) X509 *leaf = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *rest = sk_X509_new_null();
	MF_TRY(mf_same_process(t->pid, err));
	if (now == NULL)
		return MF_FAIL(err, MF_E_UNAVAILABLE,
		    "TLS: no identity now: is the watch driven, and is the job still entitled?");
	const struct mayfly_svid *s = mayfly_x509_find(now, NULL, t->hint);
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "TLS: no identity with the hint that was asked for");
	MF_TRY(parse(s->certs[0], &leaf, err));
	for (size_t i = 1; i < s->n; i++) {
		MF_AUTO(X509_free) X509 *x = NULL;
		MF_TRY(parse(s->certs[i], &x, err));
		if (rest == NULL || sk_X509_push(rest, x) <= 0)
			return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
		(void)MF_TAKE(x);
	}
	if (SSL_use_cert_and_key(ssl, leaf, mf_svid_key_evp(s->key), rest, 1) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "TLS: own certificate");
	return mf_crypto_ok();
}

static int
on_certificate(SSL *ssl, void *arg)
{
	struct mf_err e = { 0 };
	enum mf_status s = show(ssl, arg, &e);
	if (s != MF_OK)
		refuse(ssl, s, &e);
	return s == MF_OK ? 1 : 0;
}

/* --- the peer --- */

struct der_chain {
	size_t n;
	struct mf_slice v[MF_LIM_CHAIN];
	uint8_t *own[MF_LIM_CHAIN]; /* OPENSSL_free */
};

static void
der_chain_fini(struct der_chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		OPENSSL_free(c->own[i]);
}

/* Leaf first; ${sent} is what the peer sent, perhaps with the leaf in front again. */
static enum mf_status
chain_of(X509 *leaf, const STACK_OF(X509) * sent, struct der_chain *c, struct mf_err *err)
{
	if (leaf == NULL)
		return MF_FAIL(err, MF_E_INVALID, "TLS: the peer showed no certificate");
	for (int i = -1; i < sk_X509_num(sent); i++) {
		const X509 *x = i < 0 ? leaf : sk_X509_value(sent, i);
		if (i == 0 && X509_cmp(x, leaf) == 0)
			continue;
		if (c->n == MF_COUNT(c->v))
			return MF_FAIL(
			    err, MF_E_TOOBIG, "svid: a chain of more than %u certificates", MF_LIM_CHAIN);
		uint8_t *der = NULL;
		int n = i2d_X509(x, &der);
		if (n <= 0)
			return mf_crypto_fail(err, MF_E_INTERNAL, "TLS: the peer's certificate");
		c->own[c->n] = der;
		c->v[c->n++] = mf_slice(der, (size_t)n);
	}
	return MF_OK;
}

static enum mf_status
judge(const struct tls *t, X509 *leaf, const STACK_OF(X509) * sent, struct mf_svid *ret_peer,
    struct mf_err *err)
{
	int64_t now_s = mf_now().wall_us / 1000000;
	MF_AUTO(mf_bundles_drop) mayfly_bundles *bundles = NULL;
	MF_AUTO(mf_x509_drop) mayfly_x509 *own = mf_slot_x509(t->slot, now_s);
	MF_AUTO_IN(der_chain_fini) struct der_chain chain = { 0 };
	MF_TRY(mf_same_process(t->pid, err));
	/* Who has lost the own identity trusts nobody with its bundles either: both came together. */
	if (own == NULL)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "TLS: no bundles now: is the watch driven?");
	bundles = mayfly_bundles_ref(own->bundles);
	MF_TRY(chain_of(leaf, sent, &chain, err));
	return mf_verify_peer(bundles, chain.v, chain.n, t->authorizer,
	    (t->flags & MAYFLY_TLS_NEED_CRL) != 0 ? MAYFLY_VERIFY_NEED_CRL : 0, now_s, ret_peer, err);
}

static int
on_peer(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct verdict *v = verdict_of(ssl);
	struct mf_err e = { 0 };
	struct mf_svid peer = { 0 };
	enum mf_status s = v == NULL ? MF_FAIL(&e, MF_E_NOMEM, "TLS: out of memory")
				     : judge(arg, X509_STORE_CTX_get0_cert(store),
					   X509_STORE_CTX_get0_untrusted(store), &peer, &e);
	if (s != MF_OK) {
		refuse(ssl, s, &e);
		/* The alert says no more than that: the peer has no claim to our reasons. */
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	mf_svid_fini(&v->peer);
	v->peer = peer;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

/* --- the context --- */

static enum mf_status
check_args(mayfly_watch *watch, unsigned flags, const mayfly_authorizer *authorizer, struct mf_err *err)
{
	bool server = (flags & MAYFLY_TLS_SERVER) != 0, client = (flags & MAYFLY_TLS_CLIENT) != 0;
	if ((flags & ~FLAGS) != 0 || server == client)
		return MF_FAIL(err, MF_E_INVALID, "TLS: either MAYFLY_TLS_SERVER or MAYFLY_TLS_CLIENT");
	if (watch == NULL || mf_watch_kind_of(watch) != MAYFLY_WATCH_X509)
		return MF_FAIL(err, MF_E_INVALID, "TLS: a watch of kind MAYFLY_WATCH_X509 is needed");
	if (authorizer == NULL)
		return MF_FAIL(err, MF_E_INVALID, "TLS: say who is accepted (mayfly/verify.h)");
	return MF_OK;
}

static enum mf_status
harden(SSL_CTX *ctx, unsigned flags, struct mf_err *err)
{
	int least = (flags & MAYFLY_TLS_1_3_ONLY) != 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
	SSL_CTX_set_security_level(ctx, 2);
	if (SSL_CTX_set_min_proto_version(ctx, least) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "TLS: context");
	/* A resumed session is not verified again: it would outlive renewal and revocation. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					   SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return MF_OK;
}

static enum mf_status
make(mayfly_watch *watch, unsigned flags, const char *hint, const mayfly_authorizer *authorizer,
    SSL_CTX **ret_ctx, struct mf_err *err)
{
	MF_TRY(check_args(watch, flags, authorizer, err));
	mf_crypto_init();
	(void)pthread_once(&slots.once, take_slots);
	MF_AUTO(SSL_CTX_free)
	SSL_CTX *ctx =
	    SSL_CTX_new((flags & MAYFLY_TLS_SERVER) != 0 ? TLS_server_method() : TLS_client_method());
	MF_AUTO(tls_free) struct tls *t = calloc(1, sizeof(*t));
	if (ctx == NULL || t == NULL || slots.ctx < 0 || slots.ssl < 0)
		return mf_crypto_fail(err, MF_E_NOMEM, "TLS: context");
	t->slot = mf_watch_slot(watch);
	mf_slot_ref(t->slot);
	t->authorizer = (mayfly_authorizer *)(uintptr_t)authorizer; /* only its count changes */
	mf_authorizer_ref(t->authorizer);
	t->flags = flags;
	t->pid = (int)getpid();
	if (hint != NULL && (t->hint = mf_slice_dup_str(mf_slice_str(hint))) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	MF_TRY(harden(ctx, flags, err));
	if (SSL_CTX_set_ex_data(ctx, slots.ctx, t) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "TLS: context");
	SSL_CTX_set_cert_cb(ctx, on_certificate, t);
	SSL_CTX_set_cert_verify_callback(ctx, on_peer, t);
	(void)MF_TAKE(t); /* the context's now */
	*ret_ctx = MF_TAKE(ctx);
	return mf_crypto_ok();
}

mayfly_status
mayfly_tls_context(mayfly_watch *watch, unsigned flags, const char *hint, const mayfly_authorizer *authorizer,
    SSL_CTX **ret_ctx, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(make(watch, flags, hint, authorizer, ret_ctx, &e), &e, err);
}

const char *
mayfly_tls_peer_id(const SSL *ssl)
{
	const struct verdict *v = slots.ssl < 0 ? NULL : SSL_get_ex_data(ssl, slots.ssl);
	/* a session that was resumed against all advice has no verdict of its own */
	return v == NULL || v->peer.id == NULL || SSL_is_init_finished(ssl) != 1
		   ? NULL
		   : mf_spiffe_id_str(v->peer.id);
}

static enum mf_status
recheck(SSL *ssl, struct mf_err *err)
{
	const struct tls *t = slots.ctx < 0 ? NULL : SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slots.ctx);
	struct mf_svid peer = { 0 };
	if (t == NULL)
		return MF_FAIL(err, MF_E_STATE, "TLS: not a context of mayfly_tls_context");
	MF_TRY(judge(t, SSL_get0_peer_certificate(ssl), SSL_get_peer_cert_chain(ssl), &peer, err));
	mf_svid_fini(&peer);
	return MF_OK;
}

mayfly_status
mayfly_tls_recheck(SSL *ssl, mayfly_error *err)
{
	struct mf_err e = { 0 };
	return mf_pub(recheck(ssl, &e), &e, err);
}

mayfly_status
mayfly_tls_why(const SSL *ssl, mayfly_error *err)
{
	const struct verdict *v = slots.ssl < 0 ? NULL : SSL_get_ex_data(ssl, slots.ssl);
	if (v == NULL || v->why.status == MAYFLY_OK)
		return MAYFLY_OK;
	if (err != NULL)
		*err = v->why;
	return v->why.status;
}
