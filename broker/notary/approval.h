/*
 * approval: the signatures of persons over an admin act (admin_signers): all cryptography of it, as one job for a worker
 * thread. Which act needs how many persons, and that a nonce is used once, is the engine's (admin_signers.c).
 */
#ifndef MF_NOTARY_APPROVAL_H
#define MF_NOTARY_APPROVAL_H
#include "base/buf.h"
#include "base/limits.h"

#include "roles.pb-c.h"

#define MF_APPROVAL_PERSON 129u

/* What was found good: every signature of the call, by so many different persons. */
struct mf_approval {
	size_t n; /* persons */
	struct {
		char person[MF_APPROVAL_PERSON];
		char key[64]; /* "SHA256:...", as ssh-keygen -l prints it */
	} by[MF_LIM_APPROVALS];
	char text_sha256[65];
};

struct mf_approval_job {
	Mayfly__Roles__V1__AdminCall *call; /* ours */
	struct mf_buf signers;		    /* the allowed signers file */
	char log[MF_LIM_NOTE_NAME + 1];
	int64_t now_s;
	/* The result. */
	enum mf_status status;
	struct mf_err err;
	struct mf_approval approval;
};

/* Copies everything. */
MF_NODISCARD enum mf_status
mf_approval_job_new(const Mayfly__Roles__V1__AdminCall *call, struct mf_slice signers, const char *log,
    int64_t now_s, struct mf_approval_job **ret_job, struct mf_err *err);
void mf_approval_job_free(struct mf_approval_job *job); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_approval_job, mf_approval_job_free)
/* Any thread. One bad signature refuses them all: ${err} of the job says which. */
void mf_approval_job_run(struct mf_approval_job *job);
#endif
