/*
 * Taking cloud tokens back (docs/internals/cloud.md). What is to be done follows from the state (broker/core/revocations.h),
 * so nothing is kept here that a restart could lose. For each target and role there is one errand, which is idle, due or
 * under way: a thousand ends in a minute are a few requests. An answer completes, on record, what its request covered; an
 * error is tried again, later and later, until the provider confirms or the token is dead by itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/core/revocations.h"
#include "broker/notary/cloud_alarm.h"
#include "broker/notary/cloud_back.h"

#define DENIES_MAX 300u	  /* of one request, which is one role message */
#define COVERED_MAX 4096u /* completed by one answer; what is left is due again */
#define RECORD_CREDS 32u
#define LEVEL_DENIED 2u
#define LEVEL_SESSIONS 3u
#define LOOK_MS 5000u /* for what is dead by itself meanwhile */

enum errand_phase { ERRAND_IDLE, ERRAND_DUE, ERRAND_SIGNING, ERRAND_ASKED };

struct errand {
	struct mf_list at;
	char *target, *role, *backend;
	enum errand_phase phase;
	bool more;	  /* something ended while it was under way */
	uint64_t id;	  /* of the request under way */
	uint64_t due_ms;  /* ERRAND_DUE: not before; ERRAND_SIGNING, ERRAND_ASKED: nobody answers any more */
	uint32_t wait_ms; /* after the next failure */
	char (*covered)[MF_STATE_ID_MAX];
	size_t covered_n;
	int64_t before;	    /* of the request under way: sessions that began before it; 0: by tag only */
	bool cut;	    /* the request under way does not name all that should be denied */
	uint64_t failed_ms; /* when it failed last; 0: never */
	uint64_t told_ms;   /* the provider wants to hear nothing before */
	char why[512];
};
_Static_assert(
    DENIES_MAX *(MF_DENY_VALUE + 32u) + 4096u <= MF_LIM_IPC_MESSAGE, "a request is one role message");

static void
errand_free(struct errand *x)
{
	free(x->target);
	free(x->role);
	free(x->backend);
	free(x->covered);
	free(x);
}

void
mf_engine_revoke_fini(struct mf_engine *e)
{
	mf_cloud_single_fini(e);
	free(e->cloud.touched);
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		mf_list_del(p);
		errand_free(MF_LIST_ITEM(p, struct errand, at));
	}
}

const struct mf_token_backend *
mf_cloud_backend(const struct mf_engine *e, const char *name)
{
	return e->ops->backend == NULL ? NULL : e->ops->backend(e->ctx, name);
}

/* Where nobody is configured to ask any more, or what that needs is not at hand, it ends by itself. */
static unsigned
levels_of(const struct mf_engine *e, const struct mf_cloud_cred *c)
{
	const struct mf_token_backend *b = mf_cloud_backend(e, c->backend);
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, c->target);
	unsigned levels = b == NULL || t == NULL ? 0 : mf_token_backend_levels(b, t);
	if (b != NULL && b->caps.needs_handle && !c->handle && !mf_cloud_spare_has(e, c->id))
		levels &= ~(unsigned)MF_REVOKE_CREDENTIAL;
	return levels;
}

/* ---- records ---- */

