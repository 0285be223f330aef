/*
 * Cloud tokens: from the request to the courier (docs/internals/cloud.md, "The way of one token"). The intent is durable before an
 * assertion is made; what comes back is cloud_result.c.
 */
#include <stdio.h>

#include "broker/notary/cloud_work.h"
#include "codec/assertion.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID
#define ENDED MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED
#define TICKETS (UINT64_C(1) << 61)
#define PER_TARGET_MAX 4096u /* with the courier, or on the way there */
#define LIVE_MAX 64u	     /* of one lease that have not expired */
#define TIMEOUT_MS 30000u
#define PATIENCE_MS 45000u /* after which the courier's silence is an outcome that is not known */

void
mf_assertion_request_free(struct mf_assertion_request *r)
{
	if (r == NULL)
		return;
	mf_jws_key_free(r->key);
	free(r->iss);
	free(r->sub);
	free(r->aud);
	for (size_t i = 0; i < r->tags_n; i++)
		free(r->tag_values[i]);
	free(r->source_identity);
	free(r->client_id);
	free(r->client_aud);
	free(r);
}

/* ---- configuration ---- */

enum mf_status
mf_engine_cloud(struct mf_engine *e, const Mayfly__Roles__V1__CloudConf *conf, struct mf_err *err)
{
	Mayfly__Roles__V1__CloudConf *copy = NULL;
	if (conf != NULL) {
		size_t n = mayfly__roles__v1__cloud_conf__get_packed_size(conf);
		uint8_t *b = malloc(n + 1);
		if (b != NULL) {
			(void)mayfly__roles__v1__cloud_conf__pack(conf, b);
			copy = mayfly__roles__v1__cloud_conf__unpack(NULL, n, b);
			free(b);
		}
		if (copy == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "cloud targets: out of memory");
	}
	if (e->cloud.conf != NULL)
		mayfly__roles__v1__cloud_conf__free_unpacked(e->cloud.conf, NULL);
	e->cloud.conf = copy;
	if (e->policy != NULL)
		mf_engine_cloud_check(e, e->policy);
	return MF_OK;
}

bool
mf_engine_cloud_on(const struct mf_engine *e)
{
	return e->cloud.conf != NULL && e->cloud.conf->n_targets > 0 && e->ops->mint != NULL &&
	       e->ops->assertion_key != NULL && e->ops->sign_assertion != NULL && e->ops->backend != NULL;
}

void
mf_engine_cloud_check(struct mf_engine *e, const struct mf_policy *p)
{
	for (size_t i = 0; i < mf_policy_profile_count(p); i++) {
		const struct mf_policy_profile *f = mf_policy_profile_at(p, i);
		for (size_t k = 0; k < f->n_cloud; k++) {
			char text[256];
			if (mf_cloud_target(e, f->cloud[k].target) != NULL)
				continue;
			(void)snprintf(text, sizeof(text),
			    "profile %s, cloud grant %s: target %s is not in cloud_targets of broker.yaml: "
			    "it gives "
			    "nothing",
			    f->name, f->cloud[k].name, f->cloud[k].target);
			e->ops->event(e->ctx, "policy.cloud_target", text);
		}
	}
}

size_t
mf_engine_cloud_offers(const struct mf_engine *e, const struct mf_policy_profile *f,
    Mayfly__Agent__V1__CloudOffer ret_offers[MF_LIM_CLOUD_GRANTS])
{
	size_t n = 0;
	for (size_t i = 0; f != NULL && mf_engine_cloud_on(e) && i < f->n_cloud; i++) {
		const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, f->cloud[i].target);
		const struct mf_token_backend *b = t == NULL ? NULL : e->ops->backend(e->ctx, t->backend);
		if (b == NULL)
			continue;
		Mayfly__Agent__V1__CloudOffer *o = &ret_offers[n++];
		mayfly__agent__v1__cloud_offer__init(o);
		/* Packing only reads. */
		o->grant = (char *)(uintptr_t)f->cloud[i].name;
		o->kind = (char *)(uintptr_t)b->caps.kind;
		o->target = t->name;
		o->region = t->region;
		o->service_endpoint = t->service_endpoint;
	}
	return n;
}

/* ---- work ---- */

struct cloud_work *
mf_cloud_work(struct mf_engine *e, uint64_t id)
{
	struct cloud_work *w = NULL;
	HASH_FIND(hh, e->cloud.works, &id, sizeof(id), w);
	return w;
}

