/*
 * Role links in memory, in the place of os/seqpacket.h: each message arrives after a while, in order; what one end had
 * sent before it died still arrives.
 */
#include "sim.h"

#include <stdlib.h>

#include "os/seqpacket.h"

#define ENDS 4096
#define FIRST_FD 4000000

struct packet {
	struct mf_list at;
	uint64_t ready_us;
	uint16_t type;
	int fd;
	size_t n;
	uint8_t bytes[];
};

struct end {
	bool used;
	int peer; /* -1: it is gone */
	struct mf_list in;
	uint64_t last_us;
	sim_fn *wake;
	void *arg;
	const uint64_t *life;
};
static struct end *ends;

struct mf_seqpacket {
	int fd;
	struct packet *given; /* the last one that recv gave */
};

static struct end *
end_of(int fd)
{
	return &ends[fd - FIRST_FD];
}

void
sim_link_pair(sim_fn *wake0, void *arg0, const uint64_t *life0, sim_fn *wake1, void *arg1,
    const uint64_t *life1, int ret_fds[2])
{
	int at[2], n = 0;
	if (ends == NULL)
		ends = sim_alloc(ENDS * sizeof(*ends));
	for (int i = 0; i < ENDS && n < 2; i++)
		if (!ends[i].used)
			at[n++] = i;
	if (n < 2)
		sim_abort("too many links");
	for (int i = 0; i < 2; i++) {
		struct end *e = &ends[at[i]];
		*e = (struct end) { .used = true,
			.peer = at[1 - i],
			.wake = i == 0 ? wake0 : wake1,
			.arg = i == 0 ? arg0 : arg1,
			.life = i == 0 ? life0 : life1 };
		mf_list_init(&e->in);
		ret_fds[i] = FIRST_FD + at[i];
	}
}

static void
wake(struct end *e, uint64_t us)
{
	if (e->wake != NULL)
		sim_after(us, e->wake, e->arg, (uint64_t)(e - ends) + FIRST_FD, e->life);
}

static void
drop_end(struct end *e)
{
	MF_LIST_EACH(p, &e->in)
	{
		mf_list_del(p);
		free(MF_LIST_ITEM(p, struct packet, at));
	}
	if (e->peer >= 0) {
		ends[e->peer].peer = -1;
		wake(&ends[e->peer], sim_between(1, 2 * SIM_MS));
	}
	*e = (struct end) { .used = false };
}

void
sim_link_drop_all(void)
{
	for (int i = 0; ends != NULL && i < ENDS; i++)
		if (ends[i].used) {
			ends[i].wake = NULL;
			if (ends[i].peer >= 0)
				ends[ends[i].peer].wake = NULL;
			drop_end(&ends[i]);
		}
	free(ends);
	ends = NULL;
}

/* ---- os/seqpacket.h ---- */

enum mf_status
mf_seqpacket_new(int fd, size_t queue_max, struct mf_seqpacket **ret_s, struct mf_err *err)
{
	MF_UNUSED(queue_max);
	MF_UNUSED(err);
	struct mf_seqpacket *s = sim_alloc(sizeof(*s));
	s->fd = fd;
	*ret_s = s;
	return MF_OK;
}

void
mf_seqpacket_free(struct mf_seqpacket *s)
{
	if (s == NULL)
		return;
	drop_end(end_of(s->fd));
	free(s->given);
	free(s);
}

int
mf_seqpacket_fd(const struct mf_seqpacket *s)
{
	return s->fd;
}

bool
mf_seqpacket_wants_write(const struct mf_seqpacket *s)
{
	MF_UNUSED(s);
	return false;
}

size_t
mf_seqpacket_queued(const struct mf_seqpacket *s)
{
	MF_UNUSED(s);
	return 0;
}

enum mf_status
mf_seqpacket_queue(struct mf_seqpacket *s, uint16_t type, struct mf_slice payload, int fd, struct mf_err *err)
{
	MF_UNUSED(err);
	struct end *e = end_of(s->fd);
	if (e->peer < 0)
		return MF_OK; /* taken; flush tells */
	struct end *to = &ends[e->peer];
	struct packet *p = sim_alloc(sizeof(*p) + payload.n);
	/* A role that is not scheduled for a while reads late. */
	uint64_t us = sim_one_in(200) ? sim_between(1, 300) * SIM_MS : sim_between(5, 800);
	p->ready_us = sim->t_us + us > to->last_us ? sim->t_us + us : to->last_us;
	to->last_us = p->ready_us;
	p->type = type;
	p->fd = fd;
	p->n = payload.n;
	if (payload.n > 0)
		memcpy(p->bytes, payload.p, payload.n);
	mf_list_add_tail(&to->in, &p->at);
	wake(to, p->ready_us - sim->t_us);
	return MF_OK;
}

enum mf_status
mf_seqpacket_flush(struct mf_seqpacket *s, struct mf_err *err)
{
	return end_of(s->fd)->peer < 0 ? MF_FAIL(err, MF_E_CLOSED, "the other role is gone") : MF_OK;
}

enum mf_status
mf_seqpacket_recv(struct mf_seqpacket *s, struct mf_packet *ret_p, struct mf_err *err)
{
	struct end *e = end_of(s->fd);
	free(s->given);
	s->given = NULL;
	if (mf_list_empty(&e->in))
		return e->peer < 0 ? MF_FAIL(err, MF_E_CLOSED, "the other role is gone") : MF_E_AGAIN;
	struct packet *p = MF_LIST_ITEM(e->in.next, struct packet, at);
	if (p->ready_us > sim->t_us)
		return MF_E_AGAIN;
	mf_list_del(&p->at);
	s->given = p;
	*ret_p = (struct mf_packet) { .type = p->type, .payload = mf_slice(p->bytes, p->n), .fd = p->fd };
	return MF_OK;
}

int
mf_seqpacket_take_fd(struct mf_seqpacket *s)
{
	int fd = s->given == NULL ? -1 : s->given->fd;
	if (s->given != NULL)
		s->given->fd = -1;
	return fd;
}