void
mf_cloud_complete(
    struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, const struct cloud_end *end)
{
	struct mf_record r = { .type = MF_REC_REVOKE_COMPLETED };
	char id[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
	bool handle = c->handle;
	memcpy(id, c->id, sizeof(id));
	memcpy(lease, c->lease_id, sizeof(lease));
	memcpy(job, c->job_id, sizeof(job));
	mf_record_set_str(&r, MF_RS_SERIAL, id);
	mf_record_set_str(&r, MF_RS_LEASE, lease);
	mf_record_set_str(&r, MF_RS_JOB_ID, job);
	mf_record_set_str(&r, MF_RS_CLOUD_PROBE, end->probe == NULL ? "" : end->probe);
	mf_record_set_str(&r, MF_RS_CLOUD_REQUEST_ID, end->request_id == NULL ? "" : end->request_id);
	mf_record_set_num(&r, MF_RN_CLOUD_LEVEL, end->level);
	mf_record_set_num(&r, MF_RN_CLOUD_DEAD_AT, end->dead_at < c->effective ? end->dead_at : c->effective);
	uint64_t index = mf_engine_record(e, now, &r);
	mf_cloud_spare_forget(e, id);
	struct release *gone = handle ? mf_release_bytes(e, now, REL_HANDLE, index, mf_slice(NULL, 0)) : NULL;
	if (gone != NULL)
		memcpy(gone->lease, id, sizeof(gone->lease));
}

static void
complete(
    struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, uint32_t level, int64_t dead_at)
{
	mf_cloud_complete(e, now, c, &(const struct cloud_end) { .level = level, .dead_at = dead_at });
}

const char *
mf_cloud_plain(const char *s)
{
	return s != NULL && strlen(s) <= 512 && mf_engine_plain(s) ? s : "";
}

/* What the provider said to all of it. */
static void
record_answer(struct mf_engine *e, struct mf_now now, const struct errand *x,
    const Mayfly__Roles__V1__CloudRevokeResult *res, int64_t dead_at)
{
	struct mf_record r = { .type = MF_REC_REVOKE_CLOUD };
	struct mf_record_cred creds[RECORD_CREDS];
	for (size_t i = 0; i < x->covered_n && r.creds_n < RECORD_CREDS; i++) {
		const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->covered[i]));
		if (c != NULL)
			creds[r.creds_n++] = (struct mf_record_cred) { mf_slice_str(c->id), c->exp };
	}
	r.creds = creds;
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, x->target);
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, x->role);
	mf_record_set_str(&r, MF_RS_CLOUD_REQUEST_ID, mf_cloud_plain(res->provider_request_id));
	mf_record_set_num(&r, MF_RN_CLOUD_LEVEL, x->before != 0 ? LEVEL_SESSIONS : LEVEL_DENIED);
	if (x->before != 0) {
		mf_record_set_num(&r, MF_RN_CLOUD_BEFORE, x->before);
		mf_record_set_num(&r, MF_RN_CLOUD_DEAD_AT, dead_at);
	}
	(void)mf_engine_record(e, now, &r);
}

/* ---- errands ---- */

static struct errand *
find_errand(const struct mf_engine *e, const char *target, const char *role)
{
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (strcmp(x->target, target) == 0 && strcmp(x->role, role) == 0)
			return x;
	}
	return NULL;
}

static struct errand *
errand_of(struct mf_engine *e, const char *target, const char *role, const char *backend)
{
	struct errand *x = find_errand(e, target, role);
	if (x != NULL)
		return x;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return NULL; /* found again at the next look */
	x->target = strdup(target);
	x->role = strdup(role);
	x->backend = strdup(backend);
	x->covered = calloc(COVERED_MAX, sizeof(*x->covered));
	x->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	if (x->target == NULL || x->role == NULL || x->backend == NULL || x->covered == NULL) {
		errand_free(x);
		return NULL;
	}
	mf_list_add_tail(&e->cloud.errands, &x->at);
	return x;
}

static void
want(struct errand *x, struct mf_now now)
{
	if (x->phase == ERRAND_IDLE) {
		x->phase = ERRAND_DUE;
		x->due_ms = now.mono_ms;
	} else if (x->phase != ERRAND_DUE) {
		x->more = true;
	}
}

static void
retry(struct mf_engine *e, struct mf_now now, struct errand *x, uint32_t after_ms, const char *why)
{
	char text[640];
	x->phase = ERRAND_DUE;
	x->more = false;
	/* Whoever names a longer time does not put off what has ended for longer than that. */
	after_ms = after_ms < CLOUD_BACK_RETRY_MAX_MS ? after_ms : CLOUD_BACK_RETRY_MAX_MS;
	x->due_ms = now.mono_ms + (after_ms > x->wait_ms ? after_ms : x->wait_ms);
	x->told_ms = now.mono_ms + after_ms;
	x->wait_ms = x->wait_ms * 2 > CLOUD_BACK_RETRY_MAX_MS ? CLOUD_BACK_RETRY_MAX_MS : x->wait_ms * 2;
	(void)snprintf(text, sizeof(text), "%s: taking back is tried again: %.500s", x->target, why);
	e->ops->event(e->ctx, "cloud.revoke_retry", text);
	x->failed_ms = now.mono_ms;
	(void)snprintf(x->why, sizeof(x->why), "%s", why);
}

