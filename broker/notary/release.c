/*
 * What leaves the notary, and when. A Grant is sent from mf_release_due and nowhere else: its record is durable, and
 * its lease is looked at once more, so that nothing is handed out for what has ended while the disk was busy.
 */
#include <stdio.h>

#include "base/secret.h"
#include "broker/notary/engine_internal.h"

#define EFFECTIVE_AFTER_MS 2000u
#define NO_MEMORY "out of memory for an answer"

void
mf_release_free(struct release *r)
{
	if (r == NULL)
		return;
	mf_wipe(r->bytes, r->bytes_n);
	free(r->bytes);
	if (r->reply != NULL && r->reply->what_case == MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN)
		mf_wipe(r->reply->join_token->token, strlen(r->reply->join_token->token));
	if (r->reply != NULL)
		mayfly__roles__v1__admin_reply__free_unpacked(r->reply, NULL);
	free(r);
}

static void
queue(struct mf_engine *e, struct release *r)
{
	/* Indices grow, so this is nearly always the tail. */
	struct mf_list *at = e->releases.prev;
	while (at != &e->releases && MF_LIST_ITEM(at, struct release, at)->index > r->index)
		at = at->prev;
	mf_list_add_head(at, &r->at);
}

/* Takes ${bytes}, also when it fails. */
static struct release *
take_bytes(
    struct mf_engine *e, struct mf_now now, enum release_kind kind, uint64_t index, uint8_t *bytes, size_t n)
{
	struct release *r = index == UINT64_MAX ? NULL : calloc(1, sizeof(*r));
	if (r == NULL) {
		if (index != UINT64_MAX)
			mf_engine_break(e, NO_MEMORY);
		mf_wipe(bytes, n);
		free(bytes);
		return NULL;
	}
	mf_list_init(&r->at);
	r->kind = kind;
	r->index = index;
	r->since_ms = now.mono_ms;
	r->bytes = bytes;
	r->bytes_n = n;
	queue(e, r);
	return r;
}

struct release *
mf_release_bytes(
    struct mf_engine *e, struct mf_now now, enum release_kind kind, uint64_t index, struct mf_slice bytes)
{
	uint8_t *copy = bytes.n == 0 ? NULL : malloc(bytes.n);
	if (bytes.n > 0 && copy == NULL) {
		if (index != UINT64_MAX)
			mf_engine_break(e, NO_MEMORY);
		return NULL;
	}
	if (copy != NULL)
		memcpy(copy, bytes.p, bytes.n);
	return take_bytes(e, now, kind, index, copy, bytes.n);
}

struct release *
mf_release_down(struct mf_engine *e, struct mf_now now, uint64_t index, uint64_t sid,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane)
{
	size_t n = mayfly__agent__v1__down__get_packed_size(down);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL) {
		mf_engine_break(e, NO_MEMORY);
		return NULL;
	}
	(void)mayfly__agent__v1__down__pack(down, bytes);
	struct release *r = take_bytes(e, now, REL_DOWN, index, bytes, n);
	if (r != NULL) {
		r->sid = sid;
		r->lane = lane;
		r->request_id = down->request_id;
	}
	return r;
}

struct release *
mf_release_admin(
    struct mf_engine *e, struct mf_now now, uint64_t index, const Mayfly__Roles__V1__AdminReply *reply)
{
	size_t n = mayfly__roles__v1__admin_reply__get_packed_size(reply);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL) {
		mf_engine_break(e, NO_MEMORY);
		return NULL;
	}
	(void)mayfly__roles__v1__admin_reply__pack(reply, bytes);
	struct release *r = mf_release_bytes(e, now, REL_ADMIN, index, mf_slice(NULL, 0));
	if (r != NULL) {
		r->reply = mayfly__roles__v1__admin_reply__unpack(NULL, n, bytes);
		if (r->reply == NULL)
			mf_engine_break(e, NO_MEMORY);
	}
	mf_wipe(bytes, n); /* a join token may be in it */
	free(bytes);
	return r;
}

void
mf_send_down(struct mf_engine *e, uint64_t sid, const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane,
    uint64_t coalesce)
{
	size_t n = mayfly__agent__v1__down__get_packed_size(down);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL) {
		mf_engine_break(e, NO_MEMORY);
		return;
	}
	(void)mayfly__agent__v1__down__pack(down, bytes);
	e->ops->send(e->ctx, sid, mf_slice(bytes, n), lane, coalesce);
	free(bytes);
}

void
mf_send_refusal(struct mf_engine *e, uint64_t sid, uint64_t request_id, Mayfly__Agent__V1__RefusalCode code,
    const char *reason, const char *rule)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__Refusal refusal = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_POLICY_REASON_MAX], rule_text[MF_STATE_ID_MAX];
	(void)snprintf(text, sizeof(text), "%s", reason);
	(void)snprintf(rule_text, sizeof(rule_text), "%s", rule == NULL ? "" : rule);
	/* Cut texts end with a whole letter: the other side drops a session over half a one. */
	text[mf_utf8_cut(mf_slice_str(text), sizeof(text))] = '\0';
	rule_text[mf_utf8_cut(mf_slice_str(rule_text), sizeof(rule_text))] = '\0';
	refusal.code = code;
	refusal.reason = text;
	refusal.rule = rule_text;
	down.request_id = request_id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	down.refusal = &refusal;
	e->count.refused++;
	mf_send_down(e, sid, &down, MF_ENGINE_NORMAL, 0);
}

