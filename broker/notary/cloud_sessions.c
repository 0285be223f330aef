/*
 * `mayfly revoke --target T --role R`: all sessions of a role that began before now, whoever has them (L3). A person's act
 * only: nothing here is done by the engine of itself. Recorded like every removal; what the provider is asked follows from
 * the state (cloud_revoke.c). Jobs go on, and their agents ask again.
 *
 * A provider counts in seconds, by its own clock. So the time lies MF_CLOUD_SKEW_S seconds and the rest of this one after
 * now, and no token of the role is asked for until the provider's clock has surely passed it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "broker/notary/cloud_plan.h"
#include "broker/notary/credentials.h"

#define REASON_MAX 512u
#define ROLE_MAX 2048u /* as policy has it */
#define NAME_MAX_BYTES 128u
#define SUBJECT_MAX (ROLE_MAX + NAME_MAX_BYTES + 16u)
#define LINE_BYTES (SUBJECT_MAX + 128u)
#define ROLES_MAX 1000u

/* What is to be ended. */
struct cut {
	char target[NAME_MAX_BYTES + 1], role[ROLE_MAX + 1], backend[64];
	int64_t before, until;
};

static void
subject_of(const char *target, const char *role, char to[SUBJECT_MAX])
{
	(void)snprintf(to, SUBJECT_MAX, "role:%s:%s", target, role);
}

static int64_t
wall_s(const struct mf_engine *e, struct mf_now now)
{
	return mf_engine_wall(e, now) / 1000000;
}

static bool
is_of(const struct mf_cloud_cred *c, const char *target, const char *role)
{
	return strcmp(c->target, target) == 0 && strcmp(c->role, role) == 0;
}

bool
mf_cloud_held(const struct mf_engine *e, struct mf_now now, const char *target, const char *role,
    char *ret_why, size_t cap)
{
	const struct mf_sessions *s = mf_state_sessions_of(e->state, target, role);
	int64_t left = s == NULL ? 0 : s->before + MF_CLOUD_SKEW_S - now.wall_us / 1000000;
	if (left <= 0)
		return false;
	(void)snprintf(ret_why, cap,
	    "an operator ended all sessions of this role at target %s just now: new ones are made in %" PRId64
	    " s",
	    target, left);
	return true;
}

/* ---- which role ---- */

struct roles {
	const char *typed, *found;
	bool exact;
	unsigned n;
};

static void
look_at(struct roles *k, const char *role)
{
	const char *slash = strrchr(role, '/');
	bool exact = strcmp(role, k->typed) == 0;
	if (k->exact || (!exact && (slash == NULL || strcmp(slash + 1, k->typed) != 0)))
		return;
	if (exact || k->found == NULL || strcmp(k->found, role) != 0)
		k->n = exact ? 1 : k->n + 1;
	k->exact = exact;
	k->found = role;
}

/* A typing error would be tried at the provider for half a day. */
static enum mf_status
find_role(const struct mf_engine *e, const char *target, const char *typed, char to[ROLE_MAX + 1],
    struct mf_err *err)
{
	struct roles k = { .typed = typed };
	for (size_t i = 0; e->policy != NULL && i < mf_policy_profile_count(e->policy); i++) {
		const struct mf_policy_profile *f = mf_policy_profile_at(e->policy, i);
		for (size_t g = 0; g < f->n_cloud; g++)
			if (strcmp(f->cloud[g].target, target) == 0)
				look_at(&k, f->cloud[g].role);
	}
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (strcmp(c->target, target) == 0)
			look_at(&k, c->role);
	}
	if (typed[0] == '\0' || k.n == 0)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "no grant of the policy and no token is of such a role at target %s: `mayfly profile ls` "
		    "and "
		    "`mayfly credential show C` name roles",
		    target);
	if (k.n > 1)
		return MF_FAIL(
		    err, MF_E_INVALID, "%u roles at target %s end so: give all of its name", k.n, target);
	(void)snprintf(to, ROLE_MAX + 1, "%s", k.found);
	return MF_OK;
}

