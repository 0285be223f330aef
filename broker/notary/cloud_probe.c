/*
 * The way of one cloud token, walked for an operator (`mayfly doctor --profile`). What can be known without asking is
 * cloud_check.c; then the issuer is read as a provider would, and a test token is asked for as a job's would be: its intent is
 * durable before an assertion is made, the courier asks, and what comes back is recorded as what nobody gets, and taken back at
 * once by the ordinary way. What goes wrong is said with the side that it is on. Its texts are cloud_verdict.c's.
 *
 * A refusal that may be about tags is tried once more without them: that token's permissions are over when it is made.
 */
#include <stdio.h>

#include "broker/notary/cloud_verdict.h"

#define IDS (UINT64_C(1) << 60)
#define IDS_END (UINT64_C(1) << 61)
#define PROBES_MAX 4u
#define PER_MINUTE 60u
#define FETCH_MS 10000u
#define MINT_MS 10000u /* the provider's part */
#define SILENCE_MS 15000u
#define BACK_MS 20000u
#define LEASE "probe" /* of no lease: the records have it in its place */

enum probe_phase { FETCHING, RECORDING, SIGNING, SENT, TAKING_BACK, LOOK_SIGNING, LOOKING };

struct probe {
	struct mf_list at;
	uint64_t id, call_id;
	enum probe_phase phase;
	uint64_t due_ms, since_ms;
	bool untagged;	     /* the second try */
	bool expires;	     /* the grant's tokens end by their scope */
	struct cloud_work w; /* in no table: what its records say */
	char subject[MF_LIM_SPIFFE_ID + 1], issuer[MF_LIM_SPIFFE_ID + 1], audience[MF_LIM_SPIFFE_ID + 1];
	char run[MF_STATE_ID_MAX];
	const char *use; /* of the key that signs; static */
	char *profile;
	Mayfly__Roles__V1__AdminCall *call; /* who asked */
	struct cloud_report report;
};

static struct probe *
by_id(struct mf_engine *e, uint64_t id, enum probe_phase phase)
{
	MF_LIST_EACH(p, &e->cloud.probes)
	{
		struct probe *x = MF_LIST_ITEM(p, struct probe, at);
		if (x->id == id && x->phase == phase)
			return x;
	}
	return NULL;
}

static void
probe_free(struct mf_engine *e, struct probe *x)
{
	mf_list_del(&x->at);
	e->cloud.probes_n--;
	mf_buf_fini(&x->w.scope);
	free(x->w.role);
	free(x->w.session);
	free(x->profile);
	if (x->call != NULL)
		mayfly__roles__v1__admin_call__free_unpacked(x->call, NULL);
	free(x);
}

void
mf_engine_probe_fini(struct mf_engine *e)
{
	MF_LIST_EACH(p, &e->cloud.probes)
	probe_free(e, MF_LIST_ITEM(p, struct probe, at));
}

static void
finish(struct mf_engine *e, struct mf_now now, struct probe *x)
{
	mf_report_send(e, now, x->call_id, &x->report, NULL, x->w.cred);
	probe_free(e, x);
}

static const struct mf_token_backend *
backend_of(const struct mf_engine *e, const struct probe *x)
{
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, x->w.target);
	return t == NULL ? NULL : e->ops->backend(e->ctx, t->backend);
}

static bool
can_deny(const struct mf_engine *e, const struct probe *x)
{
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, x->w.target);
	const struct mf_token_backend *b = backend_of(e, x);
	return b != NULL && (mf_token_backend_levels(b, t) & MF_REVOKE_DENIED) != 0;
}

static struct verdict_of
of(const struct mf_engine *e, const struct probe *x)
{
	const struct mf_token_backend *b = backend_of(e, x);
	return (struct verdict_of) { .profile = x->profile,
		.role = x->w.role,
		.target = x->w.target,
		.backend = b == NULL ? "" : b->name,
		.issuer = x->issuer,
		.audience = x->audience,
		.subject = x->subject,
		.trust_domain = e->trust_domain,
		.expires = x->expires };
}

