/*
 * explain: `mayfly why --profile`: what would `mayfly run` of this caller get? The facts are those that the job would be
 * attested with; nothing is made for it, and the notary decides on them without opening, signing or recording anything.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"

#define UNAVAILABLE MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE
#define INVALID MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID

static void
answer(struct mf_attestor *a, uint64_t id, Mayfly__Agent__V1__Explained *x, Mayfly__Agent__V1__Refusal *r)
{
	Mayfly__Roles__V1__JobExplained m = MAYFLY__ROLES__V1__JOB_EXPLAINED__INIT;
	m.explain_id = id;
	m.explained = x;
	m.refusal = r;
	mf_attestor_tell(a, MF_MSG_JOB_EXPLAINED, &m.base);
}

static void
refuse(struct mf_attestor *a, uint64_t id, Mayfly__Agent__V1__RefusalCode code, const char *reason)
{
	Mayfly__Agent__V1__Refusal r = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_ERR_MSG_MAX];
	(void)snprintf(text, sizeof(text), "%s", reason);
	r.code = code;
	r.reason = text;
	answer(a, id, NULL, &r);
}

/* The grade of a cgroup below our base, which is made only when a job is. */
static enum mf_grade
cgroup_grade(struct mf_attestor *a)
{
	struct mf_cgroup base = MF_CGROUP_NONE;
	bool delegated = true;
	if (mf_cgroup_reopen(a->cgroups, mf_cgroup_base_path(a->cgroups), 0, &base, NULL) == MF_OK)
		delegated = mf_cgroup_delegated(a->cgroups, &base);
	mf_cgroup_fini(&base);
	return delegated ? MF_GRADE_CGROUP_DELEGATED : MF_GRADE_CGROUP;
}

/*
 * The instance that starts.c would make of ${conn}'s process, or the job that it is inside of. *ret_i owns what
 * mf_life_facts puts there (user, selectors) if *ret_own.
 */
static enum mf_status
imagine(struct mf_attestor *a, const Mayfly__Roles__V1__ExplainJob *m, const struct mf_conn *conn,
    const struct mf_instance *at, struct mf_instance *ret_i, bool *ret_own, struct mf_err *err)
{
	*ret_own = at->kind == MF_INSTANCE_PROCESS;
	*ret_i = (struct mf_instance) { .kind = MF_INSTANCE_RUN };
	if (!*ret_own)
		*ret_i = *at;
	if (*ret_own || !at->asked) { /* what was decided already stays */
		ret_i->profile = m->profile;
		ret_i->run_name = m->name;
		ret_i->manifest = m->manifest.data;
		ret_i->manifest_n = m->manifest.len;
	}
	if (!*ret_own)
		return MF_OK;
	(void)snprintf(ret_i->name, sizeof(ret_i->name), "dry-run");
	ret_i->boot = at->boot;
	if (a->cgroups == NULL || mf_cgroup_base_path(a->cgroups)[0] == '\0') {
		ret_i->kind = MF_INSTANCE_TREE;
		ret_i->grade = MF_GRADE_TREE;
	} else {
		ret_i->grade = cgroup_grade(a);
	}
	if (conn->caller.grade == MF_GRADE_LEGACY)
		ret_i->grade = MF_GRADE_LEGACY;
	return mf_life_facts(a, ret_i, &conn->caller, err);
}

static void
send(struct mf_attestor *a, uint64_t id, const struct mf_instance *i)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Explain x = MAYFLY__AGENT__V1__EXPLAIN__INIT;
	Mayfly__Agent__V1__Attach at = MAYFLY__AGENT__V1__ATTACH__INIT;
	MF_AUTO_IN(mf_attach_parts_fini) struct mf_attach_parts parts = { .text = NULL };
	struct mf_err err = { 0 };
	if (!mf_serve_fill(a, i, &parts, &at)) {
		refuse(a, id, UNAVAILABLE, "the agent is out of memory");
		return;
	}
	/* The front's number comes back with the answer; no keys: there is nothing to certify. */
	if (mf_ic_request(a->ic, MF_IC_EXPLAIN, id, mf_now(), &up.request_id, &err) != MF_OK) {
		refuse(a, id, UNAVAILABLE, err.msg);
		return;
	}
	x.attach = &at;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_EXPLAIN;
	up.explain = &x;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

void
mf_explain_ask(struct mf_attestor *a, const Mayfly__Roles__V1__ExplainJob *m)
{
	struct mf_err err = { 0 };
	struct mf_instance i;
	bool own = false;
	const struct mf_conn *conn = mf_serve_conn(a, m->conn_id);
	const struct mf_instance *at = conn == NULL ? NULL : mf_instances_by_handle(a->table, conn->handle);
	if (at == NULL || at->state >= MF_JOB_ENDED) {
		refuse(a, m->explain_id, INVALID, "the caller is not attested, or its job has ended");
		return;
	}
	if (mf_ic_phase(a->ic) == MF_IC_READY && !a->explains) {
		refuse(a, m->explain_id, UNAVAILABLE,
		    "the broker is of a release without dry runs: 'mayfly run' tells what policy says");
		return;
	}
	if (imagine(a, m, conn, at, &i, &own, &err) == MF_OK)
		send(a, m->explain_id, &i);
	else
		refuse(a, m->explain_id, UNAVAILABLE, err.msg);
	if (own) {
		free(i.selectors);
		free(i.user);
	}
}

void
mf_explain_answered(struct mf_attestor *a, uint64_t request_id, Mayfly__Agent__V1__Explained *x)
{
	uint64_t id = 0;
	if (mf_ic_answered(a->ic, request_id, 1u << MF_IC_EXPLAIN, &id, NULL) == MF_OK)
		answer(a, id, x, NULL);
}

void
mf_explain_refused(struct mf_attestor *a, uint64_t tag, Mayfly__Agent__V1__Refusal *r)
{
	if (r != NULL)
		answer(a, tag, NULL, r);
	else
		refuse(a, tag, UNAVAILABLE, "the session with the broker was cut; ask again");
}
