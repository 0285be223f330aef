/* The engine's own life: making it, its clock guard, its records, its timers. */
#include <stdio.h>

#include "broker/notary/cloud_alarm.h"
#include "broker/notary/engine_internal.h"
#include "crypto/hash.h"

#define CLOCK_BACK_US (INT64_C(5) * 1000000)
#define CLOCK_FORWARD_US (INT64_C(300) * 1000000)
#define CLOCK_WAIT_MS 120000u

void
mf_sign_request_free(struct mf_sign_request *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->dns_n; i++)
		free(r->dns[i]);
	free(r->dns);
	free(r->spiffe_id);
	free(r->cn);
	free(r);
}

enum mf_status
mf_engine_new(const struct mf_engine_conf *conf, const struct mf_engine_ops *ops, void *ctx,
    struct mf_state *state, struct mf_engine **ret_e, struct mf_err *err)
{
	MF_AUTO(mf_engine_free) struct mf_engine *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "engine: out of memory");
	e->conf = *conf;
	e->ops = ops;
	mf_buf_init(&e->record, MF_LIM_RECORD);
	e->ctx = ctx;
	mf_list_init(&e->releases);
	mf_list_init(&e->cloud.errands);
	mf_list_init(&e->cloud.mouths);
	mf_list_init(&e->cloud.probes);
	mf_list_init(&e->proving);
	e->trust_domain = strdup(conf->trust_domain);
	e->broker_id = strdup(conf->broker_id);
	e->origin = strdup(conf->origin);
	e->release = strdup(conf->release);
	e->issuer_url = conf->watch_issuer == NULL ? NULL : strdup(conf->watch_issuer);
	e->address = strdup(conf->address);
	e->care.path = strdup(conf->policy_path == NULL ? "" : conf->policy_path);
	if (e->trust_domain == NULL || e->broker_id == NULL || e->origin == NULL || e->release == NULL ||
	    e->address == NULL || e->care.path == NULL ||
	    (conf->watch_issuer != NULL && e->issuer_url == NULL))
		return MF_FAIL(err, MF_E_NOMEM, "engine: out of memory");
	e->log_room = true;
	e->durable = mf_state_size(state);
	e->state = state;
	*ret_e = MF_TAKE(e);
	return MF_OK;
}

void
mf_engine_free(struct mf_engine *e)
{
	if (e == NULL)
		return;
	struct session *s, *st;
	HASH_ITER(hh, e->sessions, s, st)
	{
		HASH_DELETE(hh, e->sessions, s);
		mf_session_forget_gone(s);
		free(s);
	}
	mf_engine_timers_fini(e);
	mf_engine_forget_proving(e, UINT64_MAX);
	struct pulse *p, *pt;
	HASH_ITER(hh, e->pulses, p, pt)
	{
		HASH_DELETE(hh, e->pulses, p);
		free(p);
	}
	struct work *w, *wt;
	HASH_ITER(hh, e->works, w, wt)
	{
		HASH_DELETE(hh, e->works, w);
		mf_work_free(w);
	}
	mf_engine_jwt_fini(e);
	mf_engine_cloud_fini(e);
	MF_LIST_EACH(r, &e->releases)
	{
		mf_list_del(r);
		mf_release_free(MF_LIST_ITEM(r, struct release, at));
	}
	mf_engine_keys_fini(e);
	mf_policy_free(e->policy);
	mf_engine_policy_care_free(e);
	mf_state_free(e->state);
	mf_buf_fini(&e->record);
	free(e->trust_domain);
	free(e->broker_id);
	free(e->origin);
	free(e->release);
	free(e->issuer_url);
	free(e->address);
	free(e);
}

void
mf_engine_hex(struct mf_slice in, char *ret_hex)
{
	static const char d[] = "0123456789abcdef";
	for (size_t i = 0; i < in.n; i++) {
		ret_hex[2 * i] = d[in.p[i] >> 4];
		ret_hex[2 * i + 1] = d[in.p[i] & 15];
	}
	ret_hex[2 * in.n] = '\0';
}

void
mf_engine_sha256_hex(struct mf_slice in, char ret_hex[65])
{
	uint8_t h[32];
	mf_sha256(in, h);
	mf_engine_hex(mf_slice(h, sizeof(h)), ret_hex);
}

