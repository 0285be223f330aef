/* job_senders: who writes on a job's connection. See job_conn.h and sender.h. */
#include <string.h>

#include "agent/front/job_conn_internal.h"
#include "base/rand.h"
#include "os/jlog.h"

static void
ask_sender(struct mf_job_conn *c)
{
	if (!mf_job_conn_shown(
		c)) { /* recognised: the attestor must know whose connection it is before it compares */
		mf_job_conn_ask(c);
		return;
	}
	if (!c->asked_sender && !c->asked && mf_attestor_link_open(c->all->cfg.link))
		mf_job_look_sender(c);
}

static bool
is_verified(struct mf_job_conn *c, const struct mf_sender *s)
{
	for (size_t i = 0; i < c->n_verified; i++)
		if (mf_sender_same(&c->verified[i], s))
			return true;
	return false;
}

static void
drop_unverified(struct mf_job_conn *c, size_t at)
{
	mf_sender_fini(&c->unverified[at]);
	c->n_unverified--;
	for (; at < c->n_unverified; at++)
		c->unverified[at] = c->unverified[at + 1];
	c->unverified[c->n_unverified] = (struct mf_sender)MF_SENDER_NONE;
}

/* Take the first unverified sender for one of the instance. */
static void
accept_sender(struct mf_job_conn *c)
{
	if (c->numbers) {
		drop_unverified(c, 0);
		return;
	}
	if (c->n_verified == MF_VERIFIED_MAX) { /* the oldest makes room, but never the attested process */
		mf_sender_fini(&c->verified[1]);
		memmove(&c->verified[1], &c->verified[2], (MF_VERIFIED_MAX - 2) * sizeof(c->verified[0]));
		c->n_verified--;
	}
	c->verified[c->n_verified++] = c->unverified[0];
	c->unverified[0] = (struct mf_sender)MF_SENDER_NONE;
	drop_unverified(c, 0);
}

void
mf_senders_verify(struct mf_job_conn *c)
{
	if (c->state != KNOWN)
		return;
	while (c->n_unverified > 0 && !c->asked_sender) {
		struct mf_sender *attested = &c->verified[0], *s = &c->unverified[0];
		if (c->numbers || !is_verified(c, s)) {
			ask_sender(c);
			return;
		}
		if (attested->inode == 0 && attested->pidfd < 0 && mf_sender_same(attested, s)) {
			/* Keep the pidfd: while it is silent the number stays this process's. */
			attested->pidfd = s->pidfd;
			s->pidfd = -1;
		}
		drop_unverified(c, 0);
	}
}

/*
 * Where the kernel passes no pidfds (before Linux 6.5), the number of whoever connected may be somebody else's by now,
 * and a request may have been written by one who is dead. So whoever was attested must show that it holds the socket:
 * bytes that only a reader knows come back from its number while its pidfd is silent.
 */
static void
on_answered(void *user)
{
	struct mf_job_conn *c = mf_net_conn_user(user);
	if (c == NULL)
		return;
	c->proven = true;
	if (c->n_unverified == 0)
		mf_job_conn_changed(c);
}

void
mf_senders_challenge(struct mf_job_conn *c)
{
	uint8_t nonce[8];
	mf_rand_bytes(nonce, sizeof(nonce));
	nonce[0] |= 1; /* never the nought of other PINGs */
	c->proven = false;
	mf_grpc_challenge(mf_net_conn_grpc(c->net), nonce, on_answered);
}

void
mf_senders_answer(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	struct mf_svid_entry *e = c->watch.entry;
	if (!c->asked_sender || c->n_unverified == 0)
		return;
	c->asked_sender = false;
	if (c->again) { /* the answer is older than the last message */
		c->again = false;
		mf_senders_verify(c);
		return;
	}
	if (m->known && e != NULL && m->handle == e->handle) {
		accept_sender(c);
		mf_senders_verify(c);
		mf_job_conn_changed(c);
		return;
	}
	if (m->unavailable && !m->known) {
		mf_job_conn_retry(c);
		return;
	}
	c->all->stats.foreign_senders++;
	MF_LOG(MF_LOG_WARN, "caller.foreign_sender",
	    "a process of another instance wrote on a connection; it is closed",
	    mf_js("peer", mf_net_conn_name(c->net)), mf_ji("caller", c->caller.pid),
	    mf_ji("sender", c->unverified[0].pid), mf_js("reason", m->reason));
	c->foreign = true;
	mf_job_conn_deny(c);
	mf_job_conn_changed(c);	   /* all calls end by it */
	mf_net_conn_drain(c->net); /* their answers still go out */
}

bool
mf_senders_on_sender(void *ctx, struct mf_net_conn *net, const struct mf_net_sender *from)
{
	MF_UNUSED(ctx);
	struct mf_job_conn *c = mf_net_conn_user(net);
	struct mf_sender s;
	if (c->foreign)
		return false;
	mf_sender_look(from, &s);
	if (c->all->cfg.no_pidfds)
		s = (struct mf_sender) { .pid = s.pid, .uid = s.uid, .pidfd = -1 };
	c->numbers |= s.pidfd < 0;
	if (!c->numbers && c->n_unverified == 0 && is_verified(c, &s))
		return true;
	for (size_t i = 0; i < c->n_unverified; i++) {
		if (!mf_sender_same(&c->unverified[i], &s))
			continue;
		c->again |= c->numbers && c->asked_sender && i == 0;
		return true;
	}
	if (c->n_unverified == MF_UNVERIFIED_MAX || !mf_sender_keep(&s, &c->unverified[c->n_unverified]))
		return false;
	c->n_unverified++;
	mf_senders_verify(c);
	return true;
}
