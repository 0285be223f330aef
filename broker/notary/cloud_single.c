/*
 * Ending single tokens (L1, docs/internals/cloud.md): one request for each, where the provider can end a token that it is shown. What
 * is to be done follows from the state; here is only who waits for which target, and what is under way: a few at a time for each.
 * An error is tried again, later and later, until the provider confirms or the token is dead by itself. Where the provider says
 * whether a token is active it is asked after the confirmation, and one that still is is revoked again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "broker/notary/cloud_alarm.h"
#include "broker/notary/cloud_back.h"
#include "broker/notary/cloud_work.h"
#include "codec/assertion.h"

#define AT_A_TIME 4u   /* for each target: what the courier does of removals */
#define PROBES 5u      /* then the record says that the provider did not say */
#define MUTE_MS 30000u /* who did not answer so many probes in a row is not asked for so long */
#define SPARES_MAX 64u /* more are not kept in memory: they expire */
#define HANDLE_BYTES (32u * 1024u)

enum single_phase {
	SINGLE_WAITING,
	SINGLE_OPENING, /* its handle is read */
	SINGLE_SIGNING,
	SINGLE_ASKED,
	SINGLE_DOUBTED, /* revoked; its probe is due */
	SINGLE_PROVING, /* as SIGNING and ASKED, for the probe */
	SINGLE_PROBED
};
/* A slow probe keeps no revocation waiting. */
enum lane { LANE_WAITING, LANE_REVOKING, LANE_DOUBTED, LANE_PROBING, LANES };
static const enum lane lane_of[] = {
	[SINGLE_WAITING] = LANE_WAITING,
	[SINGLE_OPENING] = LANE_REVOKING,
	[SINGLE_SIGNING] = LANE_REVOKING,
	[SINGLE_ASKED] = LANE_REVOKING,
	[SINGLE_DOUBTED] = LANE_DOUBTED,
	[SINGLE_PROVING] = LANE_PROBING,
	[SINGLE_PROBED] = LANE_PROBING,
};

/* Tokens of one target. */
struct mouth {
	struct mf_list at;
	char *target;
	struct mf_list lanes[LANES]; /* struct single.in */
	size_t n[LANES];
	uint64_t due_ms;     /* nothing begins before */
	uint32_t wait_ms;    /* after the next failure */
	unsigned unanswered; /* probes, in a row */
	uint64_t mute_until_ms;
};

struct single {
	struct mf_list in;
	struct mouth *m;
	char cred[MF_STATE_ID_MAX];
	enum single_phase phase;
	uint64_t id;	 /* of the assertion and the request under way */
	uint64_t due_ms; /* nobody answers any more; DOUBTED: the probe */
	struct mf_buf handle;
	int64_t dead_at;
	char request_id[256];
	unsigned probes;
	bool map_oom;
	UT_hash_handle hh;
};

struct spare {
	char cred[MF_STATE_ID_MAX];
	struct mf_buf handle;
	bool map_oom;
	UT_hash_handle hh;
};

/* ---- handles in memory ---- */

static struct spare *
spare_of(const struct mf_engine *e, const char *cred)
{
	struct spare *s = NULL;
	HASH_FIND(hh, e->cloud.spares, cred, strlen(cred), s);
	return s;
}

bool
mf_cloud_spare_has(const struct mf_engine *e, const char *cred)
{
	return spare_of(e, cred) != NULL;
}

static void
spare_free(struct spare *s)
{
	mf_buf_fini(&s->handle);
	free(s);
}

void
mf_cloud_spare_forget(struct mf_engine *e, const char *cred)
{
	struct spare *s = spare_of(e, cred);
	if (s == NULL)
		return;
	HASH_DELETE(hh, e->cloud.spares, s);
	spare_free(s);
}

void
mf_cloud_spare(struct mf_engine *e, const char *cred, struct mf_slice handle)
{
	struct spare *s = HASH_COUNT(e->cloud.spares) >= SPARES_MAX || spare_of(e, cred) != NULL
			      ? NULL
			      : calloc(1, sizeof(*s));
	if (s == NULL)
		return;
	(void)snprintf(s->cred, sizeof(s->cred), "%s", cred);
	mf_buf_init(&s->handle, HANDLE_BYTES);
	mf_buf_put_slice(&s->handle, handle);
	bool whole = mf_buf_check(&s->handle, NULL) == MF_OK;
	if (whole)
		HASH_ADD_KEYPTR(hh, e->cloud.spares, s->cred, strlen(s->cred), s);
	if (!whole || s->map_oom)
		spare_free(s);
}

