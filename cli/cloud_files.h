/*
 * cloud_files: the files of a job's cloud grants: the secret of the agent's endpoint, bearer tokens. They lie in a
 * directory of their own on tmpfs, mode 0700, the files 0400, without a newline at their end, replaced by rename.
 */
#ifndef MF_CLI_CLOUD_FILES_H
#define MF_CLI_CLOUD_FILES_H
#include "base/buf.h"
#include "job.pb-c.h"

struct mf_cloud_files {
	int dir;	/* -1: none */
	char path[256]; /* of it */
	size_t n;	/* files that were ever written */
	char names[32][96];
};

#define MF_CLOUD_FILES_NONE \
	{                   \
		.dir = -1   \
	}

/* A new directory below $XDG_RUNTIME_DIR, /run/user/UID or /dev/shm, whichever is a tmpfs of ours. MF_E_NOTFOUND: none. */
MF_NODISCARD enum mf_status mf_cloud_files_open(struct mf_cloud_files *f, struct mf_err *err);
/* One that stays: the same path each time for ${job}; found or made. */
MF_NODISCARD enum mf_status
mf_cloud_files_open_for(struct mf_cloud_files *f, const char *job, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_cloud_files_write(struct mf_cloud_files *f, const char *name, struct mf_slice body, struct mf_err *err);
void mf_cloud_files_remove(struct mf_cloud_files *f, const char *name);
/* The files and the directory are gone. */
void mf_cloud_files_clear(struct mf_cloud_files *f);
void mf_cloud_files_close(struct mf_cloud_files *f); /* they stay */

/*
 * Write the files of ${e} (those with a body) and append what has to be set and unset, each with a NUL after it:
 * "NAME=VALUE", or "NAME" to unset. Without anything to be set nothing is made.
 */
MF_NODISCARD enum mf_status mf_cloud_files_take(struct mf_cloud_files *f,
    const Mayfly__Job__V1__CloudEnvironment *e, struct mf_buf *to, struct mf_err *err);
#endif
