/*
 * Cloud tokens: what the courier brings back, and what is done when it brings nothing. It may be owned: what it says is held
 * against what was asked, and a token that nobody may have any more is never sealed.
 */
#include <stdio.h>

#include "base/secret.h"
#include "broker/notary/cloud_alarm.h"
#include "broker/notary/cloud_back.h"
#include "broker/notary/cloud_work.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define TOKEN_BYTES (64u * 1024u)
#define TEXT_BYTES 2048u
#define KEEP_MS 30000u /* of a disk that hangs: then the token is taken back */

/* A text of the courier's, for a record: whole and plain, or not at all. */
static const char *
plain(const char *s)
{
	return s != NULL && strlen(s) <= TEXT_BYTES && mf_utf8_ok(mf_slice_str(s)) && mf_engine_plain(s) ? s
													 : "";
}

static void
common(struct mf_record *r, const char *cred, const char *lease, const char *job,
    const Mayfly__Roles__V1__MintResult *res)
{
	mf_record_set_str(r, MF_RS_SERIAL, cred);
	mf_record_set_str(r, MF_RS_LEASE, lease);
	mf_record_set_str(r, MF_RS_JOB_ID, job);
	if (res != NULL)
		mf_record_set_str(r, MF_RS_CLOUD_REQUEST_ID, plain(res->provider_request_id));
}

/* Of a job that may be forgotten by now. */
static void
whose(const struct mf_engine *e, struct mf_record *r, const char *lease)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(lease));
	if (l == NULL)
		return;
	mf_record_set_str(r, MF_RS_TENANT, l->job->tenant);
	mf_record_set_str(r, MF_RS_PERSON, l->job->person);
	mf_record_set_str(r, MF_RS_GRADE, l->grade);
}

static const char *const errors[] = { "transient", "throttled", "trust", "scope", "issuer", "clock", "denied",
	"config", "bug", "unknown", "ended" };

static const char *
error_word(const char *s)
{
	for (size_t i = 0; i < MF_COUNT(errors); i++)
		if (strcmp(s, errors[i]) == 0)
			return errors[i];
	return "bug";
}

void
mf_cloud_failed(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const char *error,
    const Mayfly__Roles__V1__MintResult *res)
{
	struct mf_record r = { .type = MF_REC_CLOUD_FAILED };
	common(&r, w->cred, w->lease, w->job, res);
	whose(e, &r, w->lease);
	mf_record_set_str(&r, MF_RS_CLOUD_ERROR, error_word(error));
	if (res != NULL)
		mf_record_set_str(&r, MF_RS_REASON, plain(res->reason));
	(void)mf_engine_record(e, now, &r);
}

/* What authenticates: whoever finds it somewhere finds its job by this. */
static void
hash_token(const Mayfly__Roles__V1__CloudToken *t, char ret_hex[65])
{
	const char *s =
	    t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS ? t->session_token : t->access_token;
	mf_engine_sha256_hex(mf_slice_str(s), ret_hex);
}

static void
wipe_free(Mayfly__Roles__V1__CloudToken *t)
{
	if (t == NULL)
		return;
	mf_wipe(t->secret_access_key, strlen(t->secret_access_key));
	mf_wipe(t->session_token, strlen(t->session_token));
	mf_wipe(t->access_token, strlen(t->access_token));
	mayfly__roles__v1__cloud_token__free_unpacked(t, NULL);
}

/* NULL: it is no token of that kind. */
static Mayfly__Roles__V1__CloudToken *
unpack(const Mayfly__Roles__V1__MintResult *res, const char *kind)
{
	if (res->token.len == 0 || res->token.len > TOKEN_BYTES)
		return NULL;
	Mayfly__Roles__V1__CloudToken *t =
	    mayfly__roles__v1__cloud_token__unpack(NULL, res->token.len, res->token.data);
	bool ok = t != NULL;
	if (ok && strcmp(kind, "aws") == 0)
		ok = t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS &&
		     t->access_key_id[0] != '\0' && t->secret_access_key[0] != '\0' &&
		     t->session_token[0] != '\0';
	else if (ok)
		ok = t->kind == MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_BEARER &&
		     t->access_token[0] != '\0';
	if (ok)
		return t;
	wipe_free(t);
	return NULL;
}