void
mf_engine_new_id(struct mf_engine *e, const char *prefix, size_t letters, char *ret_id)
{
	static const char abc[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t r[32];
	size_t n = strlen(prefix);
	e->conf.rand.fill(e->conf.rand.ctx, r, letters);
	memcpy(ret_id, prefix, n);
	for (size_t i = 0; i < letters; i++)
		ret_id[n + i] = abc[r[i] & 31];
	ret_id[n + letters] = '\0';
}

void
mf_engine_break(struct mf_engine *e, const char *why)
{
	if (e->broken)
		return;
	e->broken = true;
	(void)snprintf(e->why_not, sizeof(e->why_not), "internal: %s", why);
	e->ops->event(e->ctx, "engine.broken", why);
}

uint64_t
mf_engine_record(struct mf_engine *e, struct mf_now now, struct mf_record *r)
{
	struct mf_err err = { 0 };
	char id[37];
	uint8_t random[10];
	struct mf_buf *bytes = &e->record;
	if (e->broken)
		return UINT64_MAX;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	/* Not a clock that nobody believes: what comes after it would lie before the log's own time. */
	r->ts_us = mf_engine_wall(e, now);
	if (r->type != MF_REC_SVID_RENEWED) {
		mf_uuid7(r->ts_us, random, id);
		mf_record_set_str(r, MF_RS_ID, id);
		mf_record_set_str(r, MF_RS_BROKER, e->broker_id);
		mf_record_set_str(r, MF_RS_BOOT, e->boot);
		mf_record_set_str(r, MF_RS_ORIGIN, e->origin);
	}
	mf_buf_reset(bytes);
	uint64_t index = mf_state_size(e->state);
	enum mf_status s = mf_record_encode(r, bytes, &err);
	if ((s == MF_E_TOOBIG || s == MF_E_INVALID) && !mf_record_is_removal(r->type)) {
		/* Nothing has happened yet. Limits should have caught it, but it is no reason to stop serving. */
		e->ops->event(e->ctx, "record.refused", err.msg);
		return UINT64_MAX;
	}
	if (s == MF_OK)
		s = mf_state_apply(e->state, index, r, &err);
	if (s != MF_OK) {
		/* A bug or no memory: what is in memory may no longer equal the log. Only a restart helps. */
		mf_engine_break(e, err.msg);
		return UINT64_MAX;
	}
	e->ops->append(e->ctx, index, mf_buf_slice(bytes), mf_record_is_removal(r->type));
	mf_engine_timers_after(e, r);
	mf_engine_revoke_after(e, r);
	return index;
}

/* ---- clock guard ---- */

static int64_t
offset_of(struct mf_now now)
{
	return now.wall_us - (int64_t)now.mono_ms * 1000;
}

static bool
is_ahead(const struct mf_engine *e, struct mf_now now)
{
	return e->offset_known && offset_of(now) - e->offset_us > CLOCK_FORWARD_US;
}

int64_t
mf_engine_wall(const struct mf_engine *e, struct mf_now now)
{
	return is_ahead(e, now) ? (int64_t)now.mono_ms * 1000 + e->offset_us : now.wall_us;
}

static void
watch_clock(struct mf_engine *e, struct mf_now now)
{
	int64_t offset = offset_of(now);
	if (is_ahead(e, now) && !e->jumped) {
		struct mf_record r = { .type = MF_REC_CLOCK_REFUSED };
		mf_record_set_str(&r, MF_RS_REASON, "the wall clock jumped forward by more than 5 minutes");
		e->jumped = true;
		e->jumped_ms = now.mono_ms;
		e->agreeing = 0;
		e->ops->event(e->ctx, "clock.jump", "issuance waits: the wall clock jumped forward");
		(void)mf_engine_record(e, now, &r);
	}
	/* Slow drift is followed; a step is kept until it is believed. */
	if (!e->jumped) {
		e->offset_us = offset;
		e->offset_known = true;
	} else if (!is_ahead(e, now)) {
		e->jumped = false; /* it went back by itself */
	} else if (now.mono_ms - e->jumped_ms > CLOCK_WAIT_MS && e->agreeing > 0) {
		e->jumped = false;
		e->offset_us = offset;
		e->ops->event(e->ctx, "clock.confirmed", "agents agree with the wall clock for two minutes");
	}
}

void
mf_engine_believe_clock(struct mf_engine *e, struct mf_now now)
{
	e->jumped = false;
	e->offset_us = offset_of(now);
}

const char *
mf_engine_why_not(struct mf_engine *e, struct mf_now now)
{
	if (e->broken)
		return e->why_not;
	if (e->stopped)
		return "the broker is stopping";
	if (!e->started || e->policy == NULL)
		return "the broker is starting";
	if (!e->log_room)
		return "the log's disk is full: issuance stops until there is space, removals go on";
	if (e->policy_unsaid)
		return "the policy in force is not recorded yet";
	if (mf_engine_signer(e) == NULL)
		return "no CA key is active yet";
	if (now.wall_us < mf_state_last_us(e->state) - CLOCK_BACK_US)
		return "the broker's wall clock is behind its own log: correct the clock";
	if (e->jumped || is_ahead(e, now))
		return "the broker's wall clock jumped forward: waiting for agents to agree with it, or for "
		       "`mayfly clock "
		       "confirm`";
	return NULL;
}

/* ---- life ---- */

void
mf_engine_start(struct mf_engine *e, struct mf_now now, const char *boot)
{
	struct mf_record r = { .type = MF_REC_BROKER_STARTED };
	(void)snprintf(e->boot, sizeof(e->boot), "%s", boot);
	mf_record_set_str(&r, MF_RS_RELEASE, e->release);
	e->start_ms = now.mono_ms;
	watch_clock(e, now);
	mf_engine_timers_start(e, now);
	mf_engine_void_leases(e, now);
	/* Before broker.started, at which the state forgets jobs that never had an instance. */
	mf_engine_finish_cut(e, now);
	mf_engine_freeze_sweep(e, now);
	(void)mf_engine_record(e, now, &r);
	e->started = true;
	mf_engine_keys_start(e, now);
	mf_engine_cloud_start(e, now);
}

void
mf_engine_recovered(struct mf_engine *e, struct mf_now now, uint64_t truncated_bytes)
{
	struct mf_record r = { .type = MF_REC_LOG_RECOVERED };
	mf_record_set_num(&r, MF_RN_BYTES, (int64_t)truncated_bytes);
	(void)mf_engine_record(e, now, &r);
}

void
mf_engine_snapshot_written(struct mf_engine *e, struct mf_now now, uint64_t size, const uint8_t sha256[32])
{
	struct mf_record r = { .type = MF_REC_SNAPSHOT_WRITTEN };
	char hex[65];
	if (!e->log_room)
		return; /* it is not believed without its record: the next start reads an older one */
	mf_engine_hex(mf_slice(sha256, 32), hex);
	mf_record_set_str(&r, MF_RS_SHA256, hex);
	mf_record_set_num(&r, MF_RN_SIZE, (int64_t)size);
	(void)mf_engine_record(e, now, &r);
}

void
mf_engine_stop(struct mf_engine *e, struct mf_now now)
{
	struct mf_record r = { .type = MF_REC_BROKER_STOPPED };
	if (e->stopped)
		return;
	(void)mf_engine_record(e, now, &r);
	e->stopped = true;
}

void
mf_engine_durable(struct mf_engine *e, struct mf_now now, uint64_t size)
{
	if (size > e->durable)
		e->durable = size;
	mf_release_due(e, now);
	e->ops->removal_recorded(e->ctx, e->durable);
	mf_engine_revoke_run(e, now); /* what has ended on record is told to providers at once */
}

void
mf_engine_log_room(struct mf_engine *e, bool room)
{
	if (e->log_room != room)
		e->ops->event(e->ctx, room ? "log.room" : "log.full",
		    room ? "issuance goes on" : "issuance stops; removals use the reserve");
	e->log_room = room;
}

struct session *
mf_engine_session(struct mf_engine *e, uint64_t sid)
{
	struct session *s = NULL;
	HASH_FIND(hh, e->sessions, &sid, sizeof(sid), s);
	return s;
}

bool
mf_bucket_take(struct bucket *b, struct mf_now now, uint32_t per_minute)
{
	if (now.mono_ms - b->since_ms > 60000) {
		b->since_ms = now.mono_ms;
		b->taken = 0;
	}
	if (b->taken >= per_minute)
		return false;
	b->taken++;
	return true;
}

struct pulse *
mf_engine_pulse(struct mf_engine *e, const char *node_id)
{
	struct pulse *p = NULL;
	HASH_FIND(hh, e->pulses, node_id, strlen(node_id), p);
	if (p != NULL)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	(void)snprintf(p->node_id, sizeof(p->node_id), "%s", node_id);
	p->heard_ms = e->start_ms; /* silence counts only while the broker serves */
	HASH_ADD_KEYPTR(hh, e->pulses, p->node_id, strlen(p->node_id), p);
	if (p->map_oom) {
		free(p);
		return NULL;
	}
	return p;
}

bool
mf_engine_clock_believed(const struct mf_engine *e, struct mf_now now)
{
	return !e->jumped && !is_ahead(e, now);
}

void
mf_engine_tick(struct mf_engine *e, struct mf_now now)
{
	if (!e->started || e->stopped || e->broken)
		return;
	watch_clock(e, now);
	if (e->policy_unsaid)
		(void)mf_engine_say_policy(e, now);
	mf_engine_policy_tick(e, now);
	mf_engine_freeze_tick(e, now);
	mf_engine_timers_run(e, now);
	mf_engine_keys_tick(e, now);
	mf_engine_cloud_tick(e, now);
	mf_engine_revoke_run(e, now);
	mf_cloud_alarm_tick(e, now);
	mf_engine_probe_tick(e, now);
	mf_release_due(e, now);
}

const struct mf_state *
mf_engine_state(const struct mf_engine *e)
{
	return e->state;
}

struct mf_engine_status
mf_engine_status(const struct mf_engine *e, struct mf_now now)
{
	struct mf_engine_status s = e->count;
	/* why_not only reads; it is not const because its text lives in the engine. */
	const struct mf_engine *view = e;
	struct mf_engine *mut;
	memcpy(&mut, &view, sizeof(mut));
	s.reason = mf_engine_why_not(mut, now);
	s.issuing = s.reason == NULL;
	s.sessions = HASH_COUNT(e->sessions);
	s.pending = e->works_n;
	mf_cloud_alarm_status(e, &s);
	s.issuer = mf_engine_issuer_state(e);
	s.issuer_why = mf_engine_issuer_text(e);
	return s;
}