/* ---- its records ---- */

static uint64_t
record_intent(struct mf_engine *e, struct mf_now now, const struct probe *x, const char *backend)
{
	struct mf_record r = { .type = MF_REC_CLOUD_PROBE };
	const struct cloud_work *w = &x->w;
	mf_engine_actor(&r, x->call);
	mf_record_set_str(&r, MF_RS_SERIAL, w->cred);
	mf_record_set_str(&r, MF_RS_LEASE, w->lease);
	mf_record_set_str(&r, MF_RS_JOB_ID, w->job);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, w->profile);
	mf_record_set_str(&r, MF_RS_POLICY, e->policy_hex);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, w->grant);
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, w->target);
	mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, backend);
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, w->role);
	mf_record_set_str(&r, MF_RS_CLOUD_SESSION, w->session);
	mf_record_set_str(&r, MF_RS_CLOUD_SCOPE_SHA256, w->scope_hash);
	if (mf_utf8_ok(mf_buf_slice(&w->scope)))
		mf_record_set(&r, MF_RS_CLOUD_SCOPE, mf_buf_slice(&w->scope));
	if (x->untagged)
		mf_record_set_str(&r, MF_RS_REASON, "without tags");
	mf_record_set_num(&r, MF_RN_EXP, w->exp);
	/* Nothing that a provider denies by is on it: it is over by its scope. */
	if (x->untagged && w->not_after != 0)
		mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, w->not_after);
	return mf_engine_record(e, now, &r);
}

static void
close_intent(struct mf_engine *e, struct mf_now now, struct probe *x, const char *word,
    const Mayfly__Roles__V1__MintResult *res)
{
	bool maybe = strcmp(word, "unknown") == 0 || (res != NULL && res->minted);
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->w.cred));
	if (c == NULL || c->state != MF_CLOUD_INTENT)
		return;
	if (maybe)
		mf_cloud_reconcile(e, now, c, res != NULL && res->minted ? "probe" : "unknown", res, false);
	else
		mf_cloud_failed(e, now, &x->w, word, res);
}

/* ---- the test token ---- */

/* NULL: one may be asked for. A freeze of its profile, or of everything, holds for test tokens too. */
static const char *
why_none(struct mf_engine *e, struct mf_now now, const struct probe *x)
{
	if (mf_state_frozen(e->state, x->profile, "", "", "") != NULL)
		return "an operator froze it: `mayfly freeze ls` says why, `mayfly unfreeze` lifts it";
	return mf_engine_why_not(e, now);
}

static void
try_token(struct mf_engine *e, struct mf_now now, struct probe *x)
{
	uint8_t random[10];
	const struct mf_token_backend *b = backend_of(e, x);
	const char *why = why_none(e, now, x);
	x->id = IDS + ++e->next_work;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, x->w.cred);
	uint64_t index = b == NULL || why != NULL ? UINT64_MAX : record_intent(e, now, x, b->name);
	if (index == UINT64_MAX) {
		x->w.cred[0] = '\0';
		mf_verdict_not_tried(&x->report, why != NULL ? why : "its intent could not be recorded");
		finish(e, now, x);
		return;
	}
	x->phase = RECORDING;
	x->due_ms = UINT64_MAX;
	struct release *r = mf_release_bytes(e, now, REL_PROBE, index, mf_slice(NULL, 0));
	if (r != NULL)
		r->request_id = x->id;
}