static enum mf_status
find_cut(const struct mf_engine *e, struct mf_now now, const Mayfly__Admin__V1__EndSessionsRequest *q,
    struct cut *ret_c, struct mf_err *err)
{
	const Mayfly__Roles__V1__CloudTarget *t = q->of == NULL ? NULL : mf_cloud_target(e, q->of->target);
	const struct mf_token_backend *b =
	    t == NULL || e->ops->backend == NULL ? NULL : e->ops->backend(e->ctx, t->backend);
	size_t n = 0;
	if (strlen(q->reason) > REASON_MAX || !mf_engine_plain(q->reason))
		return MF_FAIL(
		    err, MF_E_TOOBIG, "the reason is longer than 512 bytes, or holds a control character");
	if (b == NULL || strlen(t->name) > NAME_MAX_BYTES)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "no such target in cloud_targets of broker.yaml: `mayfly profile ls` names those of "
		    "grants");
	if ((mf_token_backend_levels(b, t) & MF_REVOKE_SESSIONS) == 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "target %s (%s) cannot end all sessions of a role at once: revoke those who have them "
		    "(--job, "
		    "--profile, --all), or its tokens one by one (--credential)",
		    t->name, b->name);
	MF_TRY(find_role(e, t->name, q->of->role, ret_c->role, err));
	MF_LIST_EACH(p, mf_state_sessions(e->state))
	n++;
	if (n >= ROLES_MAX && mf_state_sessions_of(e->state, t->name, ret_c->role) == NULL)
		return MF_FAIL(
		    err, MF_E_STATE, "the sessions of a thousand roles are being ended: wait for them");
	(void)snprintf(ret_c->target, sizeof(ret_c->target), "%s", t->name);
	(void)snprintf(ret_c->backend, sizeof(ret_c->backend), "%s", b->name);
	ret_c->before = wall_s(e, now) + 1 + MF_CLOUD_SKEW_S;
	ret_c->until = ret_c->before + b->caps.ttl_max_s + MF_CLOUD_CLOCK_S;
	return MF_OK;
}

/* ---- what it hits ---- */

static int
by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* False: no memory. */
static bool
count_hits(const struct mf_engine *e, struct mf_now now, const struct cut *cut, uint32_t *ret_creds,
    uint32_t *ret_jobs)
{
	size_t n = 0, size = 0;
	const char **jobs = NULL;
	*ret_jobs = 0;
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (!is_of(c, cut->target, cut->role) || !mf_sessions_hit(cut->before, c, wall_s(e, now)))
			continue;
		if (n == size) {
			const char **more = realloc(jobs, (size = size * 2 + 64) * sizeof(*jobs));
			if (more == NULL) {
				free(jobs);
				return false;
			}
			jobs = more;
		}
		jobs[n++] = c->job_id;
	}
	if (n > 0)
		qsort(jobs, n, sizeof(*jobs), by_text);
	for (size_t i = 0; i < n; i++)
		*ret_jobs += i == 0 || strcmp(jobs[i], jobs[i - 1]) != 0;
	*ret_creds = (uint32_t)n;
	free(jobs);
	return true;
}

/* Agents serve them no more; who wants one asks again. */
static void
tell_agents(struct mf_engine *e, struct mf_now now, const struct cut *cut, const char *reason)
{
	char told[REASON_MAX + 96];
	(void)snprintf(told, sizeof(told), "an operator ended all sessions of its role%s%s",
	    reason[0] == '\0' ? "" : ": ", reason);
	MF_LIST_EACH(p, mf_state_clouds(e->state))
	{
		const struct mf_cloud_cred *c = MF_LIST_ITEM(p, struct mf_cloud_cred, at);
		if (is_of(c, cut->target, cut->role) && c->state <= MF_CLOUD_SUPERSEDED && c->lease != NULL &&
		    mf_lease_may_renew(c->lease->state) && c->effective > wall_s(e, now))
			mf_engine_tell_cloud_ended(e, c, told);
	}
}

/* ---- the act ---- */

/* ${call} NULL: what was kept across a crash. UINT64_MAX: the broker must restart first. */
static uint64_t
record(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const struct cut *cut, const char *reason)
{
	struct mf_record r = { .type = MF_REC_SESSIONS_ENDED };
	if (call != NULL)
		mf_engine_actor(&r, call);
	else
		mf_record_set_str(&r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, cut->target);
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, cut->role);
	mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, cut->backend);
	mf_record_set_str(&r, MF_RS_REASON, reason);
	mf_record_set_num(&r, MF_RN_CLOUD_BEFORE, cut->before);
	mf_record_set_num(&r, MF_RN_UNTIL, cut->until);
	return mf_engine_record(e, now, &r);
}

static void
keep(struct mf_engine *e, const struct cut *cut)
{
	char line[LINE_BYTES];
	int n = snprintf(line, sizeof(line), "sessions %" PRId64 " %" PRId64 " %s %s %s", cut->before,
	    cut->until, cut->backend, cut->target, cut->role);
	e->ops->removal_kept(e->ctx, mf_slice(line, n < 0 ? 0 : (size_t)n));
}

