/*
 * Ending one credential, or what a lease gets by one grant, while the lease goes on: `mayfly revoke --credential`, and a
 * policy that takes a grant away. Recorded like every removal; the node is told, so that its agent serves it no more; what
 * a provider has to be asked follows from the state (cloud_revoke.c).
 */
#include <inttypes.h>
#include <stdio.h>

#include "broker/notary/credentials.h"

#define REASON_MAX 512u

bool
mf_engine_is_final(const struct mf_lease *l, const char *subject, char *ret_why, size_t cap)
{
	const struct mf_final *f = mf_lease_final(l, subject);
	if (f == NULL)
		return false;
	(void)snprintf(ret_why, cap,
	    "an operator revoked %s for this instance for good (record %" PRIu64
	    "): start the job anew to ask for it again",
	    subject, f->index);
	return true;
}

/* ---- the node is told ---- */

/*
 * In both lanes: the one for removals overtakes, but the grant of what it is about may still be on its way in the other one. ${sid}
 * 0: whatever session the node has now.
 */
static void
push(struct mf_engine *e, const struct mf_lease *l, uint64_t sid, const Mayfly__Agent__V1__Down *down)
{
	if (sid != 0) {
		mf_send_down(e, sid, down, MF_ENGINE_NORMAL, 0); /* behind the resync's answer */
		return;
	}
	mf_engine_push(e, (struct mf_now) { 0, 0 }, l, UINT64_MAX, down, MF_ENGINE_REMOVAL);
	mf_engine_push(e, (struct mf_now) { 0, 0 }, l, UINT64_MAX, down, MF_ENGINE_NORMAL);
}

/* ${id} NULL: every token of the grant, and no other may be asked for. */
static void
tell_cloud(struct mf_engine *e, const struct mf_lease *l, const char *grant, const char *id, const char *told,
    uint64_t sid)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__CloudEnded m = MAYFLY__AGENT__V1__CLOUD_ENDED__INIT;
	char lease[MF_STATE_ID_MAX], name[MF_STATE_ID_MAX], cred[MF_STATE_ID_MAX], text[MF_POLICY_REASON_MAX];
	memcpy(lease, l->id, sizeof(lease));
	(void)snprintf(name, sizeof(name), "%s", grant);
	(void)snprintf(cred, sizeof(cred), "%s", id == NULL ? "" : id);
	(void)snprintf(text, sizeof(text), "%s", told);
	text[mf_utf8_cut(mf_slice_str(text), sizeof(text))] = '\0';
	m.lease_id = lease;
	m.grant = name;
	m.credential_id = cred;
	m.reason = text;
	m.may_ask_again = id != NULL;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_ENDED;
	down.cloud_ended = &m;
	push(e, l, sid, &down);
}

void
mf_engine_tell_cloud_ended(struct mf_engine *e, const struct mf_cloud_cred *c, const char *told)
{
	tell_cloud(e, c->lease, c->grant, c->id, told, 0);
}

static void
tell_svid(struct mf_engine *e, const struct mf_lease *l, const char *serial, uint64_t sid)
{
	Mayfly__Agent__V1__Down down = MAYFLY__AGENT__V1__DOWN__INIT;
	Mayfly__Agent__V1__SvidEnded m = MAYFLY__AGENT__V1__SVID_ENDED__INIT;
	char lease[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX];
	memcpy(lease, l->id, sizeof(lease));
	(void)snprintf(id, sizeof(id), "%s", serial);
	m.lease_id = lease;
	m.serial = id;
	down.body_case = MAYFLY__AGENT__V1__DOWN__BODY_SVID_ENDED;
	down.svid_ended = &m;
	push(e, l, sid, &down);
}

static void
tell_lease(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, uint64_t sid)
{
	const char *const kind = "cloud:";
	MF_LIST_EACH(p, &l->finals)
	{
		const struct mf_final *f = MF_LIST_ITEM(p, struct mf_final, at);
		char why[MF_POLICY_REASON_MAX];
		if (strncmp(f->subject, kind, strlen(kind)) == 0 &&
		    mf_engine_is_final(l, f->subject, why, sizeof(why)))
			tell_cloud(e, l, f->subject + strlen(kind), NULL, why, sid);
	}
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (c->asked && c->epoch == l->epoch && c->effective * 1000000 > now.wall_us)
			tell_cloud(e, l, c->grant, c->id, "this token was revoked", sid);
	}
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (c->ended_us != 0 && c->epoch == l->epoch && c->exp * 1000000 > now.wall_us)
			tell_svid(e, l, c->serial, sid);
	}
}

void
mf_engine_tell_ended(struct mf_engine *e, struct mf_now now, const struct session *s)
{
	const struct mf_node *n = mf_state_node(e->state, mf_slice_str(s->node_id));
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		if (mf_lease_may_renew(l->state))
			tell_lease(e, now, l, s->sid);
	}
}

/* ---- records ---- */

