/* Mutual TLS of two contexts in one process, over memory; certificates from an agent that the test drives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <mayfly/openssl.h>
#include <openssl/err.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_agent.h"
#include "x509_ref.h"

#define HANG 60000

/* Two workloads, each with an agent of its own: a server /server and a client /client of td1. */
struct side {
	char path[80];
	struct fake_agent *agent;
	struct wl_answer answer;
	mayfly_client *client;
	mayfly_watch *watch;
	SSL_CTX *ctx;
	SSL *ssl;
};

static struct {
	char dir[64];
	int64_t now;
	EVP_PKEY *ca_key;
	X509 *ca;
	struct mf_buf ca_der, crl;
	struct mint *other;
	struct side s, c;
} w;

/* A leaf of the CA of td1, as a wl_answer wants it: the mint's key is not to be had, and CRLs need one. */
static void
add_identity(struct wl_answer *a, const char *uri, const char *hint, uint8_t serial)
{
	static char none[] = "";
	size_t i = a->r.n_svids++;
	EVP_PKEY *key = mf_ref_key();
	struct ref_cert c = { .org = "x",
		.serial = &serial,
		.n_serial = 1,
		.issuer = w.ca,
		.issuer_key = w.ca_key,
		.key = key,
		.not_before_s = w.now - 60,
		.not_after_s = w.now + 600,
		.uri = { uri },
		.pathlen = -1,
		.ku = 1,
		.eku = true };
	X509 *x = mf_ref_cert(&c);
	uint8_t *der = NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	assert_true(n > 0);
	mf_ref_der(x, &a->chain[i]);
	mf_buf_put(&a->key[i], der, (size_t)n);
	x509_svid__init(&a->svid[i]);
	(void)snprintf(a->id[i], sizeof(a->id[i]), "%s", uri);
	a->svid[i].spiffe_id = a->id[i];
	a->svid[i].hint = hint == NULL ? none : (char *)(uintptr_t)hint;
	a->svid[i].x509_svid = (ProtobufCBinaryData) { a->chain[i].n, a->chain[i].p };
	a->svid[i].x509_svid_key = (ProtobufCBinaryData) { a->key[i].n, a->key[i].p };
	a->svid[i].bundle = (ProtobufCBinaryData) { w.ca_der.n, w.ca_der.p };
	a->at[i] = &a->svid[i];
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
pump(struct side *side, unsigned bits)
{
	unsigned changes = 0;
	do
		assert_int_equal(mayfly_watch_wait(side->watch, HANG, &changes, NULL), MAYFLY_OK);
	while ((changes & bits) == 0);
}

static void
side_new(struct side *s, const char *name, const char *uri, uint8_t serial)
{
	char address[100];
	(void)snprintf(s->path, sizeof(s->path), "%s/%s.sock", w.dir, name);
	(void)snprintf(address, sizeof(address), "unix://%s", s->path);
	s->agent = mf_fa_new(s->path);
	mf_wl_init(&s->answer);
	add_identity(&s->answer, uri, "main", serial);
	mf_fa_answer(s->agent, FA_X509, &s->answer.r.base);
	assert_int_equal(mayfly_client_new(address, &s->client, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_client_set_backoff(s->client, 1, 20, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_watch_new(s->client, MAYFLY_WATCH_X509, &s->watch, NULL), MAYFLY_OK);
	pump(s, MAYFLY_UPDATED);
}

static void
side_free(struct side *s)
{
	SSL_free(s->ssl);
	SSL_CTX_free(s->ctx);
	mayfly_watch_free(s->watch);
	mayfly_client_free(s->client);
	mf_fa_free(s->agent);
	mf_wl_fini(&s->answer);
	memset(s, 0, sizeof(*s));
}

static void
context(struct side *s, unsigned flags, const char *accept)
{
	mayfly_authorizer *a = NULL;
	mayfly_error err;
	SSL_CTX_free(s->ctx);
	s->ctx = NULL;
	assert_int_equal(mayfly_authorize_ids(&accept, 1, &a, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_tls_context(s->watch, flags, NULL, a, &s->ctx, &err), MAYFLY_OK);
	mayfly_authorizer_free(a); /* the context keeps what it needs */
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	memset(&w, 0, sizeof(w));
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/mayfly-tls.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.now = mf_now().wall_us / 1000000;
	w.ca_key = mf_ref_key();
	struct ref_cert c = { .org = "ca",
		.key = w.ca_key,
		.not_before_s = w.now - 900,
		.not_after_s = w.now + 9000,
		.uri = { "spiffe://td1" },
		.ca = true,
		.pathlen = -1,
		.ku = 0x60 };
	w.ca = mf_ref_cert(&c);
	mf_buf_init(&w.ca_der, MF_LIM_CERT_DER);
	mf_buf_init(&w.crl, MF_LIM_CERT_DER);
	mf_ref_der(w.ca, &w.ca_der);
	w.other = mf_mint_new("td1", w.now); /* the same name, another authority */
	side_new(&w.s, "server", "spiffe://td1/server", 0x11);
	side_new(&w.c, "client", "spiffe://td1/client", 0x22);
	context(&w.s, MAYFLY_TLS_SERVER, "spiffe://td1/client");
	context(&w.c, MAYFLY_TLS_CLIENT, "spiffe://td1/server");
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	side_free(&w.s);
	side_free(&w.c);
	mf_mint_free(w.other);
	EVP_PKEY_free(w.ca_key);
	X509_free(w.ca);
	mf_buf_fini(&w.ca_der);
	mf_buf_fini(&w.crl);
	assert_int_equal(rmdir(w.dir), 0);
	return 0;
}

/* Both ends in turn, until both are done or one fails. */
static bool
shake(SSL *client, SSL *server)
{
	for (int i = 0; i < 20; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);
		if (c == 1 && s == 1)
			break;
		if ((c != 1 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ) ||
		    (s != 1 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ))
			return false;
	}
	/* In TLS 1.3 the client is done before the server has judged it: a byte each way tells. */
	char b = 0;
	return SSL_write(client, "x", 1) == 1 && SSL_read(server, &b, 1) == 1 &&
	       SSL_write(server, "y", 1) == 1 && SSL_read(client, &b, 1) == 1 && b == 'y';
}

static bool
handshake(void)
{
	BIO *a = NULL, *b = NULL;
	SSL_free(w.s.ssl);
	SSL_free(w.c.ssl);
	w.s.ssl = SSL_new(w.s.ctx);
	w.c.ssl = SSL_new(w.c.ctx);
	assert_true(w.s.ssl != NULL && w.c.ssl != NULL && BIO_new_bio_pair(&a, 65536, &b, 65536) == 1);
	SSL_set_bio(w.s.ssl, a, a);
	SSL_set_bio(w.c.ssl, b, b);
	SSL_set_accept_state(w.s.ssl);
	SSL_set_connect_state(w.c.ssl);
	bool ok = shake(w.c.ssl, w.s.ssl);
	ERR_clear_error();
	return ok;
}

static void
assert_serial(SSL *ssl, long serial)
{
	assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(SSL_get0_peer_certificate(ssl))), serial);
}

static void
test_good(void **state)
{
	MF_UNUSED(state);
	mayfly_error err;
	assert_true(handshake());
	assert_string_equal(mayfly_tls_peer_id(w.s.ssl), "spiffe://td1/client");
	assert_string_equal(mayfly_tls_peer_id(w.c.ssl), "spiffe://td1/server");
	assert_int_equal(SSL_version(w.s.ssl), TLS1_3_VERSION);
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_OK);
	assert_int_equal(mayfly_tls_recheck(w.s.ssl, &err), MAYFLY_OK);
	assert_int_equal(mayfly_tls_recheck(w.c.ssl, &err), MAYFLY_OK);
	assert_int_equal(SSL_session_reused(w.c.ssl), 0);
	/* the least version */
	assert_int_equal(SSL_CTX_set_max_proto_version(w.c.ctx, TLS1_2_VERSION), 1);
	assert_true(handshake());
	assert_int_equal(SSL_version(w.s.ssl), TLS1_2_VERSION);
	assert_string_equal(mayfly_tls_peer_id(w.s.ssl), "spiffe://td1/client");
	context(&w.s, MAYFLY_TLS_SERVER | MAYFLY_TLS_1_3_ONLY, "spiffe://td1/client");
	assert_false(handshake());
	assert_null(mayfly_tls_peer_id(w.s.ssl));
}

