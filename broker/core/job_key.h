/*
 * job_key: the name that a manager gives a job, the same on every node (design: "Words").
 *
 *   slurm/<cluster>/<id>.<restart>
 *   k8s/<cluster>/<ns>/<Kind>/<owner-uid>
 *
 * Parts are 1 to 128 letters, digits, '-', '_', '.', and not "." or ".."; <id> and <restart> are decimal without
 * leading zeros, at most 10 digits. Hostile bytes; pure.
 */
#ifndef MF_CORE_JOB_KEY_H
#define MF_CORE_JOB_KEY_H
#include "base/slice.h"

enum mf_manager { MF_MANAGER_SLURM, MF_MANAGER_K8S };

struct mf_job_key { /* slices into the parsed text */
	enum mf_manager manager;
	struct mf_slice
	    speaker; /* "slurm/c1": what a node that speaks for this manager has as node.manager */
	struct mf_slice
	    line; /* "slurm/c1/77": what its restarts have in common; the whole key where there are none */
	struct mf_slice id; /* "77"; k8s: the owner's uid */
	struct mf_slice ns; /* k8s; else empty */
	uint64_t restart;   /* slurm; else 0 */
};

/* MF_E_INVALID names what is wrong, MF_E_TOOBIG over MF_LIM_JOB_KEY. */
MF_NODISCARD enum mf_status
mf_job_key_parse(struct mf_slice in, struct mf_job_key *ret_k, struct mf_err *err);
/*
 * The selector that must come with a claim of ${k}: what the node itself has seen of the job. Writes
 * "slurm.job_id:77" or "k8s.ns:team" into ${to} and yields true; false when it does not fit.
 */
bool mf_job_key_selector(const struct mf_job_key *k, char *to, size_t cap);
#endif
