/* The job that an instance is a part of: may it join that job, and which run does a new one continue? */
#include <stdio.h>

#include "broker/core/job_key.h"
#include "broker/notary/engine_internal.h"

#define ID_LEN MF_JOB_ID_LEN

void
mf_engine_overrule(struct mf_decision *d, const char *attribute, const char *cure, const char *why)
{
	d->permit = false;
	(void)snprintf(d->attribute, sizeof(d->attribute), "%s", attribute);
	(void)snprintf(d->cure, sizeof(d->cure), "%s", cure);
	(void)snprintf(d->reason, sizeof(d->reason), "%s (%s)", why, cure);
	(void)snprintf(d->told, sizeof(d->told), "%s (%s)", why, cure);
}

/*
 * A claim of a manager's job: the key is well made, the evidence is the manager's word, and what the node has seen
 * itself of the job comes with it. Whether the node may claim it is policy's to say, as for every selector.
 */
const char *
mf_engine_claim_trouble(const Mayfly__Agent__V1__Attach *a)
{
	struct mf_job_key k;
	char want[MF_LIM_SELECTOR];
	if (a->job_key[0] == '\0')
		return a->job_grade[0] == '\0' ? NULL : "evidence for a job, and no job's key";
	if (mf_job_key_parse(mf_slice_str(a->job_key), &k, NULL) != MF_OK)
		return "the job's key is not one of a manager: slurm/<cluster>/<id>.<restart> or "
		       "k8s/<cluster>/<ns>/<Kind>/<owner-uid>";
	if (strcmp(a->job_grade, "M") != 0)
		return "a manager's job is claimed on the manager's word, grade M";
	if (!mf_job_key_selector(&k, want, sizeof(want)))
		return "the job's key is too long";
	for (size_t i = 0; i < a->n_selectors; i++)
		if (strcmp(a->selectors[i], want) == 0)
			return NULL;
	return k.manager == MF_MANAGER_SLURM
		   ? "the claim of a Slurm job comes without the selector slurm.job_id of that job"
		   : "the claim of a Kubernetes job comes without the selector k8s.ns of that job";
}

const char *
mf_engine_job_over(const struct mf_engine *e, const char *job_key)
{
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(job_key));
	const struct mf_managed *m = mf_state_managed(e->state, mf_slice_str(job_key));
	if (j != NULL && j->ended)
		return j->reason[0] != '\0' ? j->reason : "this job is over";
	if (j != NULL && j->ending)
		return "the job's end was announced: no new instance joins it";
	if (m != NULL && m->over)
		return "its manager said that this job ends";
	return NULL;
}

static bool
is_named(const struct mf_managed *m, const struct mf_node *n)
{
	for (size_t i = 0; i < m->nodes_n; i++) {
		const char *name = m->nodes[i];
		if (strcmp(name, n->id) == 0)
			return true;
		for (size_t k = 0; k < n->attributes_n; k++)
			if (strncmp(n->attributes[k], "name=", 5) == 0 &&
			    strcmp(n->attributes[k] + 5, name) == 0)
				return true;
	}
	return m->nodes_n == 0;
}

void
mf_engine_check_joining(const struct mf_engine *e, const struct joining *q, struct mf_decision *d)
{
	const struct mf_job *j = mf_state_job_by_key(e->state, mf_slice_str(q->job_key));
	const struct mf_managed *m = mf_state_managed(e->state, mf_slice_str(q->job_key));
	if (m != NULL && m->owner_known && m->owner != q->uid)
		mf_engine_overrule(d, "attested.unix.uid", "run it as the user who submitted the job",
		    "the job's manager names another owner than the one who asks");
	else if (m != NULL && !is_named(m, q->node))
		mf_engine_overrule(d, "node.id", "the nodes it is allocated are those that the manager names",
		    "the job's manager did not place it on this node");
	else if (j != NULL && strcmp(j->person, q->person) != 0)
		mf_engine_overrule(
		    d, "attested.job.key", "one job is one person's", "this job belongs to somebody else");
	else if (j != NULL && q->manifest_hex[0] != '\0' && strcmp(q->manifest_hex, j->manifest) != 0)
		mf_engine_overrule(d, "manifest", "give every instance the manifest that the job began with",
		    "another manifest than the job's own");
	else if (j != NULL && j->instances >= MF_LIM_JOB_INSTANCES)
		mf_engine_overrule(d, "attested.job.key", "split it into several jobs",
		    "the job has had as many instances as a job may");
}

/* ---- runs ---- */

static bool
is_id(struct mf_slice s, const char *prefix)
{
	if (s.n != ID_LEN || !mf_slice_starts(s, mf_slice_str(prefix)))
		return false;
	for (size_t i = 2; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '2' && s.p[i] <= '7')))
			return false;
	return true;
}

/* What the manifest's `run` names: a run, or a job of it that is still remembered, or the last one of it. */
static const struct mf_run *
named_run(const struct mf_engine *e, struct mf_slice name)
{
	if (is_id(name, "r-"))
		return mf_state_run(e->state, name);
	const struct mf_job *j = mf_state_job(e->state, name);
	return j != NULL ? mf_state_run(e->state, mf_slice_str(j->run))
			 : mf_state_run_by_last(e->state, name);
}

void
mf_engine_find_run(struct mf_engine *e, const struct joining *q, struct mf_slice named, struct mf_decision *d,
    char ret_run[MF_STATE_ID_MAX])
{
	static const char attribute[] = "manifest.run", cure[] = "leave `run` out to begin a new one";
	struct mf_job_key k;
	const struct mf_run *run = NULL;
	if (is_id(named, "r-") || is_id(named, "j-")) {
		run = named_run(e, named);
		if (run == NULL) {
			mf_engine_overrule(d, attribute, cure,
			    "`run` names a run or job that is not known, or was forgotten 30 days after it "
			    "ended");
			return;
		}
		/* Whose it is instead is nobody's business but the log's. */
		if (!mf_run_is_of(run, q->tenant, q->person, d->profile->name)) {
			mf_engine_overrule(d, attribute, cure,
			    "`run` names a run of another person, tenant or profile: a run is one person's, "
			    "under "
			    "one profile");
			return;
		}
	} else if (mf_job_key_parse(mf_slice_str(q->job_key), &k, NULL) == MF_OK) {
		/* The same work under the next restart's number: the manager says so by the key. */
		run = mf_state_run_by_line(e->state, k.line);
		if (run != NULL && !mf_run_is_of(run, q->tenant, q->person, d->profile->name))
			run = NULL; /* numbers come again after years */
	}
	if (run != NULL)
		memcpy(ret_run, run->id, MF_STATE_ID_MAX);
	else
		mf_engine_new_id(e, "r-", 20, ret_run);
}
