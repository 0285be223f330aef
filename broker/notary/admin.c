/* What operators ask of the notary. Removals are kept (memfd) before they are effective, then recorded. */
#include <stdio.h>

#include "base/secret.h"
#include "base/text.h"
#include "broker/notary/credentials.h"
#include "codec/join_token.h"
#include "crypto/hash.h"

#define TOKEN_TTL_DEFAULT_S 3600u
#define TOKEN_TTL_MAX_S (30u * 86400u)
#define PUBLIC_EXPIRES INT64_C(253402300799) /* the end of year 9999 */
#define TOKEN_USES_MAX 100000u

void
mf_engine_admin_fail(struct mf_engine *e, uint64_t call_id, enum mf_status code, const char *text)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	char name[32], msg[MF_ERR_MSG_MAX];
	(void)snprintf(name, sizeof(name), "%s", mf_status_name(code));
	(void)snprintf(msg, sizeof(msg), "%s", text);
	reply.call_id = call_id;
	reply.error_code = name;
	reply.error = msg;
	e->ops->admin_reply(e->ctx, &reply);
}

/* ---- removals ---- */

uint64_t
mf_removal_record_request(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const char *subject, const char *reason)
{
	struct mf_record r = { .type = MF_REC_REVOKE_REQUESTED };
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_SUBJECT, subject);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	return mf_engine_record(e, now, &r);
}

void
mf_engine_keep_removal(struct mf_engine *e, const char *what, const char *id)
{
	char line[MF_STATE_ID_MAX + 24];
	int n = snprintf(line, sizeof(line), "%s %s", what, id);
	if (n > 0)
		e->ops->removal_kept(e->ctx, mf_slice(line, (size_t)n));
}

void
mf_removal_end_job(struct mf_engine *e, struct mf_now now, const struct mf_job *j, const char *reason,
    bool drain, struct removal *out)
{
	const struct end_reason why = { MAYFLY__AGENT__V1__END_CAUSE__END_OPERATOR, reason, 0, "operator" };
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		out->leases += l->state != MF_LEASE_ENDED;
	}
	out->jobs += !j->ended;
	out->index = drain ? mf_engine_announce(e, now, j, &why) : mf_engine_end_job(e, now, j, &why);
	out->until = j->ending && !j->ended ? j->until : 0;
	MF_LIST_EACH(p, &j->leases)
	if (out->creds != NULL)
		mf_removal_list_lease(out->creds, MF_LIST_ITEM(p, struct mf_lease, at_job), now, true);
}

static void
evict_now(
    struct mf_engine *e, struct mf_now now, const struct mf_node *n, const char *reason, struct removal *out)
{
	MF_LIST_EACH(p, &n->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_node);
		out->leases += l->state != MF_LEASE_ENDED;
		out->jobs += l->state != MF_LEASE_ENDED;
	}
	out->index = mf_engine_evict(e, now, n, reason, "operator");
	MF_LIST_EACH(p, &n->leases)
	if (out->creds != NULL)
		mf_removal_list_lease(out->creds, MF_LIST_ITEM(p, struct mf_lease, at_node), now, true);
}

void
mf_removal_answer(
    struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct removal *done, const char *subject)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	char grant[MF_LIM_SPIFFE_ID + 1];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, 4096);
	mf_buf_put_str(&text, subject);
	(void)snprintf(grant, sizeof(grant), "%s", done->grant == NULL ? "" : done->grant);
	r.effective = true;
	r.record_index = done->index;
	r.jobs = done->jobs;
	r.leases = done->leases;
	r.ending_until = done->until;
	if (mf_buf_cstr(&text) != NULL)
		r.subject = (char *)text.p;
	r.credentials_ended = done->ended;
	/* Packing only reads. */
	r.sessions = (Mayfly__Admin__V1__EndedSessions *)(uintptr_t)done->sessions;
	r.grant_ended = grant;
	r.n_credentials = done->creds == NULL ? 0 : done->creds->n;
	r.credentials = done->creds == NULL ? NULL : done->creds->v;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	reply.removal = &r;
	while (r.n_credentials > 0 &&
	       mayfly__roles__v1__admin_reply__get_packed_size(&reply) > MF_LIM_IPC_MESSAGE - 64)
		r.n_credentials = r.n_credentials * 3 / 4;
	mf_release_admin(e, now, done->index, &reply);
	mf_release_due(e, now);
}

