/*
 * The courier's program, confined by its table: it mints at a provider on loopback by plain HTTP, by a name, and by TLS; it
 * refuses a certificate that its target's CA did not sign; it reads its targets again; and it can be killed at any moment.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/limits.h"
#include "fake_http.h"
#include "backend_kit.h"
#include "os/build_id.h"
#include "os/control.h"
#include "rpc/role_links.h"

#define HANG_MS 60000

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* ---- a provider with TLS ---- */

struct tls_server {
	SSL_CTX *ctx;
	int fd;
	uint16_t port;
	pthread_t thread;
	char ca[4096];
};

static void
make_certificate(SSL_CTX *ctx, char *pem, size_t n)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	assert_non_null(key);
	assert_int_equal(X509_set_version(x, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -86400));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400));
	assert_int_equal(X509_NAME_add_entry_by_txt(
			     name, "CN", MBSTRING_ASC, (const unsigned char *)"a provider", -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	static const struct {
		int nid;
		const char *value;
	} exts[] = { { NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost" },
		{ NID_basic_constraints, "critical,CA:TRUE" } };
	for (size_t i = 0; i < MF_COUNT(exts); i++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, exts[i].nid, exts[i].value);
		assert_int_equal(X509_add_ext(x, e, -1), 1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	BIO *b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	int got = BIO_read(b, pem, (int)n - 1);
	assert_true(got > 0);
	pem[got] = '\0';
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void *
serve_tls(void *arg)
{
	struct tls_server *s = arg;
	for (;;) {
		char buf[8192], head[128];
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			return NULL;
		SSL *ssl = SSL_new(s->ctx);
		(void)SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1) {
			const char *good = mf_backend_kits[0].good;
			size_t at = 0;
			for (int got = 1; got > 0 && (at == 0 || strstr(buf, "WebIdentityToken") == NULL);) {
				got = SSL_read(ssl, buf + at, (int)(sizeof(buf) - at - 1));
				at += got > 0 ? (size_t)got : 0;
				buf[at] = '\0';
			}
			(void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			    strlen(good));
			(void)SSL_write(ssl, head, (int)strlen(head));
			(void)SSL_write(ssl, good, (int)strlen(good));
			(void)SSL_shutdown(ssl);
		}
		SSL_free(ssl);
		(void)close(fd);
	}
}

static struct tls_server *
tls_begin(void)
{
	struct tls_server *s = calloc(1, sizeof(*s));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t n = sizeof(a);
	assert_non_null(s);
	s->ctx = SSL_CTX_new(TLS_server_method());
	make_certificate(s->ctx, s->ca, sizeof(s->ca));
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve_tls, s), 0);
	return s;
}

static void
tls_end(struct tls_server *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->fd);
	SSL_CTX_free(s->ctx);
	free(s);
}

/* ---- a provider without ---- */

static atomic_bool silent, over;

static bool
answer(void *ctx, int conn, const char *head, struct mf_slice body)
{
	MF_UNUSED(ctx);
	MF_UNUSED(head);
	MF_UNUSED(body);
	while (atomic_load(&silent) && !atomic_load(&over))
		(void)poll(NULL, 0, 10);
	return mf_fake_http_reply(conn, "200 OK", NULL, mf_slice_str(mf_backend_kits[0].good));
}

/* ---- the supervisor and the notary ---- */

struct role {
	pid_t pid;
	struct mf_seqpacket *control, *link;
};

static int
conf_file(unsigned plain, const struct tls_server *tls, const char *other_ca)
{
	Mayfly__Roles__V1__CloudConf conf = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	Mayfly__Roles__V1__CloudTarget t[4], *p[4];
	static const char *const names[] = { "plain", "name", "tls", "tls-other" };
	char url[4][64];
	uint8_t packed[14000];
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		mayfly__roles__v1__cloud_target__init(&t[i]);
		p[i] = &t[i];
		t[i].name = text(names[i]);
		t[i].backend = text("aws-sts");
		t[i].loopback = true;
		t[i].endpoint = url[i];
	}
	(void)snprintf(url[0], sizeof(url[0]), "http://127.0.0.1:%u", plain);
	(void)snprintf(url[1], sizeof(url[1]), "http://localhost:%u", plain);
	(void)snprintf(url[2], sizeof(url[2]), "https://127.0.0.1:%u", tls->port);
	(void)snprintf(url[3], sizeof(url[3]), "https://127.0.0.1:%u", tls->port);
	t[2].ca_pem = text(tls->ca);
	t[3].ca_pem = text(other_ca);
	conf.targets = p;
	conf.n_targets = MF_COUNT(t);
	size_t n = mayfly__roles__v1__cloud_conf__pack(&conf, packed);
	int fd = memfd_create("cloud", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, packed, n), (ssize_t)n);
	return fd;
}

static struct role
role_begin(int conf)
{
	struct role r = { 0 };
	int control[2], link[2];
	char path[4096], build[256], sup[64];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	assert_true(n > 0);
	path[n] = '\0';
	for (int up = 0; up < 2; up++)
		*strrchr(path, '/') = '\0';
	memcpy(path + strlen(path), "/libexec/mayfly/courier", sizeof("/libexec/mayfly/courier"));
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(sup, sizeof(sup), "--supervisor=%d", (int)getpid());
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	r.pid = fork();
	assert_true(r.pid >= 0);
	if (r.pid == 0) {
		int c = fcntl(control[1], F_DUPFD, 20), f = fcntl(conf, F_DUPFD, 20);
		(void)dup2(c, 3);
		(void)dup2(f, 4);
		if (getuid() == 0 && (setgid(60806) != 0 || setuid(60806) != 0))
			_exit(126);
		(void)execl(path, path, build, sup, "--fds=control:3,cloud:4", (char *)NULL);
		_exit(127);
	}
	(void)close(control[1]);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &r.control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_pair(link, NULL), MF_OK);
	assert_int_equal(mf_control_send(r.control, MF_CONTROL_LINK, "notary", link[0], NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(link[1], 1 << 20, &r.link, NULL), MF_OK);
	return r;
}

