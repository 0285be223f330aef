#include <stdlib.h>

#include "agent/front/job_conn_internal.h"
#include "os/jlog.h"

#define RETRY_MS 250u /* between two questions about one connection */
#define CALLER_MEMORY (256u * 1024u)

static const struct mf_job_caller nobody = { .grade = "", .instance_key = "", .reason = "" };

static uint64_t
mono(const struct mf_job_conns *a)
{
	return mf_loop_now(a->cfg.loop).mono_ms;
}

struct mf_job_conns_stats
mf_job_conns_stats(const struct mf_job_conns *a)
{
	return a->stats;
}

/* --- calls --- */

static struct mf_job_call *
first_held(struct mf_job_conns *a)
{
	return mf_list_empty(&a->holding) ? NULL : MF_LIST_ITEM(a->holding.next, struct mf_job_call, on_hold);
}

static void
hold_off(struct mf_job_call *j)
{
	if (!j->held)
		return;
	j->held = false;
	mf_list_del(&j->on_hold);
	j->conn->all->stats.holding--;
}

static void
apply_use(struct mf_job_call *j)
{
	struct mf_svid_entry *e = j->conn->watch.entry;
	if (j->identity)
		mf_identity_use_set(j->conn->all->cfg.ids, &j->use, e, j->held, !j->held);
}

static const char *
what_is_missing(const struct mf_job_call *j)
{
	const struct mf_job_conn *c = j->conn;
	const char *why = mf_identities_why_not(c->all->cfg.ids);
	if (c->watch.entry != NULL && c->watch.entry->reason[0] != '\0')
		return c->watch.entry->reason;
	if (c->state != KNOWN && c->caller.reason[0] != '\0')
		return c->caller.reason;
	if (why[0] != '\0')
		return why;
	return c->state == KNOWN ? "the broker has not answered yet" : "the attestor has not answered yet";
}

static void
on_hold_timer(void *ctx)
{
	struct mf_job_conns *a = ctx;
	uint64_t now = mono(a);
	struct mf_job_call *j;
	while ((j = first_held(a)) != NULL && j->held_until <= now) {
		const char *why = what_is_missing(j);
		hold_off(j);
		mf_identity_use_set(a->cfg.ids, &j->use, NULL, false, false);
		a->stats.held_too_long++;
		j->ops->timeout(j, why);
	}
	if (j != NULL)
		mf_loop_timer_set(a->hold_timer, j->held_until - now);
}

enum mf_job_view
mf_job_call_view(const struct mf_job_call *j)
{
	const struct mf_job_conn *c = j->conn;
	if (c->foreign || c->state == DENIED)
		return MF_JOB_DENIED;
	if (c->state != KNOWN || c->n_unverified > 0 || (c->numbers && !c->proven))
		return MF_JOB_WAIT;
	return MF_JOB_KNOWN;
}

struct mf_svid_entry *
mf_job_call_entry(const struct mf_job_call *j)
{
	return j->conn->watch.entry;
}

const struct mf_job_caller *
mf_job_call_caller(const struct mf_job_call *j)
{
	return &j->conn->caller;
}

uint64_t
mf_job_call_conn_id(const struct mf_job_call *j)
{
	return j->conn->id;
}

void
mf_job_call_settled(struct mf_job_call *j)
{
	hold_off(j);
	apply_use(j);
}

void
mf_job_call_end(struct mf_job_call *j)
{
	if (j->conn == NULL)
		return;
	hold_off(j);
	mf_identity_use_set(j->conn->all->cfg.ids, &j->use, NULL, false, false);
	mf_list_del(&j->on_conn);
	j->conn = NULL;
}

void
mf_job_conn_changed(struct mf_job_conn *c)
{
	MF_LIST_EACH(n, &c->calls)
	{
		struct mf_job_call *j = MF_LIST_ITEM(n, struct mf_job_call, on_conn);
		apply_use(j);
		j->ops->changed(j);
	}
}

static void
on_entry(struct mf_identity_watch *w)
{
	struct mf_job_conn *c = MF_CONTAINER_OF(w, struct mf_job_conn, watch);
	/* Another user's now, whom the attestor saw first after it lost its table: what is given to it is not for this connection. */
	if (w->entry != NULL && w->entry->has_uid && w->entry->uid != c->caller.uid)
		mf_job_conn_deny(c);
	mf_job_conn_changed(c);
}

