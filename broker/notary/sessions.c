/* Who is at the other end of a session: hello, join, session values, resync. */
#include <stdio.h>

#include "base/secret.h"
#include "broker/notary/engine_internal.h"

#define VERSION 1u
#define REFUSED_PER_MINUTE 20u
#define HELLOS_PER_MINUTE 60u /* each is two records */
#define FEATURE_CLOUD "cloud.1"
#define FEATURE_EXPLAIN "explain.1" /* Explain is answered */
#define FEATURE_KEYS "keys.1"	    /* bundles are confirmed, distrusted keys are told */
#define FEATURE_JWT_KEYS "keys.2"   /* the same of the JWT bundle and its keys */
#define CLOCK_AGREE_US (INT64_C(60) * 1000000)

void
mf_engine_drop_session(struct mf_engine *e, struct session *s)
{
	struct pulse *p = NULL;
	HASH_FIND(hh, e->pulses, s->node_id, strlen(s->node_id), p);
	if (p != NULL && p->sid == s->sid)
		p->sid = 0;
	mf_engine_forget_proving(e, s->sid);
	HASH_DELETE(hh, e->sessions, s);
	mf_session_forget_gone(s);
	free(s);
}

void
mf_engine_session_gone(struct mf_engine *e, struct mf_now now, uint64_t sid)
{
	struct session *s = mf_engine_session(e, sid);
	MF_UNUSED(now);
	if (s != NULL)
		mf_engine_drop_session(e, s);
}

void
mf_engine_all_sessions_gone(struct mf_engine *e, struct mf_now now)
{
	struct session *s, *t;
	MF_UNUSED(now);
	HASH_ITER(hh, e->sessions, s, t)
	mf_engine_drop_session(e, s);
}

/* Turned away before anything was believed: said, recorded (bounded), closed. */
void
mf_engine_turn_away(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    Mayfly__Agent__V1__RefusalCode code, const char *reason, const struct mf_node *n)
{
	struct pulse *p = n == NULL ? NULL : mf_engine_pulse(e, n->id);
	mf_send_refusal(e, s->sid, request_id, code, reason, NULL);
	e->ops->event(e->ctx,
	    code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_CLONE ? "node.clone" : "session.refused",
	    reason);
	s->phase = PHASE_CLOSED;
	e->ops->close(e->ctx, s->sid, reason);
	/* Unknown keys cost the log nothing; a known node's attempts are recorded, a few each minute. */
	if (p == NULL || mf_engine_why_not(e, now) != NULL)
		return;
	if (!mf_bucket_take(&p->refused, now, REFUSED_PER_MINUTE))
		return;
	struct mf_record r = { .type = MF_REC_NODE_REFUSED };
	mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	(void)mf_engine_record(e, now, &r);
}

/* ---- the session value: 16 random bytes that only the real node can have stored ---- */

static bool
value_accepted(struct mf_engine *e, struct mf_now now, const struct mf_node *n, struct mf_slice value)
{
	char hex[65];
	if (!n->has_session) /* new, or readmitted: nothing to compare with */
		return true;
	if (value.n > 0)
		mf_engine_sha256_hex(value, hex);
	if (value.n > 0 && strcmp(hex, n->session) == 0) {
		if (n->confirmed)
			return true;
		/* It was stored, only the word of it was lost. */
		struct mf_record r = { .type = MF_REC_NODE_CONFIRMED };
		mf_record_set_str(&r, MF_RS_NODE_ID, n->id);
		mf_record_set_str(&r, MF_RS_SESSION, hex);
		return mf_engine_record(e, now, &r) != UINT64_MAX;
	}
	/* The first one since it was registered or readmitted never arrived: there is still nothing to compare with. */
	if (!n->confirmed && !n->has_previous)
		return true;
	return value.n > 0 && !n->confirmed && strcmp(hex, n->previous) == 0;
}

