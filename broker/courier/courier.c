#include "broker/courier/courier.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/list.h"
#include "broker/courier/fetch.h"
#include "os/jlog.h"
#include "os/seqpacket.h"
#include "rpc/role_links.h"

#define QUEUE_MAX (16u * 1024u * 1024u)
#define TIMEOUT_MS 30000u /* where the notary names none */
#define TIMEOUT_MAX_MS 120000u
#define IDLE_MS 1000u

enum kind { MINT, REVOKE, PROBE, FETCH };

/* A lane, and why the last request on it failed: for who is turned away. */
struct way_out {
	struct mf_lane lane;
	char why[128];
};

struct task {
	struct mf_list in; /* courier.waiting or .running */
	struct mf_courier *c;
	enum kind kind;
	ProtobufCMessage *msg;
	struct mf_targets *targets;
	const Mayfly__Roles__V1__CloudTarget *target; /* NULL: a fetch */
	const struct mf_token_backend *backend;
	struct way_out *out;
	uint64_t until_ms;
	struct mf_http_way way;
	struct mf_cloud_op *op;
	struct mf_fetch *fetch;
	struct mf_http_call *call;
	bool began, failed, throttled; /* for the lane */
	uint32_t retry_after_ms;
};

struct mf_courier {
	const char *build_id;
	struct mf_http *http;
	struct mf_targets *targets;
	struct way_out *lanes;	/* one for each target, in their order */
	struct way_out fetches; /* to the issuer */
	struct way_out asked;	/* to issuers, for persons: never shut */
	struct mf_seqpacket *pkt;
	struct mf_list waiting, running;
	size_t tasks;
};

/* ---- results ---- */

static void
send_result(struct mf_courier *c, uint16_t type, const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_LIM_IPC_MESSAGE);
	if (c->pkt == NULL)
		return;
	enum mf_status s = mf_role_encode(&mf_link_courier, MF_LINK_FRONT, type, m, false, &b, &err);
	if (s == MF_OK)
		s = mf_seqpacket_queue(c->pkt, type, mf_buf_slice(&b), -1, &err);
	if (s == MF_OK)
		s = mf_seqpacket_flush(c->pkt, &err);
	if (s == MF_OK)
		return;
	/* Without its result the notary counts the intent as live, which is what it may be. */
	mf_jlog_err(MF_LOG_ERROR, "courier.result", "a result was not handed over", &err);
}

static void
send_mint(const struct task *t, const char *word, const char *reason)
{
	Mayfly__Roles__V1__MintResult r = MAYFLY__ROLES__V1__MINT_RESULT__INIT;
	const Mayfly__Roles__V1__MintRequest *m = (const void *)t->msg;
	if (word == NULL)
		t->backend->mint_result(t->op, &r);
	r.mint_id = m->mint_id;
	if (word != NULL) {
		r.error = (char *)(uintptr_t)word;
		r.reason = (char *)(uintptr_t)reason;
		r.retry_after_ms = t->retry_after_ms;
	}
	/* It goes through one message of the link. */
	if (mayfly__roles__v1__mint_result__get_packed_size(&r) > MF_LIM_IPC_MESSAGE - 64) {
		r = (Mayfly__Roles__V1__MintResult)MAYFLY__ROLES__V1__MINT_RESULT__INIT;
		r.mint_id = m->mint_id;
		r.error = (char *)(uintptr_t) "unknown";
		r.reason = (char *)(uintptr_t) "the token is too large to be handed on: it was thrown away";
	}
	send_result(t->c, MF_MSG_MINT_RESULT, &r.base);
}

static void
send_revoke(const struct task *t, const char *word, const char *reason)
{
	Mayfly__Roles__V1__CloudRevokeResult r = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
	if (word == NULL)
		t->backend->revoke_result(t->op, &r);
	r.revoke_id = ((const Mayfly__Roles__V1__CloudRevokeRequest *)(const void *)t->msg)->revoke_id;
	if (word != NULL) {
		r.error = (char *)(uintptr_t)word;
		r.reason = (char *)(uintptr_t)reason;
		r.retry_after_ms = t->retry_after_ms;
	}
	send_result(t->c, MF_MSG_CLOUD_REVOKE_RESULT, &r.base);
}

static void
send_probe(const struct task *t, const char *word, const char *reason)
{
	Mayfly__Roles__V1__CloudProbeResult r = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
	if (word == NULL)
		t->backend->probe_result(t->op, &r);
	r.probe_id = ((const Mayfly__Roles__V1__CloudProbeRequest *)(const void *)t->msg)->probe_id;
	if (word != NULL) {
		r.error = (char *)(uintptr_t)word;
		r.reason = (char *)(uintptr_t)reason;
	}
	send_result(t->c, MF_MSG_CLOUD_PROBE_RESULT, &r.base);
}

