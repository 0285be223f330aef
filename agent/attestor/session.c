/*
 * session: the inner session with the notary, through the front. Handshake, chunks, and the meaning of messages;
 * the order of things is core/inner_client.h. See attestor_internal.h and docs/internals/protocols.md.
 *
 * Credit: a sealed chunk is made only when the front said that it takes one (OuterCredit), beginning with none
 * for each OuterOpened; the handshake message needs no credit.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/node_proof.h"
#include "crypto/hash.h"
#include "os/jlog.h"

#define RESYNC_MAX MF_LIM_NODE_INSTANCES
#define CREDIT_MAX 65536u

/* ---- sending ---- */

void
mf_session_send(struct mf_attestor *a, enum mf_inner_lane lane, const Mayfly__Agent__V1__Up *up)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	struct mf_err err = { 0 };
	mf_buf_init(&b, MF_LIM_INNER_MESSAGE);
	enum mf_status s = a->inner == NULL ? MF_FAIL(&err, MF_E_STATE, "no inner session") : MF_OK;
	if (s == MF_OK)
		s = mf_pb_pack(&up->base, &b, &err);
	if (s == MF_OK)
		s = mf_inner_send(a->inner, lane, 0, mf_buf_slice(&b), &err);
	if (s == MF_OK)
		return;
	mf_jlog_err(MF_LOG_WARN, "session.send", "a message could not be queued", &err);
	a->close_reason = "the broker takes no more messages";
}

void
mf_session_pump(struct mf_attestor *a)
{
	struct mf_err err = { 0 };
	while (a->inner != NULL && a->link != NULL && !a->link_broken && a->close_reason == NULL &&
	       a->credit > 0) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
		mf_buf_init(&b, MF_INNER_SEALED_MAX);
		enum mf_status s = mf_inner_next(a->inner, &b, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s != MF_OK) {
			mf_jlog_err(MF_LOG_WARN, "session.seal", "the inner session broke", &err);
			a->close_reason = "the inner session broke";
			return;
		}
		Mayfly__Roles__V1__OuterData m = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
		m.sid = a->sid;
		m.body = (ProtobufCBinaryData) { .len = b.n, .data = b.p };
		mf_attestor_tell(a, MF_MSG_OUTER_DATA_OUT, &m.base);
		a->credit--;
	}
}

static void
hello_fill(struct mf_attestor *a, Mayfly__Agent__V1__Hello *h)
{
	h->version_min = h->version_max = MF_IC_VERSION;
	h->boot_id = (char *)(uintptr_t)mf_instances_boot(a->table);
	if (a->have_session_value)
		h->session_value =
		    (ProtobufCBinaryData) { .len = sizeof(a->session_value), .data = a->session_value };
	static char keys[] = MF_SESSION_FEATURE_KEYS, jwt_keys[] = MF_SESSION_FEATURE_JWT_KEYS;
	static char *features[] = { keys, jwt_keys };
	h->n_features = MF_COUNT(features);
	h->features = features;
	h->hostname = a->hostname;
	h->release = a->release;
}

static void
send_resync(struct mf_attestor *a, uint64_t id, struct mf_instance *const *held, size_t n)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Resync r = MAYFLY__AGENT__V1__RESYNC__INIT;
	Mayfly__Agent__V1__HeldInstance *all = calloc(n + 1, sizeof(*all)),
					**list = calloc(n + 1, sizeof(*list));
	struct mf_buf *keys = calloc(n + 1, sizeof(*keys));
	bool ok = all != NULL && list != NULL && keys != NULL;
	for (size_t k = 0; ok && k < n; k++) {
		mayfly__agent__v1__held_instance__init(&all[k]);
		mf_buf_init(&keys[k], 1024);
		mf_attestor_key(a, held[k], &keys[k]);
		ok = mf_buf_cstr(&keys[k]) != NULL;
		all[k].instance_key = (char *)keys[k].p;
		all[k].lease_id = held[k]->lease_id;
		all[k].epoch = held[k]->epoch;
		list[k] = &all[k];
	}
	if (ok) {
		up.request_id = id;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
		up.resync = &r;
		r.instances = list;
		r.n_instances = n;
		mf_session_send(a, MF_INNER_BOUNDED, &up);
	} else {
		a->close_reason = "out of memory";
	}
	for (size_t k = 0; keys != NULL && k < n; k++)
		mf_buf_fini(&keys[k]);
	free(keys);
	free(list);
	free(all);
}