void
mf_cloud_result_free(Mayfly__Roles__V1__MintResult *res)
{
	if (res == NULL)
		return;
	mf_wipe(res->token.data, res->token.len);
	mf_wipe(res->handle.data, res->handle.len);
	mayfly__roles__v1__mint_result__free_unpacked(res, NULL);
}

static Mayfly__Roles__V1__MintResult *
copy_result(const Mayfly__Roles__V1__MintResult *res)
{
	size_t n = mayfly__roles__v1__mint_result__get_packed_size(res);
	uint8_t *b = malloc(n + 1);
	if (b == NULL)
		return NULL;
	(void)mayfly__roles__v1__mint_result__pack(res, b);
	Mayfly__Roles__V1__MintResult *copy = mayfly__roles__v1__mint_result__unpack(NULL, n, b);
	mf_wipe(b, n);
	free(b);
	return copy;
}

static void
set_known(struct mf_record *r, const Mayfly__Roles__V1__MintResult *res)
{
	mf_record_set_str(r, MF_RS_CLOUD_PRINCIPAL, plain(res->principal));
	mf_record_set_str(r, MF_RS_CLOUD_PROVIDER_SESSION, plain(res->provider_session));
	mf_record_set_str(r, MF_RS_CLOUD_TOKEN_FORMAT,
	    strcmp(res->token_format, "jwt") == 0      ? "jwt"
	    : strcmp(res->token_format, "opaque") == 0 ? "opaque"
						       : "");
}

void
mf_cloud_reconcile(struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, const char *cause,
    const Mayfly__Roles__V1__MintResult *res, bool handle)
{
	char cred[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX], hash[65] = "";
	struct mf_record r = { .type = MF_REC_CLOUD_RECONCILED };
	memcpy(cred, c->id, sizeof(cred));
	memcpy(lease, c->lease_id, sizeof(lease));
	memcpy(job, c->job_id, sizeof(job));
	common(&r, cred, lease, job, res);
	whose(e, &r, lease);
	mf_record_set_str(&r, MF_RS_CAUSE, cause);
	/* Nobody vouches for the courier's word here: the latest that it can be, unless it says later still. */
	int64_t exp = c->exp;
	if (res != NULL && res->minted && res->expires > exp && res->expires < exp + INT64_C(86400) * 366)
		exp = res->expires;
	mf_record_set_num(&r, MF_RN_EXP, exp);
	if (handle)
		mf_record_set_num(&r, MF_RN_CLOUD_HANDLE, 1);
	else if (res != NULL && res->minted && res->handle.len > 0)
		mf_cloud_spare(e, cred, mf_slice(res->handle.data, res->handle.len));
	if (c->effective < c->exp) /* its scope ends by itself, which the intent said */
		mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, c->effective);
	if (res != NULL && res->minted) {
		Mayfly__Roles__V1__CloudToken *t =
		    unpack(res, res->token.len > 0 && strcmp(c->backend, "oauth") == 0 ? "bearer" : "aws");
		if (t != NULL)
			hash_token(t, hash);
		wipe_free(t);
		mf_record_set_str(&r, MF_RS_SHA256, hash);
		set_known(&r, res);
	}
	(void)mf_engine_record(e, now, &r);
}

static void
reconcile(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const char *cause,
    const Mayfly__Roles__V1__MintResult *res)
{
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(w->cred));
	if (strcmp(cause, "unknown") == 0)
		mf_cloud_unknown(e, w->target, w->cred);
	if (c != NULL && c->state == MF_CLOUD_INTENT)
		mf_cloud_reconcile(e, now, c, cause, res, w->kept);
}

/* ---- a refusal of the provider ---- */