/* ---- who waits ---- */

static struct mouth *
mouth_of(struct mf_engine *e, const char *target)
{
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		if (strcmp(m->target, target) == 0)
			return m;
	}
	struct mouth *m = calloc(1, sizeof(*m));
	char *name = strdup(target);
	if (m == NULL || name == NULL) {
		free(m);
		free(name);
		return NULL; /* found again at the next look */
	}
	m->target = name;
	m->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	for (size_t i = 0; i < LANES; i++)
		mf_list_init(&m->lanes[i]);
	mf_list_add_tail(&e->cloud.mouths, &m->at);
	return m;
}

/* Into that phase, behind the others of its lane. */
static void
move(struct single *x, enum single_phase to)
{
	enum lane lane = lane_of[to];
	x->m->n[lane_of[x->phase]]--;
	x->m->n[lane]++;
	mf_list_del(&x->in);
	mf_list_add_tail(&x->m->lanes[lane], &x->in);
	x->phase = to;
}

static void
single_free(struct mf_engine *e, struct single *x)
{
	x->m->n[lane_of[x->phase]]--;
	HASH_DELETE(hh, e->cloud.singles, x);
	mf_list_del(&x->in);
	mf_buf_fini(&x->handle);
	free(x);
}

void
mf_cloud_single_fini(struct mf_engine *e)
{
	struct single *x, *next;
	struct spare *s, *after;
	HASH_ITER(hh, e->cloud.singles, x, next)
	single_free(e, x);
	HASH_ITER(hh, e->cloud.spares, s, after)
	mf_cloud_spare_forget(e, s->cred);
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		mf_list_del(p);
		free(m->target);
		free(m);
	}
}

void
mf_cloud_single_want(struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c)
{
	struct single *x = NULL;
	struct mouth *m;
	MF_UNUSED(now);
	HASH_FIND(hh, e->cloud.singles, c->id, strlen(c->id), x);
	if (x != NULL || (m = mouth_of(e, c->target)) == NULL || (x = calloc(1, sizeof(*x))) == NULL)
		return; /* without memory: found again at the next look */
	memcpy(x->cred, c->id, sizeof(x->cred));
	x->m = m;
	mf_buf_init(&x->handle, HANDLE_BYTES);
	HASH_ADD_KEYPTR(hh, e->cloud.singles, x->cred, strlen(x->cred), x);
	if (x->map_oom) {
		free(x);
		return;
	}
	mf_list_add_tail(&m->lanes[LANE_WAITING], &x->in);
	m->n[LANE_WAITING]++;
}

/* Its turn comes again, behind the others; the target is left alone for a while. */
static void
retry(struct mf_engine *e, struct mf_now now, struct single *x, uint32_t after_ms, const char *why)
{
	char text[640];
	struct mouth *m = x->m;
	/* Whoever names a longer time does not put off what has ended for longer than that. */
	after_ms = after_ms < CLOUD_BACK_RETRY_MAX_MS ? after_ms : CLOUD_BACK_RETRY_MAX_MS;
	m->due_ms = now.mono_ms + (after_ms > m->wait_ms ? after_ms : m->wait_ms);
	m->wait_ms = m->wait_ms * 2 > CLOUD_BACK_RETRY_MAX_MS ? CLOUD_BACK_RETRY_MAX_MS : m->wait_ms * 2;
	mf_buf_fini(&x->handle);
	move(x, SINGLE_WAITING);
	(void)snprintf(
	    text, sizeof(text), "%s: taking back %s is tried again: %.400s", m->target, x->cred, why);
	e->ops->event(e->ctx, "cloud.revoke_retry", text);
}

static struct single *
by_id(struct mf_engine *e, uint64_t id)
{
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		for (size_t i = LANE_REVOKING; i < LANES; i += LANE_PROBING - LANE_REVOKING) {
			MF_LIST_EACH(q, &m->lanes[i])
			{
				struct single *x = MF_LIST_ITEM(q, struct single, in);
				if (x->id == id)
					return x;
			}
		}
	}
	return NULL;
}

/* NULL: it is completed, expired or forgotten: nothing is left to be done. */
static const struct mf_cloud_cred *
cred_of(const struct mf_engine *e, const struct single *x)
{
	const struct mf_cloud_cred *c = mf_state_cloud(e->state, mf_slice_str(x->cred));
	return c != NULL && c->state == MF_CLOUD_ENDED ? c : NULL;
}