/* --- asking the attestor --- */

void
mf_job_conn_retry(struct mf_job_conn *c)
{
	c->retry = true;
	if (!mf_loop_timer_pending(c->all->retry_timer))
		mf_loop_timer_set(c->all->retry_timer, RETRY_MS);
}

void
mf_job_conn_ask(struct mf_job_conn *c)
{
	if (!c->asked && !c->leaving && mf_attestor_link_open(c->all->cfg.link))
		mf_job_look_who(c); /* otherwise when the link is there */
}

bool
mf_job_conn_shown(const struct mf_job_conn *c)
{
	return c->shown != 0 && c->shown == mf_attestor_link_generation(c->all->cfg.link);
}

static void
on_retry_timer(void *ctx)
{
	struct mf_job_conns *a = ctx;
	struct mf_job_conn *c, *next;
	HASH_ITER(hh, a->by_id, c, next)
	{
		if (!c->retry)
			continue;
		c->retry = false;
		if (c->state != KNOWN || c->answered != mf_attestor_link_generation(a->cfg.link))
			mf_job_conn_ask(c);
		mf_senders_verify(c);
	}
}

static void take_answer(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m);

/* Who the attestor has spoken of before, and of whom the kernel says the same now, is known at once. */
static bool
recognise(struct mf_job_conn *c)
{
	struct mf_job_conns *a = c->all;
	struct mf_known_look look;
	Mayfly__Roles__V1__Caller m;
	if (a->cfg.no_known || c->asked || !mf_attestor_link_open(a->cfg.link) || mf_job_share_full(c) ||
	    !mf_known_look(mf_net_conn_fd(c->net), &look) || !mf_known_find(a->known, &look, mono(a), &m))
		return false;
	a->stats.recognised++;
	take_answer(c, &m);
	return c->state != FRESH;
}

void
mf_job_call_begin(
    struct mf_job_call *j, struct mf_grpc_call *c, const struct mf_job_call_ops *ops, bool identity)
{
	struct mf_job_conn *conn = mf_net_conn_user(mf_grpc_call_peer(c));
	struct mf_job_conns *a = conn->all;
	j->call = c;
	j->conn = conn;
	j->ops = ops;
	j->identity = identity;
	j->held = true;
	j->held_until = mono(a) + a->cfg.hold_ms;
	mf_list_init(&j->on_conn);
	mf_list_add_tail(&conn->calls, &j->on_conn);
	mf_list_init(&j->on_hold);
	if (mf_list_empty(&a->holding))
		mf_loop_timer_set(a->hold_timer, a->cfg.hold_ms);
	mf_list_add_tail(&a->holding, &j->on_hold);
	a->stats.held++;
	a->stats.holding++;
	if (conn->state == DENIED && !conn->foreign && conn->denied_until <= mono(a))
		conn->state = FRESH;
	if (conn->state == KNOWN && !identity && !mf_job_conn_shown(conn)) {
		mf_job_share_left(conn);
		conn->state = FRESH; /* what this one is about to do the attestor must see */
	}
	if (conn->state == FRESH && !(identity && recognise(conn)))
		mf_job_conn_ask(conn);
	apply_use(j);
}

/* --- answers --- */

static const char *
keep_text(struct mf_arena *m, const char *s)
{
	const char *t = mf_arena_str(m, mf_slice_str(s));
	return t == NULL ? "" : t;
}

/* A copy of what was said. Without memory: nothing but the numbers. */
static void
keep_caller(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	mf_arena_free(c->memory);
	c->memory = mf_arena_new(CALLER_MEMORY);
	c->caller = nobody;
	c->caller.uid = m->uid;
	c->caller.pid = m->pid;
	if (c->memory == NULL)
		return;
	c->caller.grade = keep_text(c->memory, m->grade);
	c->caller.instance_key = keep_text(c->memory, m->instance_key);
	c->caller.reason = keep_text(c->memory, m->reason);
	const char **s = mf_arena_alloc(c->memory, m->n_selectors, sizeof(*s));
	if (s == NULL)
		return;
	for (size_t i = 0; i < m->n_selectors; i++)
		s[i] = keep_text(c->memory, m->selectors[i]);
	c->caller.selectors = s;
	c->caller.n_selectors = m->n_selectors;
}

