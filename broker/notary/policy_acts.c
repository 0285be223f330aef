/* The policy in force: taking another one, telling what it is, explaining what it says about a job. */
#include <stdio.h>

#include "broker/core/request_facts.h"
#include "broker/notary/engine_internal.h"

#define RELOAD_MS 8000u /* the supervisor opens a file and hands it over; the front waits a little longer */

/* ---- in force ---- */

/* In force at once; recorded when the log has room, and until then nothing is issued under it. */
uint64_t
mf_engine_say_policy(struct mf_engine *e, struct mf_now now)
{
	e->policy_unsaid = strcmp(mf_state_policy(e->state), e->policy_hex) != 0;
	if (!e->policy_unsaid || !e->log_room)
		return UINT64_MAX;
	struct mf_record r = { .type = MF_REC_POLICY_LOADED };
	mf_record_set_str(&r, MF_RS_SHA256, e->policy_hex);
	mf_record_set_num(&r, MF_RN_RULES, (int64_t)mf_policy_rule_count(e->policy));
	if (e->care.by != NULL)
		mf_engine_actor(&r, e->care.by);
	uint64_t index = mf_engine_record(e, now, &r);
	e->policy_unsaid = index == UINT64_MAX;
	return index;
}

static void
forget_asker(struct mf_engine *e)
{
	if (e->care.by != NULL)
		mayfly__roles__v1__admin_call__free_unpacked(MF_TAKE(e->care.by), NULL);
}

/* ${index}: the answer waits for this record; UINT64_MAX: for none. */
static void
answer(struct mf_engine *e, struct mf_now now, uint64_t call_id, uint64_t index)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__Policy p = MAYFLY__ADMIN__V1__POLICY__INIT;
	p.sha256 = e->policy_hex;
	p.path = e->care.path;
	p.refused = e->care.refused;
	p.profiles = (uint32_t)(e->policy == NULL ? 0 : mf_policy_profile_count(e->policy));
	p.rules = (uint32_t)(e->policy == NULL ? 0 : mf_policy_rule_count(e->policy));
	p.holders = e->care.holders;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_POLICY;
	reply.policy = &p;
	if (index == UINT64_MAX)
		e->ops->admin_reply(e->ctx, &reply);
	else
		mf_release_admin(e, now, index, &reply);
}

void
mf_engine_policy(struct mf_engine *e, struct mf_now now, struct mf_policy *policy, const char *sha256_hex)
{
	bool new = strcmp(e->policy_hex, sha256_hex) != 0;
	mf_engine_policy_changed(e, now, MF_TAKE(e->policy), new);
	e->policy = policy;
	(void)snprintf(e->policy_hex, sizeof(e->policy_hex), "%s", sha256_hex);
	e->care.refused[0] = '\0';
	mf_engine_cloud_check(e, policy);
	uint64_t index = mf_engine_say_policy(e, now);
	if (e->care.by == NULL)
		return;
	if (e->policy_unsaid)
		mf_engine_admin_fail(e, e->care.by->call_id, MF_E_EXHAUSTED,
		    "the policy is in force, but the log has no room for its record: nothing is issued until "
		    "then");
	else
		answer(e, now, e->care.by->call_id, index);
	forget_asker(e);
}

void
mf_engine_policy_refused(struct mf_engine *e, struct mf_now now, const char *why)
{
	MF_UNUSED(now);
	(void)snprintf(e->care.refused, sizeof(e->care.refused), "%s", why);
	e->care.refused[mf_utf8_cut(mf_slice_str(e->care.refused), sizeof(e->care.refused))] = '\0';
	if (e->care.by == NULL)
		return;
	char text[MF_ERR_MSG_MAX];
	(void)snprintf(text, sizeof(text), "%s: the policy in force stays", why);
	text[mf_utf8_cut(mf_slice_str(text), sizeof(text))] = '\0';
	mf_engine_admin_fail(e, e->care.by->call_id, MF_E_INVALID, text);
	forget_asker(e);
}

void
mf_engine_policy_care_free(struct mf_engine *e)
{
	forget_asker(e);
	mf_policy_free(e->care.former);
	free(e->care.ids);
	free(e->care.path);
}

/* ---- what administrators ask ---- */

static Mayfly__Roles__V1__AdminCall *
copy_call(const Mayfly__Roles__V1__AdminCall *call)
{
	size_t n = mayfly__roles__v1__admin_call__get_packed_size(call);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	if (bytes == NULL)
		return NULL;
	(void)mayfly__roles__v1__admin_call__pack(call, bytes);
	Mayfly__Roles__V1__AdminCall *copy = mayfly__roles__v1__admin_call__unpack(NULL, n, bytes);
	free(bytes);
	return copy;
}

static bool
is_hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

