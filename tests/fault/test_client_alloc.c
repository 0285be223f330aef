/*
 * Each allocation of the caller's thread fails once under the C client library: its own, libcrypto's, libssl's,
 * nghttp2's, protobuf-c's. Whatever fails: an error with a text, nothing leaked, and never a good verdict on a bad peer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"

#ifdef MF_INSTRUMENTED
int
main(void)
{
	printf("skipped: the sanitizer's allocator cannot be replaced\n");
	return 0;
}
#else

#include <mayfly/jwt.h>
#include <mayfly/openssl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "client/take.h"
#include "fake_agent.h"

#define ROUNDS 20000 /* more allocations than any operation makes: a hang limit */

/* libcrypto's error queue keeps its texts for the next error: no leak, and nothing to count. */
static bool
is_error_queue(const char *file)
{
	return file != NULL && strstr(file, "/err/") != NULL;
}

/* mf_sha256 aborts without memory (crypto/hash.h): its one allocation is spared, as in test_x509_alloc. */
static void *
ossl_malloc(size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	if (is_error_queue(file))
		return __libc_malloc(n);
	bool was = mf_alloc_spare(file != NULL && strstr(file, "sha2_prov") != NULL);
	void *p = malloc(n);
	(void)mf_alloc_spare(was);
	return p;
}

static void *
ossl_realloc(void *p, size_t n, const char *file, int line)
{
	MF_UNUSED(line);
	return is_error_queue(file) ? __libc_realloc(p, n) : realloc(p, n);
}

static void
ossl_free(void *p, const char *file, int line)
{
	MF_UNUSED(line);
	if (is_error_queue(file))
		__libc_free(p);
	else
		free(p);
}

static struct {
	char dir[64], path[80], uri[100];
	struct fake_agent *agent;
	struct mint *mint, *forger;
	struct wl_answer answer;
	struct mf_buf packed, forged;
	mayfly_client *client;
	mayfly_watch *watch;
	mayfly_authorizer *any;
	mayfly_bundles *bundles;
	int64_t now;
} w;

static mayfly_status
op_client(mayfly_error *err)
{
	mayfly_client *c = NULL;
	mayfly_status s = mayfly_client_new(w.uri, &c, err);
	mayfly_client_free(c);
	return s;
}

static mayfly_status
op_take(mayfly_error *err)
{
	struct mf_err e = { 0 };
	mayfly_x509 *x = NULL;
	ProtobufCMessage *msg = NULL;
	char *pem = NULL;
	enum mf_status s = mf_pb_unpack(&x509_svidresponse__descriptor, mf_buf_slice(&w.packed), &msg, &e);
	if (s == MF_OK)
		s = mf_take_x509(msg, &x, &e);
	mf_pb_free(msg);
	mayfly_status p = s == MF_OK	    ? mayfly_svid_key_pem(mayfly_x509_at(x, 0), &pem, err)
			  : s == MF_E_NOMEM ? MAYFLY_E_NOMEM
					    : MAYFLY_E_INTERNAL;
	if (s != MF_OK)
		(void)snprintf(err->text, sizeof(err->text), "%s", e.msg);
	mayfly_string_free(pem);
	mayfly_x509_unref(x);
	return p;
}

static mayfly_status
verify(const struct mf_buf *leaf, mayfly_error *err)
{
	mayfly_peer *peer = NULL;
	mayfly_der der = { leaf->p, leaf->n };
	mayfly_status s = mayfly_verify_x509(w.bundles, &der, 1, w.any, 0, w.now, &peer, err);
	mayfly_peer_free(peer);
	return s;
}

static mayfly_status
op_verify(mayfly_error *err)
{
	return verify(&w.answer.chain[0], err);
}

static mayfly_status
op_verify_forged(mayfly_error *err)
{
	return verify(&w.forged, err);
}

static mayfly_status
op_fetch(mayfly_error *err)
{
	mayfly_x509 *x = NULL;
	mayfly_status s = mayfly_fetch_x509(w.client, 0, &x, err);
	mayfly_x509_unref(x);
	return s;
}

/* A watch goes on by itself: it gets there in the end, whatever failed on the way. */
static mayfly_status
op_watch(mayfly_error *err)
{
	mayfly_watch *watch = NULL;
	unsigned changes = 0;
	mayfly_status s = mayfly_watch_new(w.client, MAYFLY_WATCH_X509, &watch, err);
	for (int i = 0; s == MAYFLY_OK && i < 1000 && (changes & MAYFLY_UPDATED) == 0; i++) {
		s = mayfly_watch_wait(watch, 60000, &changes, err);
		if (s == MAYFLY_E_NOMEM || s == MAYFLY_E_IO)
			s = MAYFLY_OK; /* call it again later */
	}
	if (s == MAYFLY_OK)
		assert_true((changes & MAYFLY_UPDATED) != 0);
	mayfly_watch_free(watch);
	return s;
}