const char *
mf_engine_revoke_trouble(const struct mf_engine *e, const char *target, const char *role, uint64_t since_ms)
{
	const struct errand *x = find_errand(e, target, role);
	return x != NULL && x->failed_ms != 0 && x->failed_ms >= since_ms ? x->why : NULL;
}

/* What the next request is about. False: about nothing. */
static bool
choose(struct mf_engine *e, struct mf_now now, struct errand *x)
{
	x->covered_n = 0;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (strcmp(c->target, x->target) != 0 || strcmp(c->role, x->role) != 0)
			continue;
		if (x->covered_n < COVERED_MAX &&
		    mf_take_back(e->state, c, levels_of(e, c), now.wall_us / 1000000) == MF_TAKE_DENY)
			memcpy(x->covered[x->covered_n++], c->id, MF_STATE_ID_MAX);
	}
	return x->covered_n > 0 ||
	       mf_sessions_to_tell(mf_state_sessions_of(e->state, x->target, x->role), now.wall_us / 1000000);
}

/* ---- asking ---- */

static struct mf_assertion_request *
new_assertion(struct mf_engine *e, struct mf_now now, uint64_t ticket,
    const Mayfly__Roles__V1__CloudTarget *t, const struct mf_token_backend *b)
{
	char sub[MF_LIM_TRUST_DOMAIN + 32];
	(void)snprintf(sub, sizeof(sub), MF_CLOUD_REVOKER, e->trust_domain);
	return mf_cloud_assertion(e, now, ticket, t, b, sub);
}

static void
begin(struct mf_engine *e, struct mf_now now, struct errand *x)
{
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, x->target);
	const struct mf_token_backend *b = mf_cloud_backend(e, x->backend);
	const struct mf_key *k = t == NULL ? NULL : mf_state_active_key(e->state, mf_cloud_key_use(t));
	if (!choose(e, now, x)) {
		x->phase = ERRAND_IDLE;
		return;
	}
	struct mf_jws_key *key = k == NULL ? NULL : e->ops->assertion_key(e->ctx, k->id);
	struct mf_assertion_request *a =
	    t == NULL || b == NULL || key == NULL
		? NULL
		: new_assertion(e, now, CLOUD_DENY_TICKETS + ++e->next_work, t, b);
	if (a == NULL) {
		mf_jws_key_free(key);
		retry(e, now, x, 0, key == NULL ? "there is no key for assertions" : "out of memory");
		return;
	}
	a->key = key;
	x->id = a->ticket;
	x->phase = ERRAND_SIGNING;
	x->more = false;
	x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
	e->ops->sign_assertion(e->ctx, a);
}

struct asking {
	struct mf_deny v[DENIES_MAX];
	Mayfly__Roles__V1__CloudDeny m[DENIES_MAX], *p[DENIES_MAX];
};

static bool
is_named(const struct asking *k, size_t n, const struct mf_deny *d)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(k->v[i].tag, d->tag) == 0 && strcmp(k->v[i].value, d->value) == 0)
			return true;
	return false;
}

/* What the request has no room for is not said to be denied: it expires. */
static void
leave_out(struct mf_engine *e, struct mf_now now, struct errand *x, const struct asking *k, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < x->covered_n; i++) {
		const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->covered[i]));
		struct mf_deny d;
		if (c == NULL)
			continue;
		mf_deny_of(e->state, c, &d);
		if (mf_sessions_meet(x->before, c) || is_named(k, n, &d))
			memmove(x->covered[kept++], x->covered[i], MF_STATE_ID_MAX);
		else
			complete(e, now, c, 0, c->effective);
	}
	x->covered_n = kept;
}

static void
fill_denies(struct mf_engine *e, struct mf_now now, struct errand *x, struct asking *k,
    Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	const struct mf_token_backend *b = mf_cloud_backend(e, x->backend);
	size_t n = mf_denies(e->state, x->target, x->role, b == NULL ? 0 : b->caps.levels,
	    now.wall_us / 1000000, k->v, DENIES_MAX);
	x->before = mf_denies_before(e->state, x->target, x->role, now.wall_us / 1000000);
	x->cut = n > DENIES_MAX;
	if (x->cut)
		leave_out(e, now, x, k, n = DENIES_MAX);
	for (size_t i = 0; i < n; i++) {
		k->m[i] = (Mayfly__Roles__V1__CloudDeny)MAYFLY__ROLES__V1__CLOUD_DENY__INIT;
		k->m[i].tag = (char *)(uintptr_t)k->v[i].tag; /* packing only reads */
		k->m[i].value = k->v[i].value;
		k->p[i] = &k->m[i];
	}
	q->n_deny = n;
	q->deny = k->p;
	q->older_than = x->before;
}

