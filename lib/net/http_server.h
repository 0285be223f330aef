/*
 * http_server: HTTP/1.1 for small GET requests, answered at once or later (libevent's server behind it).
 *
 * Only GET reaches its owner, without a body that matters, with a path that stands in the request as such (no absolute
 * form, no query, no fragment) and with exactly one Host; everything else is answered here. Connections are kept alive.
 * When many descriptors are open nothing is accepted for a moment: what waits then waits in the kernel.
 * Thread rule: the loop's thread.
 */
#ifndef MF_NET_HTTP_SERVER_H
#define MF_NET_HTTP_SERVER_H
#include <netinet/in.h>

#include "net/loop.h"

struct mf_http_server;
struct mf_http_request;
struct mf_http_conn; /* a client's connection */

struct mf_http_server_config {
	int fd; /* listening, non-blocking; taken over on success */
	/* Answer ${q} by mf_http_reply, now or later; until then it is the owner's. */
	void (*request)(void *ctx, struct mf_http_request *q);
	/* The server ends: ${q} is gone, and not answered any more. */
	void (*dropped)(void *ctx, struct mf_http_request *q);
	/*
	 * Optional. A connection at rest brought ${text}, and nothing else. True: the owner knows these bytes as a request of
	 * before (mf_http_request_text) and answers it at once, by 200 and *ret_body of the type ${again_type}, borrowed until
	 * this returns to the loop. False: it becomes a request.
	 */
	bool (*again)(void *ctx, struct mf_http_conn *c, struct mf_slice text, struct mf_slice *ret_body);
	const char *again_type;
	void *ctx;
	int most_fds; /* no connection is taken while descriptors above this number (or 8 more) are open; 0: no limit */
};

MF_NODISCARD enum mf_status mf_http_server_new(struct mf_loop *l, const struct mf_http_server_config *cfg,
    struct mf_http_server **ret_s, struct mf_err *err);
void mf_http_server_free(struct mf_http_server *s); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_http_server, mf_http_server_free)
/* Accept nothing more; every answer from now on closes its connection. */
void mf_http_server_drain(struct mf_http_server *s);
size_t mf_http_server_open(const struct mf_http_server *s); /* requests without an answer */

/* The client's address; false: it is gone, or no IPv4. */
bool mf_http_request_peer(const struct mf_http_request *q, struct sockaddr_in *ret_at);
/* Of the connection; -1: it is gone. */
int mf_http_request_fd(const struct mf_http_request *q);
const char *mf_http_request_path(const struct mf_http_request *q);
const char *mf_http_request_header(const struct mf_http_request *q, const char *name); /* or NULL */
/* Whether there is a header whose name begins with ${prefix}. */
bool mf_http_request_has(const struct mf_http_request *q, const char *prefix);
/* The bytes of ${q} where the same bytes would be the same request again, and ask for no more than an answer; else empty. */
struct mf_slice mf_http_request_text(const struct mf_http_request *q);
void mf_http_request_set_user(struct mf_http_request *q, void *user);
void *mf_http_request_user(const struct mf_http_request *q);
/* Whether the client is still there to hear an answer. */
bool mf_http_request_alive(const struct mf_http_request *q);
/* Both ends of ${c}, looked at once; false: it is gone, or no IPv4. */
bool
mf_http_conn_ends(struct mf_http_conn *c, struct sockaddr_in *ret_client, struct sockaddr_in *ret_server);
/* A number that the owner may keep with ${c}; 0 when it is new. */
uint64_t *mf_http_conn_note(struct mf_http_conn *c);
/* ${q} is over. The answer is not to be stored by anybody (Cache-Control: no-store). */
void mf_http_reply(struct mf_http_request *q, int code, const char *content_type, struct mf_slice body);
#endif