/* A session is never resumed: it would not be verified again. */
static void
test_no_resumption(void **state)
{
	MF_UNUSED(state);
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	for (size_t i = 0; i < MF_COUNT(versions); i++) {
		assert_int_equal(SSL_CTX_set_max_proto_version(w.c.ctx, versions[i]), 1);
		assert_true(handshake());
		SSL_SESSION *session = SSL_get1_session(w.c.ssl);
		BIO *a = NULL, *b = NULL;
		SSL *server = SSL_new(w.s.ctx), *client = SSL_new(w.c.ctx);
		assert_int_equal(BIO_new_bio_pair(&a, 65536, &b, 65536), 1);
		SSL_set_bio(server, a, a);
		SSL_set_bio(client, b, b);
		SSL_set_accept_state(server);
		SSL_set_connect_state(client);
		(void)SSL_set_session(client, session);
		assert_true(shake(client, server));
		assert_int_equal(SSL_session_reused(server), 0);
		assert_string_equal(mayfly_tls_peer_id(server), "spiffe://td1/client");
		SSL_free(server);
		SSL_free(client);
		SSL_SESSION_free(session);
		ERR_clear_error();
	}
}

static void
test_not_accepted(void **state)
{
	MF_UNUSED(state);
	mayfly_error err;
	context(&w.s, MAYFLY_TLS_SERVER, "spiffe://td1/someone-else");
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_E_DENIED);
	assert_non_null(strstr(err.text, "spiffe://td1/client is authentic"));
	assert_null(mayfly_tls_peer_id(w.s.ssl));
	context(&w.s, MAYFLY_TLS_SERVER, "spiffe://td1/client");
	context(&w.c, MAYFLY_TLS_CLIENT, "spiffe://td1/someone-else");
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.c.ssl, &err), MAYFLY_E_DENIED);
	assert_null(mayfly_tls_peer_id(w.c.ssl));
}

