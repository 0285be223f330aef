/*
 * manager_file: what a job's manager says, as lines of a file: which job an instance is a part of, or what becomes of a
 * job (docs/internals/attestor.md). One "key value" a line; unknown keys, keys given twice and control characters are
 * refused. Hostile bytes up to MF_LIM_MANAGER_FILE; pure. Whether the words make sense together is the broker's to say.
 */
#ifndef MF_AGENT_CORE_MANAGER_FILE_H
#define MF_AGENT_CORE_MANAGER_FILE_H
#include "base/slice.h"

enum mf_manager_say {
	MF_SAY_NOTHING, /* a claim: job and selectors */
	MF_SAY_STARTED,
	MF_SAY_ANNOUNCED,
	MF_SAY_ENDED,
	MF_SAY_REQUEUED
};

struct mf_manager_file {
	char *text; /* owned; the others point into it */
	enum mf_manager_say say;
	char *job, *reason; /* never NULL */
	bool owner_known;
	uint32_t owner;
	int64_t deadline; /* unix seconds; 0: none */
	char **list;	  /* owned array: selectors of a claim, nodes of a word */
	size_t list_n;
};

/* MF_E_INVALID names the line, MF_E_TOOBIG, MF_E_NOMEM. */
MF_NODISCARD enum mf_status
mf_manager_file_parse(struct mf_slice in, struct mf_manager_file **ret_f, struct mf_err *err);
void mf_manager_file_free(struct mf_manager_file *f); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_manager_file, mf_manager_file_free)
#endif