static void
send_fetch(const struct task *t, const char *word, const char *reason)
{
	Mayfly__Roles__V1__CloudFetchResult r = MAYFLY__ROLES__V1__CLOUD_FETCH_RESULT__INIT;
	if (word == NULL)
		mf_fetch_result(t->fetch, &r);
	r.fetch_id = ((const Mayfly__Roles__V1__CloudFetchRequest *)(const void *)t->msg)->fetch_id;
	if (word != NULL) {
		r.error = (char *)(uintptr_t)word;
		r.reason = (char *)(uintptr_t)reason;
	}
	send_result(t->c, MF_MSG_CLOUD_FETCH_RESULT, &r.base);
}

/* ---- a task's end ---- */

static void
leave_lane(struct task *t, uint64_t now_ms)
{
	enum mf_lane_result r = t->throttled ? MF_LANE_THROTTLED : t->failed ? MF_LANE_FAILED : MF_LANE_GOOD;
	if (!t->began)
		return;
	t->began = false;
	if (t->out == &t->c->asked) {
		mf_lane_drop(&t->out->lane, false);
		return;
	}
	if (!mf_lane_end(&t->out->lane, now_ms, t->kind == REVOKE, r, t->retry_after_ms))
		return;
	MF_LOG(t->failed ? MF_LOG_WARN : MF_LOG_INFO,
	    t->failed ? "courier.target_away" : "courier.target_back",
	    t->failed ? "the target does not answer as it should: it is left alone for a while"
		      : "the target answers again",
	    mf_js("target", t->target == NULL ? "issuer" : t->target->name));
}

static void
task_free(struct task *t)
{
	mf_http_cancel(t->call);
	if (t->backend != NULL)
		t->backend->free(t->op);
	mf_fetch_free(t->fetch);
	mf_pb_free(t->msg);
	mf_targets_unref(t->targets);
	mf_list_del(&t->in);
	t->c->tasks--;
	free(t);
}

/* ${word} NULL: as the op says. */
static void
end_task(struct task *t, uint64_t now_ms, const char *word, const char *reason)
{
	static void (*const send[])(const struct task *t, const char *word, const char *reason) = {
		[MINT] = send_mint, [REVOKE] = send_revoke, [PROBE] = send_probe, [FETCH] = send_fetch
	};
	leave_lane(t, now_ms);
	send[t->kind](t, word, reason);
	task_free(t);
}

/* ---- its steps ---- */

static void step(struct task *t, const struct mf_http_reply *reply);

static void
replied(void *ctx, const struct mf_http_reply *reply)
{
	struct task *t = ctx;
	t->call = NULL; /* http frees it */
	/* 501 and 505 are answers of who is well. */
	t->failed = reply->status == 0 || (reply->status >= 500 && reply->status != 501) ||
		    (reply->cut && reply->status == 200);
	t->throttled = reply->status == 429;
	t->retry_after_ms = reply->retry_after_s * 1000;
	if (t->failed && reply->status == 0)
		(void)snprintf(t->out->why, sizeof(t->out->why), "%s",
		    reply->transport == NULL ? "the connection failed" : reply->transport);
	else if (t->failed)
		(void)snprintf(t->out->why, sizeof(t->out->why), "HTTP %u%s", reply->status,
		    reply->cut ? ", cut or too long" : "");
	step(t, reply);
}

static void
step(struct task *t, const struct mf_http_reply *reply)
{
	struct mf_http_request req = { 0 };
	struct mf_now now = mf_now();
	struct mf_err err = { 0 };
	enum mf_cloud_step s =
	    t->kind == FETCH ? mf_fetch_next(t->fetch, reply, &req) : t->backend->next(t->op, reply, &req);
	while (s == MF_CLOUD_SEND) {
		struct mf_http_reply none = { .transport = "no time is left" };
		if (now.mono_ms < t->until_ms) {
			t->way.timeout_ms = (uint32_t)(t->until_ms - now.mono_ms);
			if (mf_http_start(t->c->http, &req, &t->way, replied, t, &t->call, &err) == MF_OK)
				return;
			none.transport = err.msg;
			none.refused = err.code == MF_E_INVALID;
		}
		s = t->kind == FETCH ? mf_fetch_next(t->fetch, &none, &req)
				     : t->backend->next(t->op, &none, &req);
	}
	end_task(t, now.mono_ms, NULL, NULL);
}