static void
welcome(
    struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id, const struct mf_node *n)
{
	uint8_t value[16];
	char keys[] = FEATURE_KEYS, jwt_keys[] = FEATURE_JWT_KEYS, explain[] = FEATURE_EXPLAIN;
	char cloud[] = FEATURE_CLOUD;
	char *features[] = { keys, jwt_keys, explain, cloud };
	struct mf_record r = { .type = MF_REC_NODE_SESSION };
	e->conf.rand.fill(e->conf.rand.ctx, value, sizeof(value));
	mf_engine_sha256_hex(mf_slice(value, sizeof(value)), s->value_hash);
	(void)snprintf(s->node_id, sizeof(s->node_id), "%s", n->id);
	mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
	mf_record_set_str(&r, MF_RS_NODE_BOOT, s->boot);
	mf_record_set_str(&r, MF_RS_SESSION, s->value_hash);
	uint64_t index = mf_engine_record(e, now, &r);

	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Welcome w = MAYFLY__AGENT__V1__WELCOME__INIT;
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	v.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
	v.number = s->vouched = e->keys.number[MF_KEY_IN_X509];
	v.sha256.data = e->keys.sha256;
	v.sha256.len = sizeof(e->keys.sha256);
	w.version = VERSION;
	w.node_id = s->node_id;
	w.session_value.data = value;
	w.session_value.len = sizeof(value);
	w.broker_id = e->broker_id;
	w.trust_domain = e->trust_domain;
	w.lease_ttl_ms = (uint32_t)e->conf.lease_ttl_ms;
	w.heartbeat_ms = (uint32_t)e->conf.heartbeat_ms;
	w.bundle = v.number == 0 ? NULL : &v;
	w.n_features = MF_COUNT(features) - !mf_engine_cloud_on(e);
	w.features = features;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_WELCOME;
	down.welcome = &w;
	s->phase = PHASE_WELCOME;
	(void)mf_release_down(e, now, index, s->sid, &down, MF_ENGINE_NORMAL);
	mf_wipe(value, sizeof(value));
}

/* The newest valid session of a node is the session; the one before goes without a word. */
static void
replace_older(struct mf_engine *e, struct mf_now now, const struct mf_node *n, uint64_t sid)
{
	struct pulse *p = mf_engine_pulse(e, n->id);
	struct session *old = p == NULL || p->sid == 0 || p->sid == sid ? NULL : mf_engine_session(e, p->sid);
	if (old != NULL) {
		e->ops->close(e->ctx, old->sid, "replaced by a newer session of the node");
		mf_engine_drop_session(e, old);
	}
	if (p == NULL)
		return;
	p->sid = sid;
	p->heard_ms = now.mono_ms;
}

void
mf_engine_admit(
    struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id, const struct mf_node *n)
{
	struct pulse *p = mf_engine_pulse(e, n->id);
	if (p == NULL || !mf_bucket_take(&p->hellos, now, HELLOS_PER_MINUTE)) {
		mf_engine_turn_away(e, now, s, request_id,
		    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "this node opens sessions too often: try again in a minute", NULL);
		return;
	}
	replace_older(e, now, n, s->sid);
	if (e->ops->session_node != NULL)
		e->ops->session_node(e->ctx, s->sid, n->id);
	welcome(e, now, s, request_id, n);
}

