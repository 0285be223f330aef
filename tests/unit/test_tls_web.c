/*
 * The publisher's server: TLS and nothing else, its four paths byte by byte, caps on connections and on how long each may
 * take, another certificate while it serves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/publisher/publisher.h"
#include "log/published.h"
#include "net/grpc_conn.h"
#include "net/tls_web.h"
#include "os/secure_file.h"

#define HANG_MS 60000u
#define LIFE_MS 1500u

struct cert {
	char chain[2048], key[1024];
};

static void
make_cert(struct cert *c, const char *cn)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(
	    X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, k);
	assert_true(X509_sign(x, k, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	int n = BIO_read(b, c->chain, sizeof(c->chain) - 1);
	c->chain[n] = '\0';
	assert_int_equal(PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_read(b, c->key, sizeof(c->key) - 1);
	c->key[n] = '\0';
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(k);
}

struct world {
	struct mf_loop *l;
	struct mf_publisher *p;
	char dir[64];
	int dirfd;
	uint16_t port;
	struct cert cert;
};

static void
open_world(struct world *w, bool tls, unsigned conns)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	int fd = -1;
	*w = (struct world) { 0 };
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/mf-publisher-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->dirfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++) {
		const char *name = mf_published_name((enum mf_published_file)i);
		assert_int_equal(mf_file_write(w->dirfd, name, mf_slice_str(name), 0444, NULL), MF_OK);
	}
	assert_int_equal(mf_file_write(w->dirfd, "manifest", MF_SLICE_LIT("not served"), 0444, NULL), MF_OK);
	make_cert(&w->cert, "one");
	assert_int_equal(mf_loop_new(&w->l, NULL), MF_OK);
	assert_int_equal(mf_net_listen_tcp("127.0.0.1", 0, &fd, NULL), MF_OK);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	w->port = ntohs(sa.sin_port);
	struct mf_publisher_conf c = { .issuer_path = "/td1",
		.x5c_path = "/td1/x5c",
		.public_dirfd = w->dirfd,
		.listen_fd = fd,
		.tls = tls,
		.chain_pem = mf_slice_str(w->cert.chain),
		.key_pem = mf_slice_str(w->cert.key),
		.conns = conns,
		.life_ms = LIFE_MS };
	assert_int_equal(mf_publisher_new(w->l, &c, &w->p, NULL), MF_OK);
}

static void
close_world(struct world *w)
{
	mf_publisher_free(w->p);
	mf_loop_free(w->l);
	for (unsigned i = 0; i < MF_PUBLISHED_FILES; i++)
		(void)unlinkat(w->dirfd, mf_published_name((enum mf_published_file)i), 0);
	(void)unlinkat(w->dirfd, "manifest", 0);
	(void)close(w->dirfd);
	(void)rmdir(w->dir);
}

static int
dial(const struct world *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(w->port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void
turn(struct world *w)
{
	assert_int_equal(mf_loop_turn(w->l, false, NULL), MF_OK);
	(void)usleep(200);
}

/* In clear until the server closes; the number of bytes. */
static size_t
talk_clear(struct world *w, int fd, const char *say, char *to, size_t cap)
{
	uint64_t until = mf_now().mono_ms + HANG_MS;
	size_t n = 0;
	assert_int_equal(send(fd, say, strlen(say), MSG_NOSIGNAL), (ssize_t)strlen(say));
	while (mf_now().mono_ms < until) {
		turn(w);
		ssize_t got = recv(fd, to + n, cap - 1 - n, 0);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	assert_true(mf_now().mono_ms < until);
	to[n] = '\0';
	return n;
}

struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

/* False: the server did not take it. */
static bool
shake(struct world *w, struct client *c, int max_version)
{
	uint64_t until = mf_now().mono_ms + HANG_MS;
	c->fd = dial(w);
	c->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(c->ctx, 0);
	(void)SSL_CTX_set_min_proto_version(c->ctx, TLS1_VERSION);
	(void)SSL_CTX_set_max_proto_version(c->ctx, max_version);
	c->ssl = SSL_new(c->ctx);
	assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
	for (;;) {
		turn(w);
		int r = SSL_connect(c->ssl);
		int e = SSL_get_error(c->ssl, r);
		if (r == 1)
			return true;
		if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			return false;
		assert_true(mf_now().mono_ms < until);
	}
}

static void
hang_up(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	(void)close(c->fd);
}

static void
ask(struct world *w, const char *say, char *to, size_t cap)
{
	struct client c;
	uint64_t until = mf_now().mono_ms + HANG_MS;
	size_t n = 0;
	assert_true(shake(w, &c, TLS1_3_VERSION));
	assert_int_equal(SSL_write(c.ssl, say, (int)strlen(say)), (int)strlen(say));
	for (;;) {
		turn(w);
		int r = SSL_read(c.ssl, to + n, (int)(cap - 1 - n));
		int e = SSL_get_error(c.ssl, r);
		if (r <= 0 && e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
			break;
		n += r > 0 ? (size_t)r : 0;
		assert_true(mf_now().mono_ms < until);
	}
	to[n] = '\0';
	hang_up(&c);
}

#define REQ(method, path) method " " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void
test_serves(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *request, *body;
	} good[] = { { REQ("GET", "/td1/.well-known/openid-configuration"), "\r\n\r\nopenid-configuration" },
		{ REQ("GET", "/td1/keys"), "\r\n\r\nkeys" },
		{ REQ("GET", "/td1/x5c/.well-known/openid-configuration"),
		    "\r\n\r\nx5c-openid-configuration" },
		{ REQ("GET", "/td1/x5c/keys"), "\r\n\r\nx5c-keys" },
		{ REQ("GET", "/td1/keys?a=b"), "\r\n\r\nkeys" } };
	static const char *const none[] = { REQ("GET", "/"), REQ("GET", "/keys"), REQ("GET", "/td1/manifest"),
		REQ("GET", "/td1/../td1/keys"), REQ("GET", "//td1/keys"), REQ("GET", "/td1/keys/"),
		REQ("GET", "/td1/%6beys"), REQ("GET", "/td1/keys%00"), REQ("GET", "/td1/.well-known/../keys"),
		REQ("GET", "/TD1/keys"), REQ("GET", "/td1/./keys") };
	static const char *const refused[] = { REQ("POST", "/td1/keys"), REQ("PUT", "/td1/keys"),
		REQ("DELETE", "/td1/keys"), "PATCH /td1/keys HTTP/1.1\r\nHost: x\r\n\r\n", "nonsense\r\n\r\n",
		"GET /td1/keys HTTP/9.9\r\n\r\n" };
	char text[4096];
	struct world w;
	open_world(&w, true, 0);
	for (size_t i = 0; i < MF_COUNT(good); i++) {
		ask(&w, good[i].request, text, sizeof(text));
		assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
		assert_non_null(strstr(text, "Cache-Control: max-age=60\r\n"));
		assert_non_null(strstr(text, "Content-Type: application/json\r\n"));
		const char *body = strstr(text, "\r\n\r\n");
		assert_non_null(body);
		assert_string_equal(body, good[i].body);
	}
	ask(&w, REQ("HEAD", "/td1/keys"), text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, "Content-Length: 4\r\n"));
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	for (size_t i = 0; i < MF_COUNT(none); i++) {
		ask(&w, none[i], text, sizeof(text));
		if (strncmp(text, "HTTP/1.1 404 ", 13) != 0)
			fail_msg("%s: %s", none[i], text);
	}
	for (size_t i = 0; i < MF_COUNT(refused); i++) {
		ask(&w, refused[i], text, sizeof(text));
		if (strstr(text, " 200 ") != NULL)
			fail_msg("%s: %s", refused[i], text);
	}
	/* A file that is not there, or larger than any document, is 503 and not cached. */
	assert_int_equal(unlinkat(w.dirfd, "keys", 0), 0);
	ask(&w, REQ("GET", "/td1/keys"), text, sizeof(text));
	assert_memory_equal(text, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(text, "no-store"));
	close_world(&w);
}

