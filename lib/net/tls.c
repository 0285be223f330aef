#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/secret.h"

/*
 * A KeyUpdate costs us twenty times what it costs the peer's line, and no frame counter sees it. An honest peer sends one in
 * many gigabytes; so many are forgiven until this much data came.
 */
#define KEY_UPDATES 16u
#define KEY_UPDATE_BYTES (1024u * 1024u)

static const unsigned char alpn_h2[] = { 2, 'h', '2' };

struct mf_tls_ctx {
	SSL_CTX *ssl;
	atomic_uint count;
	bool server;
	enum mf_status (*verify)(
	    void *ctx, void *conn, const struct mf_slice *chain, size_t n, struct mf_err *err);
	enum mf_status (*verify_decoded)(
	    void *ctx, void *conn, X509 *leaf, STACK_OF(X509) * sent, struct mf_err *err);
	void *ctx;
};

struct mf_tls {
	struct mf_tls_ctx *c;
	void *conn;
	SSL *ssl;
	BIO *in, *out; /* of ssl: the wire's side */
	bool open, failed;
	bool judged;		    /* verify ran for the peer's chain */
	uint32_t key_updates, data; /* KeyUpdates that came, and bytes, since either was forgiven */
	struct mf_err why;	    /* what verify said */
};

static enum mf_status
ssl_fail(struct mf_err *err, enum mf_status code, const char *what)
{
	const char *reason = NULL;
	unsigned long e = ERR_get_error();
	if (e != 0)
		reason = ERR_reason_error_string(e);
	ERR_clear_error();
	return MF_FAIL(err, code, "TLS %s: %s", what, reason == NULL ? "failed" : reason);
}

/* --- the peer's certificate --- */

static enum mf_status
add_der(X509 *cert, struct mf_buf *bytes, size_t *ret_n, struct mf_err *err)
{
	int n = i2d_X509(cert, NULL);
	if (n <= 0 || (unsigned)n > MF_LIM_CERT_DER)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "peer certificate of %d bytes: at most %u", n, MF_LIM_CERT_DER);
	unsigned char *at = mf_buf_extend(bytes, (size_t)n);
	if (at == NULL || i2d_X509(cert, &at) != n)
		return MF_FAIL(err, MF_E_NOMEM, "peer certificate: out of memory");
	*ret_n = (size_t)n;
	return MF_OK;
}

static enum mf_status
judge(struct mf_tls *t, X509 *leaf, STACK_OF(X509) * sent)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf bytes;
	struct mf_slice chain[MF_LIM_CHAIN];
	size_t sizes[MF_LIM_CHAIN], n = 0;
	mf_buf_init(&bytes, (size_t)MF_LIM_CHAIN * MF_LIM_CERT_DER);
	t->judged = true;
	if (t->c->verify_decoded != NULL)
		return t->c->verify_decoded(t->c->ctx, t->conn, leaf, sent, &t->why);
	int count = sk_X509_num(sent);
	if (count > (int)MF_LIM_CHAIN)
		return MF_FAIL(
		    &t->why, MF_E_TOOBIG, "peer sent %d certificates: at most %u", count, MF_LIM_CHAIN);
	for (int i = 0; i < count; i++) {
		/* The list starts with the leaf; if it ever did not, the leaf is what was proven. */
		X509 *cert = i == 0 ? leaf : sk_X509_value(sent, i);
		MF_TRY(add_der(cert, &bytes, &sizes[n], &t->why));
		n++;
	}
	for (size_t i = 0, at = 0; i < n; at += sizes[i], i++)
		chain[i] = mf_slice(bytes.p + at, sizes[i]);
	return t->c->verify(t->c->ctx, t->conn, chain, n, &t->why);
}

