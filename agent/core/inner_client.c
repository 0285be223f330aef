#include "agent/core/inner_client.h"

#include <stdlib.h>

#include "base/list.h"

#define KEY_MAX 512u

struct request {
	struct mf_list link; /* oldest first */
	uint64_t id, tag;
	uint64_t due_ms;
	enum mf_ic_kind kind;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_inner_client {
	const struct mf_ic_ops *ops;
	void *ctx;
	struct mf_instances *table;
	enum mf_ic_phase phase;
	uint64_t next_id;
	uint64_t greeting_id, resync_id; /* 0: none under way */
	bool confirmed;			 /* the session value is stored and told: ends may go */
	uint32_t heartbeat_ms;
	uint64_t step_due_ms, session_due_ms, heartbeat_due_ms;
	struct request *requests;
	struct mf_list by_age;
	uint64_t *held; /* handles named in the resync, in its order */
	size_t n_held;
};

const char *
mf_ic_phase_name(enum mf_ic_phase p)
{
	static const char *const names[MF_IC_PHASE_COUNT] = { "down", "greeting", "resyncing", "ready",
		"refused" };
	return (unsigned)p < MF_IC_PHASE_COUNT ? names[p] : "unknown";
}

enum mf_status
mf_ic_new(const struct mf_ic_ops *ops, void *ctx, struct mf_instances *table, struct mf_inner_client **ret_c,
    struct mf_err *err)
{
	struct mf_inner_client *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "inner client: out of memory");
	c->ops = ops;
	c->ctx = ctx;
	c->table = table;
	c->next_id = 1;
	mf_list_init(&c->by_age);
	*ret_c = c;
	return MF_OK;
}

static void
request_free(struct mf_inner_client *c, struct request *r)
{
	HASH_DELETE(hh, c->requests, r);
	mf_list_del(&r->link);
	free(r);
}

void
mf_ic_free(struct mf_inner_client *c)
{
	if (c == NULL)
		return;
	MF_LIST_EACH(l, &c->by_age)
	{
		request_free(c, MF_LIST_ITEM(l, struct request, link));
	}
	free(c->held);
	free(c);
}

enum mf_ic_phase
mf_ic_phase(const struct mf_inner_client *c)
{
	return c->phase;
}

static void
go(struct mf_inner_client *c, enum mf_ic_phase p, const char *reason)
{
	c->phase = p;
	c->ops->phase(c->ctx, p, reason);
}

static void
lose(struct mf_inner_client *c, struct request *r)
{
	enum mf_ic_kind kind = r->kind;
	uint64_t tag = r->tag;
	request_free(c, r);
	c->ops->lost(c->ctx, kind, tag);
}

void
mf_ic_opened(struct mf_inner_client *c, bool join, struct mf_now now)
{
	if (c->phase != MF_IC_DOWN && c->phase != MF_IC_REFUSED)
		mf_ic_closed(c, "replaced by a new session", now);
	c->confirmed = false;
	c->next_id = 1;
	c->greeting_id = c->next_id++;
	c->resync_id = 0;
	c->heartbeat_ms = MF_IC_HEARTBEAT_MS;
	c->step_due_ms = now.mono_ms + MF_IC_GREETING_MS;
	c->session_due_ms = now.mono_ms + MF_IC_SESSION_MS;
	go(c, MF_IC_GREETING, "");
	c->ops->send(c->ctx, join ? MF_IC_JOIN : MF_IC_HELLO, c->greeting_id, NULL, 0);
}

void
mf_ic_closed(struct mf_inner_client *c, const char *reason, struct mf_now now)
{
	MF_UNUSED(now);
	c->confirmed = false;
	c->greeting_id = c->resync_id = 0;
	free(c->held);
	c->held = NULL;
	c->n_held = 0;
	/* One by one from the head: a callback may look at this object. */
	while (!mf_list_empty(&c->by_age))
		lose(c, MF_LIST_ITEM(c->by_age.next, struct request, link));
	if (c->phase != MF_IC_DOWN && c->phase != MF_IC_REFUSED)
		go(c, MF_IC_DOWN, reason);
}

void
mf_ic_end(struct mf_inner_client *c, const struct mf_instance *i)
{
	if (c->confirmed && i->state == MF_JOB_ENDED)
		c->ops->send_end(c->ctx, c->next_id++, i);
}

/*
 * Everything that lives and was ever asked for, for the broker to judge: a lease whose grant was lost on the way is
 * open there, and what we do not name it ends.
 */