/* The instance has an earlier token of this grant that still works. */
static bool
has_one(const struct mf_engine *e, struct mf_now now, const struct cloud_work *w)
{
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(w->cred));
	if (c == NULL || c->lease == NULL)
		return false;
	MF_LIST_EACH(p, &c->lease->clouds)
	{
		const struct mf_cloud_cred *old = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (old->state == MF_CLOUD_ACTIVE && old->epoch == c->epoch &&
		    strcmp(old->grant, c->grant) == 0 && mf_cloud_may_work(old, now.wall_us / 1000000))
			return true;
	}
	return false;
}

/*
 * What a provider refuses for good takes nothing from a job that has a token: it is served on while it works, and the
 * renewal is tried again. Only policy takes away, and a provider's no is at times a key that it could not fetch.
 */
static void
refused(struct mf_engine *e, struct mf_now now, const struct cloud_work *w,
    const Mayfly__Roles__V1__MintResult *res)
{
	char text[MF_POLICY_REASON_MAX];
	const char *word = error_word(res->error);
	bool later = true, held = has_one(e, now, w);
	static const char *const final[] = { "trust", "scope", "denied", "config" };
	for (size_t i = 0; i < MF_COUNT(final); i++)
		later &= strcmp(word, final[i]) != 0;
	(void)snprintf(text, sizeof(text), "cloud target %s gave no token (%s): %.400s", w->target, word,
	    plain(res->reason));
	if (strcmp(word, "unknown") == 0)
		reconcile(e, now, w, "unknown", res);
	else
		mf_cloud_failed(e, now, w, word, res);
	mf_cloud_refuse(e, w, later || held ? UNAVAILABLE : DENIED, text);
}

/* ---- a token ---- */

static uint64_t
record_issued(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const struct mf_lease *l,
    const Mayfly__Roles__V1__MintResult *res, const Mayfly__Roles__V1__CloudToken *t, int64_t effective)
{
	char hash[65];
	struct mf_record r = { .type = MF_REC_CLOUD_ISSUED };
	hash_token(t, hash);
	common(&r, w->cred, l->id, l->job->id, res);
	whose(e, &r, l->id);
	set_known(&r, res);
	mf_record_set_str(&r, MF_RS_NODE_ID, w->node_id);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, w->profile);
	mf_record_set_str(&r, MF_RS_RULE, w->rule);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, w->grant);
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, w->target);
	mf_record_set_str(&r, MF_RS_SHA256, hash);
	mf_record_set_num(&r, MF_RN_EXP, res->expires);
	mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, effective);
	if (w->kept)
		mf_record_set_num(&r, MF_RN_CLOUD_HANDLE, 1);
	e->count.issued++;
	return mf_engine_record(e, now, &r);
}

static void
grant(struct mf_engine *e, struct mf_now now, struct cloud_work *w, const Mayfly__Roles__V1__MintResult *res,
    int64_t effective, uint64_t index)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__CloudGrant g = MAYFLY__AGENT__V1__CLOUD_GRANT__INIT;
	g.lease_id = w->lease;
	g.epoch = w->epoch;
	g.grant = w->grant;
	g.credential_id = w->cred;
	g.kind = w->kind;
	g.token = res->token;
	g.issued_at = now.wall_us / 1000000;
	g.expires = res->expires;
	g.effective_expires = effective;
	g.refresh_after = g.issued_at + (effective - g.issued_at) / 2;
	down.request_id = w->request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT;
	down.cloud_grant = &g;
	struct release *r = mf_release_down(e, now, index, w->sid, &down, MF_ENGINE_NORMAL);
	if (r == NULL)
		return;
	r->kind = REL_GRANT; /* looked at once more when it leaves */
	r->first = index;
	memcpy(r->lease, w->lease, sizeof(r->lease));
	r->epoch = w->epoch;
}

