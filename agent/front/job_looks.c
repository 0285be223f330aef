/*
 * job_looks: what is asked of the attestor about connections, user by user. One look costs it a third of a millisecond, and a
 * storm of new processes asks for thousands: so each user has a queue of its own, they take turns, and few questions are out at
 * any time. A connection that closes before its turn costs nothing. See job_conn.h.
 *
 * The attestor answers every question once, a lost link apart, and with that all questions are void.
 */
#include <fcntl.h>

#include "agent/front/job_conn_internal.h"
#include "os/jlog.h"

static uid_t
uid_of(const struct mf_job_conn *c)
{
	return mf_net_conn_peer(c->net).uid;
}

static bool
show(struct mf_job_conn *c)
{
	struct mf_job_conns *a = c->all;
	struct mf_err err = { 0 };
	int fd = fcntl(mf_net_conn_fd(c->net), F_DUPFD_CLOEXEC, 3);
	Mayfly__Roles__V1__WhoIs m = MAYFLY__ROLES__V1__WHO_IS__INIT;
	m.conn_id = c->id;
	if (fd < 0 || mf_attestor_link_send(a->cfg.link, MF_MSG_WHO_IS, &m.base, fd, &err) != MF_OK) {
		MF_LOG(MF_LOG_WARN, "caller.not_asked", "a connection could not be shown to the attestor",
		    mf_js("error", fd < 0 ? "out of descriptors" : err.msg));
		c->asked = false;
		return false;
	}
	a->stats.who_is++;
	c->shown = mf_attestor_link_generation(a->cfg.link);
	return true;
}

static bool
show_sender(struct mf_job_conn *c)
{
	struct mf_job_conns *a = c->all;
	struct mf_err err = { 0 };
	struct mf_sender copy = MF_SENDER_NONE;
	Mayfly__Roles__V1__SenderIs m = MAYFLY__ROLES__V1__SENDER_IS__INIT;
	m.conn_id = c->id;
	m.pid = c->unverified[0].pid;
	bool kept = mf_sender_keep(&c->unverified[0], &copy);
	if (!kept ||
	    mf_attestor_link_send(a->cfg.link, MF_MSG_SENDER_IS, &m.base, copy.pidfd, &err) != MF_OK) {
		c->asked_sender = false;
		return false;
	}
	a->stats.sender_is++;
	return true;
}

/* Put one question of ${c}. False: it could not be put. */
static bool
put(struct mf_job_conn *c, bool sender)
{
	struct mf_job_conns *a = c->all;
	if (!(sender ? show_sender(c) : show(c))) {
		mf_job_conn_retry(c);
		return false;
	}
	a->out[a->n_out++] = (struct mf_job_look) { c->id, uid_of(c), sender };
	return true;
}

/* As many questions as may be out. */
static void
pump(struct mf_job_conns *a)
{
	struct mf_fair_item *i;
	while (mf_attestor_link_open(a->cfg.link) && (i = mf_fair_take(a->looks)) != NULL) {
		struct mf_job_conn *c = MF_CONTAINER_OF(i, struct mf_job_conn, look);
		bool sender = !c->wants_who;
		if (sender)
			c->wants_sender = false;
		else
			c->wants_who = false;
		if ((c->wants_sender && !mf_fair_add(a->looks, &c->look, uid_of(c))) || !put(c, sender))
			mf_fair_done(a->looks, uid_of(c));
	}
}

static bool
wait_for_turn(struct mf_job_conn *c)
{
	if (!mf_fair_add(c->all->looks, &c->look, uid_of(c))) {
		mf_job_conn_retry(c); /* out of memory */
		return false;
	}
	return true;
}

void
mf_job_look_who(struct mf_job_conn *c)
{
	if (!wait_for_turn(c))
		return;
	c->asked = c->wants_who = true;
	pump(c->all);
}

void
mf_job_look_sender(struct mf_job_conn *c)
{
	if (!wait_for_turn(c))
		return;
	c->asked_sender = c->wants_sender = true;
	pump(c->all);
}

void
mf_job_look_leave(struct mf_job_conn *c)
{
	mf_fair_remove(c->all->looks, &c->look);
	c->asked = c->asked && !c->wants_who;
	c->asked_sender = c->asked_sender && !c->wants_sender;
	c->wants_who = c->wants_sender = false;
}

void
mf_job_looks_answered(struct mf_job_conns *a, uint64_t conn_id, bool sender)
{
	for (size_t i = 0; i < a->n_out; i++) {
		struct mf_job_look o = a->out[i];
		if (o.conn_id != conn_id || o.sender != sender)
			continue;
		a->out[i] = a->out[--a->n_out];
		mf_fair_done(a->looks, o.uid);
		break;
	}
	pump(a);
}

void
mf_job_looks_void(struct mf_job_conns *a)
{
	struct mf_job_conn *c, *next;
	HASH_ITER(hh, a->by_id, c, next)
	{
		mf_fair_remove(a->looks, &c->look);
		c->asked = c->asked_sender = c->wants_who = c->wants_sender = false;
	}
	mf_fair_forget(a->looks);
	a->n_out = 0;
}
