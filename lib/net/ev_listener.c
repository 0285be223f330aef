#include "net/ev_listener.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>

#include "net/loop_internal.h"

#define PAUSE_MS 200u

struct mf_ev_listener {
	struct evconnlistener *lev; /* the http server's */
	struct mf_loop_timer *pause;
	bool stopped;
	struct mf_ev_listener *next;
};

/* evhttp puts its own argument in the place of ours, also for the error callback: it is found by the listener. */
static _Thread_local struct mf_ev_listener *all;

void
mf_ev_listener_pause(struct mf_ev_listener *e)
{
	(void)evconnlistener_disable(e->lev);
	mf_loop_timer_set(e->pause, PAUSE_MS);
}

void
mf_ev_listener_stop(struct mf_ev_listener *e)
{
	e->stopped = true;
	(void)evconnlistener_disable(e->lev);
}

static void
pause_over(void *ctx)
{
	struct mf_ev_listener *e = ctx;
	if (!e->stopped)
		(void)evconnlistener_enable(e->lev);
}

static void
on_error(struct evconnlistener *lev, void *ctx)
{
	MF_UNUSED(ctx);
	struct mf_ev_listener *e = all;
	while (e != NULL && e->lev != lev)
		e = e->next;
	if (e != NULL)
		mf_ev_listener_pause(e);
}

static void
no_request_here(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n, void *ctx)
{
	MF_UNUSED(l);
	MF_UNUSED(sa);
	MF_UNUSED(n);
	MF_UNUSED(ctx);
	evutil_closesocket(fd); /* evhttp_bind_listener puts its own in place of this */
}

enum mf_status
mf_ev_listener_new(
    struct mf_loop *l, struct evhttp *http, int fd, struct mf_ev_listener **ret_e, struct mf_err *err)
{
	struct mf_ev_listener *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	enum mf_status s = mf_loop_timer_new(l, pause_over, e, &e->pause, err);
	if (s != MF_OK) {
		free(e);
		return s;
	}
	e->lev = evconnlistener_new(mf_loop_base(l), no_request_here, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (e->lev == NULL)
		s = MF_FAIL(err, MF_E_IO, "http: cannot accept on descriptor %d", fd);
	else if (evhttp_bind_listener(http, e->lev) == NULL)
		s = MF_FAIL(err, MF_E_NOMEM, "http: out of memory");
	if (s != MF_OK) {
		if (e->lev != NULL)
			evconnlistener_free(e->lev);
		mf_loop_timer_free(e->pause);
		free(e);
		return s;
	}
	evconnlistener_set_error_cb(e->lev, on_error);
	e->next = all;
	all = e;
	*ret_e = e;
	return MF_OK;
}

void
mf_ev_listener_free(struct mf_ev_listener *e)
{
	if (e == NULL)
		return;
	for (struct mf_ev_listener **p = &all; *p != NULL; p = &(*p)->next)
		if (*p == e) {
			*p = e->next;
			break;
		}
	mf_loop_timer_free(e->pause);
	free(e);
}
