/*
 * JWT-SVIDs. A token is a credential of its lease like a certificate: decided anew by today's policy, recorded and
 * durable before it leaves, ended with the lease. Its audiences are those that were asked for, all of them, or there is
 * no token.
 */
#include <stdio.h>

#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"
#include "codec/jwt_svid.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define DENIED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED
#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define SUSPENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED
/* Tokens of one lease that have not expired: fewer than credentials in all, so that certificates can be renewed. */
#define LIVE_TOKENS_MAX 192u
#define TICKETS (UINT64_C(1) << 62) /* never a ticket of a certificate */
#define DENIED_PER_MINUTE 60u

struct jwt_work {
	uint64_t id, sid, request_id;
	char node_id[MF_STATE_ID_MAX];
	char lease[MF_STATE_ID_MAX];
	char profile[MF_STATE_ID_MAX];
	char rule[MF_STATE_ID_MAX];
	uint32_t epoch, slot;
	const char *use; /* of the key that signs */
	char *hint;
	struct mf_jwt_request *fields; /* a copy of what was asked, for the record */
	bool map_oom;
	UT_hash_handle hh;
};

void
mf_jwt_request_free(struct mf_jwt_request *r)
{
	if (r == NULL)
		return;
	mf_jws_key_free(r->key);
	free(r->spiffe_id);
	for (size_t i = 0; i < r->audiences_n; i++)
		free(r->audiences[i]);
	free(r->audiences);
	free(r);
}

static void
work_free(struct jwt_work *w)
{
	if (w == NULL)
		return;
	mf_jwt_request_free(w->fields);
	free(w->hint);
	free(w);
}

static void
drop(struct mf_engine *e, struct jwt_work *w)
{
	HASH_DELETE(hh, e->jwt_works, w);
	e->works_n--;
	work_free(w);
}

void
mf_engine_jwt_fini(struct mf_engine *e)
{
	struct jwt_work *w, *next;
	HASH_ITER(hh, e->jwt_works, w, next)
	drop(e, w);
}

/* ---- what was asked ---- */

/* The slot of the identity ${name}; MF_LIM_IDENTITIES when this lease has none of that name. */
static uint32_t
slot_of(const struct mf_lease *l, const char *name, const struct mf_cred **ret_head)
{
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->slot < MF_LIM_IDENTITIES && l->slot_used[c->slot] &&
		    l->slot_index[c->slot] == c->index && strcmp(c->spiffe_id, name) == 0) {
			*ret_head = c;
			return c->slot;
		}
	}
	return MF_LIM_IDENTITIES;
}

const char *
mf_engine_token_trouble(const struct session *s, const struct mf_lease *l, uint32_t epoch,
    Mayfly__Agent__V1__RefusalCode *ret_code)
{
	*ret_code = ENDED;
	if (l == NULL || strcmp(l->node->id, s->node_id) != 0)
		return "this node has no such lease";
	if (l->state == MF_LEASE_ENDED)
		return "this job is over";
	*ret_code = SUSPENDED;
	if (l->state == MF_LEASE_SUSPENDED || l->epoch != epoch)
		return "the lease was suspended: attach anew";
	return NULL;
}

static const char *
audience_trouble(const Mayfly__Agent__V1__MintJwt *m)
{
	if (m->n_audiences == 0 || m->n_audiences > MF_LIM_JWT_AUDIENCES)
		return "1 to 16 audiences are needed";
	for (size_t i = 0; i < m->n_audiences; i++)
		if (mf_jwt_audience_check(mf_slice_str(m->audiences[i]), NULL) != MF_OK)
			return "an audience is empty, longer than 1024 bytes or not UTF-8";
	return NULL;
}

static bool
is_listed(const struct mf_policy_profile *p, const char *audience)
{
	for (size_t i = 0; i < p->n_jwt_audiences; i++)
		if (strcmp(p->jwt_audiences[i], audience) == 0)
			return true;
	return false;
}

/* As many as one lease may have at once. Counted only as long as it could be so. */
static bool
has_enough_tokens(const struct mf_lease *l, struct mf_now now)
{
	size_t n = 0, others = 0;
	if (l->creds_n < LIVE_TOKENS_MAX)
		return false;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->kid[0] != '\0' && c->exp * 1000000 > now.wall_us)
			n++;
		else if (++others > l->creds_n - LIVE_TOKENS_MAX)
			return false; /* what is left is too few */
	}
	return n >= LIVE_TOKENS_MAX;
}