static enum mf_status
send_resync(struct mf_inner_client *c, struct mf_err *err)
{
	size_t n = mf_instances_count(c->table), k = 0;
	struct mf_instance **list = calloc(n + 1, sizeof(*list));
	uint64_t *held = calloc(n + 1, sizeof(*held));
	if (list == NULL || held == NULL) {
		free(list);
		free(held);
		return MF_FAIL(err, MF_E_NOMEM, "inner client: out of memory");
	}
	MF_INSTANCES_EACH(i, c->table)
	{
		if (i->state < MF_JOB_ENDED && i->asked) {
			held[k] = i->handle;
			list[k++] = i;
		}
	}
	free(c->held);
	c->held = held;
	c->n_held = k;
	c->resync_id = c->next_id++;
	c->ops->send(c->ctx, MF_IC_RESYNC, c->resync_id, list, k);
	free(list);
	return MF_OK;
}

enum mf_status
mf_ic_welcome(struct mf_inner_client *c, uint64_t request_id, const struct mf_ic_welcome *w,
    struct mf_now now, struct mf_err *err)
{
	if (c->phase != MF_IC_GREETING || request_id != c->greeting_id)
		return MF_FAIL(err, MF_E_INVALID, "welcome in phase %s", mf_ic_phase_name(c->phase));
	if (w->version != MF_IC_VERSION)
		return MF_FAIL(
		    err, MF_E_INVALID, "the broker chose version %u, we speak %u", w->version, MF_IC_VERSION);
	if (w->session_value.n != MF_IC_SESSION_VALUE)
		return MF_FAIL(
		    err, MF_E_INVALID, "welcome: a session value of %zu bytes", w->session_value.n);
	/* Confirmed only when it is on disk: a value that was confirmed and lost would make us our own clone. */
	MF_TRY(c->ops->store(c->ctx, w->session_value, err));
	if (w->heartbeat_ms > 0)
		c->heartbeat_ms = w->heartbeat_ms;
	c->greeting_id = 0;
	c->step_due_ms = now.mono_ms + MF_IC_GREETING_MS;
	go(c, MF_IC_RESYNCING, "");
	c->ops->send(c->ctx, MF_IC_STORED, c->next_id++, NULL, 0);
	c->confirmed = true;
	MF_INSTANCES_EACH(i, c->table)
	{
		mf_ic_end(c, i);
	}
	return send_resync(c, err);
}

enum mf_status
mf_ic_resync_answer(struct mf_inner_client *c, uint64_t request_id, const struct mf_ic_verdict_in *v,
    size_t n, struct mf_now now, struct mf_err *err)
{
	if (c->phase != MF_IC_RESYNCING || request_id != c->resync_id)
		return MF_FAIL(err, MF_E_INVALID, "resync answer in phase %s", mf_ic_phase_name(c->phase));
	if (n != c->n_held)
		return MF_FAIL(
		    err, MF_E_INVALID, "resync answer: %zu verdicts for %zu instances", n, c->n_held);
	for (size_t k = 0; k < n; k++) {
		struct mf_instance *i = mf_instances_by_handle(c->table, c->held[k]);
		if (i != NULL && mf_instances_by_key(c->table, v[k].instance_key) != i)
			return MF_FAIL(
			    err, MF_E_INVALID, "resync answer: verdict %zu is for another instance", k);
		if (v[k].verdict < MF_IC_KEEP || v[k].verdict > MF_IC_UNKNOWN)
			return MF_FAIL(err, MF_E_INVALID, "resync answer: verdict %zu means nothing", k);
	}
	uint64_t *held = c->held;
	c->held = NULL;
	c->n_held = 0;
	c->resync_id = 0;
	for (size_t k = 0; k < n; k++) {
		struct mf_instance *i = mf_instances_by_handle(c->table, held[k]);
		if (i != NULL && i->state < MF_JOB_ENDED) /* what ended meanwhile was told by its End */
			c->ops->verdict(c->ctx, i, v[k].verdict);
	}
	free(held);
	c->heartbeat_due_ms = now.mono_ms + c->heartbeat_ms;
	go(c, MF_IC_READY, "");
	return MF_OK;
}

void
mf_ic_end_answer(struct mf_inner_client *c, struct mf_slice instance_key, bool recorded)
{
	struct mf_instance *i = mf_instances_by_key(c->table, instance_key);
	if (recorded && i != NULL && i->state == MF_JOB_ENDED)
		c->ops->recorded(c->ctx, i);
}

static struct request *
find(struct mf_inner_client *c, uint64_t id)
{
	struct request *r = NULL;
	HASH_FIND(hh, c->requests, &id, sizeof(id), r);
	return r;
}