/* ---- asking ---- */

/* Our own authentication, where the target wants one. */
static struct mf_assertion_request *
client_assertion(
    struct mf_engine *e, struct mf_now now, uint64_t ticket, const Mayfly__Roles__V1__CloudTarget *t)
{
	uint8_t random[10];
	const struct mf_key *k = mf_state_active_key(e->state, mf_cloud_key_use(t));
	struct mf_jws_key *key = k == NULL ? NULL : e->ops->assertion_key(e->ctx, k->id);
	struct mf_assertion_request *a = key == NULL ? NULL : calloc(1, sizeof(*a));
	if (a == NULL) {
		mf_jws_key_free(key);
		return NULL;
	}
	a->ticket = ticket;
	a->key = key;
	a->iat = now.wall_us / 1000000 - MF_ASSERTION_MAX_S / 2;
	a->exp = a->iat + MF_ASSERTION_MAX_S;
	e->conf.rand.fill(e->conf.rand.ctx, random, sizeof(random));
	mf_uuid7(now.wall_us, random, a->jti);
	a->iss = strdup(t->client_id);
	a->sub = strdup(t->client_id);
	a->aud = strdup(t->endpoint);
	a->source_identity = strdup("");
	if (a->iss != NULL && a->sub != NULL && a->aud != NULL && a->source_identity != NULL)
		return a;
	mf_assertion_request_free(a);
	return NULL;
}

static void
ask(struct mf_engine *e, struct mf_now now, struct single *x, const struct mf_cloud_cred *c,
    struct mf_slice client)
{
	Mayfly__Roles__V1__CloudRevokeRequest q = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	/* Packing only reads. */
	q.revoke_id = x->id;
	q.target = c->target;
	q.role = c->role;
	q.credential_id = x->cred;
	q.handle = (ProtobufCBinaryData) { x->handle.n, x->handle.p };
	q.client_assertion = (ProtobufCBinaryData) { client.n, (uint8_t *)(uintptr_t)client.p };
	q.timeout_ms = CLOUD_BACK_TIMEOUT_MS;
	move(x, SINGLE_ASKED);
	x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
	if (e->ops->revoke == NULL || !e->ops->revoke(e->ctx, &q))
		retry(
		    e, now, x, 0, "the courier, which speaks to clouds, is not there or has too much to do");
}

static void finish(struct mf_engine *e, struct mf_now now, struct single *x, const char *probe);

/* Once more in a while, or never. */
static void
doubt(struct mf_engine *e, struct mf_now now, struct single *x)
{
	struct mouth *m = x->m;
	if (++m->unanswered >= PROBES)
		m->mute_until_ms = now.mono_ms + MUTE_MS;
	if (++x->probes >= PROBES || now.mono_ms < m->mute_until_ms) {
		finish(e, now, x, "unknown");
		return;
	}
	move(x, SINGLE_DOUBTED);
	x->due_ms = now.mono_ms + (UINT64_C(500) << x->probes);
}

static void
probe(struct mf_engine *e, struct mf_now now, struct single *x, const struct mf_cloud_cred *c,
    struct mf_slice client)
{
	Mayfly__Roles__V1__CloudProbeRequest q = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
	q.probe_id = x->id;
	q.target = c->target;
	q.role = c->role;
	q.handle = (ProtobufCBinaryData) { x->handle.n, x->handle.p };
	q.client_assertion = (ProtobufCBinaryData) { client.n, (uint8_t *)(uintptr_t)client.p };
	q.timeout_ms = CLOUD_BACK_TIMEOUT_MS;
	move(x, SINGLE_PROBED);
	x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
	if (!e->ops->probe(e->ctx, &q))
		doubt(e, now, x);
}