static void
remove_access(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const char *id, const char *reason, bool node, bool drain)
{
	const struct mf_job *j = node ? NULL : mf_state_job(e->state, mf_slice_str(id));
	const struct mf_node *n = node ? mf_state_node(e->state, mf_slice_str(id)) : NULL;
	struct removal out = { .index = 0 };
	char full[MF_STATE_ID_MAX];
	if (j == NULL && n == NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_NOTFOUND,
		    node ? "no such node: see 'mayfly node ls'" : "no such job: see 'mayfly job ls --all'");
		return;
	}
	if (strlen(reason) > 512) {
		mf_engine_admin_fail(e, call->call_id, MF_E_TOOBIG, "the reason is longer than 512 bytes");
		return;
	}
	(void)snprintf(full, sizeof(full), "%s", node ? n->id : j->id);
	mf_engine_keep_removal(e, node ? "node" : drain ? "drain" : "job", full);
	if (mf_removal_record_request(e, now, call, full, reason) == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL,
		    "the broker must restart first; the removal is kept and done then");
		return;
	}
	out.creds = mf_removal_listing_new();
	if (node)
		evict_now(e, now, n, reason, &out);
	else
		mf_removal_end_job(e, now, j, reason, drain, &out);
	if (out.index != UINT64_MAX)
		e->ops->removal_settled(e->ctx, out.index);
	mf_removal_answer(e, now, call->call_id, &out, full);
	mf_removal_listing_free(out.creds);
}

/* The first that is ours. */
static bool
find_leaked(const struct mf_engine *e, const Mayfly__Admin__V1__LeakedCredential *q, struct mf_leaked *ret)
{
	static const uint8_t none[32];
	for (size_t i = 0; i < q->n_sha256; i++) {
		const struct mf_leak what = { mf_slice(q->sha256[i].data, q->sha256[i].len), "" };
		if (mf_state_find_leaked(e->state, &what, ret))
			return true;
	}
	for (size_t i = 0; i < q->n_access_key_ids; i++) {
		const struct mf_leak what = { mf_slice(none, sizeof(none)), q->access_key_ids[i] };
		if (mf_state_find_leaked(e->state, &what, ret))
			return true;
	}
	return false;
}

/* From what was found lying around to the end of the job whose it is. */
static void
end_leaked(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__EndLeakedRequest *q = call->end_leaked;
	struct mf_leaked found;
	char why[700], id[MF_STATE_ID_MAX];
	if (q->leaked == NULL || q->leaked->n_sha256 > 32 || q->leaked->n_access_key_ids > 32 ||
	    strlen(q->reason) > 400) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID,
		    "at most 32 fingerprints and a reason of at most 400 bytes");
		return;
	}
	if (!find_leaked(e, q->leaked, &found)) {
		mf_engine_admin_fail(e, call->call_id, MF_E_NOTFOUND,
		    "nothing of that file is a credential of this broker that has not expired");
		return;
	}
	if (found.job == NULL) {
		(void)snprintf(why, sizeof(why),
		    "it is the certificate of node %s: 'mayfly node evict %s' puts that node out",
		    found.node->id, found.node->id);
		mf_engine_admin_fail(e, call->call_id, MF_E_STATE, why);
		return;
	}
	memcpy(id, found.job->id, sizeof(id));
	(void)snprintf(why, sizeof(why), "leaked %s %s%s%s", found.kind, found.id,
	    q->reason[0] == '\0' ? "" : ": ", q->reason);
	remove_access(e, now, call, id, why, false, false);
}