/* X509-12, X509-14, and who shows nothing. */
static void
test_not_authentic(void **state)
{
	MF_UNUSED(state);
	mayfly_error err;
	mf_wl_fini(&w.c.answer);
	mf_wl_init(&w.c.answer);
	mf_wl_add(&w.c.answer, w.other, "td1", "/client", "", w.now, w.now + 600);
	mf_fa_answer(w.c.agent, FA_X509, &w.c.answer.r.base);
	pump(&w.c, MAYFLY_UPDATED);
	/* the forger refuses the server as well: a client that trusts anybody shows the server's verdict */
	SSL_CTX_free(w.c.ctx);
	mayfly_authorizer *any = NULL;
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_tls_context(w.c.watch, MAYFLY_TLS_CLIENT, NULL, any, &w.c.ctx, &err), MAYFLY_OK);
	mayfly_authorizer_free(any);
	SSL_CTX_set_cert_verify_callback(w.c.ctx, NULL, NULL);
	SSL_CTX_set_verify(w.c.ctx, SSL_VERIFY_NONE, NULL);
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_E_UNTRUSTED);
	SSL_CTX_set_cert_cb(w.c.ctx, NULL, NULL); /* no certificate at all */
	assert_false(handshake());
	assert_null(mayfly_tls_peer_id(w.s.ssl));
	/* the authority's own certificate */
	assert_int_equal(SSL_CTX_use_certificate(w.c.ctx, w.ca), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(w.c.ctx, w.ca_key), 1);
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_E_INVALID);
	assert_non_null(strstr(err.text, "signing certificates never authenticate"));
}