/* Policy changed while the provider was asked: would it still be this token? */
static bool
still_decided(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const struct mf_lease *l)
{
	char why[MF_POLICY_REASON_MAX];
	struct cloud_plan p;
	if (strcmp(w->policy, e->policy_hex) == 0)
		return true;
	bool same = mf_cloud_plan(e, now, l, w->grant, &p, why) == CLOUD_YES &&
		    strcmp(p.grant->target, w->target) == 0 && strcmp(p.grant->role, w->role) == 0;
	/* A bomb's second is in the scope: what may be compared is a scope without one. */
	same = same && (w->not_after != 0 ? p.not_after != 0 : strcmp(p.scope_hash, w->scope_hash) == 0);
	mf_cloud_plan_fini(&p);
	return same;
}

/* Why nobody gets it, as the record's cause; NULL: it may leave. */
static const char *
trouble(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const struct mf_lease *l,
    const Mayfly__Roles__V1__MintResult *res, const Mayfly__Roles__V1__CloudToken *t)
{
	int64_t now_s = now.wall_us / 1000000;
	if (l == NULL)
		return "late";
	if (mf_cloud_was_ended(e, w))
		return "ended";
	if (mf_engine_why_not(e, now) != NULL)
		return "not_issuing";
	if (t == NULL || res->expires <= now_s || res->expires > w->exp)
		return "bug"; /* not what was asked for */
	/* Invariant 2: nothing works after the deadline that was not accounted for. It may have come nearer. */
	int64_t effective = w->not_after != 0 && w->not_after < res->expires ? w->not_after : res->expires;
	if (effective > l->deadline && (w->not_after != 0 || !w->may_outlive))
		return "deadline";
	return still_decided(e, now, w, l) ? NULL : "policy";
}

/* ${cause} not NULL: nobody gets it, whatever else is so. */
static void
judge(struct mf_engine *e, struct mf_now now, struct cloud_work *w, const Mayfly__Roles__V1__MintResult *res,
    const char *cause)
{
	const struct mf_lease *l = mf_cloud_lease(e, w);
	Mayfly__Roles__V1__CloudToken *t = unpack(res, w->kind);
	uint64_t index = UINT64_MAX;
	int64_t effective = w->not_after != 0 && w->not_after < res->expires ? w->not_after : res->expires;
	if (cause == NULL)
		cause = trouble(e, now, w, l, res, t);
	if (cause == NULL) {
		index = record_issued(e, now, w, l, res, t, effective);
		cause = index == UINT64_MAX ? "not_recorded" : NULL;
	}
	wipe_free(t);
	if (cause == NULL) {
		grant(e, now, w, res, effective, index);
		return;
	}
	reconcile(e, now, w, cause, res);
	bool gone = strcmp(cause, "late") == 0;
	mf_cloud_refuse(e, w, gone ? ENDED : UNAVAILABLE,
	    gone ? "it ended while the cloud token was being made"
	    : strcmp(cause, "bug") == 0
		? "the cloud target gave something else than was asked for: it was taken back"
	    : strcmp(cause, "no_handle") == 0
		? "the broker could not keep what the token's revocation will need: it was taken back"
		: "what is allowed changed while the cloud token was being made: ask again");
}

/* Can a single token of its target be ended, and does that need a handle? */
static bool
wants_handle(const struct mf_engine *e, const struct cloud_work *w)
{
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, w->target);
	const struct mf_token_backend *b = t == NULL ? NULL : e->ops->backend(e->ctx, t->backend);
	return b != NULL && b->caps.needs_handle && e->ops->keep_handle != NULL &&
	       (mf_token_backend_levels(b, t) & MF_REVOKE_CREDENTIAL) != 0;
}