void
mf_engine_redo_removal(struct mf_engine *e, struct mf_now now, struct mf_slice what)
{
	struct removal out = { .index = 0 };
	struct mf_slice id;
	bool drain = mf_slice_starts(what, MF_SLICE_LIT("drain "));
	if (drain || mf_slice_starts(what, MF_SLICE_LIT("job "))) {
		id = mf_slice_sub(what, drain ? 6 : 4, what.n);
		const struct mf_job *j = mf_state_job(e->state, id);
		if (j != NULL && !j->ended)
			mf_removal_end_job(e, now, j, "asked for before the broker restarted", drain, &out);
	} else if (mf_slice_starts(what, MF_SLICE_LIT("node "))) {
		id = mf_slice_sub(what, 5, what.n);
		const struct mf_node *n = mf_state_node(e->state, id);
		if (n != NULL && (!n->evicted || n->live > 0)) /* a crash may have cut it in two */
			evict_now(e, now, n, "asked for before the broker restarted", &out);
	}
	mf_engine_redo_credential(e, now, what, &out.index);
	mf_engine_redo_key(e, now, what, &out.index);
	mf_engine_redo_freeze(e, now, what, &out.index);
	mf_engine_redo_sessions(e, now, what, &out.index);
	/* What was recorded already, or names nobody, is settled as well. */
	if (out.index != UINT64_MAX)
		e->ops->removal_settled(e->ctx, out.index);
}

/* ---- join tokens ---- */

static const char *
attributes_trouble(const Mayfly__Admin__V1__CreateJoinTokenRequest *q)
{
	if (q->n_attributes > 32)
		return "more than 32 attributes";
	for (size_t i = 0; i < q->n_attributes; i++) {
		if (!mf_attribute_name_ok(mf_slice_str(q->attributes[i]->key)))
			return "attribute names are a-z, 0-9, '_', '.', '-', at most 64 letters, and not "
			       "'id' or 'attestor'";
		if (!mf_attribute_value_ok(mf_slice_str(q->attributes[i]->value)))
			return "attribute values are A-Z, a-z, 0-9 and . _ : / @ + -, at most 128 letters";
	}
	return NULL;
}

static enum mf_status
make_token(struct mf_engine *e, struct mf_now now, const Mayfly__Admin__V1__CreateJoinTokenRequest *q,
    const char *id, int64_t expires, struct mf_buf *text, char hash_hex[65], struct mf_err *err)
{
	struct mf_join_public pub = { .expires_s = (uint64_t)expires };
	uint8_t hash[32], secret[32];
	MF_UNUSED(now);
	const char *address = q->address[0] != '\0' ? q->address : e->address;
	if (strlen(address) > MF_JOIN_ADDRESS)
		return MF_FAIL(err, MF_E_TOOBIG, "the address is longer than %d bytes", (int)MF_JOIN_ADDRESS);
	(void)snprintf(pub.address, sizeof(pub.address), "%s", address);
	(void)snprintf(pub.trust_domain, sizeof(pub.trust_domain), "%s", e->trust_domain);
	(void)snprintf(pub.broker_id, sizeof(pub.broker_id), "%s", e->broker_id);
	(void)snprintf(pub.token_id, sizeof(pub.token_id), "%s", id);
	/* Checked by mf_engine_why_not: there is one. */
	mf_sha256(mf_key_root(mf_engine_signer(e)), pub.ca_sha256);
	memcpy(pub.notary_key, e->conf.inner_public, 32);
	memset(secret, 0, sizeof(secret));
	if (!q->public_only)
		e->conf.rand.fill(e->conf.rand.ctx, secret, sizeof(secret));
	mf_join_token_hash(secret, hash);
	mf_engine_hex(mf_slice(hash, sizeof(hash)), hash_hex);
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
	enum mf_status s = mf_join_token_new(&pub, mf_slice(secret, sizeof(secret)), &t, err);
	mf_wipe(secret, sizeof(secret));
	return s != MF_OK ? s : mf_join_token_encode(t, text, err);
}

