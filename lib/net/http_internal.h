/* What the files of the small HTTP server share. Nobody else includes this. */
#ifndef MF_NET_HTTP_INTERNAL_H
#define MF_NET_HTTP_INTERNAL_H
#include "net/http_status.h"

struct evhttp;
struct evconnlistener;

struct evhttp *mf_http_status_evhttp(const struct mf_http_status *h);
/* The listening socket's, for whoever counts connections. */
struct evconnlistener *mf_http_status_listener(const struct mf_http_status *h);
#endif
