/*
 * notify: the two protocols of systemd that a daemon needs, by hand (no libsystemd): sd_notify(3) and
 * LISTEN_FDS. Supervisors only; not thread-safe (environment).
 */
#ifndef MF_OS_NOTIFY_H
#define MF_OS_NOTIFY_H
#include "base/err.h"

/*
 * Send ${state} ("READY=1", "STOPPING=1", "RELOADING=1", "STATUS=...") to $NOTIFY_SOCKET. MF_OK also when
 * there is none: nobody waits. MF_E_IO when it is there and does not take it.
 */
MF_NODISCARD enum mf_status mf_notify(const char *state, struct mf_err *err);

/*
 * Have the service manager keep ${fd} under ${name} over our restarts (FDSTORE=1): mf_notify_listen_fd gives it back. MF_OK
 * also when there is no service manager: nobody keeps anything then.
 */
MF_NODISCARD enum mf_status mf_notify_keep_fd(const char *name, int fd, struct mf_err *err);

/*
 * The descriptor that socket activation passed under ${name} (FileDescriptorName=), now CLOEXEC and the
 * caller's; -1 when there is none. Each can be had once.
 */
int mf_notify_listen_fd(const char *name);
#endif