/* All calls leave the old entry before its watch goes. */
static void
set_entry(struct mf_job_conn *c, struct mf_svid_entry *e)
{
	if (c->watch.entry == e)
		return;
	MF_LIST_EACH(n, &c->calls)
	{
		struct mf_job_call *j = MF_LIST_ITEM(n, struct mf_job_call, on_conn);
		mf_identity_use_set(c->all->cfg.ids, &j->use, NULL, false, false);
	}
	mf_identity_watch_set(c->all->cfg.ids, &c->watch, e);
}

void
mf_job_conn_deny(struct mf_job_conn *c)
{
	c->state = DENIED;
	c->denied_until = mono(c->all) + c->all->cfg.denied_ms;
	c->all->stats.denied++;
	set_entry(c, NULL);
}

void
mf_job_conn_give_way(struct mf_job_conn *c, const char *why)
{
	c->all->n_leaving += !c->leaving;
	mf_job_share_left(c);
	c->leaving = true;
	mf_job_look_leave(c);
	c->state = FRESH;
	c->caller.reason = why;
	c->all->stats.gave_way++;
	set_entry(c, NULL);
	MF_LIST_EACH(n, &c->calls)
	{
		struct mf_job_call *j = MF_LIST_ITEM(n, struct mf_job_call, on_conn);
		if (!j->held)
			continue; /* it ends with the connection */
		hold_off(j);
		j->ops->timeout(j, why);
	}
	if (mf_list_empty(&c->calls))
		mf_net_conn_drain(c->net); /* what was said goes out */
	else
		mf_net_conn_close(c->net);
}

/* The attestor forgets the connection, if this one ever saw it. */
static void
tell_gone(struct mf_job_conn *c)
{
	struct mf_attestor_link *k = c->all->cfg.link;
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__ConnGone m = MAYFLY__ROLES__V1__CONN_GONE__INIT;
	if (!mf_job_conn_shown(c))
		return;
	c->shown = 0;
	m.conn_id = c->id;
	if (mf_attestor_link_send(k, MF_MSG_CONN_GONE, &m.base, -1, &err) != MF_OK &&
	    mf_attestor_link_open(k))
		mf_jlog_err(
		    MF_LOG_WARN, "caller.gone_not_told", "a closed connection could not be told", &err);
}

static void
attested(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	struct mf_job_conns *a = c->all;
	struct mf_err err = { 0 };
	struct mf_svid_entry *e = NULL;
	if (mf_identities_bind(a->cfg.ids, m->instance_key, m->handle, m->uid, &e, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "caller.not_bound", "a caller cannot be served", &err);
		if (c->state == KNOWN)
			return;
		tell_gone(c); /* or asking again would be asking twice */
		c->caller.reason = "the agent serves as many instances as it may";
		mf_job_conn_retry(c);
		return;
	}
	a->stats.known++;
	mf_job_share_left(c);
	c->state = KNOWN;
	/* A later answer (after the attestor's restart) is about the same socket, so about the same process. */
	if (c->n_verified == 0)
		c->n_verified = 1;
	else
		mf_sender_fini(&c->verified[0]);
	c->verified[0] =
	    (struct mf_sender) { .pid = m->pid, .uid = (uid_t)m->uid, .inode = m->pidfs_inode, .pidfd = -1 };
	c->answered = mf_attestor_link_generation(a->cfg.link);
	set_entry(c, e);
	if (c->numbers)
		mf_senders_challenge(c);
	mf_senders_verify(c);
}

static void
take_answer(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	keep_caller(c, m);
	if (m->known)
		attested(c, m);
	else
		mf_job_conn_deny(c);
}

static void
learn(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	struct mf_job_conns *a = c->all;
	struct mf_known_look look;
	if (!a->cfg.no_known && mf_known_look(mf_net_conn_fd(c->net), &look))
		mf_known_learn(a->known, &look, m, mono(a) + a->cfg.denied_ms);
}

static void
on_who(struct mf_job_conn *c, const Mayfly__Roles__V1__Caller *m)
{
	c->asked = false;
	if (!m->known && m->unavailable) {
		if (c->state != KNOWN)
			keep_caller(c, m);
		mf_job_conn_retry(c);
		return;
	}
	learn(c, m);
	take_answer(c, m);
	if (c->state != KNOWN || mf_job_share_keep(c))
		mf_job_conn_changed(c);
}