/* By the token, or by the node's own certificate. */
static bool
fill_join(struct mf_attestor *a, Mayfly__Agent__V1__Join *join)
{
	struct mf_err err = { 0 };
	if (a->token != NULL) {
		struct mf_slice secret = mf_join_token_secret(a->token);
		join->token_id = (char *)(uintptr_t)mf_join_token_public(a->token)->token_id;
		join->token_secret =
		    (ProtobufCBinaryData) { .len = secret.n, .data = (uint8_t *)(uintptr_t)secret.p };
		return true;
	}
	if (mf_node_proof_fill(a->proof, a->handshake_hash, join, &err) == MF_OK)
		return true;
	mf_jlog_err(MF_LOG_ERROR, "session.proof", "the node's certificate could not be used", &err);
	a->close_reason = "the node's certificate could not be used";
	return false;
}

static void
on_send(void *ctx, enum mf_ic_what what, uint64_t id, struct mf_instance *const *held, size_t n)
{
	struct mf_attestor *a = ctx;
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Hello hello = MAYFLY__AGENT__V1__HELLO__INIT;
	Mayfly__Agent__V1__Join join = MAYFLY__AGENT__V1__JOIN__INIT;
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	Mayfly__Agent__V1__Heartbeat beat = MAYFLY__AGENT__V1__HEARTBEAT__INIT;
	up.request_id = id;
	switch (what) {
	case MF_IC_HELLO:
		hello_fill(a, &hello);
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
		up.hello = &hello;
		break;
	case MF_IC_JOIN:
		hello_fill(a, &hello);
		join.hello = &hello;
		if (!fill_join(a, &join))
			return;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
		up.join = &join;
		break;
	case MF_IC_STORED:
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
		up.session_stored = &stored;
		break;
	case MF_IC_HEARTBEAT:
		beat.live = (uint32_t)mf_instances_count(a->table);
		beat.wall_us = mf_now().wall_us;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_HEARTBEAT;
		up.heartbeat = &beat;
		break;
	case MF_IC_RESYNC:
		send_resync(a, id, held, n);
		return;
	}
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

static void
on_send_end(void *ctx, uint64_t id, const struct mf_instance *i)
{
	struct mf_attestor *a = ctx;
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__End e = MAYFLY__AGENT__V1__END__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key = { 0 };
	mf_buf_init(&key, 1024);
	mf_attestor_key(a, i, &key);
	if (mf_buf_cstr(&key) == NULL) {
		a->close_reason = "out of memory"; /* the next session carries it */
		return;
	}
	e.instance_key = (char *)key.p;
	e.lease_id = i->lease_id;
	e.cause = (Mayfly__Agent__V1__EndCause)i->end_cause;
	e.detected_us = i->end_us;
	up.request_id = id;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &e;
	mf_session_send(a, mf_ic_phase(a->ic) == MF_IC_READY ? MF_INNER_REMOVAL : MF_INNER_BOUNDED, &up);
}

/* ---- what the machine asks for ---- */

static enum mf_status
on_store(void *ctx, struct mf_slice value, struct mf_err *err)
{
	struct mf_attestor *a = ctx;
	MF_TRY(mf_store_write_session(a->state_fd, value, err));
	memcpy(a->session_value, value.p, sizeof(a->session_value));
	a->have_session_value = true;
	return MF_OK;
}

static void
on_verdict(void *ctx, struct mf_instance *i, enum mf_ic_verdict v)
{
	struct mf_attestor *a = ctx;
	if (v == MF_IC_ENDED)
		mf_life_event(a, i, MF_JOB_LEASE_ENDED, MF_END_OPERATOR);
	else if (v == MF_IC_SUSPENDED)
		mf_life_suspend(a, i, "suspended");
	else if (v == MF_IC_UNKNOWN)
		mf_life_suspend(a, i, "unknown to the broker");
}

static void
on_recorded(void *ctx, struct mf_instance *i)
{
	mf_life_event(ctx, i, MF_JOB_RECORDED, MF_END_NONE);
}

static void
on_lost(void *ctx, enum mf_ic_kind kind, uint64_t tag)
{
	struct mf_attestor *a = ctx;
	if (kind == MF_IC_CERTIFY)
		a->want_outer = true;
	else if (kind == MF_IC_MINT)
		mf_mint_lost(a, tag);
	else if (kind == MF_IC_CLOUD)
		mf_cloud_refused(a, tag, NULL);
	else if (kind == MF_IC_EXPLAIN)
		mf_explain_refused(a, tag, NULL);
	else if (kind == MF_IC_MANAGER)
		mf_sim_answered(a, NULL, true);
	else
		mf_serve_refuse(a, tag, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
		    "the session with the broker was cut; ask again with new keys");
}

static void
tell_state(struct mf_attestor *a, const char *reason)
{
	Mayfly__Roles__V1__SessionState m = MAYFLY__ROLES__V1__SESSION_STATE__INIT;
	char text[MF_TEXT_REASON];
	(void)snprintf(text, sizeof(text), "%s", reason);
	m.ready = mf_ic_phase(a->ic) == MF_IC_READY;
	m.reason = text;
	m.node_id = a->trust.node_id;
	mf_attestor_tell(a, MF_MSG_SESSION_STATE, &m.base);
}

static void
certify_outer(struct mf_attestor *a)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__CertifyOuter c = MAYFLY__AGENT__V1__CERTIFY_OUTER__INIT;
	if (!a->want_outer || mf_ic_request(a->ic, MF_IC_CERTIFY, 0, mf_now(), &up.request_id, NULL) != MF_OK)
		return;
	a->want_outer = false;
	c.point = (ProtobufCBinaryData) { .len = sizeof(a->outer_point), .data = a->outer_point };
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER;
	up.certify_outer = &c;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

static void
on_phase(void *ctx, enum mf_ic_phase p, const char *reason)
{
	struct mf_attestor *a = ctx;
	MF_LOG(p == MF_IC_REFUSED ? MF_LOG_ERROR : MF_LOG_INFO, "session.phase",
	    "the session with the broker", mf_js("phase", mf_ic_phase_name(p)), mf_js("reason", reason));
	tell_state(a, reason);
	if (p == MF_IC_READY) {
		certify_outer(a);
		mf_session_say_held(a);
	}
}

static void
on_close(void *ctx, const char *reason)
{
	struct mf_attestor *a = ctx;
	if (a->close_reason != NULL)
		return;
	(void)snprintf(a->close_text, sizeof(a->close_text), "%s", reason);
	a->close_reason = a->close_text;
}

static void
on_evicted(void *ctx)
{
	struct mf_attestor *a = ctx;
	MF_INSTANCES_EACH(i, a->table)
	{
		if (i->state < MF_JOB_ENDED && i->asked)
			mf_life_event(a, i, MF_JOB_LEASE_ENDED, MF_END_NODE_EVICTED);
	}
}

const struct mf_ic_ops mf_session_ops = { .send = on_send,
	.send_end = on_send_end,
	.store = on_store,
	.verdict = on_verdict,
	.recorded = on_recorded,
	.lost = on_lost,
	.phase = on_phase,
	.close = on_close,
	.evicted = on_evicted };

/* ---- trust ---- */

/* The bundle that came in clear counts when the session vouches for exactly these bytes. */
static void
match_bundle(struct mf_attestor *a)
{
	uint8_t sum[MF_SHA256_SIZE];
	struct mf_err err = { 0 };
	if (a->vouch_number == 0 || a->document_number != a->vouch_number ||
	    a->vouch_number <= a->trust.bundle_number || a->document.n == 0)
		return;
	mf_sha256(mf_buf_slice(&a->document), sum);
	if (memcmp(sum, a->vouch_sha256, sizeof(sum)) != 0) {
		MF_LOG(MF_LOG_WARN, "trust.mismatch", "a bundle is not the one that the broker vouches for",
		    mf_ju("number", a->vouch_number));
		return;
	}
	mf_buf_reset(&a->trust.bundle);
	mf_buf_put_slice(&a->trust.bundle, mf_buf_slice(&a->document));
	a->trust.bundle_number = a->vouch_number;
	if (mf_store_write_trust(a->state_fd, &a->trust, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "trust.store", "trust was not stored", &err);
	MF_LOG(MF_LOG_INFO, "trust.bundle", "new trust bundle", mf_ju("number", a->trust.bundle_number));
	mf_session_tell_trust(a);
	mf_session_say_held(a);
}

static enum mf_status
take_vouch(struct mf_attestor *a, const Mayfly__Agent__V1__Vouch *v, struct mf_err *err)
{
	if (v == NULL || v->kind != MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE)
		return v == NULL ? MF_OK : mf_documents_vouch(a, v, err);
	if (v->sha256.len != sizeof(a->vouch_sha256))
		return MF_FAIL(err, MF_E_INVALID, "vouch: a digest of %zu bytes", v->sha256.len);
	if (v->number < a->vouch_number)
		return MF_OK;
	a->vouch_number = v->number;
	memcpy(a->vouch_sha256, v->sha256.data, sizeof(a->vouch_sha256));
	match_bundle(a);
	return MF_OK;
}

void
mf_session_document(struct mf_attestor *a, const Mayfly__Roles__V1__DocumentSeen *m)
{
	const Mayfly__Agent__V1__Document *d = m->document;
	if (d != NULL)
		mf_documents_seen(a, d);
	if (d == NULL || d->kind != MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE ||
	    d->body.len > MF_LIM_BUNDLE_DER)
		return;
	mf_buf_reset(&a->document);
	mf_buf_put(&a->document, d->body.data, d->body.len);
	a->document_number = d->number;
	match_bundle(a);
}

void
mf_session_outer_key(struct mf_attestor *a, const Mayfly__Roles__V1__OuterKey *m)
{
	if (m->point.len != sizeof(a->outer_point) || m->point.data[0] != 4)
		return;
	memcpy(a->outer_point, m->point.data, sizeof(a->outer_point));
	a->want_outer = true;
	certify_outer(a);
}

void
mf_session_greet_front(struct mf_attestor *a)
{
	mf_session_tell_trust(a);
	mf_documents_greet_front(a);
	tell_state(a, "");
}

/* ---- receiving ---- */

static bool
id_ok(const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	return n > 0 && n < max &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static enum mf_status
welcome(struct mf_attestor *a, uint64_t id, const Mayfly__Agent__V1__Welcome *w, struct mf_now now,
    struct mf_err *err)
{
	if (!id_ok(w->node_id, sizeof(a->trust.node_id)))
		return MF_FAIL(err, MF_E_INVALID, "welcome: bad node id");
	if (strcmp(w->broker_id, a->trust.broker_id) != 0 ||
	    strcmp(w->trust_domain, a->trust.trust_domain) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "welcome: from broker %s of %s", w->broker_id, w->trust_domain);
	if (strcmp(w->node_id, a->trust.node_id) != 0) {
		memset(a->trust.node_id, 0, sizeof(a->trust.node_id));
		memcpy(a->trust.node_id, w->node_id, strlen(w->node_id));
		MF_TRY(mf_store_write_trust(a->state_fd, &a->trust, err));
	}
	a->key_unknown = false;
	mf_session_features(a, w);
	MF_TRY(take_vouch(a, w->bundle, err));
	const struct mf_ic_welcome in = { .version = w->version,
		.session_value = mf_slice(w->session_value.data, w->session_value.len),
		.heartbeat_ms = w->heartbeat_ms };
	MF_TRY(mf_ic_welcome(a->ic, id, &in, now, err));
	mf_join_token_free(a->token); /* one use is one node: it has served */
	a->token = NULL;
	return MF_OK;
}

static enum mf_status
resync_answer(struct mf_attestor *a, uint64_t id, const Mayfly__Agent__V1__ResyncAnswer *r, struct mf_now now,
    struct mf_err *err)
{
	if (r->n_verdicts > RESYNC_MAX)
		return MF_FAIL(err, MF_E_INVALID, "resync answer: %zu verdicts", r->n_verdicts);
	struct mf_ic_verdict_in *v = calloc(r->n_verdicts + 1, sizeof(*v));
	if (v == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "session: out of memory");
	for (size_t k = 0; k < r->n_verdicts; k++) {
		v[k].instance_key = mf_slice_str(r->verdicts[k]->instance_key);
		v[k].verdict = (enum mf_ic_verdict)r->verdicts[k]->verdict;
	}
	enum mf_status s = mf_ic_resync_answer(a->ic, id, v, r->n_verdicts, now, err);
	free(v);
	return s;
}

static enum mf_status
grant(struct mf_attestor *a, uint64_t id, Mayfly__Agent__V1__Grant *g, struct mf_err *err)
{
	uint64_t handle = 0;
	Mayfly__Roles__V1__InstanceGrant m = MAYFLY__ROLES__V1__INSTANCE_GRANT__INIT;
	if (mf_ic_answered(a->ic, id, 1u << MF_IC_ATTACH | 1u << MF_IC_RENEW, &handle, NULL) != MF_OK)
		return MF_OK; /* it was late: the front was told so and has thrown the keys away */
	struct mf_instance *i = mf_instances_by_handle(a->table, handle);
	if (i == NULL)
		return MF_OK;
	if (g->lease_id[0] == '\0')
		return MF_FAIL(err, MF_E_INVALID, "grant without a lease");
	MF_TRY(mf_instance_set(&i->lease_id, mf_slice_str(g->lease_id), MF_INSTANCE_TEXT_MAX, err));
	i->epoch = g->epoch;
	a->dirty = true;
	if (i->state >= MF_JOB_ENDED) {
		mf_ic_end(a->ic, i); /* again, with the lease that was opened for a job that was over */
		return MF_OK;
	}
	m.handle = handle;
	m.grant = g;
	mf_attestor_tell(a, MF_MSG_INSTANCE_GRANT, &m.base);
	return MF_OK;
}

/* A refusal of keys. What it says about the lease is believed before the front hears of it. */
static void
refused_instance(struct mf_attestor *a, uint64_t handle, Mayfly__Agent__V1__Refusal *r)
{
	Mayfly__Roles__V1__InstanceRefused m = MAYFLY__ROLES__V1__INSTANCE_REFUSED__INIT;
	struct mf_instance *i = mf_instances_by_handle(a->table, handle);
	m.handle = handle;
	m.refusal = r;
	mf_attestor_tell(a, MF_MSG_INSTANCE_REFUSED, &m.base);
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return;
	if (r->code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED)
		mf_life_event(a, i, MF_JOB_LEASE_ENDED, MF_END_OPERATOR);
	else if (r->code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED)
		mf_life_suspend(a, i, "suspended");
}

static enum mf_status
refusal(
    struct mf_attestor *a, uint64_t id, Mayfly__Agent__V1__Refusal *r, struct mf_now now, struct mf_err *err)
{
	enum mf_ic_kind kind;
	uint64_t tag = 0;
	if (id == 0 && mf_ic_phase(a->ic) == MF_IC_READY)
		MF_LOG(MF_LOG_WARN, "session.refused", "the broker ends the session",
		    mf_js("reason", r->reason));
	if (r->code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_NODE_UNKNOWN &&
	    mf_ic_phase(a->ic) == MF_IC_GREETING)
		a->key_unknown = true;
	if (mf_ic_refusal(a->ic, id, (uint32_t)r->code, r->reason, &kind, &tag, now, err) != MF_OK)
		return MF_OK; /* late */
	if (kind == MF_IC_ATTACH || kind == MF_IC_RENEW)
		refused_instance(a, tag, r);
	else if (kind == MF_IC_MINT)
		mf_mint_refused(a, tag, r);
	else if (kind == MF_IC_CLOUD)
		mf_cloud_refused(a, tag, r);
	else if (kind == MF_IC_EXPLAIN)
		mf_explain_refused(a, tag, r);
	else if (kind == MF_IC_MANAGER)
		mf_sim_answered(
		    a, r->reason, r->code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE);
	else if (kind == MF_IC_CERTIFY)
		MF_LOG(MF_LOG_ERROR, "session.no_certificate", "the broker does not certify the front's key",
		    mf_js("reason", r->reason));
	return MF_OK;
}

static enum mf_status
on_down(struct mf_attestor *a, Mayfly__Agent__V1__Down *d, struct mf_now now, struct mf_err *err)
{
	uint64_t tag = 0;
	switch (d->body_case) {
	case MAYFLY__AGENT__V1__DOWN__BODY_WELCOME:
		return welcome(a, d->request_id, d->welcome, now, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL:
		return refusal(a, d->request_id, d->refusal, now, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER:
		return resync_answer(a, d->request_id, d->resync_answer, now, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_OUTER_CERTIFICATE:
		mf_session_outer_certificate(a, d->request_id, d->outer_certificate);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_EXPLAINED:
		mf_explain_answered(a, d->request_id, d->explained);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_GRANT:
		return grant(a, d->request_id, d->grant, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT:
		mf_mint_granted(a, d->request_id, d->jwt_grant);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT:
		mf_cloud_granted(a, d->request_id, d->cloud_grant);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_END_ANSWER:
		mf_ic_end_answer(a->ic, mf_slice_str(d->end_answer->instance_key), d->end_answer->recorded);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED:
		mf_session_lease_ended(a, d->lease_ended);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_MANAGER_ANSWER:
		if (mf_ic_answered(a->ic, d->request_id, 1u << MF_IC_MANAGER, &tag, NULL) == MF_OK)
			mf_sim_answered(a, NULL, false);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDING:
		mf_session_lease_ending(a, d->lease_ending);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_LEASE_DEADLINE:
		mf_session_lease_deadline(a, d->lease_deadline);
		return MF_OK;
	case MAYFLY__AGENT__V1__DOWN__BODY_VOUCH:
		return take_vouch(a, d->vouch, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST:
		return mf_session_distrust(a, d->distrust, err);
	case MAYFLY__AGENT__V1__DOWN__BODY_RECONSIDER:
	case MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED:
	case MAYFLY__AGENT__V1__DOWN__BODY_SVID_ENDED:
		mf_session_recalled(a, d);
		return MF_OK;
	default:
		return MF_OK; /* of a later release */
	}
}

/* ---- the outer session ---- */

void
mf_session_drop(struct mf_attestor *a, const char *reason, bool tell)
{
	if (a->outer && tell) {
		Mayfly__Roles__V1__OuterClosed m = MAYFLY__ROLES__V1__OUTER_CLOSED__INIT;
		char text[MF_TEXT_REASON / 2];
		(void)snprintf(text, sizeof(text), "%s", reason);
		m.sid = a->sid;
		m.reason = text;
		mf_attestor_tell(a, MF_MSG_OUTER_CLOSE_OUT, &m.base);
	}
	mf_noise_free(a->noise);
	mf_inner_free(a->inner);
	a->noise = NULL;
	a->inner = NULL;
	a->outer = false;
	a->credit = 0;
	a->close_reason = NULL;
	mf_ic_closed(a->ic, reason, mf_now());
	a->close_reason = NULL; /* whatever failed to be sent in that */
}

static enum mf_status
begin_handshake(struct mf_attestor *a, struct mf_buf *to_message, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf prologue = { 0 };
	mf_buf_init(&prologue, 1024);
	if (a->trust.trust_domain[0] == '\0')
		return MF_FAIL(
		    err, MF_E_STATE, "this node has not joined a broker; give the agent a join token");
	MF_TRY(mf_inner_prologue(
	    mf_slice_str(a->trust.trust_domain), mf_slice_str(a->trust.broker_id), &prologue, err));
	const struct mf_noise_conf conf = { .role = MF_NOISE_INITIATOR,
		.prologue = mf_buf_slice(&prologue),
		.local_static = a->key,
		.remote_static = a->trust.notary_key };
	MF_TRY(mf_noise_new(&conf, &a->noise, err));
	a->handshake_ms = mf_now().mono_ms + MF_IC_GREETING_MS;
	return mf_noise_write(a->noise, mf_slice(NULL, 0), to_message, err);
}

void
mf_session_opened(struct mf_attestor *a, const Mayfly__Roles__V1__OuterOpened *m)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf first = { 0 };
	mf_buf_init(&first, MF_NOISE_MESSAGE_1 + 64);
	if (a->outer)
		mf_session_drop(a, "replaced by a new session", true);
	a->outer = true;
	a->sid = m->sid;
	a->credit = 0;
	if (begin_handshake(a, &first, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "session.handshake", "no handshake with the broker", &err);
		mf_session_drop(a, err.msg, true);
		return;
	}
	Mayfly__Roles__V1__OuterData out = MAYFLY__ROLES__V1__OUTER_DATA__INIT;
	out.sid = a->sid;
	out.handshake = true;
	out.body = (ProtobufCBinaryData) { .len = first.n, .data = first.p };
	mf_attestor_tell(a, MF_MSG_OUTER_DATA_OUT, &out.base);
}

static enum mf_status
take_handshake(struct mf_attestor *a, struct mf_slice body, struct mf_now now, struct mf_err *err)
{
	if (a->noise == NULL || a->inner != NULL)
		return MF_FAIL(err, MF_E_INVALID, "a handshake message where none is due");
	MF_TRY(mf_noise_read(a->noise, body, NULL, err));
	MF_TRY(mf_noise_hash(a->noise, a->handshake_hash, err));
	MF_TRY(mf_inner_new(a->noise, &a->inner, err));
	a->noise = NULL;
	/* A node that was welcomed once says hello; token and certificate are for a key that nobody knows. */
	bool join = (a->token != NULL || a->proof != NULL) && (a->trust.node_id[0] == '\0' || a->key_unknown);
	mf_ic_opened(a->ic, join, now);
	return MF_OK;
}

static enum mf_status
take_sealed(struct mf_attestor *a, struct mf_slice body, struct mf_now now, struct mf_err *err)
{
	enum mf_inner_lane lane;
	struct mf_slice message;
	if (a->inner == NULL)
		return MF_FAIL(err, MF_E_INVALID, "a sealed message before the handshake");
	enum mf_status s = mf_inner_feed(a->inner, body, &lane, &message, err);
	if (s == MF_E_AGAIN)
		return MF_OK;
	MF_TRY(s);
	MF_AUTO(mf_pb_free) ProtobufCMessage *down = NULL;
	MF_TRY(mf_pb_unpack(&mayfly__agent__v1__down__descriptor, message, &down, err));
	return on_down(a, (Mayfly__Agent__V1__Down *)down, now, err);
}

void
mf_session_data(struct mf_attestor *a, const Mayfly__Roles__V1__OuterData *m)
{
	struct mf_err err = { 0 };
	if (!a->outer || m->sid != a->sid || a->close_reason != NULL)
		return; /* of a session that is over */
	struct mf_slice body = mf_slice(m->body.data, m->body.len);
	enum mf_status s =
	    m->handshake ? take_handshake(a, body, mf_now(), &err) : take_sealed(a, body, mf_now(), &err);
	if (s == MF_OK)
		return;
	mf_jlog_err(MF_LOG_WARN, "session.broken", "the inner session ends", &err);
	mf_session_drop(a, err.msg, true);
}

void
mf_session_closed(struct mf_attestor *a, const Mayfly__Roles__V1__OuterClosed *m)
{
	if (a->outer && m->sid == a->sid)
		mf_session_drop(a, m->reason, false);
}

void
mf_session_credit(struct mf_attestor *a, const Mayfly__Roles__V1__OuterCredit *m)
{
	if (!a->outer || m->sid != a->sid)
		return;
	a->credit = m->chunks > CREDIT_MAX - a->credit ? CREDIT_MAX : a->credit + m->chunks;
}
