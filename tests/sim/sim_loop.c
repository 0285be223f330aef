/* A front's event loop, in the place of net/loop.h: timers and deferred calls are events of the simulation. */
#include "sim.h"

#include <stdlib.h>

#include "net/loop.h"

/* A handle lives until its last event has come. */
struct handle {
	struct mf_loop *loop;
	void (*fn)(void *ctx);
	void (*ready)(void *ctx, unsigned ready);
	void *ctx;
	int fd;
	uint64_t turn; /* moves with every set, clear and free: older events mean nothing */
	bool pending;
	struct mf_list at;
};
struct mf_loop {
	const struct sim_host *host;
	struct sim_agent *agent;
	struct mf_list handles, freed;
};
struct mf_loop_fd {
	struct handle h;
};
struct mf_loop_timer {
	struct handle h;
};
struct mf_loop_defer {
	struct handle h;
};

enum mf_status
mf_loop_new(struct mf_loop **ret_l, struct mf_err *err)
{
	MF_UNUSED(err);
	struct mf_loop *l = sim_alloc(sizeof(*l));
	l->host = sim->host;
	l->agent = sim->agent;
	mf_list_init(&l->handles);
	mf_list_init(&l->freed);
	*ret_l = l;
	return MF_OK;
}

/* The memory stays for events that are still to come; they find that their turn is over. */
static struct mf_list graves = { &graves, &graves };

void
mf_loop_free(struct mf_loop *l)
{
	if (l == NULL)
		return;
	if (!mf_list_empty(&l->handles))
		sim_abort("a loop is freed with handles");
	MF_LIST_EACH(p, &l->freed)
	{
		mf_list_del(p);
		mf_list_add_tail(&graves, p);
	}
	free(l);
}

void
sim_loop_bury(void)
{
	MF_LIST_EACH(p, &graves)
	{
		mf_list_del(p);
		free(MF_LIST_ITEM(p, struct handle, at));
	}
}

struct mf_now
mf_loop_now(const struct mf_loop *l)
{
	return sim_now_of(l->host);
}

static void
init(struct handle *h, struct mf_loop *l, void (*fn)(void *ctx), void *ctx)
{
	h->loop = l;
	h->fn = fn;
	h->ctx = ctx;
	mf_list_init(&h->at);
	mf_list_add_tail(&l->handles, &h->at);
}

static void
happen(void *arg, uint64_t x)
{
	struct handle *h = arg;
	MF_UNUSED(x);
	h->turn++;
	h->pending = false;
	sim->host = h->loop->host;
	sim->agent = h->loop->agent;
	h->fn(h->ctx);
}

static void
set(struct handle *h, uint64_t us)
{
	h->turn++;
	h->pending = true;
	sim_after(us, happen, h, 0, &h->turn);
}

static void
drop(struct handle *h)
{
	h->turn++;
	h->pending = false;
	mf_list_del(&h->at);
	mf_list_add_tail(&h->loop->freed, &h->at);
}

enum mf_status
mf_loop_timer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_timer **ret_h, struct mf_err *err)
{
	MF_UNUSED(err);
	*ret_h = sim_alloc(sizeof(**ret_h));
	init(&(*ret_h)->h, l, fn, ctx);
	return MF_OK;
}

void
mf_loop_timer_set(struct mf_loop_timer *h, uint64_t after_ms)
{
	set(&h->h, after_ms * SIM_MS + sim_below(1000));
}

void
mf_loop_timer_clear(struct mf_loop_timer *h)
{
	h->h.turn++;
	h->h.pending = false;
}

bool
mf_loop_timer_pending(const struct mf_loop_timer *h)
{
	return h->h.pending;
}

void
mf_loop_timer_free(struct mf_loop_timer *h)
{
	if (h != NULL)
		drop(&h->h);
}

enum mf_status
mf_loop_defer_new(
    struct mf_loop *l, void (*fn)(void *ctx), void *ctx, struct mf_loop_defer **ret_h, struct mf_err *err)
{
	MF_UNUSED(err);
	*ret_h = sim_alloc(sizeof(**ret_h));
	init(&(*ret_h)->h, l, fn, ctx);
	return MF_OK;
}

void
mf_loop_defer_set(struct mf_loop_defer *h)
{
	if (!h->h.pending)
		set(&h->h, 1);
}

void
mf_loop_defer_free(struct mf_loop_defer *h)
{
	if (h != NULL)
		drop(&h->h);
}

enum mf_status
mf_loop_fd_new(struct mf_loop *l, int fd, unsigned interest, void (*fn)(void *ctx, unsigned ready), void *ctx,
    struct mf_loop_fd **ret_h, struct mf_err *err)
{
	MF_UNUSED(interest);
	MF_UNUSED(err);
	*ret_h = sim_alloc(sizeof(**ret_h));
	init(&(*ret_h)->h, l, NULL, ctx);
	(*ret_h)->h.ready = fn;
	(*ret_h)->h.fd = fd;
	return MF_OK;
}

enum mf_status
mf_loop_fd_set(struct mf_loop_fd *h, unsigned interest, struct mf_err *err)
{
	MF_UNUSED(h);
	MF_UNUSED(interest);
	MF_UNUSED(err);
	return MF_OK;
}

void
mf_loop_fd_free(struct mf_loop_fd *h)
{
	if (h != NULL)
		drop(&h->h);
}

void
sim_loop_readable(struct mf_loop *l, int fd)
{
	MF_LIST_EACH(p, &l->handles)
	{
		struct handle *h = MF_LIST_ITEM(p, struct handle, at);
		if (h->ready != NULL && h->fd == fd) {
			h->ready(h->ctx, MF_LOOP_READ);
			return; /* it may have freed itself */
		}
	}
}