static mayfly_status
op_tls(mayfly_error *err)
{
	SSL_CTX *server = NULL, *client = NULL;
	SSL *s = NULL, *c = NULL;
	BIO *a = NULL, *b = NULL;
	mayfly_status r = mayfly_tls_context(w.watch, MAYFLY_TLS_SERVER, NULL, w.any, &server, err);
	if (r == MAYFLY_OK)
		r = mayfly_tls_context(w.watch, MAYFLY_TLS_CLIENT, NULL, w.any, &client, err);
	if (r == MAYFLY_OK) {
		r = MAYFLY_E_NOMEM;
		(void)snprintf(err->text, sizeof(err->text), "libssl");
		s = SSL_new(server);
		c = SSL_new(client);
		if (s != NULL && c != NULL && BIO_new_bio_pair(&a, 65536, &b, 65536) == 1) {
			SSL_set_bio(s, a, a);
			SSL_set_bio(c, b, b);
			SSL_set_accept_state(s);
			SSL_set_connect_state(c);
			for (int i = 0; i < 8; i++) {
				(void)SSL_do_handshake(c);
				(void)SSL_do_handshake(s);
			}
			bool done = SSL_is_init_finished(s) && SSL_is_init_finished(c);
			if (done) { /* whoever is through was judged */
				assert_string_equal(mayfly_tls_peer_id(s), "spiffe://td1/a");
				assert_string_equal(mayfly_tls_peer_id(c), "spiffe://td1/a");
				r = MAYFLY_OK;
			}
		}
	}
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	ERR_clear_error();
	return r;
}

static void
fail_each(mayfly_status (*op)(mayfly_error *err), mayfly_status good)
{
	mayfly_error err = { .text = "" };
	mf_alloc_fail(0);
	assert_int_equal(op(&err), good); /* warm: what is made once stays */
	assert_int_equal(op(&err), good);
	long n = 1;
	do {
		err = (mayfly_error) { .text = "" };
		long before = mf_alloc_live();
		mf_alloc_fail(n);
		mayfly_status s = op(&err);
		mf_alloc_fail(0);
		if (s != MAYFLY_OK && err.text[0] == '\0')
			fail_msg("allocation %ld: %s without a text", n, mayfly_status_name(s));
		if (s == MAYFLY_OK)
			assert_int_equal(good, MAYFLY_OK);
		if (mf_alloc_live() != before)
			fail_msg("allocation %ld: %ld not freed (%s)", n, mf_alloc_live() - before, err.text);
		assert_int_equal(ERR_peek_error(), 0);
		/* The first hundred each; decoding and handshakes make thousands, sampled ever more thinly. */
		n += 1 + n / 100;
	} while (mf_alloc_failed() && n < ROUNDS);
	assert_true(n > 2 && n < ROUNDS);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	(void)snprintf(w.dir, sizeof(w.dir), "/tmp/mayfly-alloc.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	(void)snprintf(w.path, sizeof(w.path), "%s/agent.sock", w.dir);
	(void)snprintf(w.uri, sizeof(w.uri), "unix://%s", w.path);
	w.now = mf_now().wall_us / 1000000;
	w.mint = mf_mint_new("td1", w.now);
	w.forger = mf_mint_new("td1", w.now);
	w.agent = mf_fa_new(w.path);
	mf_wl_init(&w.answer);
	mf_wl_add(&w.answer, w.mint, "td1", "/a", "h", w.now, w.now + 3600);
	mf_wl_federate(&w.answer, "spiffe://td2", mf_mint_ca(w.forger));
	mf_buf_init(&w.packed, MF_LIM_PB_BYTES);
	mf_buf_init(&w.forged, MF_LIM_CERT_DER);
	struct mf_buf key;
	mf_buf_init(&key, MF_LIM_KEY_DER);
	(void)mf_mint_keyed(w.forger, "/a", w.now, w.now + 3600, &w.forged, &key);
	mf_buf_fini(&key);
	assert_int_equal(mf_pb_pack(&w.answer.r.base, &w.packed, NULL), MF_OK);
	mf_fa_answer(w.agent, FA_X509, &w.answer.r.base);
	assert_int_equal(mayfly_client_new(w.uri, &w.client, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_client_set_backoff(w.client, 1, 2, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_authorize_any(&w.any, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_bundles_new(&w.bundles, NULL), MAYFLY_OK);
	struct mf_slice ca = mf_mint_ca(w.mint);
	assert_int_equal(mayfly_bundles_add_der(w.bundles, "td1", ca.p, ca.n, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_watch_new(w.client, MAYFLY_WATCH_X509, &w.watch, NULL), MAYFLY_OK);
	unsigned changes = 0;
	assert_int_equal(mayfly_watch_wait(w.watch, 60000, &changes, NULL), MAYFLY_OK);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mayfly_watch_free(w.watch);
	mayfly_client_free(w.client);
	mayfly_authorizer_free(w.any);
	mayfly_bundles_unref(w.bundles);
	mf_fa_free(w.agent);
	mf_wl_fini(&w.answer);
	mf_buf_fini(&w.packed);
	mf_buf_fini(&w.forged);
	mf_mint_free(w.mint);
	mf_mint_free(w.forger);
	return rmdir(w.dir);
}

static void
test_client(void **state)
{
	MF_UNUSED(state);
	fail_each(op_client, MAYFLY_OK);
	fail_each(op_take, MAYFLY_OK);
}

static void
test_verdicts(void **state)
{
	MF_UNUSED(state);
	fail_each(op_verify, MAYFLY_OK);
	fail_each(op_verify_forged, MAYFLY_E_UNTRUSTED);
}

static void
test_connection(void **state)
{
	MF_UNUSED(state);
	fail_each(op_fetch, MAYFLY_OK);
	fail_each(op_watch, MAYFLY_OK);
}

static void
test_tls(void **state)
{
	MF_UNUSED(state);
	fail_each(op_tls, MAYFLY_OK);
}

int
main(void)
{
	if (CRYPTO_set_mem_functions(ossl_malloc, ossl_realloc, ossl_free) != 1)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_tls),
	};
	return cmocka_run_group_tests_name("client_alloc", tests, setup, teardown);
}
#endif
