/*
 * admins: the admins file, with the certificates it names, made into what the front is given: a packed
 * mayfly.roles.v1.AdminAccess in a memfd. Supervisors only: blocking, one thread.
 */
#ifndef MF_BROKER_ADMINS_H
#define MF_BROKER_ADMINS_H
#include "base/err.h"

/* ${path}: of the admins file. MF_E_INVALID and the like name the file, the line and the cure. */
MF_NODISCARD enum mf_status mf_broker_admins(const char *path, int *ret_fd, struct mf_err *err);
#endif