static enum mf_status
start_op(struct task *t, struct mf_now now, struct mf_err *err)
{
	struct mf_cloud_job job = { .target = t->target, .now_s = now.wall_us / 1000000 };
	if (t->kind == FETCH)
		return mf_fetch_new((const void *)t->msg, &t->fetch, err);
	if (t->kind == MINT)
		job.mint = (const void *)t->msg;
	else if (t->kind == REVOKE)
		job.revoke = (const void *)t->msg;
	else
		job.probe = (const void *)t->msg;
	return t->backend->start(t->kind == MINT     ? MF_CLOUD_MINT
				 : t->kind == REVOKE ? MF_CLOUD_REVOKE
						     : MF_CLOUD_PROBE,
	    &job, &t->op, err);
}

/* False: it must wait. */
static bool
try_start(struct task *t, struct mf_now now)
{
	struct mf_err err = { 0 };
	uint32_t after = 0;
	char why[256];
	switch (mf_lane_ask(&t->out->lane, now.mono_ms, t->kind == REVOKE, &after)) {
	case MF_LANE_WAIT:
		return false;
	case MF_LANE_SHUT:
		t->retry_after_ms = after;
		(void)snprintf(
		    why, sizeof(why), "nothing was sent, because the last request failed: %s", t->out->why);
		end_task(t, now.mono_ms, "transient", why);
		return true;
	case MF_LANE_GO:
		break;
	}
	if (start_op(t, now, &err) != MF_OK) {
		end_task(t, now.mono_ms, err.code == MF_E_NOMEM ? "transient" : "config", err.msg);
		return true;
	}
	mf_lane_begin(&t->out->lane, t->kind == REVOKE);
	t->began = true;
	mf_list_del(&t->in);
	mf_list_add_tail(&t->c->running, &t->in);
	step(t, NULL);
	return true;
}

/* ---- requests ---- */

static struct way_out *
lane_of(struct mf_courier *c, const char *name)
{
	for (size_t i = 0; i < mf_targets_count(c->targets); i++)
		if (strcmp(mf_targets_at(c->targets, i)->name, name) == 0)
			return &c->lanes[i];
	return NULL;
}

static void
aim(struct task *t, const char *target)
{
	t->targets = mf_targets_ref(t->c->targets);
	t->target = mf_targets_find(t->targets, target);
	if (t->target == NULL)
		return;
	t->out = lane_of(t->c, target);
	t->backend = mf_token_backend_find(t->target->backend);
	t->way = (struct mf_http_way) { .ca_pem = t->target->ca_pem,
		.client_chain_pem =
		    mf_slice(t->target->client_chain_pem.data, t->target->client_chain_pem.len),
		.client_key_pem = mf_slice(t->target->client_key_pem.data, t->target->client_key_pem.len),
		.loopback = t->target->loopback };
}

static uint32_t
read_request(struct task *t, uint16_t type)
{
	const Mayfly__Roles__V1__MintRequest *m = (const void *)t->msg;
	const Mayfly__Roles__V1__CloudRevokeRequest *r = (const void *)t->msg;
	const Mayfly__Roles__V1__CloudProbeRequest *p = (const void *)t->msg;
	const Mayfly__Roles__V1__CloudFetchRequest *f = (const void *)t->msg;
	switch (type) {
	case MF_MSG_MINT_REQUEST:
		t->kind = MINT;
		aim(t, m->target);
		return m->timeout_ms;
	case MF_MSG_CLOUD_REVOKE_REQUEST:
		t->kind = REVOKE;
		aim(t, r->target);
		return r->timeout_ms;
	case MF_MSG_CLOUD_PROBE_REQUEST:
		t->kind = PROBE;
		aim(t, p->target);
		return p->timeout_ms;
	default:
		t->kind = FETCH;
		t->out = f->once ? &t->c->asked : &t->c->fetches;
		t->way = (struct mf_http_way) { .ca_pem = f->ca_pem, .loopback = f->loopback };
		return f->timeout_ms;
	}
}

/* Takes ${msg}. */
static void
take(struct mf_courier *c, uint16_t type, ProtobufCMessage *msg, struct mf_now now)
{
	struct task *t = calloc(1, sizeof(*t));
	if (t == NULL) {
		mf_pb_free(msg); /* its time passes at the notary */
		return;
	}
	t->c = c;
	t->msg = msg;
	c->tasks++;
	mf_list_add_tail(&c->waiting, &t->in);
	uint32_t ms = read_request(t, type);
	ms = ms == 0 ? TIMEOUT_MS : ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : ms;
	t->until_ms = now.mono_ms + ms;
	if (t->out == NULL)
		end_task(t, now.mono_ms, "config", "no target of that name is configured");
	else if (c->tasks > MF_COURIER_TASKS && t->kind != REVOKE)
		end_task(t, now.mono_ms, "throttled", "too many requests are waiting: nothing was sent");
}