/* ---- a denial: durable before it is told; who asks in a loop fills no disk ---- */

void
mf_engine_deny_token(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id,
    const struct mf_lease *l, const char *reason, const char *told, const char *rule)
{
	struct pulse *p = mf_engine_pulse(e, s->node_id);
	if (p == NULL || !mf_bucket_take(&p->denied, now, DENIED_PER_MINUTE)) {
		mf_send_refusal(e, s->sid, request_id, DENIED, told, rule);
		return;
	}
	struct mf_record r = { .type = MF_REC_AUTHZ_DENIED };
	mf_record_set_str(&r, MF_RS_ACTOR_KIND, "agent");
	mf_record_set_str(&r, MF_RS_NODE_ID, s->node_id);
	mf_record_set_str(&r, MF_RS_INSTANCE_KEY, l->key);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, l->job->profile);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	mf_record_set_str(&r, MF_RS_EFFECT, "deny");
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_RULE, rule != NULL ? rule : "");
	mf_record_set_str(&r, MF_RS_TENANT, l->job->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, l->job->person);
	mf_record_set_str(&r, MF_RS_GRADE, l->grade);
	uint64_t index = mf_engine_record(e, now, &r);
	if (index == UINT64_MAX) {
		mf_send_refusal(
		    e, s->sid, request_id, UNAVAILABLE, "the broker could not record its decision", NULL);
		return;
	}
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Refusal refusal = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_POLICY_REASON_MAX], rule_text[MF_STATE_ID_MAX];
	(void)snprintf(text, sizeof(text), "%s", told);
	(void)snprintf(rule_text, sizeof(rule_text), "%s", rule != NULL ? rule : "");
	refusal.code = DENIED;
	refusal.reason = text;
	refusal.rule = rule_text;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	down.refusal = &refusal;
	e->count.refused++;
	(void)mf_release_down(e, now, index, s->sid, &down, MF_ENGINE_NORMAL);
}

/* Never narrowed in silence: an audience that is not listed is named, and there is no token. */
static bool
audiences_permitted(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id,
    const struct mf_lease *l, const struct mf_decision *d, const Mayfly__Agent__V1__MintJwt *m)
{
	for (size_t i = 0; i < m->n_audiences; i++) {
		char reason[MF_POLICY_REASON_MAX];
		if (is_listed(d->profile, m->audiences[i]))
			continue;
		struct mf_slice aud = mf_slice_str(m->audiences[i]);
		size_t n = mf_engine_plain(m->audiences[i]) ? mf_utf8_cut(aud, 200) : 0;
		(void)snprintf(reason, sizeof(reason),
		    "the audience \"%.*s%s\" is not in jwt_audiences of profile %s: ask for a listed one, or "
		    "have it "
		    "added to the policy",
		    (int)n, (const char *)aud.p, n < aud.n ? "..." : "", d->profile->name);
		mf_engine_deny_token(e, now, s, request_id, l, reason, reason, d->rule);
		return false;
	}
	return true;
}

/* While the job is ending what was granted is renewed; a token for other audiences would be a new grant. */
static bool
new_while_ending(const struct mf_lease *l, uint32_t slot, char *const *aud, size_t n)
{
	return !mf_lease_may_grant(l->state) && !mf_lease_had_audiences(l, slot, aud, n);
}

static const char no_new_grant[] = "the job is ending: tokens are renewed only for the audiences that this "
				   "identity already had one for; fetch a "
				   "token for each audience before the end is announced";

/* ---- making it ---- */

static struct mf_jwt_request *
new_fields(struct mf_engine *e, struct mf_now now, const Mayfly__Agent__V1__MintJwt *m, int64_t exp)
{
	uint8_t random[16];
	struct mf_jwt_request *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_engine_hex(mf_slice(random, sizeof(random)), f->jti);
	f->iat = now.wall_us / 1000000 - (int64_t)e->conf.backdate_s; /* for clocks that lag */
	f->exp = exp;
	f->spiffe_id = strdup(m->spiffe_id);
	f->audiences = calloc(m->n_audiences, sizeof(*f->audiences));
	bool ok = f->spiffe_id != NULL && f->audiences != NULL;
	for (size_t i = 0; ok && i < m->n_audiences; i++) {
		f->audiences[i] = strdup(m->audiences[i]);
		f->audiences_n = i + 1;
		ok = f->audiences[i] != NULL;
	}
	if (ok)
		return f;
	mf_jwt_request_free(f);
	return NULL;
}