static uint64_t
record_token(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call, const char *id,
    const char *hash_hex, uint32_t uses, int64_t expires)
{
	const Mayfly__Admin__V1__CreateJoinTokenRequest *q = call->create_join_token;
	struct mf_slice attributes[32];
	char text[32][64 + 256 + 2];
	struct mf_record r = { .type = MF_REC_TOKEN_CREATED };
	for (size_t i = 0; i < q->n_attributes; i++) {
		int n = snprintf(
		    text[i], sizeof(text[i]), "%s=%s", q->attributes[i]->key, q->attributes[i]->value);
		attributes[i] = mf_slice(text[i], n < 0 ? 0 : (size_t)n);
	}
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_TOKEN_ID, id);
	mf_record_set_str(&r, MF_RS_TOKEN_HASH, hash_hex);
	mf_record_set_num(&r, MF_RN_USES, uses);
	mf_record_set_num(&r, MF_RN_EXPIRES, expires);
	r.attributes = attributes;
	r.attributes_n = q->n_attributes;
	return mf_engine_record(e, now, &r);
}

static void
create_token(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__CreateJoinTokenRequest *q = call->create_join_token;
	uint32_t ttl = q->ttl_s == 0 ? TOKEN_TTL_DEFAULT_S : q->ttl_s, uses = q->uses == 0 ? 1 : q->uses;
	const char *why = mf_engine_why_not(e, now);
	struct mf_err err = { 0 };
	char id[MF_STATE_ID_MAX], hash[65];
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE, why);
		return;
	}
	why = attributes_trouble(q);
	if (ttl > TOKEN_TTL_MAX_S)
		why = "a join token lives at most 30 days: use --ttl with less";
	if (q->public_only && (q->n_attributes > 0 || q->uses > 0 || q->ttl_s > 0))
		why = "a public token has no attributes, uses or end: nobody joins with it";
	if (uses > TOKEN_USES_MAX)
		why = "a join token has at most 100000 uses";
	if (why != NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, why);
		return;
	}
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, 8192);
	int64_t expires = q->public_only ? PUBLIC_EXPIRES : now.wall_us / 1000000 + ttl;
	if (q->public_only)
		(void)snprintf(id, sizeof(id), "public"); /* of no record: it lets nobody in */
	else
		mf_engine_new_id(e, "t-", 16, id);
	if (make_token(e, now, q, id, expires, &text, hash, &err) != MF_OK || mf_buf_cstr(&text) == NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INVALID, err.msg);
		return;
	}
	uint64_t index = q->public_only ? 0 : record_token(e, now, call, id, hash, uses, expires);
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenResponse t = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_RESPONSE__INIT;
	t.token = (char *)text.p;
	t.token_id = id;
	t.expires = expires;
	t.uses = q->public_only ? 0 : uses;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_JOIN_TOKEN;
	reply.join_token = &t;
	mf_release_admin(e, now, index, &reply);
	mf_release_due(e, now);
}

/* ---- status ---- */

