/*
 * http_again: requests that are known by their bytes, for http_server. Clients repeat themselves: what one of them asked a moment ago
 * it asks in the same words again. The owner of the server is shown what came on a connection at rest; if it knows these very
 * bytes as a request that libevent has parsed before, its answer goes out at once. Everything else takes the usual way
 * through libevent's parser: there is no second one.
 *
 * A connection that was accepted is read without another turn of the loop: its request mostly lies there already.
 * For http_server only. Thread rule: the loop's thread.
 */
#ifndef MF_NET_HTTP_AGAIN_H
#define MF_NET_HTTP_AGAIN_H
#include "net/http_server.h"

struct bufferevent;
struct evhttp_request;
struct mf_http_again;

MF_NODISCARD enum mf_status mf_http_again_new(struct mf_loop *l, const struct mf_http_server_config *cfg,
    struct mf_http_again **ret_a, struct mf_err *err);
/* After libevent's server, which has the connections. NULL is a no-op. */
void mf_http_again_free(struct mf_http_again *a);
/* Only libevent's way from now on. */
void mf_http_again_stop(struct mf_http_again *a);
/* ${bev} is about to be a connection. */
void mf_http_again_connection(struct mf_http_again *a, struct bufferevent *bev);
/* libevent has parsed ${req}: its bytes go to ${to}, if they came alone and in one piece and the same bytes would be the same again. */
void mf_http_again_text(struct mf_http_again *a, struct evhttp_request *req, struct mf_buf *to);
/* ${req} is about to be answered: what comes next on its connection is a new request. */
void mf_http_again_replied(struct mf_http_again *a, struct evhttp_request *req);
#endif