/* A copy for the signer, with its own reference of the key. */
static struct mf_jwt_request *
copy_fields(const struct mf_jwt_request *f)
{
	struct mf_jwt_request *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	*c = (struct mf_jwt_request) { .ticket = f->ticket, .iat = f->iat, .exp = f->exp };
	memcpy(c->jti, f->jti, sizeof(c->jti));
	c->key = mf_jws_key_ref(f->key);
	c->spiffe_id = strdup(f->spiffe_id);
	c->audiences = calloc(f->audiences_n, sizeof(*c->audiences));
	bool ok = c->spiffe_id != NULL && c->audiences != NULL;
	for (size_t i = 0; ok && i < f->audiences_n; i++) {
		c->audiences[i] = strdup(f->audiences[i]);
		c->audiences_n = i + 1;
		ok = c->audiences[i] != NULL;
	}
	if (ok)
		return c;
	mf_jwt_request_free(c);
	return NULL;
}

static struct jwt_work *
new_work(struct mf_engine *e, const struct session *s, uint64_t request_id, const struct mf_lease *l,
    const struct mf_decision *d)
{
	struct jwt_work *w = e->works_n >= e->conf.max_pending ? NULL : calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->id = TICKETS + ++e->next_work;
	w->sid = s->sid;
	w->request_id = request_id;
	w->epoch = l->epoch;
	memcpy(w->node_id, s->node_id, sizeof(w->node_id));
	memcpy(w->lease, l->id, sizeof(w->lease));
	(void)snprintf(w->profile, sizeof(w->profile), "%s", d->profile->name);
	(void)snprintf(w->rule, sizeof(w->rule), "%s", d->rule);
	HASH_ADD(hh, e->jwt_works, id, sizeof(w->id), w);
	if (w->map_oom) {
		free(w);
		return NULL;
	}
	e->works_n++;
	return w;
}

/* The key that is active now, as a reference; NULL: there is none, or its file is lost. */
static struct mf_jws_key *
signer(struct mf_engine *e, const char *use)
{
	const struct mf_key *k = mf_state_active_key(e->state, use);
	return k == NULL ? NULL : e->ops->jwt_key(e->ctx, k->id);
}

static void
begin(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id,
    const struct mf_lease *l, const struct mf_decision *d, uint32_t slot, const char *hint,
    const Mayfly__Agent__V1__MintJwt *m)
{
	/* Invariant 2: never longer than the job may run, whatever the profile says. */
	int64_t now_s = now.wall_us / 1000000;
	int64_t exp = now_s + (int64_t)(d->profile->identities[slot].jwt_ttl_ms / 1000);
	if (exp > l->deadline)
		exp = l->deadline;
	if (exp <= now_s) {
		mf_send_refusal(e, s->sid, request_id, DENIED, "the job's deadline is now", d->rule);
		return;
	}
	struct jwt_work *w = new_work(e, s, request_id, l, d);
	struct mf_jwt_request *copy = NULL;
	if (w != NULL) {
		w->slot = slot;
		w->hint = strdup(hint);
		w->fields = new_fields(e, now, m, exp);
	}
	if (w != NULL && w->fields != NULL) {
		w->fields->ticket = w->id;
		w->use = d->profile->jwt_rs256 ? MF_KEY_USE_JWT_RS256 : MF_KEY_USE_JWT_ES256;
		w->fields->key = signer(e, w->use);
	}
	if (w != NULL && w->hint != NULL && w->fields != NULL && w->fields->key != NULL)
		copy = copy_fields(w->fields);
	if (copy != NULL) {
		e->ops->sign_jwt(e->ctx, copy);
		return;
	}
	bool no_key = w != NULL && w->fields != NULL && w->fields->key == NULL;
	if (w != NULL)
		drop(e, w);
	mf_send_refusal(e, s->sid, request_id, UNAVAILABLE,
	    no_key ? "the broker has no key for the profile's jwt_alg: put back its file, or 'mayfly key "
		     "prepare' and "
		     "'mayfly key activate' another"
		   : "the broker is busy: try again",
	    NULL);
}