static bool
put_tags(const struct probe *x, struct mf_assertion_request *a)
{
	/* In the order of their names. */
	const char *const tags[MF_CLOUD_TAGS][2] = { { "mayfly-cred", x->w.cred }, { "mayfly-job", x->w.job },
		{ "mayfly-lease", LEASE "/0" }, { "person", "probe" }, { "run", x->run },
		{ "tenant", "default" } };
	for (size_t i = 0; i < MF_CLOUD_TAGS; i++) {
		a->tag_names[i] = tags[i][0];
		a->tag_values[i] = strdup(tags[i][1]);
		a->tags_n = i + 1;
		if (a->tag_values[i] == NULL)
			return false;
	}
	free(a->source_identity);
	a->source_identity = strdup(x->w.job);
	return a->source_identity != NULL;
}

/* Sign an assertion about ${sub}. False: it cannot be made. */
static bool
sign(struct mf_engine *e, struct mf_now now, struct probe *x, const char *sub, bool tags)
{
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, x->w.target);
	const struct mf_token_backend *b = backend_of(e, x);
	const struct mf_key *k = t == NULL ? NULL : mf_state_active_key(e->state, mf_cloud_key_use(t));
	struct mf_jws_key *key = k == NULL ? NULL : e->ops->assertion_key(e->ctx, k->id);
	struct mf_assertion_request *a =
	    t == NULL || b == NULL || key == NULL ? NULL : mf_cloud_assertion(e, now, x->id, t, b, sub);
	if (a == NULL || (tags && !put_tags(x, a))) {
		mf_jws_key_free(key);
		mf_assertion_request_free(a);
		return false;
	}
	a->key = key;
	x->due_ms = now.mono_ms + SILENCE_MS;
	e->ops->sign_assertion(e->ctx, a);
	return true;
}

void
mf_engine_probe_go(struct mf_engine *e, struct mf_now now, uint64_t id)
{
	struct probe *x = by_id(e, id, RECORDING);
	if (x == NULL)
		return;
	const struct mf_token_backend *b = backend_of(e, x);
	x->phase = SIGNING;
	if (sign(e, now, x, x->subject, b != NULL && b->caps.tags && !x->untagged))
		return;
	close_intent(e, now, x, "issuer", NULL);
	mf_verdict_not_tried(&x->report, "the assertion cannot be made");
	finish(e, now, x);
}

static bool
send_mint(struct mf_engine *e, struct probe *x, struct mf_slice token, struct mf_slice client)
{
	Mayfly__Roles__V1__MintRequest q = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	q.mint_id = x->id;
	q.target = x->w.target;
	q.credential_id = x->w.cred;
	/* Packing only reads. */
	q.assertion = (ProtobufCBinaryData) { token.n, (uint8_t *)(uintptr_t)token.p };
	q.client_assertion = (ProtobufCBinaryData) { client.n, (uint8_t *)(uintptr_t)client.p };
	q.scope = (ProtobufCBinaryData) { x->w.scope.n, x->w.scope.p };
	q.timeout_ms = MINT_MS;
	q.role = x->w.role;
	q.session = x->w.session;
	q.ttl_s = (uint32_t)x->w.ttl_s;
	q.not_after = x->w.not_after;
	return e->ops->mint(e->ctx, &q);
}

static bool
send_look(struct mf_engine *e, struct probe *x, struct mf_slice token, struct mf_slice client)
{
	Mayfly__Roles__V1__CloudRevokeRequest q = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	q.revoke_id = x->id;
	q.target = x->w.target;
	q.role = x->w.role;
	q.assertion = (ProtobufCBinaryData) { token.n, (uint8_t *)(uintptr_t)token.p };
	q.client_assertion = (ProtobufCBinaryData) { client.n, (uint8_t *)(uintptr_t)client.p };
	q.timeout_ms = MINT_MS;
	q.look = true;
	return e->ops->revoke != NULL && e->ops->revoke(e->ctx, &q);
}

/* ---- may the revoker? ---- */