/* Hot reload: the next handshake shows the renewed certificate; nothing is made anew. */
static void
test_renewal(void **state)
{
	MF_UNUSED(state);
	assert_true(handshake());
	assert_serial(w.s.ssl, 0x22);
	for (uint8_t serial = 0x30; serial < 0x33; serial++) {
		mf_wl_fini(&w.c.answer);
		mf_wl_init(&w.c.answer);
		add_identity(&w.c.answer, "spiffe://td1/client", "main", serial);
		mf_fa_answer(w.c.agent, FA_X509, &w.c.answer.r.base);
		pump(&w.c, MAYFLY_UPDATED);
		assert_true(handshake());
		assert_serial(w.s.ssl, serial);
	}
}

/* The client's certificate enters a CRL: open connections find out by recheck, new ones are refused. */
static void
test_revoked(void **state)
{
	MF_UNUSED(state);
	mayfly_error err;
	assert_true(handshake());
	X509 *leaf = SSL_get1_peer_certificate(w.s.ssl);
	struct ref_crl list = { .issuer = w.ca,
		.issuer_key = w.ca_key,
		.this_s = w.now - 5,
		.next_s = w.now + 600,
		.revoked = leaf };
	mf_ref_crl(&list, &w.crl);
	mf_wl_crl(&w.s.answer, mf_buf_slice(&w.crl));
	mf_fa_answer(w.s.agent, FA_X509, &w.s.answer.r.base);
	assert_int_equal(mayfly_tls_recheck(w.s.ssl, &err), MAYFLY_OK); /* it has not come yet */
	pump(&w.s, MAYFLY_UPDATED);
	assert_int_equal(mayfly_tls_recheck(w.s.ssl, &err), MAYFLY_E_UNTRUSTED);
	assert_non_null(strstr(err.text, "revoked"));
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_E_UNTRUSTED);
	assert_non_null(strstr(err.text, "revoked"));
	X509_free(leaf);
	/* another certificate of the same issuer is welcome, also where a list is demanded */
	context(&w.s, MAYFLY_TLS_SERVER | MAYFLY_TLS_NEED_CRL, "spiffe://td1/client");
	mf_wl_fini(&w.c.answer);
	mf_wl_init(&w.c.answer);
	add_identity(&w.c.answer, "spiffe://td1/client", "main", 0x44);
	mf_fa_answer(w.c.agent, FA_X509, &w.c.answer.r.base);
	pump(&w.c, MAYFLY_UPDATED);
	assert_true(handshake());
	context(&w.c, MAYFLY_TLS_CLIENT | MAYFLY_TLS_NEED_CRL, "spiffe://td1/server"); /* it got no list */
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.c.ssl, &err), MAYFLY_E_UNTRUSTED);
}

/* The identity is taken away: nothing is shown, nobody is trusted; BND-7 the same way. */
static void
test_dropped(void **state)
{
	MF_UNUSED(state);
	mayfly_error err;
	assert_true(handshake());
	mf_fa_status(w.c.agent, FA_X509, MF_GRPC_PERMISSION_DENIED, "no identity issued");
	pump(&w.c, MAYFLY_DROPPED);
	assert_int_equal(mayfly_tls_recheck(w.c.ssl, &err), MAYFLY_E_UNAVAILABLE);
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.c.ssl, &err), MAYFLY_E_UNAVAILABLE);
	mf_fa_answer(w.c.agent, FA_X509, &w.c.answer.r.base);
	pump(&w.c, MAYFLY_UPDATED);
	assert_true(handshake());
	/* a watch that is gone, a context that is not */
	mayfly_watch_free(w.s.watch);
	w.s.watch = NULL;
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.s.ssl, &err), MAYFLY_E_UNAVAILABLE);
}