void
mf_engine_mint_jwt(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__MintJwt *m)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(m->lease_id));
	const struct mf_cred *head = NULL;
	Mayfly__Agent__V1__RefusalCode code;
	struct mf_err err = { 0 };
	const char *why = mf_engine_token_trouble(s, l, m->epoch, &code);
	if (why == NULL) {
		code = INVALID;
		why = audience_trouble(m);
	}
	if (why == NULL) {
		code = UNAVAILABLE;
		why = mf_engine_why_not(e, now);
	}
	if (why == NULL && has_enough_tokens(l, now))
		why =
		    "this instance has too many tokens that have not expired: it asks for too many audiences";
	if (why != NULL) {
		mf_send_refusal(e, s->sid, request_id, code, why, NULL);
		return;
	}
	uint32_t slot = slot_of(l, m->spiffe_id, &head);
	if (slot == MF_LIM_IDENTITIES) {
		mf_send_refusal(
		    e, s->sid, request_id, DENIED, "this lease has no identity of that name", NULL);
		return;
	}
	char final[MF_POLICY_REASON_MAX];
	if (mf_engine_is_final(l, m->spiffe_id, final, sizeof(final))) {
		mf_engine_deny_token(e, now, s, request_id, l, final, final, NULL);
		return;
	}
	MF_AUTO(mf_facts_free) struct mf_facts *facts = NULL;
	if (mf_request_lease(l, &facts, &err) != MF_OK) {
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, err.msg, NULL);
		return;
	}
	struct mf_decision d;
	struct mf_policy_request req = { mf_slice_str(l->job->profile), facts, now.wall_us / 1000000 };
	mf_policy_decide(e->policy, &req, &d);
	mf_engine_check_frozen(e, l->job->tenant, l->job->person, &d);
	if (!d.permit || slot >= d.profile->n_identities) {
		static const char gone[] = "the profile no longer has this identity";
		mf_engine_deny_token(
		    e, now, s, request_id, l, d.permit ? gone : d.reason, d.permit ? gone : d.told, d.rule);
		return;
	}
	if (!audiences_permitted(e, now, s, request_id, l, &d, m))
		return;
	if (new_while_ending(l, slot, m->audiences, m->n_audiences))
		mf_engine_deny_token(e, now, s, request_id, l, no_new_grant, no_new_grant, d.rule);
	else
		begin(e, now, s, request_id, l, &d, slot, head->hint, m);
}

/* ---- the signer's answer ---- */

static uint64_t
record(struct mf_engine *e, struct mf_now now, const struct jwt_work *w, const struct mf_lease *l,
    struct mf_slice token)
{
	char hash[65];
	struct mf_slice aud[MF_LIM_JWT_AUDIENCES];
	const struct mf_jwt_request *f = w->fields;
	struct mf_record r = { .type = MF_REC_JWT_ISSUED };
	mf_engine_sha256_hex(token, hash); /* finds the job of a token that leaked */
	for (size_t i = 0; i < f->audiences_n; i++)
		aud[i] = mf_slice_str(f->audiences[i]);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, w->profile);
	mf_record_set_str(&r, MF_RS_NODE_ID, w->node_id);
	mf_record_set_str(&r, MF_RS_RULE, w->rule);
	mf_record_set_str(&r, MF_RS_TENANT, l->job->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, l->job->person);
	mf_record_set_str(&r, MF_RS_GRADE, l->grade);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, f->spiffe_id);
	mf_record_set_str(&r, MF_RS_HINT, w->hint);
	mf_record_set_str(&r, MF_RS_SERIAL, f->jti);
	mf_record_set_str(&r, MF_RS_KID, mf_jws_key_kid(f->key));
	mf_record_set_str(&r, MF_RS_SHA256, hash);
	mf_record_set_num(&r, MF_RN_NBF, f->iat);
	mf_record_set_num(&r, MF_RN_EXP, f->exp);
	mf_record_set_num(&r, MF_RN_SLOT, w->slot);
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	r.aud = aud;
	r.aud_n = f->audiences_n;
	e->count.issued++;
	return mf_engine_record(e, now, &r);
}