/* In place of OpenSSL's chain building: it was told no anchors and is asked nothing. */
static int
on_verify(X509_STORE_CTX *store, void *arg)
{
	MF_UNUSED(arg);
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct mf_tls *t = ssl == NULL ? NULL : SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	if (t == NULL || leaf == NULL)
		return 0;
	enum mf_status s = judge(t, leaf, X509_STORE_CTX_get0_untrusted(store));
	if (s == MF_OK) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
    void *arg)
{
	MF_UNUSED(ssl);
	MF_UNUSED(arg);
	struct mf_reader r = mf_reader(mf_slice(in, in_n));
	uint8_t n;
	struct mf_slice name;
	while (mf_read_u8(&r, &n) && mf_read_bytes(&r, n, &name)) {
		if (!mf_slice_eq_str(name, "h2"))
			continue;
		*out = name.p;
		*out_n = 2;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* What OpenSSL deals with by itself while we read. */
static void
on_message(int sent, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg)
{
	struct mf_tls *t = SSL_get_app_data(ssl);
	MF_UNUSED(version);
	MF_UNUSED(arg);
	if (t != NULL && sent == 0 && type == SSL3_RT_HANDSHAKE && n > 0 &&
	    *(const unsigned char *)bytes == SSL3_MT_KEY_UPDATE)
		t->key_updates++;
}

/* ${n} bytes of data came. */
static enum mf_status
count_key_updates(struct mf_tls *t, size_t n, struct mf_err *err)
{
	t->data += (uint32_t)n;
	if (t->key_updates > KEY_UPDATES) {
		t->failed = true;
		return MF_FAIL(err, MF_E_EXHAUSTED, "TLS: the peer changes its keys over and over");
	}
	if (t->data >= KEY_UPDATE_BYTES)
		t->data = t->key_updates = 0;
	return MF_OK;
}

/* --- the context --- */

static enum mf_status
load_cert(SSL_CTX *ssl, struct mf_slice der, bool leaf, struct mf_err *err)
{
	const unsigned char *p = der.p;
	if (der.n > MF_LIM_CERT_DER)
		return MF_FAIL(err, MF_E_TOOBIG, "TLS: own certificate of %zu bytes", der.n);
	X509 *cert = d2i_X509(NULL, &p, (long)der.n);
	if (cert == NULL || p != der.p + der.n) {
		X509_free(cert);
		ERR_clear_error();
		return MF_FAIL(err, MF_E_INVALID, "TLS: own certificate is not DER");
	}
	int ok = leaf ? SSL_CTX_use_certificate(ssl, cert) : SSL_CTX_add1_chain_cert(ssl, cert) == 1;
	X509_free(cert);
	return ok == 1 ? MF_OK : ssl_fail(err, MF_E_INVALID, "own certificate");
}

static enum mf_status
load_identity(SSL_CTX *ssl, const struct mf_tls_config *cfg, struct mf_err *err)
{
	if (cfg->n_chain == 0)
		return cfg->server ? MF_FAIL(err, MF_E_INVALID, "TLS: a server needs a certificate") : MF_OK;
	if (cfg->n_chain > MF_LIM_CHAIN)
		return MF_FAIL(err, MF_E_TOOBIG, "TLS: own chain of %zu certificates", cfg->n_chain);
	for (size_t i = 0; i < cfg->n_chain; i++)
		MF_TRY(load_cert(ssl, cfg->chain[i], i == 0, err));
	const unsigned char *p = cfg->key.p;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)cfg->key.n);
	if (key == NULL)
		return ssl_fail(err, MF_E_INVALID, "own key is not PKCS#8");
	int ok = SSL_CTX_use_PrivateKey(ssl, key);
	EVP_PKEY_free(key);
	if (ok != 1 || SSL_CTX_check_private_key(ssl) != 1)
		return ssl_fail(err, MF_E_INVALID, "own key does not fit the certificate");
	return MF_OK;
}