/* Without a token there is nothing to deny: is the list at least there to be read? */
static void
look(struct mf_engine *e, struct mf_now now, struct probe *x)
{
	char sub[MF_LIM_TRUST_DOMAIN + 32];
	(void)snprintf(sub, sizeof(sub), MF_CLOUD_REVOKER, e->trust_domain);
	x->id = IDS + ++e->next_work;
	x->phase = LOOK_SIGNING;
	if (!can_deny(e, x) || !sign(e, now, x, sub, false))
		finish(e, now, x);
}

/* It is being taken back as everything is: how far is that? True: it is said, and the probe is gone. */
static bool
watch(struct mf_engine *e, struct mf_now now, struct probe *x)
{
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->w.cred));
	const struct verdict_of w = of(e, x);
	if (c == NULL || c->state == MF_CLOUD_COMPLETED) {
		mf_verdict_taken(&x->report, &w, c == NULL ? 0 : c->level, c == NULL ? 0 : c->dead_at,
		    now.wall_us / 1000000);
		finish(e, now, x);
		return true;
	}
	const char *why = mf_engine_revoke_trouble(e, x->w.target, x->w.role, x->since_ms);
	if (why == NULL && now.mono_ms < x->due_ms)
		return false;
	mf_verdict_not_taken(&x->report, &w, why != NULL ? why : "nobody answered in time");
	finish(e, now, x);
	return true;
}

/* ---- answers ---- */

static void
minted(struct mf_engine *e, struct mf_now now, struct probe *x, const Mayfly__Roles__V1__MintResult *res)
{
	const struct verdict_of w = of(e, x);
	x->since_ms = now.mono_ms;
	close_intent(e, now, x, "", res);
	if (x->untagged) {
		mf_verdict_tags(&x->report, &w);
		look(e, now, x);
		return;
	}
	mf_verdict_minted(&x->report, &w, res->expires, res->expires > x->w.exp);
	x->phase = TAKING_BACK;
	x->due_ms = now.mono_ms + BACK_MS;
	(void)watch(e, now, x);
}

static void
refused(struct mf_engine *e, struct mf_now now, struct probe *x, const char *word, const char *why)
{
	const struct mf_token_backend *b = backend_of(e, x);
	const struct report_finding *f = mf_report_find(&x->report, "issuer.public");
	bool published = f == NULL || f->level != REPORT_FAIL;
	const struct verdict_of w = of(e, x);
	if (!x->untagged) {
		mf_verdict_refused(&x->report, &w, word, why, published);
		if (strcmp(word, "trust") == 0 && published && b != NULL && b->caps.tags && b->caps.bomb) {
			x->untagged = true;
			try_token(e, now, x);
			return;
		}
	}
	look(e, now, x);
}

bool
mf_engine_probe_minted(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__MintResult *res)
{
	struct probe *x = by_id(e, res->mint_id, SENT);
	if (x == NULL)
		return false;
	if (res->minted) {
		minted(e, now, x, res);
		return true;
	}
	close_intent(e, now, x, res->error, res);
	refused(e, now, x, res->error,
	    strlen(res->reason) <= 512 && mf_engine_plain(res->reason) ? res->reason : "");
	return true;
}

bool
mf_engine_probe_asserted(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client)
{
	if (ticket < IDS || ticket >= IDS_END)
		return false;
	struct probe *x = by_id(e, ticket, SIGNING), *l = by_id(e, ticket, LOOK_SIGNING);
	if (x != NULL) {
		const char *why = why_none(e, now, x);
		x->phase = SENT;
		if (token.n > 0 && why == NULL && send_mint(e, x, token, client))
			return true;
		close_intent(e, now, x, "transient", NULL);
		mf_verdict_not_tried(&x->report,
		    why != NULL ? why
		    : token.n == 0
			? "the assertion cannot be made"
			: "the courier, which speaks to clouds, is not there or has too much to do");
		finish(e, now, x);
	} else if (l != NULL) {
		l->phase = LOOKING;
		if (token.n == 0 || !send_look(e, l, token, client))
			finish(e, now, l);
	}
	return true;
}

