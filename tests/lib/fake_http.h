/*
 * fake_http: an HTTP server on loopback for tests, in threads of its own. What it answers is the test's: it gets the whole request
 * and the connection. Hostile servers are made of this.
 */
#ifndef MF_TESTS_FAKE_HTTP_H
#define MF_TESTS_FAKE_HTTP_H
#include "base/buf.h"

struct mf_fake_http; /* opaque */

/* ${head}: the request's line and headers; ${body}: what Content-Length announced. False: close the connection. */
typedef bool (*mf_fake_http_answer)(void *ctx, int conn, const char *head, struct mf_slice body);
struct mf_fake_http *mf_fake_http_new(mf_fake_http_answer answer, void *ctx);
void mf_fake_http_free(struct mf_fake_http *s); /* ends its connections and waits for its threads */
uint16_t mf_fake_http_port(const struct mf_fake_http *s);
unsigned mf_fake_http_requests(const struct mf_fake_http *s); /* so far */
unsigned mf_fake_http_most(const struct mf_fake_http *s);     /* most at one time */
/* A whole reply with Content-Length. */
bool mf_fake_http_reply(int conn, const char *status, const char *headers, struct mf_slice body);
bool mf_fake_http_write(int conn, const void *p, size_t n);
#endif