void
mf_engine_hello(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Hello *h, const Mayfly__Agent__V1__Join *join)
{
	const struct mf_node *n = mf_state_node_by_inner(e->state, mf_slice_str(s->remote_hex));
	const char *why = mf_engine_why_not(e, now);
	if (h == NULL || h->version_min > VERSION || h->version_max < VERSION) {
		mf_engine_turn_away(e, now, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_VERSION,
		    "this broker speaks version 1 of mayfly.agent.v1: run an agent of a neighbouring release",
		    n);
		return;
	}
	if (strlen(h->boot_id) != 36 || strspn(h->boot_id, "0123456789abcdef-") != 36) {
		mf_engine_turn_away(e, now, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "the boot id is not that of a Linux kernel", n);
		return;
	}
	(void)snprintf(s->boot, sizeof(s->boot), "%s", h->boot_id);
	for (size_t i = 0; i < h->n_features; i++) {
		s->confirms[MF_KEY_IN_X509] |= strcmp(h->features[i], FEATURE_KEYS) == 0;
		s->confirms[MF_KEY_IN_JWT] |= strcmp(h->features[i], FEATURE_JWT_KEYS) == 0;
	}
	/* A session costs records that are no removals: without room there are no new ones. Those that are open end
	 * what they hold. */
	if (why != NULL && (join != NULL || e->policy == NULL || e->broken || e->stopped || !e->log_room)) {
		mf_engine_turn_away(
		    e, now, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE, why, NULL);
		return;
	}
	if (n != NULL && n->evicted) {
		mf_engine_turn_away(e, now, s, request_id,
		    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_EVICTED,
		    "this node was evicted: an operator may let it in again by 'mayfly node readmit'", n);
		return;
	}
	if (n == NULL && join == NULL) {
		mf_engine_turn_away(e, now, s, request_id,
		    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_UNKNOWN,
		    "this node is not registered: give the agent a join token", NULL);
		return;
	}
	if (n == NULL) {
		n = mf_engine_attest(e, now, s, request_id, h, join);
		if (n == NULL)
			return; /* turned away, or its evidence is being looked at */
	} else if (!value_accepted(e, now, n, mf_slice(h->session_value.data, h->session_value.len))) {
		mf_engine_turn_away(e, now, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_CLONE,
		    "the session value is not the one that this node was given last: there is a copy of its "
		    "state, or an old one was restored. Remove the copy, then let the right one in by "
		    "'mayfly "
		    "node evict' and 'mayfly node readmit'",
		    n);
		return;
	}
	mf_engine_admit(e, now, s, request_id, n);
}

void
mf_engine_stored(struct mf_engine *e, struct mf_now now, struct session *s)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	if (s->phase != PHASE_WELCOME || n == NULL || strcmp(n->session, s->value_hash) != 0)
		return;
	if (!n->confirmed) {
		struct mf_record r = { .type = MF_REC_NODE_CONFIRMED };
		mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
		mf_record_set_str(&r, MF_RS_SESSION, s->value_hash);
		(void)mf_engine_record(e, now, &r);
	}
	s->phase = PHASE_STORED;
	mf_engine_keys_stored(e, s);
}

/* ---- resync ---- */

static Mayfly__Agent__V1__Verdict
judge(struct mf_engine *e, const struct session *s, const Mayfly__Agent__V1__HeldInstance *h)
{
	const struct mf_lease *l = mf_state_lease_by_key(e->state, mf_slice_str(h->instance_key));
	if (l == NULL || strcmp(l->node->id, s->node_id) != 0)
		return MAYFLY__AGENT__V1__VERDICT__VERDICT_UNKNOWN;
	switch (l->state) {
	case MF_LEASE_ENDED:
		return MAYFLY__AGENT__V1__VERDICT__VERDICT_ENDED;
	case MF_LEASE_OPEN:
	case MF_LEASE_ENDING:
		if (strcmp(h->lease_id, l->id) == 0 && h->epoch == l->epoch)
			return MAYFLY__AGENT__V1__VERDICT__VERDICT_KEEP;
		return MAYFLY__AGENT__V1__VERDICT__VERDICT_UNKNOWN; /* the grant never arrived: attach again */
	case MF_LEASE_SUSPENDED:
	case MF_LEASE_NONE:
	case MF_LEASE_STATES:
		break;
	}
	return MAYFLY__AGENT__V1__VERDICT__VERDICT_SUSPENDED;
}

static int
by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

static bool
named(const char *const *sorted, size_t n, const char *key)
{
	return n > 0 && bsearch(&key, sorted, n, sizeof(*sorted), by_text) != NULL;
}

