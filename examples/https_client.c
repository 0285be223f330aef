/*
 * https_client: asks https_server who it is, with the job's identity.
 *
 *	cc https_client.c $(pkg-config --cflags --libs libmayfly-openssl)
 *	mayfly run --profile dev -- ./https_client PORTFILE spiffe://example.org/server [RENEWALS]
 *
 * With RENEWALS it goes on, a new connection each time, until it has seen so many different certificates of its own
 * and of the server. One line per change. Exit codes: 0 done, 1 failed, 2 the server (or this client) was refused.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <mayfly/openssl.h>

static int
dial(const char *port_file)
{
	static const struct timeval patience = { 60, 0 };
	struct sockaddr_in sa;
	char text[16];
	int fd = -1;
	FILE *f = fopen(port_file, "r");

	memset(&sa, 0, sizeof(sa));
	sa.sin_family = AF_INET;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (f == NULL || fgets(text, sizeof(text), f) == NULL) {
		perror("https_client: port file");
	} else {
		sa.sin_port = htons((unsigned short)strtol(text, NULL, 10));
		fd = socket(AF_INET, SOCK_STREAM, 0);
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
			perror("https_client: connect");
			if (fd >= 0)
				(void)close(fd);
			fd = -1;
		}
	}
	if (f != NULL)
		(void)fclose(f);
	return fd;
}

/* The serial of the certificate that the peer showed, as text. */
static void
serial_of_peer(SSL *ssl, char *to, size_t n)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(SSL_get0_peer_certificate(ssl)), NULL);
	char *hex = bn == NULL ? NULL : BN_bn2hex(bn);
	(void)snprintf(to, n, "%s", hex == NULL ? "" : hex);
	OPENSSL_free(hex);
	BN_free(bn);
}

/* One connection, one request. 0: answered; else the exit code. */
static int
ask(SSL_CTX *ctx, int fd, char *body, size_t n_body, char *serial, size_t n_serial)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: server\r\n\r\n";
	char reply[4096];
	int used = 0, n, rc = 2;
	const char *at = NULL;
	mayfly_error err;
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
		(void)fprintf(stderr, "https_client: %s\n",
		    ssl != NULL && mayfly_tls_why(ssl, &err) != MAYFLY_OK ? err.text : "handshake failed");
	} else if (SSL_write(ssl, request, (int)strlen(request)) > 0) {
		/* In TLS 1.3 a server that refuses this client says so only now. */
		while (at == NULL && used < (int)sizeof(reply) - 1 &&
		       (n = SSL_read(ssl, reply + used, (int)sizeof(reply) - 1 - used)) > 0) {
			used += n;
			reply[used] = '\0';
			at = strchr(reply, '{');
			if (at != NULL && strchr(at, '\n') == NULL)
				at = NULL;
		}
		if (at != NULL) {
			(void)snprintf(body, n_body, "%.*s", (int)strcspn(at, "\n"), at);
			serial_of_peer(ssl, serial, n_serial);
			rc = 0;
		} else {
			(void)fprintf(stderr, "https_client: no answer: the server refused this client?\n");
		}
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	(void)close(fd);
	return rc;
}

static int
run(mayfly_watch *watch, SSL_CTX *ctx, const char *port_file, long renewals)
{
	char body[2304] = "", serial[64] = "", last_own[64] = "", last_peer[64] = "";
	long own = 0, peer = 0;
	unsigned changes = 0;
	mayfly_error err;
	int rc = 0;

	while (rc == 0 && (own < renewals || peer < renewals)) {
		/* Also when nothing changed within the time: the server may have renewed its certificate. */
		mayfly_status s = mayfly_watch_wait(watch, 200, &changes, &err);
		mayfly_x509 *now = mayfly_watch_x509(watch);
		int fd;
		if ((s != MAYFLY_OK && s != MAYFLY_E_DEADLINE) ||
		    (s == MAYFLY_OK && (changes & (MAYFLY_DROPPED | MAYFLY_STOPPED)) != 0)) {
			(void)fprintf(stderr, "https_client: %s\n", err.text);
			rc = 2;
		} else if (now != NULL) {
			const char *mine = mayfly_svid_serial(mayfly_x509_at(now, 0));
			fd = dial(port_file);
			rc = fd < 0 ? 1 : ask(ctx, fd, body, sizeof(body), serial, sizeof(serial));
			if (rc == 0 && (strcmp(last_own, mine) != 0 || strcmp(last_peer, serial) != 0)) {
				own += strcmp(last_own, mine) != 0;
				peer += strcmp(last_peer, serial) != 0;
				(void)snprintf(last_own, sizeof(last_own), "%s", mine);
				(void)snprintf(last_peer, sizeof(last_peer), "%s", serial);
				(void)printf("%s own=%s server=%s\n", body, last_own, last_peer);
				(void)fflush(stdout);
			}
		}
		mayfly_x509_unref(now);
	}
	return rc;
}

int
main(int argc, char **argv)
{
	mayfly_client *client = NULL;
	mayfly_watch *watch = NULL;
	mayfly_authorizer *who = NULL;
	SSL_CTX *ctx = NULL;
	mayfly_error err;
	int rc = 1;

	if (argc != 3 && argc != 4) {
		(void)fprintf(stderr, "usage: https_client PORTFILE SPIFFE-ID [RENEWALS]\n");
		return 1;
	}
	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_watch_new(client, MAYFLY_WATCH_X509, &watch, &err) != MAYFLY_OK ||
	    mayfly_authorize_ids((const char *const *)&argv[2], 1, &who, &err) != MAYFLY_OK ||
	    mayfly_tls_context(watch, MAYFLY_TLS_CLIENT, NULL, who, &ctx, &err) != MAYFLY_OK)
		(void)fprintf(stderr, "https_client: %s\n", err.text);
	else
		rc = run(watch, ctx, argv[1], argc == 4 ? strtol(argv[3], NULL, 10) : 1);
	SSL_CTX_free(ctx);
	mayfly_authorizer_free(who);
	mayfly_watch_free(watch);
	mayfly_client_free(client);
	return rc;
}