enum mf_status
mf_engine_policy_expected(const struct mf_engine *e, const char *sha256_hex, struct mf_err *err)
{
	const char *want = e->care.by == NULL ? "" : e->care.by->reload_policy->sha256;
	if (want[0] == '\0' || strcmp(want, sha256_hex) == 0)
		return MF_OK;
	return MF_FAIL(err, MF_E_INVALID,
	    "%s is another file than was asked for (SHA-256 %.16s..., not %.16s...): put that one there",
	    e->care.path, sha256_hex, want);
}

/* Persons sign for a file, not for whatever lies there when their signatures arrive. */
static enum mf_status
names_its_file(const struct mf_engine *e, const char *sha256, struct mf_err *err)
{
	if (sha256[0] != '\0' && !is_hex64(sha256))
		return MF_FAIL(err, MF_E_INVALID, "sha256 is 64 letters of hex");
	if (sha256[0] == '\0' && e->signers_required > 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "with admin_signers a reload names the file that was signed: use 'mayfly policy apply "
		    "FILE --sign "
		    "KEY' or 'mayfly policy reload --sign KEY'");
	return MF_OK;
}

void
mf_engine_reload_policy(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	struct mf_err err = { 0 };
	enum mf_status s = names_its_file(e, call->reload_policy->sha256, &err);
	if (s != MF_OK) {
		mf_engine_admin_fail(e, call->call_id, s, err.msg);
		return;
	}
	if (e->care.by != NULL) {
		mf_engine_admin_fail(
		    e, call->call_id, MF_E_EXHAUSTED, "another reload is under way: try again");
		return;
	}
	if (e->ops->ask_policy == NULL || !e->ops->ask_policy(e->ctx)) {
		mf_engine_admin_fail(e, call->call_id, MF_E_UNAVAILABLE,
		    "the supervisor cannot be asked: send SIGHUP to mayfly-broker");
		return;
	}
	e->care.by = copy_call(call);
	e->care.until_ms = now.mono_ms + RELOAD_MS;
	if (e->care.by == NULL)
		mf_engine_admin_fail(e, call->call_id, MF_E_NOMEM,
		    "out of memory: the file is being read anew, and nobody will say so");
}

void
mf_engine_policy_tick(struct mf_engine *e, struct mf_now now)
{
	if (e->care.by != NULL && now.mono_ms > e->care.until_ms) {
		mf_engine_admin_fail(e, e->care.by->call_id, MF_E_UNAVAILABLE,
		    "the supervisor did not hand over the file: its log line supervisor.reload says why; the "
		    "policy "
		    "in force stays");
		forget_asker(e);
	}
	mf_engine_policy_reviews(e, now);
	mf_engine_policy_sweep(e, now);
}

void
mf_engine_get_policy(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	answer(e, now, call->call_id, UINT64_MAX);
}

/* The instance whose next renewal is the soonest to be of interest: one that lives, else the last one there was. */
static const struct mf_lease *
lease_of(const struct mf_job *j)
{
	const struct mf_lease *found = NULL;
	MF_LIST_EACH(p, &j->leases)
	{
		const struct mf_lease *l = MF_LIST_ITEM(p, struct mf_lease, at_job);
		if (found == NULL || found->state == MF_LEASE_ENDED)
			found = l;
	}
	return found;
}

void
mf_engine_explain_job(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const struct mf_job *j = mf_state_job(e->state, mf_slice_str(call->explain_job->match));
	const struct mf_lease *l = j == NULL ? NULL : lease_of(j);
	MF_AUTO(mf_facts_free) struct mf_facts *f = NULL;
	struct mf_err err = { 0 };
	if (l == NULL || e->policy == NULL) {
		mf_engine_admin_fail(e, call->call_id, MF_E_NOTFOUND,
		    "the broker keeps no facts of this job: it ended long ago; see 'mayfly audit find "
		    "--job'");
		return;
	}
	if (mf_request_lease(l, &f, &err) != MF_OK) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL, err.msg);
		return;
	}
	struct mf_decision d;
	const struct mf_policy_request req = { mf_slice_str(j->profile), f, now.wall_us / 1000000 };
	mf_policy_decide(e->policy, &req, &d);
	mf_engine_check_frozen(e, j->tenant, j->person, &d);
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__Explanation x = MAYFLY__ADMIN__V1__EXPLANATION__INIT;
	char rule[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX];
	(void)snprintf(rule, sizeof(rule), "%s", d.rule == NULL ? "" : d.rule);
	memcpy(job, j->id, sizeof(job));
	x.job_id = job;
	x.permit = d.permit;
	x.profile = j->profile;
	x.rule = rule;
	x.attribute = d.attribute;
	x.reason = d.reason;
	x.cure = d.cure;
	x.policy_sha256 = e->policy_hex;
	x.given_by = j->rule;
	reply.call_id = call->call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_EXPLANATION;
	reply.explanation = &x;
	e->ops->admin_reply(e->ctx, &reply);
}