/* A client that speaks HTTP in clear, or an old TLS, gets not a byte of a document. */
static void
test_tls_only(void **state)
{
	MF_UNUSED(state);
	char text[4096];
	struct world w;
	struct client c;
	open_world(&w, true, 0);
	int fd = dial(&w);
	(void)talk_clear(&w, fd, REQ("GET", "/td1/keys"), text, sizeof(text));
	assert_null(strstr(text, "HTTP"));
	(void)close(fd);
	assert_false(shake(&w, &c, TLS1_1_VERSION));
	hang_up(&c);
	assert_true(shake(&w, &c, TLS1_2_VERSION));
	hang_up(&c);
	close_world(&w);
	/* In clear where that was asked for. */
	open_world(&w, false, 0);
	fd = dial(&w);
	(void)talk_clear(&w, fd, REQ("GET", "/td1/keys"), text, sizeof(text));
	assert_non_null(strstr(text, "\r\n\r\nkeys"));
	(void)close(fd);
	close_world(&w);
}

/* Those who hold connections open do not keep others out for longer than a connection's life. */
static void
test_slow_clients(void **state)
{
	MF_UNUSED(state);
	char text[4096];
	struct world w;
	int slow[4];
	open_world(&w, true, 4);
	for (size_t i = 0; i < MF_COUNT(slow); i++)
		slow[i] = dial(&w);
	for (unsigned i = 0; i < 50; i++)
		turn(&w);
	ask(&w, REQ("GET", "/td1/keys"), text, sizeof(text));
	assert_non_null(strstr(text, "\r\n\r\nkeys"));
	/* The silent ones were ended by then; and so is one that shook hands and sends a request a byte at a time. */
	for (size_t i = 0; i < MF_COUNT(slow); i++)
		(void)close(slow[i]);
	struct client c;
	uint64_t until = mf_now().mono_ms + HANG_MS;
	assert_true(shake(&w, &c, TLS1_3_VERSION));
	for (bool open = true; open;) {
		char byte;
		turn(&w);
		(void)SSL_write(c.ssl, "G", 1);
		int r = SSL_read(c.ssl, &byte, 1), e = SSL_get_error(c.ssl, r);
		open = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE || r > 0;
		assert_true(mf_now().mono_ms < until);
	}
	hang_up(&c);
	close_world(&w);
}