static void
get_status(struct mf_engine *e, struct mf_now now, uint64_t call_id)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__Status s = MAYFLY__ADMIN__V1__STATUS__INIT;
	struct mf_engine_status st = mf_engine_status(e, now);
	char reason[MF_ERR_MSG_MAX], policy[65];
	(void)snprintf(reason, sizeof(reason), "%s", st.reason == NULL ? "" : st.reason);
	(void)snprintf(policy, sizeof(policy), "%s", e->policy_hex);
	s.trust_domain = e->trust_domain;
	s.broker_id = e->broker_id;
	s.release = e->release;
	s.issuing = st.issuing;
	s.issuing_reason = reason;
	s.log_size = e->durable;
	s.sessions = st.sessions;
	for (const struct mf_node *n = mf_state_next_node(e->state, NULL); n != NULL;
	     n = mf_state_next_node(e->state, n))
		s.nodes += !n->evicted;
	for (const struct mf_job *j = mf_state_next_job(e->state, NULL); j != NULL;
	     j = mf_state_next_job(e->state, j))
		s.jobs_live += !j->ended;
	for (const struct mf_lease *l = mf_state_next_lease(e->state, NULL); l != NULL;
	     l = mf_state_next_lease(e->state, l))
		MF_LIST_EACH(p, &l->creds)
		{
			const struct mf_cred *c = MF_LIST_ITEM(p, struct mf_cred, at);
			s.credentials_live +=
			    mf_cred_is_live(c, l) && !c->superseded && c->exp * 1000000 > now.wall_us;
		}
	s.leases_open = mf_state_leases_open(e->state);
	s.policy_sha256 = policy;
	s.ca_not_after = mf_engine_signer(e) == NULL ? 0 : mf_engine_signer(e)->exp;
	s.log_origin = e->origin;
	s.signers_required = e->signers_required;
	s.signers_persons = e->signers_persons;
	s.clock_jumped = e->jumped;
	s.cloud_failing = (char *)(uintptr_t)(st.cloud_failing_name == NULL ? "" : st.cloud_failing_name);
	s.cloud_unknown = st.cloud_unknown;
	s.cloud_pending = st.cloud_pending;
	s.cloud_late = st.cloud_late;
	s.issuer = (char *)(uintptr_t)st.issuer; /* packing reads only */
	s.issuer_why = (char *)(uintptr_t)st.issuer_why;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_STATUS;
	reply.status = &s;
	e->ops->admin_reply(e->ctx, &reply);
}

void
mf_engine_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	mf_engine_admin_checked(e, now, call, NULL, NULL);
}

void
mf_engine_admin_checked(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const struct mf_approval *approval, const struct mf_err *why)
{
	struct mf_err err = { 0 };
	if (why != NULL)
		err = *why;
	else if (mf_engine_admin_may(call, &err) == MF_OK)
		(void)!mf_engine_admin_approved(e, now, call, approval, &err);
	if (err.code != MF_OK) {
		mf_engine_admin_fail(e, call->call_id, err.code, err.msg);
		return;
	}
	switch (call->what_case) {
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB:
		remove_access(
		    e, now, call, call->end_job->match, call->end_job->reason, false, call->end_job->drain);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_LEAKED:
		end_leaked(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB:
		mf_engine_extend(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE:
		remove_access(e, now, call, call->evict_node->match, call->evict_node->reason, true, false);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN:
		create_token(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_LIST_CREDENTIALS:
		mf_engine_list_credentials(e, now, call->call_id, call->list_credentials);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_CREDENTIAL:
		mf_engine_get_credential(e, now, call->call_id, call->get_credential);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_CREDENTIAL:
		mf_engine_end_one(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE:
		mf_engine_readmit(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CONFIRM_CLOCK:
		mf_engine_confirm_clock(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_POLICY:
		mf_engine_get_policy(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_RELOAD_POLICY:
		mf_engine_reload_policy(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXPLAIN_JOB:
		mf_engine_explain_job(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PROBE_CLOUD:
		mf_engine_probe(e, now, call);
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_OIDC_DOCUMENTS:
		if (e->ops->oidc_documents != NULL)
			e->ops->oidc_documents(e->ctx, call->call_id);
		else
			mf_engine_admin_fail(
			    e, call->call_id, MF_E_NOTFOUND, "this broker publishes no OIDC documents");
		break;
	case MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_STATUS:
		get_status(e, now, call->call_id);
		break;
	default:
		if (mf_engine_key_admin(e, now, call) || mf_engine_freeze_admin(e, now, call) ||
		    mf_engine_sessions_admin(e, now, call))
			break;
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_UNSUPPORTED, "this broker does not know that request");
		break;
	}
}