/* A request, behind an assertion where the target wants one; ${probing}: whether it is dead. */
static void
speak(struct mf_engine *e, struct mf_now now, struct single *x, bool probing)
{
	const struct mf_cloud_cred *c = cred_of(e, x);
	const Mayfly__Roles__V1__CloudTarget *t = c == NULL ? NULL : mf_cloud_target(e, c->target);
	if (t == NULL) {
		single_free(e, x); /* the next look says what becomes of it */
		return;
	}
	x->id = CLOUD_SINGLE_TICKETS + ++e->next_work;
	if (strcmp(t->client_auth, "private_key_jwt") != 0) {
		if (probing)
			probe(e, now, x, c, mf_slice(NULL, 0));
		else
			ask(e, now, x, c, mf_slice(NULL, 0));
		return;
	}
	struct mf_assertion_request *a = client_assertion(e, now, x->id, t);
	if (a == NULL && probing) {
		doubt(e, now, x);
	} else if (a == NULL) {
		retry(e, now, x, 0, "there is no key for assertions, or no memory");
	} else {
		move(x, probing ? SINGLE_PROVING : SINGLE_SIGNING);
		x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
		e->ops->sign_assertion(e->ctx, a);
	}
}

void
mf_cloud_single_asserted(struct mf_engine *e, struct mf_now now, uint64_t ticket, struct mf_slice token)
{
	struct single *x = by_id(e, ticket);
	const struct mf_cloud_cred *c = x == NULL ? NULL : cred_of(e, x);
	if (x == NULL || (x->phase != SINGLE_SIGNING && x->phase != SINGLE_PROVING))
		return;
	if (c == NULL)
		single_free(e, x);
	else if (x->phase == SINGLE_PROVING && token.n == 0)
		doubt(e, now, x);
	else if (x->phase == SINGLE_PROVING)
		probe(e, now, x, c, token);
	else if (token.n == 0)
		retry(e, now, x, 0, "the assertion could not be signed");
	else
		ask(e, now, x, c, token);
}

/* The one at the head of the line. */
static void
begin(struct mf_engine *e, struct mf_now now, struct mouth *m)
{
	struct single *x = MF_LIST_ITEM(m->lanes[LANE_WAITING].next, struct single, in);
	const struct mf_cloud_cred *c = cred_of(e, x);
	const struct mf_token_backend *b = c == NULL ? NULL : mf_cloud_backend(e, c->backend);
	if (b == NULL || mf_cloud_target(e, c->target) == NULL) {
		single_free(e, x);
		return;
	}
	move(x, SINGLE_OPENING);
	x->due_ms = now.mono_ms + CLOUD_BACK_SILENCE_MS;
	x->probes = 0;
	mf_buf_reset(&x->handle);
	const struct spare *s = spare_of(e, x->cred);
	if (s != NULL)
		mf_buf_put_slice(&x->handle, mf_buf_slice(&s->handle));
	if (s != NULL || !b->caps.needs_handle)
		speak(e, now, x, false);
	else if (e->ops->open_handle == NULL || !e->ops->open_handle(e->ctx, x->cred))
		retry(e, now, x, 0, "its handle cannot be read: out of memory");
}

void
mf_engine_handle_opened(
    struct mf_engine *e, struct mf_now now, const char *cred, enum mf_status s, struct mf_slice secret)
{
	struct single *x = NULL;
	char text[256];
	HASH_FIND(hh, e->cloud.singles, cred, strlen(cred), x);
	if (x == NULL || x->phase != SINGLE_OPENING)
		return;
	const struct mf_cloud_cred *c = cred_of(e, x);
	if (s == MF_OK) {
		mf_buf_put_slice(&x->handle, secret);
		speak(e, now, x, false);
	} else if (s == MF_E_IO || s == MF_E_NOMEM || s == MF_E_EXHAUSTED) {
		retry(e, now, x, 0, "its handle cannot be read: see handle.failed in the log");
	} else {
		(void)snprintf(text, sizeof(text),
		    "the handle of %s is gone or does not open: nobody can end this token, it expires", cred);
		e->ops->event(e->ctx, "cloud.handle_lost", text);
		if (c != NULL)
			mf_cloud_complete(e, now, c, &(const struct cloud_end) { .dead_at = c->effective });
		single_free(e, x);
	}
	mf_engine_revoke_run(e, now);
}

/* ---- answers ---- */

static void
finish(struct mf_engine *e, struct mf_now now, struct single *x, const char *probe_says)
{
	const struct mf_cloud_cred *c = cred_of(e, x);
	if (c != NULL)
		mf_cloud_complete(e, now, c,
		    &(const struct cloud_end) { .level = 1,
			/* A JWT is good wherever nobody asks its issuer. */
			.dead_at = c->by_itself ? c->effective : x->dead_at,
			.probe = probe_says,
			.request_id = x->request_id });
	single_free(e, x);
}

