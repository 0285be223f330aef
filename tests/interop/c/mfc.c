/*
 * mfc: the interop program of libmayfly, with the same commands and the same wire as tests/interop/go, so that either
 * may be server or client of the other.
 *
 *	mfc server ID PORTFILE       mutual TLS for callers with SPIFFE ID ID: answers "hello SERIAL LINE" to each line
 *	mfc client ID PORTFILE N     connects until N different serials of its own and of the server were seen
 *	mfc bundles                  prints the trust domains whose bundles there are
 *
 * PORTFILE holds 127.0.0.1:PORT. Exit codes: 0 done, 1 failed, 7 PERMISSION_DENIED.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <mayfly/openssl.h>

static const struct timeval hang = { 120, 0 };

static int
fails(const char *what, const mayfly_error *err)
{
	(void)fprintf(stderr, "mfc: %s: %s\n", what, err->text);
	return err->grpc_code == 7 ? 7 : 1;
}

static int
start(const char *id, unsigned flags, mayfly_watch **watch, SSL_CTX **ctx)
{
	mayfly_client *client = NULL;
	mayfly_authorizer *who = NULL;
	mayfly_error err = { .text = "" };
	unsigned changes = 0;
	int rc = 0;
	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_watch_new(client, MAYFLY_WATCH_X509, watch, &err) != MAYFLY_OK ||
	    mayfly_authorize_ids(&id, 1, &who, &err) != MAYFLY_OK ||
	    mayfly_tls_context(*watch, flags, NULL, who, ctx, &err) != MAYFLY_OK)
		rc = fails("start", &err);
	while (rc == 0 && (changes & MAYFLY_UPDATED) == 0)
		if (mayfly_watch_wait(*watch, 60000, &changes, &err) != MAYFLY_OK ||
		    (changes & MAYFLY_STOPPED) != 0 || err.grpc_code == 7)
			rc = (changes & MAYFLY_UPDATED) != 0 ? 0 : fails("identity", &err);
	mayfly_authorizer_free(who);
	mayfly_client_free(client);
	return rc;
}

static void
peer_serial(SSL *ssl, char *to, size_t n)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(SSL_get0_peer_certificate(ssl)), NULL);
	char *hex = BN_bn2hex(bn);
	(void)snprintf(to, n, "%s", hex == NULL ? "" : hex);
	OPENSSL_free(hex);
	BN_free(bn);
}

static int
read_line(SSL *ssl, char *to, int n)
{
	int used = 0, k;
	while (used < n - 1 && (k = SSL_read(ssl, to + used, 1)) == 1)
		if (to[used++] == '\n')
			break;
	to[used] = '\0';
	return used > 0 && to[used - 1] == '\n';
}

static void
serve(SSL_CTX *ctx, int fd)
{
	char line[256], serial[64], out[400];
	mayfly_error err;
	SSL *ssl = SSL_new(ctx);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof(hang));
	if (SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1 && read_line(ssl, line, sizeof(line))) {
		peer_serial(ssl, serial, sizeof(serial));
		(void)snprintf(out, sizeof(out), "hello %s %s", serial, line);
		(void)SSL_write(ssl, out, (int)strlen(out));
		(void)SSL_shutdown(ssl);
	} else if (mayfly_tls_why(ssl, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "mfc: refused: %s\n", err.text);
	}
	SSL_free(ssl);
	(void)close(fd);
}

static int
server(const char *id, const char *port_file)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	mayfly_watch *watch = NULL;
	SSL_CTX *ctx = NULL;
	char tmp[512];
	int rc = start(id, MAYFLY_TLS_SERVER, &watch, &ctx);
	struct pollfd p[2] = { { .fd = -1, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	if (rc != 0)
		return rc;
	p[0].fd = mayfly_watch_fd(watch);
	p[1].fd = socket(AF_INET, SOCK_STREAM, 0);
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", port_file);
	FILE *f = fopen(tmp, "w");
	if (f == NULL || bind(p[1].fd, (const struct sockaddr *)&sa, n) != 0 || listen(p[1].fd, 16) != 0 ||
	    getsockname(p[1].fd, (struct sockaddr *)&sa, &n) != 0 ||
	    fprintf(f, "127.0.0.1:%u", (unsigned)ntohs(sa.sin_port)) < 0 || fclose(f) != 0 ||
	    rename(tmp, port_file) != 0)
		return 1;
	for (;;) {
		unsigned changes = 0;
		int fd;
		mayfly_error err;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents != 0 && mayfly_watch_dispatch(watch, &changes, &err) != MAYFLY_OK)
			return fails("watch", &err);
		if (p[1].revents != 0 && (fd = accept(p[1].fd, NULL, NULL)) >= 0)
			serve(ctx, fd);
	}
}

static int
dial(const char *port_file)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[64] = "";
	FILE *f = fopen(port_file, "r");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL || strchr(text, ':') == NULL)
		return -1;
	(void)fclose(f);
	sa.sin_port = htons((uint16_t)strtoul(strchr(text, ':') + 1, NULL, 10));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &hang, sizeof(hang));
	return connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 ? fd : -1;
}

/* One connection: what it saw. */
static int
ask(SSL_CTX *ctx, const char *port_file, char *mine, char *theirs, size_t n)
{
	char line[512], word[16] = "", rest[8] = "";
	mayfly_error err;
	int fd = dial(port_file), rc = 1;
	SSL *ssl = SSL_new(ctx);
	if (fd >= 0 && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 && SSL_write(ssl, "x\n", 2) == 2 &&
	    read_line(ssl, line, sizeof(line)) && sscanf(line, "%15s %63s %7s", word, mine, rest) == 3 &&
	    strcmp(word, "hello") == 0) {
		peer_serial(ssl, theirs, n);
		rc = 0;
	} else if (mayfly_tls_why(ssl, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "mfc: refused: %s\n", err.text);
	} else {
		(void)fprintf(stderr, "mfc: no answer\n");
	}
	SSL_free(ssl);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int
client(const char *id, const char *port_file, long want)
{
	char mine[64] = "", theirs[64] = "", last_mine[64] = "", last_theirs[64] = "";
	long n_mine = 0, n_theirs = 0;
	mayfly_watch *watch = NULL;
	SSL_CTX *ctx = NULL;
	int rc = start(id, MAYFLY_TLS_CLIENT, &watch, &ctx);
	while (rc == 0 && (n_mine < want || n_theirs < want)) {
		unsigned changes = 0;
		mayfly_error err;
		rc = ask(ctx, port_file, mine, theirs, sizeof(theirs));
		n_mine += rc == 0 && strcmp(mine, last_mine) != 0;
		n_theirs += rc == 0 && strcmp(theirs, last_theirs) != 0;
		(void)snprintf(last_mine, sizeof(last_mine), "%s", mine);
		(void)snprintf(last_theirs, sizeof(last_theirs), "%s", theirs);
		mayfly_status s = mayfly_watch_wait(watch, 50, &changes, &err);
		if (s != MAYFLY_OK && s != MAYFLY_E_DEADLINE)
			rc = fails("watch", &err);
	}
	SSL_CTX_free(ctx);
	mayfly_watch_free(watch);
	return rc;
}

static int
bundles(void)
{
	mayfly_client *c = NULL;
	mayfly_bundles *b = NULL;
	mayfly_error err;
	if (mayfly_client_new(NULL, &c, &err) != MAYFLY_OK ||
	    mayfly_fetch_bundles(c, 10000, &b, &err) != MAYFLY_OK)
		return fails("bundles", &err);
	for (size_t i = 0; i < mayfly_bundles_count(b); i++)
		(void)printf("%s\n", mayfly_bundles_trust_domain(b, i));
	mayfly_bundles_unref(b);
	mayfly_client_free(c);
	return 0;
}

int
main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "bundles") == 0)
		return bundles();
	if (argc == 4 && strcmp(argv[1], "server") == 0)
		return server(argv[2], argv[3]);
	if (argc == 5 && strcmp(argv[1], "client") == 0)
		return client(argv[2], argv[3], strtol(argv[4], NULL, 10));
	(void)fprintf(stderr, "usage: see the head of mfc.c\n");
	return 1;
}