/* X25519 first, since a key pair and a shared secret of it cost 80 us of OpenSSL 3.0 where P-256 costs 130. */
static enum mf_status
set_rules(SSL_CTX *ssl, bool server, struct mf_err *err)
{
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(
		ssl, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1 ||
	    SSL_CTX_set1_groups_list(ssl, "X25519:P-256") != 1 || SSL_CTX_set_num_tickets(ssl, 0) != 1 ||
	    SSL_CTX_set_max_early_data(ssl, 0) != 1)
		return ssl_fail(err, MF_E_INTERNAL, "setup");
	(void)SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ssl, (long)(MF_LIM_CHAIN * (MF_LIM_CERT_DER + 16)));
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, on_verify, NULL);
	SSL_CTX_set_msg_callback(ssl, on_message);
	if (server)
		SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
	else if (SSL_CTX_set_alpn_protos(ssl, alpn_h2, sizeof(alpn_h2)) != 0) /* 0 is success here */
		return ssl_fail(err, MF_E_INTERNAL, "setup");
	return MF_OK;
}

enum mf_status
mf_tls_ctx_new(const struct mf_tls_config *cfg, struct mf_tls_ctx **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_tls_ctx_free) struct mf_tls_ctx *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	atomic_init(&c->count, 1);
	c->server = cfg->server;
	c->verify = cfg->verify;
	c->verify_decoded = cfg->verify_decoded;
	c->ctx = cfg->ctx;
	c->ssl = SSL_CTX_new(cfg->server ? TLS_server_method() : TLS_client_method());
	if (c->ssl == NULL)
		return ssl_fail(err, MF_E_NOMEM, "context");
	MF_TRY(set_rules(c->ssl, cfg->server, err));
	MF_TRY(load_identity(c->ssl, cfg, err));
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

struct mf_tls_ctx *
mf_tls_ctx_ref(struct mf_tls_ctx *c)
{
	if (c != NULL)
		(void)atomic_fetch_add(&c->count, 1);
	return c;
}

void
mf_tls_ctx_free(struct mf_tls_ctx *c)
{
	if (c == NULL || atomic_fetch_sub(&c->count, 1) != 1)
		return;
	SSL_CTX_free(c->ssl);
	free(c);
}

/* --- a connection --- */

enum mf_status
mf_tls_new(struct mf_tls_ctx *c, void *conn, struct mf_tls **ret_t, struct mf_err *err)
{
	MF_AUTO(mf_tls_free) struct mf_tls *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "TLS: out of memory");
	t->c = mf_tls_ctx_ref(c);
	t->conn = conn;
	t->ssl = SSL_new(c->ssl);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (t->ssl == NULL || t->in == NULL || t->out == NULL || SSL_set_app_data(t->ssl, t) != 1) {
		BIO_free(t->in);
		BIO_free(t->out);
		return ssl_fail(err, MF_E_NOMEM, "connection");
	}
	/* An empty BIO means "more later", not the end. */
	(void)BIO_set_mem_eof_return(t->in, -1);
	(void)BIO_set_mem_eof_return(t->out, -1);
	SSL_set_bio(t->ssl, t->in, t->out);
	if (c->server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*ret_t = MF_TAKE(t);
	return MF_OK;
}

void
mf_tls_free(struct mf_tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	mf_tls_ctx_free(t->c);
	free(t);
}

/* The handshake is done: what OpenSSL leaves to us. */
static enum mf_status
accept_peer(struct mf_tls *t, struct mf_err *err)
{
	const unsigned char *alpn = NULL;
	unsigned n = 0;
	SSL_get0_alpn_selected(t->ssl, &alpn, &n);
	if (n != 2 || memcmp(alpn, "h2", 2) != 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "TLS: the peer does not agree on HTTP/2 (ALPN h2)");
	if (!t->judged) {
		if (!t->c->server)
			return MF_FAIL(err, MF_E_UNAUTH, "TLS: the server showed no certificate");
		enum mf_status s = t->c->verify(t->c->ctx, t->conn, NULL, 0, &t->why);
		if (s != MF_OK) {
			if (err != NULL)
				*err = t->why;
			return s;
		}
	}
	t->open = true;
	return MF_OK;
}

