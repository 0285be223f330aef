/*
 * https_server: an HTTPS server whose certificate is the job's identity and which accepts one other identity. The
 * certificate is renewed while it runs: each handshake takes the latest; there is no file, no reload, no restart.
 *
 *	cc https_server.c $(pkg-config --cflags --libs libmayfly-openssl)
 *	mayfly run --profile dev -- ./https_server PORTFILE spiffe://example.org/client
 *
 * It listens on a free port of 127.0.0.1, which it writes into PORTFILE, serves one connection at a time, and tells
 * each caller who it is. A connection stays open for further requests; before each one the peer is looked at again, so
 * that a revoked peer does not live on an old handshake. Ends when its identity is taken away (exit code 2).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <mayfly/openssl.h>

static int
listen_somewhere(const char *port_file)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);
	FILE *f;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&sa, 0, sizeof(sa));
	sa.sin_family = AF_INET;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 16) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) != 0 || (f = fopen(port_file, "w")) == NULL) {
		perror("https_server: listen");
		return -1;
	}
	(void)fprintf(f, "%u\n", (unsigned)ntohs(sa.sin_port));
	return fclose(f) == 0 ? fd : -1;
}

/* What the agent says. Blocks until there is an identity when ${block}. 0: go on; else the exit code. */
static int
follow(mayfly_watch *watch, int block)
{
	unsigned changes = 0;
	mayfly_error err;
	mayfly_status s = block ? mayfly_watch_wait(watch, MAYFLY_FOREVER, &changes, &err)
				: mayfly_watch_dispatch(watch, &changes, &err);

	if (s != MAYFLY_OK || (changes & (MAYFLY_TROUBLE | MAYFLY_DROPPED)) != 0)
		(void)fprintf(stderr, "https_server: %s\n", err.text);
	if (s != MAYFLY_OK || (changes & MAYFLY_STOPPED) != 0)
		return 1;
	return (changes & MAYFLY_DROPPED) != 0 ? 2 : 0;
}

/* One request has been read; the answer, or a farewell to a peer that is not welcome any more. */
static int
answer(SSL *ssl)
{
	char body[2304], head[256];
	mayfly_error err;
	int n;

	if (mayfly_tls_recheck(ssl, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "https_server: %s: %s\n", mayfly_tls_peer_id(ssl), err.text);
		return 0;
	}
	n = snprintf(body, sizeof(body), "{\"you\":\"%s\"}\n", mayfly_tls_peer_id(ssl));
	(void)snprintf(head, sizeof(head),
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", n);
	return SSL_write(ssl, head, (int)strlen(head)) > 0 && SSL_write(ssl, body, n) > 0;
}

static void
serve(SSL_CTX *ctx, int fd)
{
	static const struct timeval patience = { 10, 0 };
	char request[4097];
	mayfly_error err;
	SSL *ssl = SSL_new(ctx);
	int used = 0, n;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1) {
		if (ssl != NULL && mayfly_tls_why(ssl, &err) != MAYFLY_OK)
			(void)fprintf(stderr, "https_server: refused: %s\n", err.text);
	} else {
		while ((n = SSL_read(ssl, request + used, (int)sizeof(request) - 1 - used)) > 0) {
			used += n;
			request[used] = '\0';
			if (strstr(request, "\r\n\r\n") != NULL) {
				used = 0;
				if (!answer(ssl))
					break;
			} else if (used == (int)sizeof(request) - 1) {
				break; /* a request longer than this server reads */
			}
		}
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	(void)close(fd);
}

int
main(int argc, char **argv)
{
	mayfly_client *client = NULL;
	mayfly_watch *watch = NULL;
	mayfly_authorizer *who = NULL;
	SSL_CTX *ctx = NULL;
	mayfly_error err;
	mayfly_x509 *first;
	struct pollfd fds[2];
	int rc = 0, fd;

	if (argc != 3) {
		(void)fprintf(stderr, "usage: https_server PORTFILE SPIFFE-ID\n");
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* a peer that goes away is no reason to end */
	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_watch_new(client, MAYFLY_WATCH_X509, &watch, &err) != MAYFLY_OK ||
	    mayfly_authorize_ids((const char *const *)&argv[2], 1, &who, &err) != MAYFLY_OK ||
	    mayfly_tls_context(watch, MAYFLY_TLS_SERVER, NULL, who, &ctx, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "https_server: %s\n", err.text);
		return 1;
	}
	while (rc == 0 && (first = mayfly_watch_x509(watch)) == NULL)
		rc = follow(watch, 1);
	if (rc == 0) {
		mayfly_x509_unref(first);
		fds[0].fd = mayfly_watch_fd(watch);
		fds[1].fd = listen_somewhere(argv[1]);
		fds[0].events = fds[1].events = POLLIN;
		rc = fds[1].fd < 0 ? 1 : 0;
	}
	while (rc == 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents != 0)
			rc = follow(watch, 0);
		if (rc == 0 && fds[1].revents != 0 && (fd = accept(fds[1].fd, NULL, NULL)) >= 0)
			serve(ctx, fd);
	}
	SSL_CTX_free(ctx);
	mayfly_authorizer_free(who);
	mayfly_watch_free(watch);
	mayfly_client_free(client);
	return rc;
}