static void
minted(struct mf_engine *e, struct mf_now now, struct cloud_work *w, const Mayfly__Roles__V1__MintResult *res)
{
	bool wants = wants_handle(e, w);
	if (!wants || res->handle.len == 0) {
		judge(e, now, w, res, wants ? "bug" : NULL);
		mf_cloud_drop(e, w);
		return;
	}
	/* Whoever gets it, or nobody: first it can be taken back. */
	int64_t until = res->expires > w->exp ? res->expires : w->exp;
	w->res = copy_result(res);
	if (w->res == NULL ||
	    !e->ops->keep_handle(e->ctx, w->cred, mf_slice(res->handle.data, res->handle.len), until)) {
		judge(e, now, w, res, "no_handle");
		mf_cloud_drop(e, w);
		return;
	}
	w->phase = CLOUD_KEEPING;
	w->due_ms = now.mono_ms + KEEP_MS;
}

void
mf_engine_handle_kept(struct mf_engine *e, struct mf_now now, const char *cred, const char *why)
{
	struct cloud_work *w, *next;
	HASH_ITER(hh, e->cloud.works, w, next)
	{
		if (w->phase != CLOUD_KEEPING || strcmp(w->cred, cred) != 0)
			continue;
		w->kept = why == NULL;
		judge(e, now, w, w->res, why == NULL ? NULL : "no_handle");
		mf_cloud_drop(e, w);
		return;
	}
	/* Too late: it is on record that there is none. */
	if (why == NULL && e->ops->drop_handle != NULL)
		e->ops->drop_handle(e->ctx, cred);
}

void
mf_engine_minted(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__MintResult *res)
{
	if (mf_engine_probe_minted(e, now, res))
		return;
	struct cloud_work *w = mf_cloud_work(e, res->mint_id);
	if (w == NULL || w->phase != CLOUD_SENT) {
		/* Twice, too late, or never asked for. */
		if (e->cloud.unasked++ == 0)
			e->ops->event(
			    e->ctx, "courier.unasked", "a result that nobody waits for was dropped");
		return;
	}
	mf_cloud_heard(e, w->target, res->minted ? "" : error_word(res->error), plain(res->reason));
	if (res->minted) {
		mf_cloud_revoke_sooner(e, now, w->target);
		minted(e, now, w, res);
		return;
	}
	refused(e, now, w, res);
	mf_cloud_drop(e, w);
}

/* ---- no answer ---- */

static void
lost(struct mf_engine *e, struct mf_now now, struct cloud_work *w, const char *why)
{
	if (w->phase == CLOUD_SENT && now.mono_ms >= w->due_ms)
		mf_cloud_heard(e, w->target, "unknown", why);
	if (w->phase == CLOUD_KEEPING)
		reconcile(e, now, w, "no_handle", w->res);
	else if (w->phase == CLOUD_SENT)
		reconcile(e, now, w, "unknown", NULL);
	else
		mf_cloud_failed(e, now, w, "transient", NULL);
	mf_cloud_refuse(e, w, UNAVAILABLE, why);
	mf_cloud_drop(e, w);
}

void
mf_engine_courier_gone(struct mf_engine *e, struct mf_now now)
{
	struct cloud_work *w, *next;
	HASH_ITER(hh, e->cloud.works, w, next)
	if (w->phase == CLOUD_SENT)
		lost(e, now, w, "the broker's courier died while the cloud was asked: try again");
	mf_engine_revoke_courier_gone(e, now);
	mf_engine_probe_courier_gone(e, now);
}

void
mf_engine_cloud_tick(struct mf_engine *e, struct mf_now now)
{
	struct cloud_work *w, *next;
	HASH_ITER(hh, e->cloud.works, w, next)
	if (w->phase != CLOUD_RECORDING && now.mono_ms >= w->due_ms)
		lost(e, now, w,
		    w->phase == CLOUD_KEEPING ? "the broker's disk did not answer in time: try again"
					      : "the cloud did not answer in time: try again");
}

/* An intent without outcome: whoever was asked may have given a token, and nobody holds it. */
void
mf_engine_cloud_start(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (c->state == MF_CLOUD_INTENT)
			mf_cloud_reconcile(e, now, c, "restart", NULL,
			    e->ops->has_handle != NULL && e->ops->has_handle(e->ctx, c->id));
	}
	e->cloud.look = true; /* what an earlier life did not finish */
}