static void
common(struct mf_record *r, const struct cred_end *why, const char *lease, const char *job)
{
	if (why->call != NULL)
		mf_engine_actor(r, why->call);
	else
		mf_record_set_str(r, MF_RS_ACTOR_KIND, why->actor);
	mf_record_set_str(r, MF_RS_LEASE, lease);
	mf_record_set_str(r, MF_RS_JOB_ID, job);
	mf_record_set_str(r, MF_RS_CAUSE, why->cause);
	mf_record_set_str(r, MF_RS_REASON, why->reason);
}

static void
whose(struct mf_record *r, const struct mf_lease *l)
{
	if (l == NULL)
		return;
	mf_record_set_str(r, MF_RS_NODE_ID, l->node->id);
	mf_record_set_str(r, MF_RS_TENANT, l->job->tenant);
	mf_record_set_str(r, MF_RS_PERSON, l->job->person);
	mf_record_set_str(r, MF_RS_GRADE, l->grade);
}

uint64_t
mf_engine_end_cloud(
    struct mf_engine *e, struct mf_now now, const struct mf_cloud_cred *c, const struct cred_end *why)
{
	struct mf_record r = { .type = MF_REC_CREDENTIAL_ENDED };
	char id[MF_STATE_ID_MAX], lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
	if (c->asked || c->state == MF_CLOUD_COMPLETED)
		return c->ended_index;
	memcpy(id, c->id, sizeof(id));
	memcpy(lease, c->lease_id, sizeof(lease));
	memcpy(job, c->job_id, sizeof(job));
	common(&r, why, lease, job);
	whose(&r, c->lease);
	mf_record_set_str(&r, MF_RS_SERIAL, id);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, c->grant);
	mf_record_set_num(&r, MF_RN_EXP, c->exp);
	if (c->lease != NULL && mf_lease_may_renew(c->lease->state))
		tell_cloud(e, c->lease, c->grant, c->id, why->told, 0);
	return mf_engine_record(e, now, &r);
}

static uint64_t
end_svid(struct mf_engine *e, struct mf_now now, const struct mf_cred *c, const struct mf_lease *l,
    const struct cred_end *why)
{
	struct mf_record r = { .type = MF_REC_CREDENTIAL_ENDED };
	if (!mf_cred_is_live(c, l))
		return c->ended_us != 0 ? c->ended_index : l->changed_index;
	common(&r, why, l->id, l->job->id);
	whose(&r, l);
	mf_record_set_str(&r, MF_RS_SERIAL, c->serial);
	mf_record_set_str(&r, MF_RS_SPIFFE_ID, c->spiffe_id);
	mf_record_set_num(&r, MF_RN_EXP, c->exp);
	tell_svid(e, l, c->serial, 0);
	return mf_engine_record(e, now, &r);
}

/* What goes with the grant: into the record, and to the node. */
static size_t
also(struct mf_engine *e, struct mf_now now, const struct mf_lease *l, const struct mf_found *f,
    struct mf_record_cred creds[MF_ENGINE_LIVE_MAX])
{
	size_t n = 0;
	MF_LIST_EACH(p, &l->creds)
	{
		const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
		if (f->cred == NULL || strcmp(c->spiffe_id, f->cred->spiffe_id) != 0 ||
		    !mf_cred_is_live(c, l) || c->exp * 1000000 <= now.wall_us || n == MF_ENGINE_LIVE_MAX)
			continue;
		creds[n++] = (struct mf_record_cred) { mf_slice_str(c->serial), c->exp };
		tell_svid(e, l, c->serial, 0);
	}
	MF_LIST_EACH(p, &l->clouds)
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at_lease);
		if (f->cloud != NULL && strcmp(c->grant, f->cloud->grant) == 0 &&
		    c->state <= MF_CLOUD_SUPERSEDED && c->effective * 1000000 > now.wall_us &&
		    n < MF_ENGINE_LIVE_MAX)
			creds[n++] = (struct mf_record_cred) { mf_slice_str(c->id), c->exp };
	}
	return n;
}

/* Its holder gets no other by this grant. The record's index. */
static uint64_t
end_grant(struct mf_engine *e, struct mf_now now, const struct mf_found *f, const char *subject,
    const struct cred_end *why, struct removal *out)
{
	const struct mf_lease *l = f->lease;
	const struct mf_final *was = mf_lease_final(l, subject);
	struct mf_record r = { .type = MF_REC_GRANT_ENDED };
	struct mf_record_cred creds[MF_ENGINE_LIVE_MAX];
	if (was != NULL)
		return was->index;
	common(&r, why, l->id, l->job->id);
	whose(&r, l);
	mf_record_set_str(&r, MF_RS_SUBJECT, subject);
	if (f->cred != NULL)
		mf_record_set_num(&r, MF_RN_SLOT, f->cred->slot);
	r.creds = creds;
	r.creds_n = also(e, now, l, f, creds);
	out->ended += (uint32_t)r.creds_n;
	char grant[MF_STATE_ID_MAX];
	(void)snprintf(grant, sizeof(grant), "%s", f->cloud == NULL ? "" : f->cloud->grant);
	uint64_t index = mf_engine_record(e, now, &r);
	char told[MF_POLICY_REASON_MAX];
	if (index != UINT64_MAX && f->cloud != NULL && mf_engine_is_final(l, subject, told, sizeof(told)))
		tell_cloud(e, l, grant, NULL, told, 0);
	return index;
}