static void
ask(struct mf_engine *e, struct mf_now now, struct errand *x, struct mf_slice token, struct mf_slice client)
{
	Mayfly__Roles__V1__CloudRevokeRequest q = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	bool any = choose(e, now, x), told = x->covered_n == 0;
	struct asking *k = any ? calloc(1, sizeof(*k)) : NULL;
	if (k == NULL) {
		x->phase = ERRAND_IDLE;
		if (any)
			retry(e, now, x, 0, "out of memory");
		return;
	}
	fill_denies(e, now, x, k, &q);
	if (x->covered_n == 0 && !told) { /* there was no room for any */
		x->phase = ERRAND_IDLE;
		free(k);
		return;
	}
	q.revoke_id = x->id;
	q.target = x->target;
	q.role = x->role;
	q.assertion.data = (uint8_t *)(uintptr_t)token.p;
	q.assertion.len = token.n;
	q.client_assertion.data = (uint8_t *)(uintptr_t)client.p;
	q.client_assertion.len = client.n;
	q.timeout_ms = CLOUD_BACK_TIMEOUT_MS;
	q.whole = true; /* one broker for each role: entries leave with the last token that they meet */
	x->phase = ERRAND_ASKED;
	x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
	if (e->ops->revoke == NULL || !e->ops->revoke(e->ctx, &q))
		retry(
		    e, now, x, 0, "the courier, which speaks to clouds, is not there or has too much to do");
	free(k);
}

static struct errand *
by_id(struct mf_engine *e, uint64_t id, enum errand_phase phase)
{
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (x->id == id && x->phase == phase)
			return x;
	}
	return NULL;
}

bool
mf_engine_revoke_asserted(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token, struct mf_slice client)
{
	if (ticket < CLOUD_DENY_TICKETS)
		return false;
	if (ticket >= CLOUD_SINGLE_TICKETS) {
		mf_cloud_single_asserted(e, now, ticket, token);
		return true;
	}
	struct errand *x = by_id(e, ticket, ERRAND_SIGNING);
	if (x != NULL && token.n > 0)
		ask(e, now, x, token, client);
	else if (x != NULL)
		retry(e, now, x, 0, "the assertion could not be signed");
	return true;
}

/* ---- answers ---- */

static bool
is_in(const Mayfly__Roles__V1__CloudRevokeResult *res, const struct mf_deny *d)
{
	if (!res->overflow)
		return true;
	for (size_t i = 0; i < res->n_denied; i++)
		if (strcmp(res->denied[i]->tag, d->tag) == 0 && strcmp(res->denied[i]->value, d->value) == 0)
			return true;
	return false;
}

/* Denied before, and pushed out by what goes first: what was said of it is said anew. */
static void
say_pushed_out(struct mf_engine *e, struct mf_now now, const struct errand *x,
    const Mayfly__Roles__V1__CloudRevokeResult *res)
{
	struct asking *k = !x->cut && !res->overflow ? NULL : calloc(1, sizeof(*k));
	const struct mf_token_backend *b = mf_cloud_backend(e, x->backend);
	if (k == NULL || b == NULL) {
		free(k);
		return;
	}
	size_t n =
	    mf_denies(e->state, x->target, x->role, b->caps.levels, now.wall_us / 1000000, k->v, DENIES_MAX);
	n = n < DENIES_MAX ? n : DENIES_MAX;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		struct mf_deny d;
		if (c->state != MF_CLOUD_COMPLETED || c->level < 2 || c->effective * 1000000 <= now.wall_us ||
		    strcmp(c->target, x->target) != 0 || strcmp(c->role, x->role) != 0 ||
		    mf_sessions_meet(x->before, c))
			continue;
		mf_deny_of(e->state, c, &d);
		if (!is_named(k, n, &d) || !is_in(res, &d))
			complete(e, now, c, 0, c->effective);
	}
	free(k);
}

