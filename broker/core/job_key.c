#include "broker/core/job_key.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/text.h"

#define PARTS_MAX 6u
#define PART_MAX 128u
#define NUMBER_MAX 10u

static bool
part_ok(struct mf_slice p)
{
	if (p.n == 0 || p.n > PART_MAX || mf_slice_eq_str(p, ".") || mf_slice_eq_str(p, ".."))
		return false;
	for (size_t i = 0; i < p.n; i++) {
		uint8_t c = p.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

/* Parts between slashes; 0 when one is bad or there are too many. */
static size_t
split(struct mf_slice in, struct mf_slice parts[PARTS_MAX])
{
	size_t n = 0, from = 0;
	for (size_t i = 0; i <= in.n; i++) {
		if (i < in.n && in.p[i] != '/')
			continue;
		if (n == PARTS_MAX || !part_ok(mf_slice_sub(in, from, i - from)))
			return 0;
		parts[n++] = mf_slice_sub(in, from, i - from);
		from = i + 1;
	}
	return n;
}

/* One spelling for each number: two keys never mean one job. */
static bool
number(struct mf_slice s, uint64_t *ret_v)
{
	return s.n > 0 && s.n <= NUMBER_MAX && (s.n == 1 || s.p[0] != '0') && mf_parse_u64(s, ret_v);
}

static enum mf_status
slurm(struct mf_slice in, struct mf_slice last, struct mf_job_key *k, struct mf_err *err)
{
	uint64_t id;
	const uint8_t *dot = memchr(last.p, '.', last.n);
	size_t n = dot == NULL ? last.n : (size_t)(dot - last.p);
	k->id = mf_slice_sub(last, 0, n);
	if (dot == NULL || !number(k->id, &id) || !number(mf_slice_sub(last, n + 1, last.n), &k->restart))
		return MF_FAIL(err, MF_E_INVALID, "job key: slurm/<cluster>/<id>.<restart>, both numbers");
	k->line = mf_slice_sub(in, 0, in.n - (last.n - n));
	return MF_OK;
}

enum mf_status
mf_job_key_parse(struct mf_slice in, struct mf_job_key *ret_k, struct mf_err *err)
{
	struct mf_slice p[PARTS_MAX];
	struct mf_job_key k = { .restart = 0 };
	if (in.n > MF_LIM_JOB_KEY)
		return MF_FAIL(err, MF_E_TOOBIG, "job key: %zu bytes, the most is %u", in.n, MF_LIM_JOB_KEY);
	size_t n = split(in, p);
	if (n >= 2)
		k.speaker = mf_slice_sub(in, 0, p[0].n + 1 + p[1].n);
	if (n == 3 && mf_slice_eq_str(p[0], "slurm")) {
		k.manager = MF_MANAGER_SLURM;
		MF_TRY(slurm(in, p[2], &k, err));
	} else if (n == 5 && mf_slice_eq_str(p[0], "k8s")) {
		k.manager = MF_MANAGER_K8S;
		k.line = in;
		k.ns = p[2];
		k.id = p[4];
	} else {
		return MF_FAIL(err, MF_E_INVALID,
		    "job key: slurm/<cluster>/<id>.<restart> or k8s/<cluster>/<ns>/<Kind>/<owner-uid>");
	}
	*ret_k = k;
	return MF_OK;
}

bool
mf_job_key_selector(const struct mf_job_key *k, char *to, size_t cap)
{
	bool slurm_job = k->manager == MF_MANAGER_SLURM;
	struct mf_slice v = slurm_job ? k->id : k->ns;
	int n =
	    snprintf(to, cap, "%s:%.*s", slurm_job ? "slurm.job_id" : "k8s.ns", (int)v.n, (const char *)v.p);
	return n > 0 && (size_t)n < cap;
}