static void
work_free(struct cloud_work *w)
{
	mf_buf_fini(&w->scope);
	mf_cloud_result_free(w->res);
	free(w->role);
	free(w->session);
	free(w);
}

void
mf_cloud_drop(struct mf_engine *e, struct cloud_work *w)
{
	HASH_DELETE(hh, e->cloud.works, w);
	e->works_n--;
	work_free(w);
}

void
mf_engine_cloud_fini(struct mf_engine *e)
{
	struct cloud_work *w, *next;
	HASH_ITER(hh, e->cloud.works, w, next)
	mf_cloud_drop(e, w);
	mf_engine_probe_fini(e);
	mf_engine_revoke_fini(e);
	if (e->cloud.conf != NULL)
		mayfly__roles__v1__cloud_conf__free_unpacked(e->cloud.conf, NULL);
}

void
mf_cloud_refuse(
    struct mf_engine *e, const struct cloud_work *w, Mayfly__Agent__V1__RefusalCode code, const char *why)
{
	if (w->sid != 0)
		mf_send_refusal(e, w->sid, w->request_id, code, why, w->rule);
}

const struct mf_lease *
mf_cloud_lease(const struct mf_engine *e, const struct cloud_work *w)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(w->lease));
	return l != NULL && l->epoch == w->epoch && mf_lease_may_renew(l->state) ? l : NULL;
}

bool
mf_cloud_was_ended(const struct mf_engine *e, const struct cloud_work *w)
{
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(w->cred));
	return c != NULL && c->asked;
}

static bool
copy_plan(struct cloud_work *w, const struct cloud_plan *p)
{
	(void)snprintf(w->profile, sizeof(w->profile), "%s", p->d.profile->name);
	(void)snprintf(w->rule, sizeof(w->rule), "%s", p->d.rule);
	(void)snprintf(w->grant, sizeof(w->grant), "%s", p->grant->name);
	(void)snprintf(w->target, sizeof(w->target), "%s", p->grant->target);
	(void)snprintf(w->kind, sizeof(w->kind), "%s", p->backend->caps.kind);
	memcpy(w->scope_hash, p->scope_hash, sizeof(w->scope_hash));
	w->may_outlive = p->may_outlive;
	w->ttl_s = p->ttl_s;
	w->not_after = p->not_after;
	w->exp = p->exp;
	mf_buf_init(&w->scope, p->scope.n + 1);
	mf_buf_put_slice(&w->scope, mf_buf_slice(&p->scope));
	w->role = strdup(p->grant->role);
	return w->role != NULL && mf_buf_check(&w->scope, NULL) == MF_OK;
}

static struct cloud_work *
new_work(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id,
    const struct mf_lease *l, const struct cloud_plan *p)
{
	uint8_t random[10];
	struct cloud_work *w = e->works_n >= e->conf.max_pending ? NULL : calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->id = TICKETS + ++e->next_work;
	w->sid = s->sid;
	w->request_id = request_id;
	w->epoch = l->epoch;
	memcpy(w->node_id, s->node_id, sizeof(w->node_id));
	memcpy(w->lease, l->id, sizeof(w->lease));
	memcpy(w->job, l->job->id, sizeof(w->job));
	memcpy(w->policy, e->policy_hex, sizeof(w->policy));
	w->session = strdup(l->job->id);
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, w->cred);
	if (!copy_plan(w, p) || w->session == NULL) {
		work_free(w);
		return NULL;
	}
	HASH_ADD(hh, e->cloud.works, id, sizeof(w->id), w);
	if (w->map_oom) {
		work_free(w);
		return NULL;
	}
	e->works_n++;
	return w;
}

/* ---- the request ---- */