static void
cn_of(struct world *w, char *to, size_t cap)
{
	struct client c;
	assert_true(shake(w, &c, TLS1_3_VERSION));
	X509 *x = SSL_get1_peer_certificate(c.ssl);
	assert_non_null(x);
	(void)X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, to, (int)cap);
	X509_free(x);
	hang_up(&c);
}

static void
test_certificates(void **state)
{
	MF_UNUSED(state);
	struct world w;
	struct cert two;
	struct mf_err err = { 0 };
	char cn[64];
	open_world(&w, true, 0);
	make_cert(&two, "two");
	cn_of(&w, cn, sizeof(cn));
	assert_string_equal(cn, "one");
	/* Not a pair, not PEM, nothing: the one in force stays. */
	assert_int_equal(
	    mf_publisher_renew(w.p, mf_slice_str(two.chain), mf_slice_str(w.cert.key), &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "key"));
	assert_int_equal(
	    mf_publisher_renew(w.p, MF_SLICE_LIT("x"), mf_slice_str(two.key), &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "certificate"));
	assert_int_equal(
	    mf_publisher_renew(w.p, mf_slice_str(two.chain), MF_SLICE_LIT(""), &err), MF_E_INVALID);
	cn_of(&w, cn, sizeof(cn));
	assert_string_equal(cn, "one");
	assert_int_equal(
	    mf_publisher_renew(w.p, mf_slice_str(two.chain), mf_slice_str(two.key), &err), MF_OK);
	cn_of(&w, cn, sizeof(cn));
	assert_string_equal(cn, "two");
	close_world(&w);
	open_world(&w, false, 0);
	assert_int_equal(
	    mf_publisher_renew(w.p, mf_slice_str(two.chain), mf_slice_str(two.key), &err), MF_E_STATE);
	close_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serves),
		cmocka_unit_test(test_tls_only),
		cmocka_unit_test(test_slow_clients),
		cmocka_unit_test(test_certificates),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
