/* The limit of handshakes: libssl over loopback TCP, both sides with a P-256 certificate of one CA, checked by libssl. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "bench_kit.h"
#include "mint.h"

struct side {
	SSL_CTX *ctx;
	int listener;
	unsigned n;
	double cpu;
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static SSL_CTX *
context(struct mint *m, bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	struct mf_buf der, key;
	int64_t now = mf_now().wall_us / 1000000;
	mf_buf_init(&der, 8192);
	mf_buf_init(&key, 8192);
	must(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
	(void)mf_mint_keyed(m, server ? "/server" : "/client", now, now + 3600, &der, &key);
	must(SSL_CTX_use_certificate_ASN1(ctx, (int)der.n, der.p) == 1);
	must(SSL_CTX_use_PrivateKey_ASN1(EVP_PKEY_EC, ctx, key.p, (long)key.n) == 1);
	struct mf_slice ca = mf_mint_ca(m);
	const unsigned char *p = ca.p;
	X509 *x = d2i_X509(NULL, &p, (long)ca.n);
	must(x != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1);
	X509_free(x);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	mf_buf_fini(&der);
	mf_buf_fini(&key);
	return ctx;
}

static void *
serve(void *arg)
{
	struct side *s = arg;
	double begin = mf_bench_own_cpu();
	for (unsigned i = 0; i < s->n; i++) {
		char byte;
		int fd = accept(s->listener, NULL, NULL);
		SSL *ssl = SSL_new(s->ctx);
		must(fd >= 0 && ssl != NULL && SSL_set_fd(ssl, fd) == 1);
		must(SSL_accept(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1 && SSL_write(ssl, &byte, 1) == 1);
		SSL_free(ssl);
		(void)close(fd);
	}
	s->cpu = mf_bench_own_cpu() - begin;
	return NULL;
}

double
mf_bench_tls_server(double wanted)
{
	unsigned n = (unsigned)wanted;
	struct mint *m = mf_mint_new("bench.example", mf_now().wall_us / 1000000);
	struct side server = { .ctx = context(m, true), .n = n };
	SSL_CTX *client = context(m, false);
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t at_n = sizeof(at);
	pthread_t thread;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(server.listener >= 0 && bind(server.listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	must(listen(server.listener, 16) == 0 &&
	     getsockname(server.listener, (struct sockaddr *)&at, &at_n) == 0);
	must(pthread_create(&thread, NULL, serve, &server) == 0);
	for (unsigned i = 0; i < n; i++) {
		char byte = 'x';
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		SSL *ssl = SSL_new(client);
		must(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
		must(ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1);
		must(SSL_write(ssl, &byte, 1) == 1 && SSL_read(ssl, &byte, 1) == 1);
		SSL_free(ssl);
		(void)close(fd);
	}
	must(pthread_join(thread, NULL) == 0);
	(void)close(server.listener);
	SSL_CTX_free(server.ctx);
	SSL_CTX_free(client);
	mf_mint_free(m);
	return server.cpu / n;
}