static void
disconnect(struct mf_courier *c)
{
	MF_LIST_EACH(pos, &c->waiting)
	task_free(MF_LIST_ITEM(pos, struct task, in));
	MF_LIST_EACH(pos, &c->running)
	{
		struct task *t = MF_LIST_ITEM(pos, struct task, in);
		mf_lane_drop(&t->out->lane, t->kind == REVOKE);
		task_free(t);
	}
	mf_seqpacket_free(c->pkt);
	c->pkt = NULL;
}

void
mf_courier_read(struct mf_courier *c, struct mf_now now)
{
	struct mf_err err = { 0 };
	for (unsigned n = 0; n < 256 && c->pkt != NULL; n++) {
		struct mf_packet p;
		const struct mf_role_msg *row;
		ProtobufCMessage *msg = NULL;
		enum mf_status s = mf_seqpacket_recv(c->pkt, &p, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s == MF_OK)
			s = mf_role_decode(&mf_link_courier, MF_LINK_FRONT, MF_LINK_OPEN, p.type, p.payload,
			    p.fd >= 0, &row, &msg, &err);
		if (s == MF_OK) {
			take(c, p.type, msg, now);
			continue;
		}
		if (s != MF_E_CLOSED)
			mf_jlog_err(MF_LOG_WARN, "courier.link", "the link to the notary is closed", &err);
		disconnect(c);
	}
}

uint32_t
mf_courier_tick(struct mf_courier *c, struct mf_now now)
{
	struct mf_err err = { 0 };
	uint64_t next = now.mono_ms + IDLE_MS;
	MF_LIST_EACH(pos, &c->waiting)
	{
		struct task *t = MF_LIST_ITEM(pos, struct task, in);
		if (now.mono_ms >= t->until_ms)
			end_task(
			    t, now.mono_ms, "transient", "its turn did not come in time: nothing was sent");
		else if (!try_start(t, now) && t->until_ms < next)
			next = t->until_ms;
	}
	if (!mf_list_empty(&c->waiting) && next > now.mono_ms + 50)
		next = now.mono_ms + 50; /* a lane that is calm or shut opens by time alone */
	if (c->pkt != NULL && mf_seqpacket_wants_write(c->pkt) && mf_seqpacket_flush(c->pkt, &err) != MF_OK)
		disconnect(c);
	return (uint32_t)(next - now.mono_ms);
}

/* ---- beginning and end ---- */

enum mf_status
mf_courier_new(const char *build_id, struct mf_http *http, struct mf_targets *targets,
    struct mf_courier **ret_c, struct mf_err *err)
{
	struct mf_courier *c = calloc(1, sizeof(*c));
	struct way_out *lanes = calloc(mf_targets_count(targets) + 1, sizeof(*lanes));
	if (c == NULL || lanes == NULL) {
		free(c);
		free(lanes);
		return MF_FAIL(err, MF_E_NOMEM, "courier: out of memory");
	}
	c->build_id = build_id;
	c->http = http;
	c->targets = targets;
	c->lanes = lanes;
	mf_list_init(&c->waiting);
	mf_list_init(&c->running);
	*ret_c = c;
	return MF_OK;
}

void
mf_courier_free(struct mf_courier *c)
{
	if (c == NULL)
		return;
	disconnect(c);
	mf_targets_unref(c->targets);
	free(c->lanes);
	free(c);
}

enum mf_status
mf_courier_connect(struct mf_courier *c, int fd, struct mf_err *err)
{
	Mayfly__Roles__V1__CourierHello h = MAYFLY__ROLES__V1__COURIER_HELLO__INIT;
	disconnect(c);
	enum mf_status s = mf_seqpacket_new(fd, QUEUE_MAX, &c->pkt, err);
	if (s != MF_OK) {
		(void)close(fd);
		return s;
	}
	h.build_id = (char *)(uintptr_t)c->build_id; /* packing reads only */
	send_result(c, MF_MSG_COURIER_HELLO, &h.base);
	return MF_OK;
}

int
mf_courier_fd(const struct mf_courier *c)
{
	return c->pkt == NULL ? -1 : mf_seqpacket_fd(c->pkt);
}

bool
mf_courier_wants_write(const struct mf_courier *c)
{
	return c->pkt != NULL && mf_seqpacket_wants_write(c->pkt);
}

enum mf_status
mf_courier_reload(struct mf_courier *c, struct mf_targets *targets, struct mf_err *err)
{
	size_t n = mf_targets_count(c->targets);
	bool same = mf_targets_count(targets) == n;
	for (size_t i = 0; same && i < n; i++)
		same = strcmp(mf_targets_at(targets, i)->name, mf_targets_at(c->targets, i)->name) == 0;
	if (!same)
		return MF_FAIL(err, MF_E_STATE, "other targets than at the start: restart mayfly-broker");
	mf_targets_unref(c->targets);
	c->targets = targets;
	return MF_OK;
}

size_t
mf_courier_tasks(const struct mf_courier *c)
{
	return c->tasks;
}