static uint64_t
record_intent(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const struct mf_lease *l,
    const struct cloud_plan *p, uint32_t generation)
{
	struct mf_record r = { .type = MF_REC_CLOUD_INTENT };
	mf_record_set_str(&r, MF_RS_SERIAL, w->cred);
	mf_record_set_str(&r, MF_RS_LEASE, l->id);
	mf_record_set_str(&r, MF_RS_JOB_ID, l->job->id);
	mf_record_set_str(&r, MF_RS_JOB_PROFILE, w->profile);
	mf_record_set_str(&r, MF_RS_NODE_ID, w->node_id);
	mf_record_set_str(&r, MF_RS_RULE, w->rule);
	mf_record_set_str(&r, MF_RS_POLICY, w->policy);
	mf_record_set_str(&r, MF_RS_TENANT, l->job->tenant);
	mf_record_set_str(&r, MF_RS_PERSON, l->job->person);
	mf_record_set_str(&r, MF_RS_GRADE, l->grade);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, w->grant);
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, w->target);
	mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, p->backend->name);
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, w->role);
	mf_record_set_str(&r, MF_RS_CLOUD_SESSION, w->session);
	mf_record_set_str(&r, MF_RS_CLOUD_SCOPE_SHA256, w->scope_hash);
	if (mf_utf8_ok(mf_buf_slice(&w->scope)))
		mf_record_set(&r, MF_RS_CLOUD_SCOPE, mf_buf_slice(&w->scope));
	mf_record_set_str(&r, MF_RS_ON_END, p->grant->on_end == MF_ON_END_DENY ? "deny" : "expire");
	mf_record_set_num(&r, MF_RN_EPOCH, l->epoch);
	mf_record_set_num(&r, MF_RN_EXP, w->exp);
	mf_record_set_num(&r, MF_RN_CLOUD_GENERATION, generation);
	return mf_engine_record(e, now, &r);
}

/* The latest generation of the grant on its lease, and whether it ever had one; how many are live. */
static uint32_t
count(const struct mf_lease *l, const char *grant, int64_t now_s, bool *ret_had, size_t *ret_live)
{
	uint32_t last = 0;
	*ret_had = false;
	*ret_live = 0;
	MF_LIST_EACH(at, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(at, struct mf_cloud_cred, at_lease);
		*ret_live += c->exp > now_s;
		if (strcmp(c->grant, grant) != 0)
			continue;
		last = c->generation > last ? c->generation : last;
		*ret_had |= c->epoch == l->epoch && c->issued_us != 0;
	}
	return last;
}

static struct cloud_work *
under_way(struct mf_engine *e, const struct mf_lease *l, const char *grant, const char *target,
    uint32_t *ret_at_target)
{
	struct cloud_work *found = NULL, *w, *next;
	*ret_at_target = 0;
	HASH_ITER(hh, e->cloud.works, w, next)
	{
		*ret_at_target += strcmp(w->target, target) == 0;
		if (strcmp(w->lease, l->id) == 0 && w->epoch == l->epoch && strcmp(w->grant, grant) == 0)
			found = w;
	}
	return found;
}

/* One at a time for a grant on its lease: who asks last gets the answer. */
static void
wait_for(struct mf_engine *e, struct cloud_work *w, const struct session *s, uint64_t request_id)
{
	mf_cloud_refuse(e, w, UNAVAILABLE, "this token was asked for again meanwhile");
	w->sid = s->sid;
	w->request_id = request_id;
	memcpy(w->node_id, s->node_id, sizeof(w->node_id));
}

static void
begin(struct mf_engine *e, struct mf_now now, const struct session *s, uint64_t request_id,
    const struct mf_lease *l, const struct cloud_plan *p)
{
	bool had;
	size_t live;
	uint32_t at_target;
	const char *why = NULL;
	uint32_t last = count(l, p->grant->name, now.wall_us / 1000000, &had, &live);
	struct cloud_work *w = under_way(e, l, p->grant->name, p->grant->target, &at_target);
	if (w != NULL) {
		wait_for(e, w, s, request_id);
		return;
	}
	if (l->state == MF_LEASE_ENDING && !had) {
		static const char no_new[] =
		    "the job is ending: a cloud token is renewed only where there was one "
		    "before the end was announced";
		mf_engine_deny_token(e, now, s, request_id, l, no_new, no_new, p->d.rule);
		return;
	}
	if (live >= LIVE_MAX)
		why = "this instance has too many cloud tokens that have not expired: it asks too often";
	else if (at_target >= PER_TARGET_MAX)
		why = "the cloud target is busy: try again";
	else if ((w = new_work(e, now, s, request_id, l, p)) == NULL)
		why = "the broker is busy: try again";
	uint64_t index = w == NULL ? UINT64_MAX : record_intent(e, now, w, l, p, last + 1);
	if (w != NULL && index == UINT64_MAX)
		why = "the broker could not record its intent: try again later";
	if (why != NULL) {
		if (w != NULL)
			mf_cloud_drop(e, w);
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, why, NULL);
		return;
	}
	struct release *r = mf_release_bytes(e, now, REL_CLOUD, index, mf_slice(NULL, 0));
	if (r != NULL)
		r->request_id = w->id;
}