enum mf_status
mf_ic_refusal(struct mf_inner_client *c, uint64_t request_id, uint32_t code, const char *reason,
    enum mf_ic_kind *ret_kind, uint64_t *ret_tag, struct mf_now now, struct mf_err *err)
{
	MF_UNUSED(now);
	struct request *r = find(c, request_id);
	if (r != NULL) {
		*ret_kind = r->kind;
		*ret_tag = r->tag;
		request_free(c, r);
		return MF_OK;
	}
	bool ours = request_id == 0 || (request_id == c->greeting_id || request_id == c->resync_id);
	if (!ours || c->phase == MF_IC_DOWN || c->phase == MF_IC_REFUSED)
		return MF_FAIL(err, MF_E_INVALID, "a refusal of nothing that was asked");
	*ret_kind = (enum mf_ic_kind)0;
	*ret_tag = 0;
	if (code == MF_IC_R_UNAVAILABLE)
		go(c, MF_IC_DOWN, reason);
	else
		go(c, MF_IC_REFUSED, reason);
	if (code == MF_IC_R_NODE_EVICTED)
		c->ops->evicted(c->ctx);
	c->ops->close(c->ctx, reason);
	return MF_OK;
}

enum mf_status
mf_ic_answered(
    struct mf_inner_client *c, uint64_t request_id, unsigned kinds, uint64_t *ret_tag, struct mf_err *err)
{
	struct request *r = find(c, request_id);
	if (r == NULL || (kinds & 1u << r->kind) == 0)
		return MF_FAIL(err, MF_E_INVALID, "an answer to nothing that was asked");
	*ret_tag = r->tag;
	request_free(c, r);
	return MF_OK;
}

enum mf_status
mf_ic_request(struct mf_inner_client *c, enum mf_ic_kind kind, uint64_t tag, struct mf_now now,
    uint64_t *ret_id, struct mf_err *err)
{
	if (c->phase != MF_IC_READY)
		return MF_FAIL(
		    err, MF_E_UNAVAILABLE, "no session with the broker (%s)", mf_ic_phase_name(c->phase));
	if (HASH_CNT(hh, c->requests) >= MF_IC_REQUESTS_MAX)
		return MF_FAIL(err, MF_E_EXHAUSTED, "%u requests wait for the broker", MF_IC_REQUESTS_MAX);
	struct request *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "inner client: out of memory");
	r->id = c->next_id++;
	r->tag = tag;
	r->kind = kind;
	r->due_ms = now.mono_ms + MF_IC_REQUEST_MS;
	HASH_ADD(hh, c->requests, id, sizeof(r->id), r);
	if (r->map_oom) {
		free(r);
		return MF_FAIL(err, MF_E_NOMEM, "inner client: out of memory");
	}
	mf_list_add_tail(&c->by_age, &r->link);
	*ret_id = r->id;
	return MF_OK;
}

void
mf_ic_tick(struct mf_inner_client *c, struct mf_now now)
{
	while (!mf_list_empty(&c->by_age)) {
		struct request *r = MF_LIST_ITEM(c->by_age.next, struct request, link);
		if (now.mono_ms < r->due_ms)
			break;
		lose(c, r);
	}
	if (c->phase == MF_IC_DOWN || c->phase == MF_IC_REFUSED)
		return;
	if (c->phase != MF_IC_READY && now.mono_ms >= c->step_due_ms) {
		c->ops->close(c->ctx, "the broker did not answer in time");
	} else if (now.mono_ms >= c->session_due_ms) {
		c->ops->close(c->ctx, "a new handshake is due");
	} else if (c->phase == MF_IC_READY && now.mono_ms >= c->heartbeat_due_ms) {
		c->heartbeat_due_ms = now.mono_ms + c->heartbeat_ms;
		c->ops->send(c->ctx, MF_IC_HEARTBEAT, c->next_id++, NULL, 0);
	}
}

uint64_t
mf_ic_due(const struct mf_inner_client *c)
{
	uint64_t due = UINT64_MAX;
	if (!mf_list_empty(&c->by_age))
		due = MF_LIST_ITEM(c->by_age.next, struct request, link)->due_ms;
	if (c->phase == MF_IC_DOWN || c->phase == MF_IC_REFUSED)
		return due;
	uint64_t mine = c->phase == MF_IC_READY ? c->heartbeat_due_ms : c->step_due_ms;
	if (c->session_due_ms < mine)
		mine = c->session_due_ms;
	return mine < due ? mine : due;
}