static void
say_dry(struct mf_engine *e, uint64_t call_id, Mayfly__Admin__V1__EndedSessions *s, char *subject)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	s->dry_run = true;
	r.subject = subject;
	r.sessions = s;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_REMOVAL;
	reply.removal = &r;
	e->ops->admin_reply(e->ctx, &reply);
}

static void
do_end(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	const Mayfly__Admin__V1__EndSessionsRequest *q = call->end_sessions;
	struct mf_err err = { 0 };
	struct cut cut;
	Mayfly__Admin__V1__EndedSessions s = MAYFLY__ADMIN__V1__ENDED_SESSIONS__INIT;
	char subject[SUBJECT_MAX];
	enum mf_status rc = find_cut(e, now, q, &cut, &err);
	if (rc == MF_OK && !count_hits(e, now, &cut, &s.credentials, &s.jobs))
		rc = MF_FAIL(&err, MF_E_NOMEM, "out of memory");
	if (rc != MF_OK) {
		mf_engine_admin_fail(e, call->call_id, rc, err.msg);
		return;
	}
	subject_of(cut.target, cut.role, subject);
	s.target = cut.target;
	s.role = cut.role;
	s.before = cut.before;
	s.until = cut.until;
	if (q->dry_run) {
		say_dry(e, call->call_id, &s, subject);
		return;
	}
	keep(e, &cut);
	tell_agents(e, now, &cut, q->reason);
	struct removal out = {
		.index = record(e, now, call, &cut, q->reason), .ended = s.credentials, .sessions = &s
	};
	if (out.index == UINT64_MAX) {
		mf_engine_admin_fail(e, call->call_id, MF_E_INTERNAL,
		    "the broker must restart first; the removal is kept and done then");
		return;
	}
	e->ops->removal_settled(e->ctx, out.index);
	mf_removal_answer(e, now, call->call_id, &out, subject);
	mf_engine_revoke_run(e, now);
}

bool
mf_engine_sessions_admin(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call)
{
	if (call->what_case != MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_SESSIONS)
		return false;
	do_end(e, now, call);
	return true;
}

/* ---- over a crash ---- */

static struct mf_slice
next_word(struct mf_slice *rest)
{
	const uint8_t *gap = rest->n == 0 ? NULL : memchr(rest->p, ' ', rest->n);
	size_t n = gap == NULL ? rest->n : (size_t)(gap - rest->p);
	struct mf_slice word = mf_slice(rest->p, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return word;
}

static bool
copy_word(struct mf_slice *rest, char *to, size_t cap)
{
	struct mf_slice w = next_word(rest);
	if (w.n == 0 || w.n >= cap)
		return false;
	memcpy(to, w.p, w.n);
	to[w.n] = '\0';
	return true;
}

void
mf_engine_redo_sessions(struct mf_engine *e, struct mf_now now, struct mf_slice what, uint64_t *ret_index)
{
	struct cut cut;
	uint64_t before, until;
	if (!mf_slice_starts(what, MF_SLICE_LIT("sessions ")))
		return;
	(void)next_word(&what);
	if (!mf_parse_u64(next_word(&what), &before) || !mf_parse_u64(next_word(&what), &until) ||
	    before > INT64_MAX || until > INT64_MAX || !copy_word(&what, cut.backend, sizeof(cut.backend)) ||
	    !copy_word(&what, cut.target, sizeof(cut.target)) ||
	    !copy_word(&what, cut.role, sizeof(cut.role)))
		return;
	const struct mf_sessions *s = mf_state_sessions_of(e->state, cut.target, cut.role);
	if (s != NULL && s->before >= (int64_t)before)
		return;
	cut.before = (int64_t)before;
	cut.until = (int64_t)until;
	uint64_t index = record(e, now, NULL, &cut, "asked for before the broker restarted");
	if (index == UINT64_MAX || index > *ret_index)
		*ret_index = index;
}

/* ---- what became of it ---- */

const struct mf_sessions *
mf_sessions_of_subject(const struct mf_engine *e, const char *subject)
{
	char text[SUBJECT_MAX];
	if (strncmp(subject, "role:", 5) != 0)
		return NULL;
	MF_LIST_EACH(p, mf_state_sessions(e->state))
	{
		const struct mf_sessions *s = MF_LIST_ITEM(p, struct mf_sessions, at);
		subject_of(s->target, s->role, text);
		if (strcmp(text, subject) == 0)
			return s;
	}
	return NULL;
}
