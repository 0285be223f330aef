/*
 * confine_parts: the steps of mf_confine that have a file of their own. Private to lib/os.
 */
#ifndef MF_OS_CONFINE_PARTS_H
#define MF_OS_CONFINE_PARTS_H
#include "os/sandbox.h"

/* landlock.c */
MF_NODISCARD enum mf_status mf_confine_landlock(
    const struct mf_confinement *c, const struct mf_confine_env *env, int *ret_abi, struct mf_err *err);
/* own_mounts.c: false in *ret_done when the process may not make a mount namespace. */
MF_NODISCARD enum mf_status mf_confine_own_mounts(
    const struct mf_confinement *c, const struct mf_confine_env *env, bool *ret_done, struct mf_err *err);
/* seccomp_filter.c */
MF_NODISCARD enum mf_status
mf_confine_seccomp(const struct mf_confinement *c, const struct mf_confine_env *env, struct mf_err *err);
/* The wider group of instrumented builds, NULL in a release build. */
extern const struct mf_syscall_group *const mf_confine_instrumented;

/* The descriptor of ${name}, -1 when the role has none. */
int mf_confine_fd(const struct mf_confine_env *env, const char *name);
#endif