/* The courier may lie; what it says moves nothing beyond the token's own end. */
static void
confirmed(
    struct mf_engine *e, struct mf_now now, struct errand *x, const Mayfly__Roles__V1__CloudRevokeResult *res)
{
	/* The courier counts from when it began; what the provider documents begins with its confirmation. */
	int64_t took_s = ((int64_t)now.mono_ms - ((int64_t)x->due_ms - CLOUD_BACK_SILENCE_MS)) / 1000;
	int64_t now_s = now.wall_us / 1000000, far = INT64_MAX - took_s;
	int64_t dead_at = res->dead_at > far ? INT64_MAX : res->dead_at + took_s;
	if (dead_at < now_s)
		dead_at = now_s;
	record_answer(e, now, x, res, dead_at);
	say_pushed_out(e, now, x, res);
	for (size_t i = 0; i < x->covered_n; i++) {
		const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->covered[i]));
		struct mf_deny d;
		if (c == NULL || c->state != MF_CLOUD_ENDED)
			continue; /* an intent: its outcome is still to come */
		mf_deny_of(e->state, c, &d);
		if (mf_sessions_meet(x->before, c))
			complete(e, now, c, LEVEL_SESSIONS, dead_at);
		else if (is_in(res, &d))
			complete(e, now, c, LEVEL_DENIED, dead_at);
		else
			complete(e, now, c, 0, c->effective); /* no room: it expires */
	}
	x->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	x->phase = ERRAND_IDLE;
	if (x->more || x->covered_n == COVERED_MAX)
		want(x, now); /* what ended meanwhile, and what did not fit */
	x->more = false;
}

void
mf_cloud_unasked(struct mf_engine *e)
{
	if (e->cloud.unasked++ == 0)
		e->ops->event(e->ctx, "courier.unasked", "a result that nobody waits for was dropped");
}

void
mf_engine_revoked(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res)
{
	if (mf_engine_probe_revoked(e, now, res))
		return;
	struct errand *x = by_id(e, res->revoke_id, ERRAND_ASKED);
	if (res->revoke_id >= CLOUD_SINGLE_TICKETS) {
		if (!mf_cloud_single_revoked(e, now, res))
			mf_cloud_unasked(e);
		mf_engine_revoke_run(e, now);
		return;
	}
	if (x == NULL) {
		mf_cloud_unasked(e);
		return;
	}
	mf_cloud_heard(e, x->target, res->confirmed ? "" : res->error, mf_cloud_plain(res->reason));
	if (res->confirmed && x->before != 0 && res->level < LEVEL_SESSIONS)
		retry(e, now, x, 0, "the sessions of before were not denied with the rest");
	else if (res->confirmed)
		confirmed(e, now, x, res);
	else
		retry(e, now, x, res->retry_after_ms, mf_cloud_plain(res->reason));
	mf_engine_revoke_run(e, now);
}

void
mf_engine_revoke_courier_gone(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (x->phase == ERRAND_ASKED)
			retry(e, now, x, 0, "the courier died while it asked");
	}
	mf_cloud_single_courier_gone(e, now);
}

void
mf_cloud_revoke_sooner(struct mf_engine *e, struct mf_now now, const char *target)
{
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		uint64_t at = x->failed_ms + CLOUD_BACK_HEARD_MS;
		at = at > x->told_ms ? at : x->told_ms;
		at = at > now.mono_ms ? at : now.mono_ms;
		if (x->phase == ERRAND_DUE && strcmp(x->target, target) == 0 && x->due_ms > at)
			x->due_ms = at;
	}
}

void
mf_engine_courier_here(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (x->phase != ERRAND_DUE)
			continue;
		x->due_ms = now.mono_ms;
		x->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	}
	mf_cloud_single_courier_here(e, now);
	mf_engine_revoke_run(e, now);
}

/* ---- what is to be done ---- */

/* What is to be done about this one? */
static void
consider(struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c)
{
	struct errand *x;
	switch (mf_take_back(e->state, c, levels_of(e, c), now.wall_us / 1000000)) {
	case MF_TAKE_NOTHING:
		break;
	case MF_TAKE_WAIT: /* said at once: it works until then */
		complete(e, now, c, 0, c->effective);
		break;
	case MF_TAKE_SINGLE:
		e->cloud.waiting = true;
		mf_cloud_single_want(e, now, c);
		break;
	case MF_TAKE_DENY:
		e->cloud.waiting = true; /* it may be dead by itself before anybody confirms */
		x = errand_of(e, c->target, c->role, c->backend);
		if (x != NULL)
			want(x, now);
		break;
	}
}