static void
test_hint(void **state)
{
	MF_UNUSED(state);
	mayfly_authorizer *any = NULL;
	mayfly_error err;
	add_identity(&w.c.answer, "spiffe://td1/second", "other", 0x55);
	mf_fa_answer(w.c.agent, FA_X509, &w.c.answer.r.base);
	pump(&w.c, MAYFLY_UPDATED);
	context(&w.s, MAYFLY_TLS_SERVER, "spiffe://td1/second");
	assert_false(handshake());
	SSL_CTX_free(w.c.ctx);
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_tls_context(w.c.watch, MAYFLY_TLS_CLIENT, "other", any, &w.c.ctx, &err), MAYFLY_OK);
	assert_true(handshake());
	assert_string_equal(mayfly_tls_peer_id(w.s.ssl), "spiffe://td1/second");
	SSL_CTX_free(w.c.ctx);
	assert_int_equal(
	    mayfly_tls_context(w.c.watch, MAYFLY_TLS_CLIENT, "gone", any, &w.c.ctx, &err), MAYFLY_OK);
	assert_false(handshake());
	assert_int_equal(mayfly_tls_why(w.c.ssl, &err), MAYFLY_E_NOTFOUND);
	mayfly_authorizer_free(any);
}

static void
test_arguments(void **state)
{
	MF_UNUSED(state);
	mayfly_authorizer *any = NULL;
	mayfly_watch *bundles = NULL;
	SSL_CTX *ctx = NULL;
	mayfly_error err;
	assert_int_equal(mayfly_authorize_any(&any, NULL), MAYFLY_OK);
	static const unsigned bad[] = { 0, MAYFLY_TLS_SERVER | MAYFLY_TLS_CLIENT, MAYFLY_TLS_1_3_ONLY,
		MAYFLY_TLS_SERVER | 1u << 20 };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(
		    mayfly_tls_context(w.s.watch, bad[i], NULL, any, &ctx, &err), MAYFLY_E_INVALID);
	assert_int_equal(
	    mayfly_tls_context(NULL, MAYFLY_TLS_SERVER, NULL, any, &ctx, &err), MAYFLY_E_INVALID);
	assert_int_equal(
	    mayfly_tls_context(w.s.watch, MAYFLY_TLS_SERVER, NULL, NULL, &ctx, &err), MAYFLY_E_INVALID);
	assert_int_equal(mayfly_watch_new(w.s.client, MAYFLY_WATCH_BUNDLES, &bundles, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_tls_context(bundles, MAYFLY_TLS_SERVER, NULL, any, &ctx, &err), MAYFLY_E_INVALID);
	assert_null(ctx);
	mayfly_watch_free(bundles);
	mayfly_authorizer_free(any);
	SSL_CTX *plain = SSL_CTX_new(TLS_method());
	SSL *ssl = SSL_new(plain);
	assert_null(mayfly_tls_peer_id(ssl));
	assert_int_equal(mayfly_tls_recheck(ssl, &err), MAYFLY_E_STATE);
	assert_int_equal(mayfly_tls_why(ssl, &err), MAYFLY_OK);
	SSL_free(ssl);
	SSL_CTX_free(plain);
}

int
main(void)
{
#define T(name, fn)                             \
	{                                       \
		name, fn, setup, teardown, NULL \
	}
	const struct CMUnitTest tests[] = {
		T("good", test_good),
		T("no resumption", test_no_resumption),
		T("not accepted", test_not_accepted),
		T("X509-12 X509-14 not authentic", test_not_authentic),
		T("renewal", test_renewal),
		T("revoked", test_revoked),
		T("dropped", test_dropped),
		T("hint", test_hint),
		T("arguments", test_arguments),
	};
	return cmocka_run_group_tests_name("client_tls", tests, NULL, NULL);
}