/* ---- the act ---- */

static void
subject_of(const struct mf_found *f, char *to, size_t cap)
{
	if (f->cloud != NULL)
		mf_found_kind(f, to, cap);
	else
		(void)snprintf(to, cap, "%s", f->cred->spiffe_id);
}

/* ${out}: what was done. ${subject}: of the grant, when that is to be ended too. */
static void
end_found(struct mf_engine *e, struct mf_now now, const struct mf_found *f, bool final,
    const struct cred_end *why, char *ret_subject, size_t cap, struct removal *out)
{
	bool live = f->cloud != NULL ? f->cloud->state <= MF_CLOUD_SUPERSEDED && f->cloud->ended_us == 0
				     : mf_cred_is_live(f->cred, f->lease);
	out->ended += live;
	out->index = f->cloud != NULL ? mf_engine_end_cloud(e, now, f->cloud, why)
				      : end_svid(e, now, f->cred, f->lease, why);
	if (!final || out->index == UINT64_MAX || f->lease == NULL || f->lease->state == MF_LEASE_ENDED)
		return;
	subject_of(f, ret_subject, cap);
	uint64_t index = end_grant(e, now, f, ret_subject, why, out);
	out->grant = ret_subject;
	if (index > out->index)
		out->index = index;
}

static enum mf_status
may_end(const struct mf_found *f, struct mf_err *err)
{
	if (f->node != NULL)
		return MF_FAIL(err, MF_E_STATE,
		    "it is the certificate of node %s: 'mayfly node evict %s' puts that node out",
		    f->node->id, f->node->id);
	if (f->cred != NULL && f->lease == NULL)
		return MF_FAIL(err, MF_E_STATE,
		    "it is the broker's own certificate: 'mayfly key taint' has everything of its key made "
		    "anew");
	return MF_OK;
}

void
mf_engine_end_one(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__EndCredentialRequest *q = call->end_credential;
	struct mf_err err = { 0 };
	struct mf_found f;
	char id[MF_STATE_ID_MAX], subject[MF_LIM_SPIFFE_ID + 1], told[REASON_MAX + 64];
	enum mf_status s = mf_engine_find_cred(e, q->match, &f, &err);
	if (s == MF_OK)
		s = may_end(&f, &err);
	if (s == MF_OK && (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason)))
		s = MF_FAIL(
		    &err, MF_E_TOOBIG, "the reason is longer than 512 bytes, or holds a control character");
	if (s != MF_OK) {
		mf_engine_admin_fail(e, call->call_id, s, err.msg);
		return;
	}
	(void)snprintf(id, sizeof(id), "%s", mf_found_id(&f));
	(void)snprintf(
	    told, sizeof(told), "an operator revoked it%s%s", q->reason[0] == '\0' ? "" : ": ", q->reason);
	const struct cred_end why = { "operator", call, "operator", q->reason, told };
	struct removal out = { .index = 0 };
	mf_engine_keep_removal(e, q->final ? "credential-final" : "credential", id);
	if (mf_removal_record_request(e, now, call, id, q->reason) != UINT64_MAX)
		end_found(e, now, &f, q->final, &why, subject, sizeof(subject), &out);
	else
		out.index = UINT64_MAX;
	if (out.index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL,
		    "the broker must restart first; the removal is kept and done then");
		return;
	}
	e->ops->removal_settled(e->ctx, out.index);
	out.creds = mf_removal_listing_new();
	if (out.creds != NULL && mf_state_find_cred(e->state, mf_slice_str(id), &f) == 1)
		mf_removal_list_found(out.creds, &f);
	mf_removal_answer(e, now, call->call_id, &out, id);
	mf_removal_listing_free(out.creds);
}

void
mf_engine_redo_credential(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index)
{
	const struct mf_slice one = MF_SLICE_LIT("credential "), final = MF_SLICE_LIT("credential-final ");
	bool all = mf_slice_starts(what, final);
	struct mf_found f;
	if (!all && !mf_slice_starts(what, one))
		return;
	size_t n = all ? final.n : one.n;
	struct mf_err err = { 0 };
	if (mf_state_find_cred(e->state, mf_slice_sub(what, n, what.n), &f) != 1 ||
	    may_end(&f, &err) != MF_OK)
		return;
	char subject[MF_LIM_SPIFFE_ID + 1];
	struct removal out = { .index = 0 };
	const struct cred_end why = { "operator", NULL, "operator", "asked for before the broker restarted",
		"an operator revoked it" };
	end_found(e, now, &f, all, &why, subject, sizeof(subject), &out);
	if (out.index == UINT64_MAX || out.index > *ret_index)
		*ret_index = out.index;
}