/* Sessions of a role, where somebody can still be told of them. */
static void
consider_sessions(struct mf_engine *e, struct mf_now now, const struct mf_sessions *s)
{
	if (!mf_sessions_to_tell(s, now.wall_us / 1000000))
		return;
	const Mayfly__Roles__V1__CloudTarget *t = mf_cloud_target(e, s->target);
	const struct mf_token_backend *b = mf_cloud_backend(e, s->backend);
	if (t == NULL || b == NULL || (mf_token_backend_levels(b, t) & MF_REVOKE_SESSIONS) == 0)
		return; /* nobody is configured to ask any more */
	e->cloud.waiting = true;
	struct errand *x = errand_of(e, s->target, s->role, s->backend);
	if (x != NULL && x->phase == ERRAND_IDLE)
		want(x, now);
}

/* All of them: at a start, and now and then while something has not been confirmed. */
static void
look(struct mf_engine *e, struct mf_now now)
{
	e->cloud.look = false;
	e->cloud.looked_ms = now.mono_ms;
	e->cloud.waiting = false;
	e->cloud.touched_n = 0;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	consider(e, now, MF_LIST_ITEM(p, struct mf_cloud_cred, at));
}

/* Those that ended just now. A record that is made here touches nothing more. */
static void
look_at_touched(struct mf_engine *e, struct mf_now now)
{
	size_t n = e->cloud.touched_n;
	for (size_t i = 0; i < n; i++) {
		const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(e->cloud.touched[i]));
		if (c != NULL)
			consider(e, now, c);
	}
	e->cloud.touched_n = 0;
}

void
mf_engine_revoke_run(struct mf_engine *e, struct mf_now now)
{
	if (e->cloud.conf == NULL)
		return; /* not told yet where to ask: nothing is given up for that */
	if (e->cloud.look || (e->cloud.waiting && now.mono_ms - e->cloud.looked_ms >= LOOK_MS))
		look(e, now);
	else
		look_at_touched(e, now);
	MF_LIST_EACH(p, mf_state_sessions(e->state))
	consider_sessions(e, now, MF_LIST_ITEM(p, struct mf_sessions, at));
	MF_LIST_EACH(p, &e->cloud.errands)
	{
		struct errand *x = MF_LIST_ITEM(p, struct errand, at);
		if (x->phase == ERRAND_DUE && now.mono_ms >= x->due_ms)
			begin(e, now, x);
		else if ((x->phase == ERRAND_SIGNING || x->phase == ERRAND_ASKED) && now.mono_ms >= x->due_ms)
			retry(e, now, x, 0, "nobody answered");
	}
	mf_cloud_single_run(e, now);
}

static void
touch(struct mf_engine *e, const struct mf_cloud_cred *c)
{
	if (e->cloud.touched_n == e->cloud.touched_cap) {
		size_t cap = e->cloud.touched_cap * 2 + 64;
		void *more = realloc(e->cloud.touched, cap * sizeof(*e->cloud.touched));
		if (more == NULL) {
			e->cloud.look = true; /* then all of them */
			return;
		}
		e->cloud.touched = more;
		e->cloud.touched_cap = cap;
	}
	memcpy(e->cloud.touched[e->cloud.touched_n++], c->id, MF_STATE_ID_MAX);
}

void
mf_engine_revoke_after(struct mf_engine *e, const struct mf_record *r)
{
	const struct mf_lease *l = NULL;
	const struct mf_cloud_cred *c = NULL;
	if (r->type == MF_REC_SESSIONS_ENDED)
		e->cloud.look = true;
	if (r->type == MF_REC_CLOUD_RECONCILED || r->type == MF_REC_CREDENTIAL_ENDED)
		c = mf_state_cloud(e->state, r->s[MF_RS_SERIAL]);
	else if (r->type == MF_REC_LEASE_ENDED || r->type == MF_REC_LEASE_SUSPENDED ||
		 r->type == MF_REC_GRANT_ENDED)
		l = mf_state_lease(e->state, r->s[MF_RS_LEASE]);
	if (c != NULL)
		touch(e, c);
	if (l == NULL)
		return;
	MF_LIST_EACH(p, &l->clouds)
	{
		c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (c->state == MF_CLOUD_ENDED)
			touch(e, c);
	}
}