void
mf_job_conns_on_caller(struct mf_job_conns *a, const Mayfly__Roles__V1__Caller *m)
{
	struct mf_job_conn *c = NULL;
	HASH_FIND(hh, a->by_id, &m->conn_id, sizeof(m->conn_id), c);
	if (c == NULL || c->foreign || c->leaving) {
		mf_job_looks_answered(a, m->conn_id, m->sender); /* closed meanwhile */
		return;
	}
	uint64_t id = m->conn_id;
	if (m->sender)
		mf_senders_answer(c, m);
	else
		on_who(c, m);
	mf_job_looks_answered(a, id, m->sender);
}

void
mf_job_conns_ended(struct mf_job_conns *a, uint64_t handle)
{
	mf_known_forget(a->known, handle);
}

/* Everything that was shown to the old attestor is shown to the new one. */
void
mf_job_conns_link_opened(struct mf_job_conns *a)
{
	mf_known_clear(a->known); /* handles are new */
	struct mf_job_conn *c, *next;
	HASH_ITER(hh, a->by_id, c, next)
	if (c->state == KNOWN || !mf_list_empty(&c->calls))
		mf_job_conn_ask(c);
}

void
mf_job_conns_link_closed(struct mf_job_conns *a)
{
	mf_job_looks_void(a);
}

/* --- the listener's callbacks --- */

static bool
on_open(void *ctx, struct mf_net_conn *net)
{
	struct mf_job_conns *a = ctx;
	struct mf_job_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return false;
	c->all = a;
	c->net = net;
	c->id = ++a->last_id;
	c->caller = nobody;
	c->watch.changed = on_entry;
	mf_list_init(&c->calls);
	HASH_ADD(hh, a->by_id, id, sizeof(c->id), c);
	if (c->map_oom) {
		free(c);
		return false;
	}
	mf_net_conn_set_user(net, c);
	return true;
}

static void
on_close(void *ctx, struct mf_net_conn *net, enum mf_net_why why, const struct mf_err *err)
{
	struct mf_job_conns *a = ctx;
	struct mf_job_conn *c = mf_net_conn_user(net);
	if (mf_net_why_abuse(why))
		MF_LOG(MF_LOG_INFO, "job.disconnected", "a connection was closed for what it sent",
		    mf_js("peer", mf_net_conn_name(net)), mf_js("error", err->msg));
	if (c == NULL)
		return;
	a->n_leaving -= c->leaving;
	mf_job_share_left(c);
	mf_job_look_leave(c);
	tell_gone(c);
	mf_identity_watch_set(a->cfg.ids, &c->watch, NULL);
	HASH_DEL(a->by_id, c);
	for (size_t i = 0; i < c->n_verified; i++)
		mf_sender_fini(&c->verified[i]);
	for (size_t i = 0; i < c->n_unverified; i++)
		mf_sender_fini(&c->unverified[i]);
	mf_arena_free(c->memory);
	mf_net_conn_set_user(net, NULL);
	free(c);
}

const struct mf_net_conn_ops mf_job_conn_ops = {
	.on_open = on_open,
	.on_peer_cap = mf_job_share_room,
	.on_sender = mf_senders_on_sender,
	.on_close = on_close,
};

enum mf_status
mf_job_conns_new(const struct mf_job_conns_config *cfg, struct mf_job_conns **ret_a, struct mf_err *err)
{
	MF_AUTO(mf_job_conns_free) struct mf_job_conns *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "job connections: out of memory");
	a->cfg = *cfg;
	mf_list_init(&a->holding);
	a->known = mf_known_new();
	a->looks = mf_fair_new(MF_LOOKS_EACH, MF_LOOKS_ALL);
	if (a->known == NULL || a->looks == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "job connections: out of memory");
	MF_TRY(mf_loop_timer_new(cfg->loop, on_hold_timer, a, &a->hold_timer, err));
	MF_TRY(mf_loop_timer_new(cfg->loop, on_retry_timer, a, &a->retry_timer, err));
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

void
mf_job_conns_free(struct mf_job_conns *a)
{
	if (a == NULL)
		return;
	mf_loop_timer_free(a->hold_timer);
	mf_loop_timer_free(a->retry_timer);
	mf_known_free(a->known);
	mf_fair_free(a->looks);
	free(a);
}
