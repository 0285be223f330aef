/* One thread drives the watch, others use what it holds: what mayfly/workload.h and mayfly/openssl.h promise. For TSan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <mayfly/openssl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake_agent.h"

#define THREADS 3
#define UPDATES 20
#define HANDSHAKES 4

static struct {
	mayfly_watch *watch;
	SSL_CTX *server, *client;
	atomic_bool over;
	atomic_uint looked, failed, shaken;
} w;

static void
look(void)
{
	mayfly_x509 *x = mayfly_watch_x509(w.watch);
	mayfly_bundles *b = mayfly_watch_bundles(w.watch);
	mayfly_authorizer *a = NULL;
	mayfly_peer *peer = NULL;
	mayfly_der der = { NULL, 0 };
	bool good = x != NULL && b != NULL && mayfly_authorize_any(&a, NULL) == MAYFLY_OK &&
		    mayfly_svid_cert(mayfly_x509_at(x, 0), 0, &der.p, &der.n, NULL) == MAYFLY_OK &&
		    mayfly_verify_x509(b, &der, 1, a, 0, 0, &peer, NULL) == MAYFLY_OK;
	atomic_fetch_add(good ? &w.looked : &w.failed, 1);
	mayfly_peer_free(peer);
	mayfly_authorizer_free(a);
	mayfly_bundles_unref(b);
	mayfly_x509_unref(x);
}

/* Its own two ends of one connection, made from the shared contexts. */
static void
shake(void)
{
	BIO *a = NULL, *b = NULL;
	SSL *s = SSL_new(w.server), *c = SSL_new(w.client);
	if (s != NULL && c != NULL && BIO_new_bio_pair(&a, 65536, &b, 65536) == 1) {
		SSL_set_bio(s, a, a);
		SSL_set_bio(c, b, b);
		SSL_set_accept_state(s);
		SSL_set_connect_state(c);
		for (int i = 0; i < 8; i++) {
			(void)SSL_do_handshake(c);
			(void)SSL_do_handshake(s);
		}
	}
	bool good = s != NULL && mayfly_tls_peer_id(s) != NULL && mayfly_tls_recheck(s, NULL) == MAYFLY_OK;
	atomic_fetch_add(good ? &w.shaken : &w.failed, 1);
	SSL_free(s);
	SSL_free(c);
	ERR_clear_error();
}

static void *
use(void *arg)
{
	MF_UNUSED(arg);
	for (unsigned i = 0; i < HANDSHAKES || !atomic_load(&w.over); i++) {
		look();
		if (i < HANDSHAKES)
			shake();
	}
	return NULL;
}

static void
test_shared(void **state)
{
	char dir[] = "/tmp/mayfly-threads.XXXXXX", path[64], uri[80];
	mayfly_client *client = NULL;
	mayfly_authorizer *any = NULL;
	pthread_t t[THREADS];
	unsigned changes = 0;
	struct wl_answer answer;
	int64_t now = mf_now().wall_us / 1000000;
	MF_UNUSED(state);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a.sock", dir);
	(void)snprintf(uri, sizeof(uri), "unix://%s", path);
	struct fake_agent *agent = mf_fa_new(path);
	struct mint *mint = mf_mint_new("td1", now);
	mf_wl_init(&answer);
	mf_wl_add(&answer, mint, "td1", "/a", "", now, now + 3600);
	mf_fa_answer(agent, FA_X509, &answer.r.base);
	assert_int_equal(mayfly_client_new(uri, &client, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_watch_new(client, MAYFLY_WATCH_X509, &w.watch, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_watch_wait(w.watch, 60000, &changes, NULL), MAYFLY_OK);
	assert_int_equal(mayfly_authorize_members("td1", &any, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_tls_context(w.watch, MAYFLY_TLS_SERVER, NULL, any, &w.server, NULL), MAYFLY_OK);
	assert_int_equal(
	    mayfly_tls_context(w.watch, MAYFLY_TLS_CLIENT, NULL, any, &w.client, NULL), MAYFLY_OK);
	mayfly_authorizer_free(any);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, use, NULL), 0);
	for (int i = 0; i < UPDATES; i++) {
		mf_wl_fini(&answer);
		mf_wl_init(&answer);
		mf_wl_add(&answer, mint, "td1", i % 2 == 0 ? "/b" : "/a", "", now, now + 3600);
		mf_fa_answer(agent, FA_X509, &answer.r.base);
		do
			assert_int_equal(mayfly_watch_wait(w.watch, 60000, &changes, NULL), MAYFLY_OK);
		while ((changes & MAYFLY_UPDATED) == 0);
	}
	atomic_store(&w.over, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_int_equal(atomic_load(&w.failed), 0);
	assert_true(atomic_load(&w.looked) >= THREADS * HANDSHAKES);
	assert_int_equal(atomic_load(&w.shaken), THREADS * HANDSHAKES);
	SSL_CTX_free(w.server);
	SSL_CTX_free(w.client);
	mayfly_watch_free(w.watch);
	mayfly_client_free(client);
	mf_fa_free(agent);
	mf_mint_free(mint);
	mf_wl_fini(&answer);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_shared) };
	return cmocka_run_group_tests_name("client_threads", tests, NULL, NULL);
}