void
mf_engine_mint_cloud(struct mf_engine *e, struct mf_now now, struct session *s, uint64_t request_id,
    const Mayfly__Agent__V1__MintCloud *m)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(m->lease_id));
	Mayfly__Agent__V1__RefusalCode code;
	char text[MF_POLICY_REASON_MAX];
	struct cloud_plan p;
	const char *why = mf_engine_token_trouble(s, l, m->epoch, &code);
	if (why == NULL) {
		code = UNAVAILABLE;
		why = mf_engine_why_not(e, now);
	}
	if (why == NULL && !mf_engine_cloud_on(e))
		why = "this broker has no cloud targets";
	if (why != NULL) {
		mf_send_refusal(e, s->sid, request_id, code, why, NULL);
		return;
	}
	switch (mf_cloud_plan(e, now, l, m->grant, &p, text)) {
	case CLOUD_YES:
		why = mf_engine_issuer_why_not(e, p.issuer);
		if (why == NULL && mf_cloud_held(e, now, p.target->name, p.grant->role, text, sizeof(text)))
			why = text;
		if (why != NULL)
			mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, why, NULL);
		else
			begin(e, now, s, request_id, l, &p);
		break;
	case CLOUD_DENIED:
		mf_engine_deny_token(
		    e, now, s, request_id, l, p.d.permit ? text : p.d.reason, text, p.d.rule);
		break;
	case CLOUD_LATER:
		mf_send_refusal(e, s->sid, request_id, UNAVAILABLE, text, NULL);
		break;
	}
	mf_cloud_plan_fini(&p);
}

/* ---- the assertion ---- */

static const char *
first_name(const struct mf_lease *l)
{
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++) {
		const char *name = mf_engine_name_of_slot(l, i);
		if (name != NULL)
			return name;
	}
	return "";
}

static bool
fill_tags(struct mf_assertion_request *a, const struct cloud_work *w, const struct mf_lease *l)
{
	char lease[MF_CLOUD_LEASE_TAG];
	(void)snprintf(lease, sizeof(lease), "%s/%u", w->lease, w->epoch);
	/* In the order of their names. */
	const char *const tags[MF_CLOUD_TAGS][2] = { { "mayfly-cred", w->cred }, { "mayfly-job", w->job },
		{ "mayfly-lease", lease }, { "person", l->job->person }, { "run", l->job->run },
		{ "tenant", l->job->tenant } };
	for (size_t i = 0; i < MF_CLOUD_TAGS; i++) {
		a->tag_names[i] = tags[i][0];
		a->tag_values[i] = strdup(tags[i][1]);
		a->tags_n = i + 1;
		if (a->tag_values[i] == NULL)
			return false;
	}
	return true;
}

static bool
fill_client(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudTarget *t,
    struct mf_assertion_request *a)
{
	uint8_t random[10];
	if (strcmp(t->client_auth, "private_key_jwt") != 0)
		return true;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, a->client_jti);
	a->client_id = strdup(t->client_id);
	a->client_aud = strdup(t->endpoint);
	return a->client_id != NULL && a->client_aud != NULL;
}

static struct mf_assertion_request *
new_assertion(struct mf_engine *e, struct mf_now now, const struct cloud_work *w, const struct mf_lease *l,
    const Mayfly__Roles__V1__CloudTarget *t, const struct mf_token_backend *b)
{
	uint8_t random[10];
	struct mf_assertion_request *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	int64_t now_s = now.wall_us / 1000000;
	a->ticket = w->id;
	a->iat = now_s - (int64_t)e->conf.backdate_s; /* for clocks that lag */
	if (a->iat < now_s - MF_ASSERTION_MAX_S / 2)
		a->iat = now_s - MF_ASSERTION_MAX_S / 2;
	a->exp = a->iat + MF_ASSERTION_MAX_S;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, a->jti);
	a->iss = strdup(t->issuer[0] != '\0' ? t->issuer : e->cloud.conf->issuer);
	a->aud = strdup(t->audience[0] != '\0' ? t->audience : b->caps.audience);
	a->sub = strdup(first_name(l));
	a->source_identity = strdup(b->caps.tags ? w->job : "");
	bool ok = a->iss != NULL && a->aud != NULL && a->sub != NULL && a->source_identity != NULL &&
		  fill_client(e, now, t, a) && (!b->caps.tags || fill_tags(a, w, l));
	if (ok)
		return a;
	mf_assertion_request_free(a);
	return NULL;
}

/* It was never sent: there is no token. */
static void
give_up(struct mf_engine *e, struct mf_now now, struct cloud_work *w, const char *error,
    Mayfly__Agent__V1__RefusalCode code, const char *why)
{
	mf_cloud_failed(e, now, w, error, NULL);
	mf_cloud_refuse(e, w, code, why);
	mf_cloud_drop(e, w);
}

