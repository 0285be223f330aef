/*
 * named_fd: descriptors that travel by name (fd maps of roles, reloads, confinement rules).
 */
#ifndef MF_OS_NAMED_FD_H
#define MF_OS_NAMED_FD_H
#include "base/defs.h"

#define MF_FD_NAME_MAX 32 /* bytes, NUL included; letters a-z, digits, '-' */

struct mf_named_fd {
	char name[MF_FD_NAME_MAX];
	int fd;
};
#endif
