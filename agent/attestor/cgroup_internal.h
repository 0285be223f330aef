/*
 * cgroup_internal: what cgroup.c (finding) and cgroup_make.c (making) share.
 */
#ifndef MF_ATTESTOR_CGROUP_INTERNAL_H
#define MF_ATTESTOR_CGROUP_INTERNAL_H
#include "agent/attestor/cgroup.h"

struct mf_cgroup_fs {
	int mount_fd;	  /* the mount's top directory */
	char *point;	  /* where it is mounted */
	char *root;	  /* the part of the hierarchy that it shows; "" when that is all */
	uint64_t root_id; /* inode of the mount's top directory */
	char *own;	  /* the agent's own cgroup, "" when not known */
	int base_fd;	  /* -1 before mf_cgroup_base */
	char *base;	  /* its path, "" before */
};

/* Fill ${ret_c} from an open directory; takes ${dirfd} on MF_OK. ${path} is copied, NULL: not known. */
MF_NODISCARD enum mf_status
mf_cgroup_take(int dirfd, const char *path, struct mf_cgroup *ret_c, struct mf_err *err);
#endif
