/*
 * spawn: start a role from an opened executable, with a fixed fd map and a user of its own.
 */
#ifndef MF_OS_SPAWN_H
#define MF_OS_SPAWN_H
#include <sys/types.h>

#include "base/err.h"
#include "os/named_fd.h"

struct mf_spawn {
	const char *name; /* argv[0] */
	int exe_fd;	  /* mf_spawn_open_role */
	const struct mf_named_fd *fds;
	size_t fd_count;	 /* child's descriptors 3, 4, ... in this order; --fds says so */
	const char *const *args; /* more arguments, NULL-terminated */
	bool change_user;	 /* to uid and gid, without supplementary groups */
	uid_t uid;
	gid_t gid;
};

/*
 * Open the executable of role ${name}: $MAYFLY_LIBEXEC (ignored in a set-user-id context), else ../libexec/mayfly
 * beside the folder of this program. Refused when others than root and we could change it. The descriptor, not the
 * name, is started later: an upgrade of the files takes effect with the supervisor's restart, never by halves.
 * Errors: MF_E_NOTFOUND, MF_E_DENIED, MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_spawn_open_role(const char *name, int *ret_fd, struct mf_err *err);

/*
 * Fork and exec. In the child: own session (a terminal's Ctrl-C reaches the supervisor only), default signals, stdin
 * /dev/null, stdout as stderr, no environment (instrumented builds keep theirs), death with the parent, the user, then
 * exec by descriptor. Call from the supervisor's only thread: the death signal is tied to it.
 * MF_OK means that the exec took place. *ret_pidfd is CLOEXEC. Errors: MF_E_IO (text names the step), MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status
mf_spawn_role(const struct mf_spawn *s, pid_t *ret_pid, int *ret_pidfd, struct mf_err *err);

/*
 * The user ${name}, or uid and gid ${fallback} when this machine has no such user. MF_E_IO when the user database
 * cannot be asked.
 */
MF_NODISCARD enum mf_status
mf_spawn_user(const char *name, uid_t fallback, uid_t *ret_uid, gid_t *ret_gid, struct mf_err *err);
#endif