static void
grant(struct mf_engine *e, struct mf_now now, const struct jwt_work *w, const char *token, uint64_t index)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__JwtGrant g = MAYFLY__AGENT__V1__JWT_GRANT__INIT;
	char lease[MF_STATE_ID_MAX];
	memcpy(lease, w->lease, sizeof(lease));
	g.lease_id = lease;
	g.epoch = w->epoch;
	g.spiffe_id = w->fields->spiffe_id;
	g.token = (char *)(uintptr_t)token; /* packing only reads */
	g.jti = w->fields->jti;
	g.issued_at = w->fields->iat;
	g.expires = w->fields->exp;
	down.request_id = w->request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_JWT_GRANT;
	down.jwt_grant = &g;
	struct release *r = mf_release_down(e, now, index, w->sid, &down, MF_ENGINE_NORMAL);
	if (r == NULL)
		return;
	r->kind = REL_GRANT; /* looked at once more when it leaves */
	r->first = index;
	memcpy(r->lease, w->lease, sizeof(r->lease));
	r->epoch = w->epoch;
}

static void
finish(struct mf_engine *e, struct mf_now now, const struct jwt_work *w, struct mf_slice token)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text; /* wiped */
	const char *why = mf_engine_why_not(e, now);
	mf_buf_init(&text, MF_LIM_JWT + 1);
	mf_buf_put_slice(&text, token);
	const char *cstr = mf_buf_cstr(&text);
	if (token.n == 0 || cstr == NULL)
		why = "the token could not be made: try again";
	if (why != NULL) {
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE, why, NULL);
		return;
	}
	/* Invariant 3: what ended while the signer worked is not recorded, so it does not exist. */
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(w->lease));
	if (l == NULL || l->epoch != w->epoch || !mf_lease_may_renew(l->state)) {
		mf_send_refusal(
		    e, w->sid, w->request_id, ENDED, "it ended while the token was being made", NULL);
		return;
	}
	char final[MF_POLICY_REASON_MAX];
	if (mf_engine_is_final(l, w->fields->spiffe_id, final, sizeof(final))) {
		mf_send_refusal(e, w->sid, w->request_id, DENIED, final, NULL);
		return;
	}
	if (new_while_ending(l, w->slot, w->fields->audiences, w->fields->audiences_n)) {
		mf_send_refusal(e, w->sid, w->request_id, DENIED, no_new_grant, w->rule);
		return;
	}
	/* Invariant 2: the deadline came nearer meanwhile, or the end was announced. */
	if (w->fields->exp > l->deadline) {
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE,
		    "the job's deadline changed while the token was being made: ask again", NULL);
		return;
	}
	uint64_t index = has_enough_tokens(l, now) ? UINT64_MAX : record(e, now, w, l, token);
	if (index == UINT64_MAX)
		mf_send_refusal(e, w->sid, w->request_id, UNAVAILABLE,
		    "the broker could not record the token: try again later", NULL);
	else
		grant(e, now, w, cstr, index);
}

/* Only what the active key signed may be recorded. */
static bool
is_current(const struct mf_engine *e, const struct jwt_work *w)
{
	const struct mf_key *k = mf_state_active_key(e->state, w->use);
	return k != NULL && strcmp(k->id, mf_jws_key_kid(w->fields->key)) == 0;
}

/*
 * The order of the log says which key signed what: a token of a key that is active no more is made anew with the one that
 * is. True: the work goes on.
 */
static bool
sign_again(struct mf_engine *e, struct jwt_work *w)
{
	struct mf_jws_key *key = is_current(e, w) ? NULL : signer(e, w->use);
	if (key == NULL)
		return false;
	mf_jws_key_free(w->fields->key);
	w->fields->key = key;
	struct mf_jwt_request *copy = copy_fields(w->fields);
	if (copy == NULL)
		return false;
	e->ops->sign_jwt(e->ctx, copy);
	return true;
}

void
mf_engine_jwt_signed(struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token)
{
	struct jwt_work *w = NULL;
	HASH_FIND(hh, e->jwt_works, &ticket, sizeof(ticket), w);
	if (w == NULL || (token.n > 0 && sign_again(e, w)))
		return;
	finish(e, now, w, is_current(e, w) ? token : mf_slice(NULL, 0));
	drop(e, w);
}