bool
mf_engine_probe_revoked(
    struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res)
{
	struct probe *x = by_id(e, res->revoke_id, LOOKING);
	if (x == NULL)
		return false;
	const struct verdict_of w = of(e, x);
	const char *why = strlen(res->reason) <= 512 && mf_engine_plain(res->reason) ? res->reason : "";
	if (res->confirmed)
		mf_verdict_list_read(&x->report, &w);
	else
		mf_verdict_not_taken(&x->report, &w, why);
	mf_verdict_both(&x->report, &w, res->confirmed, why);
	finish(e, now, x);
	return true;
}

bool
mf_engine_probe_fetched(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudFetchResult *r)
{
	struct probe *x = by_id(e, r->fetch_id, FETCHING);
	if (x == NULL)
		return r->fetch_id >= IDS;
	mf_check_documents(e, x->issuer, x->use, r, &x->report);
	try_token(e, now, x);
	return true;
}

static void
silence(struct mf_engine *e, struct mf_now now, struct probe *x, const char *why)
{
	switch (x->phase) {
	case FETCHING:
		mf_check_documents(e, x->issuer, x->use, NULL, &x->report);
		try_token(e, now, x);
		break;
	case SIGNING:
		close_intent(e, now, x, "transient", NULL);
		mf_verdict_not_tried(&x->report, why);
		finish(e, now, x);
		break;
	case SENT:
		close_intent(e, now, x, "unknown", NULL);
		refused(e, now, x, "unknown", why);
		break;
	case TAKING_BACK:
		(void)watch(e, now, x);
		break;
	case LOOK_SIGNING:
	case LOOKING:
		finish(e, now, x);
		break;
	case RECORDING:
		break;
	}
}

void
mf_engine_probe_courier_gone(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.probes)
	{
		struct probe *x = MF_LIST_ITEM(p, struct probe, at);
		if (x->phase == FETCHING || x->phase == SENT || x->phase == LOOKING)
			silence(e, now, x, "the courier died while it asked");
	}
}

void
mf_engine_probe_tick(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.probes)
	{
		struct probe *x = MF_LIST_ITEM(p, struct probe, at);
		if (now.mono_ms >= x->due_ms)
			silence(e, now, x, "nobody answered in time");
		else if (x->phase == TAKING_BACK)
			(void)watch(e, now, x);
	}
}

/* ---- the request ---- */

static Mayfly__Roles__V1__AdminCall *
copy_call(const Mayfly__Roles__V1__AdminCall *call)
{
	size_t n = mayfly__roles__v1__admin_call__get_packed_size(call);
	uint8_t *b = malloc(n + 1);
	if (b == NULL)
		return NULL;
	(void)mayfly__roles__v1__admin_call__pack(call, b);
	Mayfly__Roles__V1__AdminCall *copy = mayfly__roles__v1__admin_call__unpack(NULL, n, b);
	free(b);
	return copy;
}

static bool
copy_test(struct probe *x, const struct cloud_test *t)
{
	struct cloud_work *w = &x->w;
	(void)snprintf(w->lease, sizeof(w->lease), "%s", LEASE);
	memcpy(w->job, t->job, sizeof(w->job));
	memcpy(x->run, t->run, sizeof(x->run));
	(void)snprintf(w->profile, sizeof(w->profile), "%s", t->profile->name);
	(void)snprintf(w->grant, sizeof(w->grant), "%s", t->grant->name);
	(void)snprintf(w->target, sizeof(w->target), "%s", t->grant->target);
	(void)snprintf(x->subject, sizeof(x->subject), "%s", t->subject);
	(void)snprintf(x->issuer, sizeof(x->issuer), "%s", t->issuer);
	(void)snprintf(x->audience, sizeof(x->audience), "%s", t->audience);
	memcpy(w->scope_hash, t->scope_hash, sizeof(w->scope_hash));
	x->use = mf_cloud_key_use(t->target);
	x->expires = t->grant->on_end == MF_ON_END_EXPIRE && t->backend->caps.bomb;
	w->ttl_s = t->ttl_s;
	w->not_after = t->not_after;
	w->exp = t->exp;
	w->role = strdup(t->grant->role);
	w->session = strdup(t->job);
	x->profile = strdup(t->profile->name);
	mf_buf_init(&w->scope, t->scope.n + 1);
	mf_buf_put_slice(&w->scope, mf_buf_slice(&t->scope));
	return w->role != NULL && w->session != NULL && x->profile != NULL &&
	       mf_buf_check(&w->scope, NULL) == MF_OK;
}

