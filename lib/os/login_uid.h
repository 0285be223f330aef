/*
 * login_uid: who logged in, as the kernel's audit says, to be the process that connected a Unix socket. It stays when a
 * person becomes another user by su or sudo.
 *
 * Read from /proc/PID/loginuid inside a liveness sandwich: the peer's pidfd is the kernel's (SO_PEERPIDFD, Linux 6.5),
 * and what was read is believed only if that process still lives afterwards, so the number was its own all the time.
 * Thread rule: no state, call from anywhere that may read /proc.
 */
#ifndef MF_OS_LOGIN_UID_H
#define MF_OS_LOGIN_UID_H
#include "base/err.h"

#define MF_NO_LOGIN_UID UINT32_MAX /* nobody logged in: a service, cron; as the kernel writes it */

/*
 * *ret_uid may be MF_NO_LOGIN_UID. MF_E_UNSUPPORTED: the kernel is older, or keeps no login uids. MF_E_NOTFOUND: the
 * peer is gone, lives where we cannot see it, or /proc hides it. MF_E_INVALID: no connected Unix socket.
 */
MF_NODISCARD enum mf_status mf_login_uid_of_peer(int sock, uint32_t *ret_uid, struct mf_err *err);
#endif