static int
role_end(struct role *r, int sig)
{
	int st = 0;
	(void)kill(r->pid, sig);
	assert_int_equal(waitpid(r->pid, &st, 0), r->pid);
	mf_seqpacket_free(r->control);
	mf_seqpacket_free(r->link);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

/* The next result; MF_E_CLOSED when the courier is gone. */
static enum mf_status
result(struct role *r, ProtobufCMessage **ret_m)
{
	uint64_t from = mf_now().mono_ms;
	for (;;) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		struct pollfd w = { mf_seqpacket_fd(r->link), POLLIN, 0 };
		enum mf_status s = mf_seqpacket_recv(r->link, &p, NULL);
		if (s == MF_E_AGAIN) {
			if (mf_now().mono_ms - from > HANG_MS)
				fail_msg("no result");
			(void)poll(&w, 1, 100);
			continue;
		}
		if (s != MF_OK || p.type == MF_MSG_COURIER_HELLO) {
			if (s != MF_OK)
				return s;
			continue;
		}
		return mf_role_decode(&mf_link_courier, MF_LINK_INNER, MF_LINK_OPEN, p.type, p.payload, false,
		    &row, ret_m, NULL);
	}
}

static void
ask(struct role *r, uint64_t id, const char *target)
{
	Mayfly__Roles__V1__MintRequest m;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	mf_backend_mint_request(&m);
	m.mint_id = id;
	m.target = text(target);
	m.timeout_ms = 30000;
	assert_int_equal(
	    mf_role_encode(&mf_link_courier, MF_LINK_INNER, MF_MSG_MINT_REQUEST, &m.base, false, &b, NULL),
	    MF_OK);
	assert_int_equal(mf_seqpacket_send(r->link, MF_MSG_MINT_REQUEST, mf_buf_slice(&b), -1, NULL), MF_OK);
}

static void
mints(struct role *r, const char *target, const char *word)
{
	ProtobufCMessage *msg = NULL;
	ask(r, 1, target);
	assert_int_equal(result(r, &msg), MF_OK);
	const Mayfly__Roles__V1__MintResult *m = (const void *)msg;
	if (m->minted != (word[0] == '\0') || strcmp(m->error, word) != 0)
		fail_msg("%s: %s: %s", target, m->error, m->reason);
	mf_pb_free(msg);
}

static void
test_role(void **state)
{
	MF_UNUSED(state);
	struct tls_server *tls = tls_begin(), *other = tls_begin();
	struct mf_fake_http *s = mf_fake_http_new(answer, NULL);
	int conf = conf_file(mf_fake_http_port(s), tls, other->ca), again;
	struct role r = role_begin(conf);
	mints(&r, "plain", "");
	mints(&r, "name", "");
	mints(&r, "tls", "");
	mints(&r, "tls-other", "config");
	/* Read again: the other CA is the right one now. */
	again = conf_file(mf_fake_http_port(s), tls, tls->ca);
	assert_int_equal(mf_control_send(r.control, MF_CONTROL_RELOAD, "cloud", again, NULL), MF_OK);
	(void)poll(NULL, 0, 200);
	mints(&r, "tls-other", "");
	assert_int_equal(role_end(&r, SIGKILL), 128 + SIGKILL);
	(void)close(conf);
	mf_fake_http_free(s);
	tls_end(tls);
	tls_end(other);
}

/* Killed while providers are silent: the notary sees the end of the link, and the next one serves. */
static void
test_killed(void **state)
{
	MF_UNUSED(state);
	struct tls_server *tls = tls_begin();
	struct mf_fake_http *s = mf_fake_http_new(answer, NULL);
	int conf = conf_file(mf_fake_http_port(s), tls, tls->ca);
	for (unsigned round = 0; round < 5; round++) {
		ProtobufCMessage *msg = NULL;
		unsigned before = mf_fake_http_requests(s);
		atomic_store(&silent, true);
		struct role r = role_begin(conf);
		for (uint64_t id = 1; id <= 8; id++)
			ask(&r, id, "plain");
		for (uint64_t from = mf_now().mono_ms; mf_fake_http_requests(s) < before + 4;) {
			if (mf_now().mono_ms - from > HANG_MS)
				fail_msg("nothing was asked for");
			(void)poll(NULL, 0, 5);
		}
		(void)kill(r.pid, SIGKILL);
		assert_int_equal(result(&r, &msg), MF_E_CLOSED);
		assert_int_equal(role_end(&r, SIGKILL), 128 + SIGKILL);
		atomic_store(&silent, false);
		r = role_begin(conf);
		mints(&r, "plain", "");
		/* Told to stop it ends in order. */
		assert_int_equal(mf_control_send(r.control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
		assert_int_equal(role_end(&r, 0), 0);
	}
	atomic_store(&over, true);
	(void)close(conf);
	mf_fake_http_free(s);
	tls_end(tls);
}

int
main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_role),
		cmocka_unit_test(test_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