static enum mf_status
shake(struct mf_tls *t, struct mf_err *err)
{
	ERR_clear_error();
	int rv = SSL_do_handshake(t->ssl);
	if (rv == 1) {
		enum mf_status s = accept_peer(t, err);
		if (s != MF_OK) {
			t->failed = true;
			(void)SSL_shutdown(t->ssl); /* the peer thinks it is connected: tell it */
		}
		return s;
	}
	int e = SSL_get_error(t->ssl, rv);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return MF_OK;
	t->failed = true;
	if (t->why.code != MF_OK) {
		ERR_clear_error();
		if (err != NULL)
			*err = t->why;
		return t->why.code;
	}
	return ssl_fail(err, MF_E_INVALID, "handshake");
}

enum mf_status
mf_tls_feed(struct mf_tls *t, struct mf_slice in, struct mf_err *err)
{
	if (t->failed)
		return MF_FAIL(err, MF_E_CLOSED, "TLS: the connection has failed before");
	while (in.n > 0) {
		int n = BIO_write(t->in, in.p, in.n > 65536 ? 65536 : (int)in.n);
		if (n <= 0)
			return ssl_fail(err, MF_E_NOMEM, "input");
		in = mf_slice_sub(in, (size_t)n, in.n);
	}
	return t->open ? MF_OK : shake(t, err);
}

enum mf_status
mf_tls_read(struct mf_tls *t, struct mf_buf *to, struct mf_err *err)
{
	if (!t->open)
		return MF_OK;
	for (;;) {
		size_t before = to->n, got = 0;
		uint8_t *at = mf_buf_extend(to, 16384);
		MF_TRY(mf_buf_check(to, err));
		ERR_clear_error();
		int rv = SSL_read_ex(t->ssl, at, 16384, &got);
		to->n = before + (rv == 1 ? got : 0);
		MF_TRY(count_key_updates(t, rv == 1 ? got : 0, err));
		if (rv == 1 && (BIO_ctrl_pending(t->in) > 0 || SSL_pending(t->ssl) > 0))
			continue;
		if (rv == 1)
			return MF_OK; /* a part of a record may be in there: more must come first */
		int e = SSL_get_error(t->ssl, rv);
		if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
			return MF_OK;
		if (e == SSL_ERROR_ZERO_RETURN)
			return MF_FAIL(err, MF_E_CLOSED, "TLS: the peer closed");
		t->failed = true;
		return ssl_fail(err, MF_E_INVALID, "record");
	}
}

enum mf_status
mf_tls_write(struct mf_tls *t, struct mf_slice in, struct mf_err *err)
{
	if (!t->open || t->failed)
		return MF_FAIL(err, MF_E_STATE, "TLS: not open");
	while (in.n > 0) {
		size_t n = 0;
		ERR_clear_error();
		if (SSL_write_ex(t->ssl, in.p, in.n > 16384 ? 16384 : in.n, &n) != 1) {
			t->failed = true;
			return ssl_fail(err, MF_E_INTERNAL, "write");
		}
		in = mf_slice_sub(in, n, in.n);
	}
	return MF_OK;
}

enum mf_status
mf_tls_pull(struct mf_tls *t, struct mf_buf *to, struct mf_err *err)
{
	if (!t->open && !t->failed)
		MF_TRY(shake(t, err)); /* a client's first flight */
	size_t n = BIO_ctrl_pending(t->out);
	if (n == 0)
		return MF_OK;
	uint8_t *at = mf_buf_extend(to, n);
	MF_TRY(mf_buf_check(to, err));
	int got = BIO_read(t->out, at, n > INT32_MAX ? INT32_MAX : (int)n);
	if (got < 0 || (size_t)got != n)
		return ssl_fail(err, MF_E_INTERNAL, "output");
	return MF_OK;
}

bool
mf_tls_open(const struct mf_tls *t)
{
	return t->open && !t->failed;
}

void
mf_tls_close(struct mf_tls *t)
{
	if (t->open && !t->failed)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}