/* Leases that the node no longer holds: another boot, or simply not there any more. */
static void
end_unnamed(struct mf_engine *e, struct mf_now now, const struct session *s, const char *const *sorted,
    size_t n_named)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_KEPT_NO_MORE,
		"its node no longer holds it", 0, "agent" };
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		bool reboot = strcmp(l->boot, s->boot) != 0;
		if (l->state == MF_LEASE_ENDED || (!reboot && named(sorted, n_named, l->key)))
			continue;
		why.cause = reboot ? MAYFLY__AGENT__V1__END_CAUSE__END_REBOOT
				   : MAYFLY__AGENT__V1__END_CAUSE__END_KEPT_NO_MORE;
		why.reason = reboot ? "its node was started anew" : "its node no longer holds it";
		(void)mf_engine_end_lease(e, now, l, &why, false);
	}
}

void
mf_engine_resync(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__Resync *r)
{
	if (s->phase != PHASE_STORED || r->n_instances > MF_LIM_NODE_INSTANCES) {
		mf_engine_turn_away(e, now, s, request_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "a resync comes once, after the session value is stored, and names at most 4096 "
		    "instances",
		    NULL);
		return;
	}
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__ResyncAnswer answer = MAYFLY__AGENT__V1__RESYNC_ANSWER__INIT;
	Mayfly__Agent__V1__InstanceVerdict *v = calloc(r->n_instances + 1, sizeof(*v));
	Mayfly__Agent__V1__InstanceVerdict **pv =
	    calloc(r->n_instances + 1, sizeof(Mayfly__Agent__V1__InstanceVerdict *));
	const char **sorted = calloc(r->n_instances + 1, sizeof(char *));
	if (v == NULL || pv == NULL || sorted == NULL) {
		mf_engine_break(e, "out of memory for a resync");
		free(sorted);
		free(pv);
		free(v);
		return;
	}
	for (size_t i = 0; i < r->n_instances; i++)
		sorted[i] = r->instances[i]->instance_key;
	qsort(sorted, r->n_instances, sizeof(*sorted), by_text);
	end_unnamed(e, now, s, sorted, r->n_instances);
	for (size_t i = 0; i < r->n_instances; i++) {
		mayfly__agent__v1__instance_verdict__init(&v[i]);
		v[i].instance_key = r->instances[i]->instance_key;
		v[i].verdict = judge(e, s, r->instances[i]);
		pv[i] = &v[i];
	}
	answer.n_verdicts = r->n_instances;
	answer.verdicts = pv;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER;
	down.resync_answer = &answer;
	s->phase = PHASE_READY;
	/* After everything that the resync ended is on disk. */
	uint64_t size = mf_state_size(e->state);
	if (size > e->durable)
		(void)mf_release_down(e, now, size - 1, s->sid, &down, MF_ENGINE_NORMAL);
	else
		mf_send_down(e, s->sid, &down, MF_ENGINE_NORMAL, 0);
	mf_engine_tell_endings(e, s);
	mf_engine_tell_ended(e, now, s);
	mf_engine_vouch_documents(e, s);
	mf_engine_keys_ready(e, s);
	free(sorted);
	free(pv);
	free(v);
}

/* ---- every message of a session enters here ---- */

static struct session *
new_session(struct mf_engine *e, uint64_t sid, const uint8_t remote[32])
{
	struct session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->sid = sid;
	memcpy(s->remote, remote, sizeof(s->remote));
	mf_engine_hex(mf_slice(remote, 32), s->remote_hex);
	HASH_ADD(hh, e->sessions, sid, sizeof(s->sid), s);
	if (s->map_oom) {
		free(s);
		return NULL;
	}
	return s;
}

static void
heartbeat(struct mf_engine *e, struct mf_now now, const Mayfly__Agent__V1__Heartbeat *h)
{
	int64_t apart = h->wall_us - now.wall_us;
	if (!e->jumped)
		return;
	if (apart < CLOCK_AGREE_US && apart > -CLOCK_AGREE_US)
		e->agreeing++;
	else
		e->jumped_ms = now.mono_ms; /* one that disagrees: begin to count anew */
}

