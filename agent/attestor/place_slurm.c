/*
 * place_slurm: jobs of Slurm on cgroup v2, "/system.slice/[NODE_]slurmstepd.scope/(job_N|SLUID)/step_S/...". The
 * instance is the job's directory, which holds all its steps. See place.h and attestation.md 4.
 */
#include "agent/attestor/place.h"

/* Newer releases name the directory by the SLUID, "s" and 13 letters or digits. */
static bool
is_sluid(struct mf_slice part)
{
	for (size_t i = 1; i < part.n; i++)
		if (!((part.p[i] >= '0' && part.p[i] <= '9') || (part.p[i] >= 'A' && part.p[i] <= 'Z')))
			return false;
	return part.n == 14 && part.p[0] == 's';
}

static bool
match(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	MF_UNUSED(env);
	size_t at = 0;
	const struct mf_slice none = { 0 };
	if (!mf_slice_eq_str(mf_place_part(path, &at), "system.slice"))
		return false;
	struct mf_slice scope = mf_place_part(path, &at);
	if (!mf_slice_eq_str(scope, "slurmstepd.scope") && !mf_place_ends(scope, "_slurmstepd.scope"))
		return false;
	struct mf_slice job = mf_place_part(path, &at), id = job;
	bool numbered = mf_slice_starts(job, MF_SLICE_LIT("job_"));
	if (numbered)
		id = mf_slice_sub(job, 4, job.n);
	if (numbered ? !mf_place_decimal(id) : !is_sluid(job))
		return true; /* slurmd, system: not a job */
	size_t prefix = at;
	struct mf_slice step = mf_place_part(path, &at);
	if (!mf_slice_starts(step, MF_SLICE_LIT("step_")) ||
	    !mf_slice_eq_str(mf_place_part(path, &at), "user"))
		return true; /* slurmstepd itself */
	ret_p->use = MF_CGROUP_OWN;
	ret_p->prefix = prefix;
	/* pam_slurm_adopt puts ssh logins here: a person at a keyboard, or what that person started. */
	ret_p->interactive = mf_slice_eq_str(step, "step_extern");
	mf_place_say(ret_p, numbered ? "slurm.job_id" : "slurm.sluid", none, id);
	return true;
}

static const char *const selectors[] = { "slurm.job_id", "slurm.sluid", NULL };
const struct mf_classifier mf_place_slurm = {
	.name = "slurm",
	.summary = "a job of Slurm (cgroup v2, proctrack/cgroup), all its steps",
	.selectors = selectors,
	.match = match,
};
