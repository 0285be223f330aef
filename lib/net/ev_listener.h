/*
 * ev_listener: a listening socket under one of libevent's HTTP servers, with pauses: when accepting fails (most likely for
 * want of descriptors), or its owner says so, nothing is accepted for a moment. For the HTTP servers of lib/net only.
 */
#ifndef MF_NET_EV_LISTENER_H
#define MF_NET_EV_LISTENER_H
#include <event2/http.h>

#include "net/loop.h"

struct mf_ev_listener;

/* ${fd} stays the caller's; ${http} owns libevent's part: free it first, then this. */
MF_NODISCARD enum mf_status mf_ev_listener_new(
    struct mf_loop *l, struct evhttp *http, int fd, struct mf_ev_listener **ret_e, struct mf_err *err);
void mf_ev_listener_free(struct mf_ev_listener *e); /* NULL is a no-op */
void mf_ev_listener_pause(struct mf_ev_listener *e);
void mf_ev_listener_stop(struct mf_ev_listener *e); /* for good */
#endif