bool
mf_cloud_single_revoked(
    struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudRevokeResult *res)
{
	struct single *x = by_id(e, res->revoke_id);
	const struct mf_cloud_cred *c = x == NULL ? NULL : cred_of(e, x);
	const Mayfly__Roles__V1__CloudTarget *t = c == NULL ? NULL : mf_cloud_target(e, c->target);
	if (x == NULL || x->phase != SINGLE_ASKED)
		return false;
	mf_cloud_heard(e, x->m->target, res->confirmed ? "" : res->error, mf_cloud_plain(res->reason));
	if (!res->confirmed || res->level != 1) {
		retry(e, now, x, res->retry_after_ms, mf_cloud_plain(res->reason));
		return true;
	}
	x->dead_at = now.wall_us / 1000000;
	(void)snprintf(x->request_id, sizeof(x->request_id), "%s", mf_cloud_plain(res->provider_request_id));
	x->m->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	if (t == NULL || t->introspection_endpoint[0] == '\0' || e->ops->probe == NULL) {
		finish(e, now, x, NULL);
	} else if (now.mono_ms < x->m->mute_until_ms) {
		finish(e, now, x, "unknown");
	} else {
		move(x, SINGLE_DOUBTED);
		x->due_ms = now.mono_ms;
	}
	return true;
}

void
mf_engine_probed(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__CloudProbeResult *res)
{
	char text[256];
	struct single *x = by_id(e, res->probe_id);
	if (x == NULL || x->phase != SINGLE_PROBED) {
		mf_cloud_unasked(e);
		return;
	}
	if (!res->known) {
		(void)snprintf(text, sizeof(text), "%s: whether %s is dead is not known: %.120s",
		    x->m->target, x->cred, mf_cloud_plain(res->reason));
		e->ops->event(e->ctx, "cloud.probe_failed", text);
		doubt(e, now, x);
	} else if (res->active) {
		x->m->unanswered = 0;
		(void)snprintf(text, sizeof(text),
		    "%s: %s is still active, although its revocation was confirmed: revoked again",
		    x->m->target, x->cred);
		e->ops->event(e->ctx, "cloud.still_active", text);
		retry(e, now, x, 0, "it is still active");
	} else {
		x->m->unanswered = 0;
		finish(e, now, x, "inactive");
	}
	mf_engine_revoke_run(e, now);
}

void
mf_cloud_single_courier_gone(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		MF_LIST_EACH(q, &m->lanes[LANE_REVOKING])
		{
			struct single *x = MF_LIST_ITEM(q, struct single, in);
			if (x->phase == SINGLE_ASKED)
				retry(e, now, x, 0, "the courier died while it asked");
		}
		MF_LIST_EACH(q, &m->lanes[LANE_PROBING])
		{
			struct single *x = MF_LIST_ITEM(q, struct single, in);
			if (x->phase == SINGLE_PROBED)
				doubt(e, now, x);
		}
	}
}

void
mf_cloud_single_courier_here(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		m->due_ms = now.mono_ms;
		m->wait_ms = CLOUD_BACK_RETRY_MIN_MS;
	}
}

/* ---- time ---- */

static void
look_at_lanes(struct mf_engine *e, struct mf_now now, struct mouth *m)
{
	MF_LIST_EACH(p, &m->lanes[LANE_REVOKING])
	{
		struct single *x = MF_LIST_ITEM(p, struct single, in);
		if (now.mono_ms >= x->due_ms)
			retry(e, now, x, 0, "nobody answered");
	}
	MF_LIST_EACH(p, &m->lanes[LANE_PROBING])
	{
		struct single *x = MF_LIST_ITEM(p, struct single, in);
		if (now.mono_ms >= x->due_ms)
			doubt(e, now, x);
	}
	MF_LIST_EACH(p, &m->lanes[LANE_DOUBTED])
	{
		struct single *x = MF_LIST_ITEM(p, struct single, in);
		if (m->n[LANE_PROBING] >= AT_A_TIME)
			break;
		if (now.mono_ms >= x->due_ms)
			speak(e, now, x, true);
	}
}

void
mf_cloud_single_run(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->cloud.mouths)
	{
		struct mouth *m = MF_LIST_ITEM(p, struct mouth, at);
		look_at_lanes(e, now, m);
		while (m->n[LANE_REVOKING] < AT_A_TIME && m->n[LANE_WAITING] > 0 && now.mono_ms >= m->due_ms)
			begin(e, now, m);
	}
}