/* Invariant 3, the last look: between the record and this moment the lease may have ended. */
static bool
still_wanted(struct mf_engine *e, const struct release *r)
{
	if (r->lease[0] == '\0')
		return true;
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(r->lease));
	return l != NULL && mf_lease_may_renew(l->state) && l->epoch == r->epoch;
}

/* Was something of what it gives ended by itself meanwhile? */
static bool
gives_ended(struct mf_engine *e, const struct release *r)
{
	const struct mf_lease *l = mf_state_lease(e->state, mf_slice_str(r->lease));
	bool found = false;
	/* From the newest: they stand in the order of the log. */
	for (struct mf_list *p = l->creds.prev; p != &l->creds; p = p->prev) {
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->index < r->first)
			break;
		found |= c->ended_us != 0 && c->index <= r->index;
	}
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		found |= c->ended_us != 0 && c->issued_index >= r->first && c->issued_index <= r->index;
	}
	return found;
}

static bool
has_session(struct mf_engine *e, uint64_t sid)
{
	const struct session *s = mf_engine_session(e, sid);
	return s != NULL && s->phase != PHASE_CLOSED;
}

static void
let_go(struct mf_engine *e, struct mf_now now, struct release *r)
{
	switch (r->kind) {
	case REL_DOWN:
		if (has_session(e, r->sid))
			e->ops->send(e->ctx, r->sid, mf_slice(r->bytes, r->bytes_n), r->lane, 0);
		break;
	case REL_GRANT:
		if (!has_session(e, r->sid))
			break;
		if (!still_wanted(e, r))
			mf_send_refusal(e, r->sid, r->request_id,
			    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED,
			    "it ended while the certificate was being made", NULL);
		else if (r->first != 0 && gives_ended(e, r))
			mf_send_refusal(e, r->sid, r->request_id,
			    MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE,
			    "it was revoked before it could be handed out: ask again", NULL);
		else
			e->ops->send(e->ctx, r->sid, mf_slice(r->bytes, r->bytes_n), MF_ENGINE_NORMAL, 0);
		break;
	case REL_ADMIN:
		if (r->reply == NULL)
			break;
		if (r->reply->what_case == MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL) {
			if (r->said_effective)
				break;
			r->reply->removal->recorded = true;
		}
		e->ops->admin_reply(e->ctx, r->reply);
		break;
	case REL_SERVER:
		e->ops->server_certificate(e->ctx, mf_slice(r->bytes, r->bytes_n), r->not_after);
		break;
	case REL_BUNDLE:
		mf_engine_published(e, MF_KEY_IN_X509, r->request_id, mf_slice(r->bytes, r->bytes_n));
		break;
	case REL_JWT_BUNDLE:
		mf_engine_published(e, MF_KEY_IN_JWT, r->request_id, mf_slice(r->bytes, r->bytes_n));
		break;
	case REL_OIDC:
		mf_engine_oidc_out(e, r);
		break;
	case REL_FORGET:
		e->ops->forget_key(e->ctx, r->use, r->lease);
		break;
	case REL_HANDLE:
		if (e->ops->drop_handle != NULL)
			e->ops->drop_handle(e->ctx, r->lease);
		break;
	case REL_CLOUD:
		mf_engine_cloud_go(e, now, r->request_id);
		break;
	case REL_PROBE:
		mf_engine_probe_go(e, now, r->request_id);
		break;
	}
}

/* So many signatures under way are a crowd, and so many records of it one frame: a sync costs as much CPU as a signature. */
#define CROWD 32u
#define FRAME 64u

bool
mf_engine_log_may_wait(const struct mf_engine *e, uint64_t from)
{
	if (e->works_n >= CROWD && !e->stopped && mf_state_size(e->state) - from < FRAME)
		return true;
	/* In the order of what they wait for. */
	const struct release *last =
	    mf_list_empty(&e->releases) ? NULL : MF_LIST_ITEM(e->releases.prev, struct release, at);
	return e->works_n > 0 && !e->stopped && (last == NULL || last->index < from);
}

/* A removal is effective although the log hangs: say so rather than let its operator wait (exit code 3). */
static void
say_effective(struct mf_engine *e, struct mf_now now)
{
	MF_LIST_EACH(p, &e->releases)
	{
		struct release *r = MF_LIST_ITEM(p, struct release, at);
		if (r->kind != REL_ADMIN || r->reply == NULL || r->said_effective || r->whole ||
		    r->reply->what_case != MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL ||
		    now.mono_ms - r->since_ms < EFFECTIVE_AFTER_MS)
			continue;
		r->said_effective = true;
		e->ops->admin_reply(e->ctx, r->reply);
	}
}

void
mf_release_due(struct mf_engine *e, struct mf_now now)
{
	while (!mf_list_empty(&e->releases)) {
		struct release *r = MF_LIST_ITEM(e->releases.next, struct release, at);
		if (r->index >= e->durable)
			break;
		mf_list_del(&r->at);
		let_go(e, now, r);
		mf_release_free(r);
	}
	say_effective(e, now);
}