static const char over[] = "it ended while the cloud token was being made";

/* False: it was given up, for the lease or the configuration is gone. */
static bool
go_on(struct mf_engine *e, struct mf_now now, struct cloud_work *w)
{
	const char *why = mf_engine_why_not(e, now);
	if (mf_cloud_lease(e, w) == NULL)
		give_up(e, now, w, "ended", ENDED, over);
	else if (mf_cloud_was_ended(e, w))
		give_up(e, now, w, "ended", UNAVAILABLE, "it was revoked while it was being made: ask again");
	else if (why != NULL || mf_cloud_target(e, w->target) == NULL)
		give_up(e, now, w, "config", UNAVAILABLE, why != NULL ? why : "the cloud target was removed");
	else
		return true;
	return false;
}

void
mf_engine_cloud_go(struct mf_engine *e, struct mf_now now, uint64_t id)
{
	struct cloud_work *w = mf_cloud_work(e, id);
	if (w == NULL || !go_on(e, now, w))
		return;
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, w->target);
	const char *use = mf_cloud_key_use(t);
	const struct mf_key *k = mf_state_active_key(e->state, use);
	struct mf_jws_key *key = k == NULL ? NULL : e->ops->assertion_key(e->ctx, k->id);
	const struct mf_token_backend *b = e->ops->backend(e->ctx, t->backend);
	if (key == NULL || b == NULL) {
		mf_jws_key_free(key);
		char why[160];
		(void)snprintf(why, sizeof(why),
		    "the broker has no key for assertions: 'mayfly key prepare --use %s' and 'mayfly key "
		    "activate' one",
		    use);
		give_up(e, now, w, "issuer", UNAVAILABLE, why);
		return;
	}
	struct mf_assertion_request *a = new_assertion(e, now, w, mf_cloud_lease(e, w), t, b);
	if (a == NULL) {
		mf_jws_key_free(key);
		give_up(e, now, w, "transient", UNAVAILABLE, "out of memory: try again");
		return;
	}
	(void)snprintf(w->kid, sizeof(w->kid), "%s", k->id);
	a->key = key;
	w->phase = CLOUD_SIGNING;
	w->due_ms = now.mono_ms + PATIENCE_MS;
	e->ops->sign_assertion(e->ctx, a);
}

static void
send(struct mf_engine *e, struct mf_now now, struct cloud_work *w, struct mf_slice token,
    struct mf_slice client)
{
	Mayfly__Roles__V1__MintRequest q = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
	q.mint_id = w->id;
	q.target = w->target;
	q.credential_id = w->cred;
	/* Packing only reads. */
	q.assertion.data = (uint8_t *)(uintptr_t)token.p;
	q.assertion.len = token.n;
	q.client_assertion.data = (uint8_t *)(uintptr_t)client.p;
	q.client_assertion.len = client.n;
	q.scope.data = w->scope.p;
	q.scope.len = w->scope.n;
	q.timeout_ms = TIMEOUT_MS;
	q.role = w->role;
	q.session = w->session;
	q.ttl_s = (uint32_t)w->ttl_s;
	q.not_after = w->not_after;
	w->phase = CLOUD_SENT;
	w->due_ms = now.mono_ms + PATIENCE_MS;
	if (!e->ops->mint(e->ctx, &q))
		give_up(e, now, w, "transient", UNAVAILABLE,
		    "the broker's courier, which speaks to clouds, is not there or has too much to do: try "
		    "again");
}

void
mf_engine_assertion_signed(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client)
{
	if (mf_engine_revoke_asserted(e, now, ticket, token, client) ||
	    mf_engine_probe_asserted(e, now, ticket, token, client))
		return;
	struct cloud_work *w = mf_cloud_work(e, ticket);
	if (w == NULL || w->phase != CLOUD_SIGNING || !go_on(e, now, w))
		return;
	const struct mf_key *k =
	    mf_state_active_key(e->state, mf_cloud_key_use(mf_cloud_target(e, w->target)));
	if (token.n == 0)
		give_up(e, now, w, "transient", UNAVAILABLE, "the assertion could not be made: try again");
	else if (k == NULL || strcmp(k->id, w->kid) != 0)
		mf_engine_cloud_go(e, now, w->id); /* the key changed meanwhile: make it anew */
	else
		send(e, now, w, token, client);
}