/* The courier first reads what a provider would. */
static void
begin(struct mf_engine *e, struct mf_now now, struct probe *x, const struct cloud_test *t)
{
	bool loopback = t->target->loopback || strncmp(x->issuer, "http://", 7) == 0;
	x->id = IDS + ++e->next_work;
	x->phase = FETCHING;
	x->due_ms = now.mono_ms + FETCH_MS;
	if (e->ops->fetch_documents == NULL || !t->backend->caps.needs_public_issuer) {
		try_token(e, now, x);
	} else if (e->ops->fetch_documents(e->ctx, x->id, x->issuer, loopback)) {
		(void)mf_report_add(&x->report, "courier", REPORT_OK, SIDE_NONE,
		    "the courier, which speaks to clouds, is there");
	} else {
		mf_verdict_not_tried(
		    &x->report, "the courier, which speaks to clouds, is not there or has too much to do");
		finish(e, now, x);
	}
}

static void
probe_grant(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const struct mf_policy_profile *profile, struct cloud_report *r)
{
	const Mayfly__Admin__V1__ProbeCloudRequest *q = call->probe_cloud;
	struct cloud_test t;
	bool good = mf_check_grant(e, now, profile, q->grant, &t, r);
	struct probe *x = NULL;
	if (good && !q->look && mf_engine_cloud_on(e))
		x = calloc(1, sizeof(*x));
	if (x == NULL) {
		mf_report_send(e, now, call->call_id, r, NULL, "");
		mf_cloud_test_fini(&t);
		return;
	}
	x->call_id = call->call_id;
	x->report = *r;
	mf_list_add_tail(&e->cloud.probes, &x->at);
	e->cloud.probes_n++;
	x->call = copy_call(call);
	if (x->call != NULL && copy_test(x, &t)) {
		begin(e, now, x, &t);
	} else {
		mf_engine_admin_fail(e, call->call_id, MF_E_NOMEM, "out of memory: try again");
		probe_free(e, x);
	}
	mf_cloud_test_fini(&t);
}

void
mf_engine_probe(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__ProbeCloudRequest *q = call->probe_cloud;
	struct cloud_report *r = calloc(1, sizeof(*r));
	const char *why = mf_engine_why_not(e, now);
	bool asks = q->grant[0] != '\0' && !q->look;
	enum mf_status s = MF_E_UNAVAILABLE;
	if (r == NULL || e->policy == NULL)
		why = "out of memory: try again";
	else if (asks && why == NULL &&
		 (e->cloud.probes_n >= PROBES_MAX || !mf_bucket_take(&e->cloud.probed, now, PER_MINUTE))) {
		s = MF_E_EXHAUSTED;
		why = "too many test tokens are asked for: try again in a minute";
	}
	if (why != NULL && (asks || r == NULL || e->policy == NULL)) {
		mf_engine_admin_fail(e, call->call_id, s, why);
		free(r);
		return;
	}
	const struct mf_policy_profile *f = mf_check_profile(e, q->profile, r);
	if (f == NULL || f->n_cloud == 0 || q->grant[0] == '\0')
		mf_report_send(e, now, call->call_id, r, f, "");
	else {
		r->n = 0; /* said once, not for each grant */
		probe_grant(e, now, call, f, r);
	}
	free(r);
}