static void
ready_only(struct mf_engine *e, struct mf_now now, struct session *s, const Mayfly__Agent__V1__Up *up)
{
	if (s->phase != PHASE_READY) {
		mf_send_refusal(e, s->sid, up->request_id,
		    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "nothing is issued on a session before its resync", NULL);
		return;
	}
	switch (up->body_case) {
	case MAYFLY__AGENT__V1__UP__BODY_ATTACH:
		mf_engine_attach(e, now, s, up->request_id, up->attach);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_EXPLAIN:
		mf_engine_explain(e, now, s, up->request_id, up->explain);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_RENEW:
		mf_engine_renew(e, now, s, up->request_id, up->renew);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MINT_JWT:
		mf_engine_mint_jwt(e, now, s, up->request_id, up->mint_jwt);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MINT_CLOUD:
		mf_engine_mint_cloud(e, now, s, up->request_id, up->mint_cloud);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MANAGER_STARTED:
		mf_engine_manager_started(e, now, s, up->request_id, up->manager_started);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER:
		mf_engine_certify_outer(e, now, s, up->request_id, up->certify_outer);
		break;
	default:
		break;
	}
}

void
mf_engine_session_begun(struct mf_engine *e, uint64_t sid, const uint8_t remote[32], const uint8_t hash[32])
{
	if (mf_engine_session(e, sid) != NULL)
		return;
	struct session *s = new_session(e, sid, remote);
	if (s == NULL)
		return; /* its first message finds the same and says so */
	memcpy(s->hash, hash, sizeof(s->hash));
	s->has_hash = true;
}

void
mf_engine_up(struct mf_engine *e, struct mf_now now, uint64_t sid, const uint8_t remote[32],
    const Mayfly__Agent__V1__Up *up)
{
	struct session *s = mf_engine_session(e, sid);
	if (s == NULL)
		s = new_session(e, sid, remote);
	if (s == NULL)
		mf_engine_break(e, "out of memory for a session");
	if (s == NULL || s->phase == PHASE_CLOSED)
		return;
	if (memcmp(s->remote, remote, sizeof(s->remote)) != 0) {
		/* One session has one key for its life; whoever numbers sessions made a mistake, or tries one. */
		e->ops->event(e->ctx, "session.mixed", "a session's key changed: it is closed");
		s->phase = PHASE_CLOSED;
		e->ops->close(e->ctx, sid, "mixed up");
		return;
	}
	bool first = up->body_case == MAYFLY__AGENT__V1__UP__BODY_HELLO ||
		     up->body_case == MAYFLY__AGENT__V1__UP__BODY_JOIN;
	if (first != (s->phase == PHASE_NEW)) {
		mf_engine_turn_away(e, now, s, up->request_id,
		    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID,
		    "a session begins with Hello or Join, once", NULL);
		return;
	}
	if (s->phase == PHASE_PROVING)
		return; /* it was told nothing yet that it could answer */
	if (!first) {
		struct pulse *p = mf_engine_pulse(e, s->node_id);
		const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
		if (p == NULL || n == NULL || n->evicted || p->sid != sid)
			return; /* evicted or replaced: the close is on its way */
		p->heard_ms = now.mono_ms;
	}
	switch (up->body_case) {
	case MAYFLY__AGENT__V1__UP__BODY_HELLO:
		mf_engine_hello(e, now, s, up->request_id, up->hello, NULL);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_JOIN:
		mf_engine_hello(e, now, s, up->request_id, up->join->hello, up->join);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED:
		mf_engine_stored(e, now, s);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_RESYNC:
		mf_engine_resync(e, now, s, up->request_id, up->resync);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_END:
		if (s->phase >= PHASE_STORED)
			mf_engine_end(e, now, s, up->request_id, up->end);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_MANAGER_END:
		if (s->phase >= PHASE_STORED)
			mf_engine_manager_end(e, now, s, up->request_id, up->manager_end);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_HEARTBEAT:
		heartbeat(e, now, up->heartbeat);
		break;
	case MAYFLY__AGENT__V1__UP__BODY_BUNDLE_HELD:
		mf_engine_bundle_held(e, s, up->bundle_held);
		break;
	default:
		ready_only(e, now, s, up);
		break;
	}
}
