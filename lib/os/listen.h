/*
 * listen: sockets that a supervisor binds for its roles. Blocking (name look-up): supervisors at their start only.
 */
#ifndef MF_OS_LISTEN_H
#define MF_OS_LISTEN_H
#include <sys/types.h>

#include "base/buf.h"

#define MF_LISTEN_BACKLOG 4096 /* the kernel's somaxconn cuts it */

/* "host:port" or "[v6]:port" taken apart; ${ret_host} has room for 256 bytes. MF_E_INVALID. */
MF_NODISCARD enum mf_status
mf_address_split(const char *address, char *ret_host, uint16_t *ret_port, struct mf_err *err);
/* Append "ip:port,[ip]:port" for ${address}, in the resolver's order. MF_E_NOTFOUND, MF_E_INVALID. */
MF_NODISCARD enum mf_status mf_address_resolve(const char *address, struct mf_buf *to, struct mf_err *err);
/*
 * A listening, non-blocking, CLOEXEC TCP socket. "[::]" serves IPv4 as well. MF_E_EXISTS when the address is in use;
 * MF_E_NOTFOUND, MF_E_DENIED, MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_listen_tcp(const char *address, int *ret_fd, struct mf_err *err);

struct mf_listen_unix {
	const char
	    *path;   /* what getsockname of each accepted connection answers: bound directly, never renamed */
	mode_t mode; /* from the first moment on */
	gid_t group; /* (gid_t)-1: as it comes */
	bool senders; /* SO_PASSCRED and, where the kernel has it, SO_PASSPIDFD, inherited by connections */
};
/*
 * The same on a Unix stream socket. What a dead process left under ${path} is removed; a living listener is
 * MF_E_EXISTS, anything that is no socket MF_E_DENIED.
 */
MF_NODISCARD enum mf_status mf_listen_unix(const struct mf_listen_unix *how, int *ret_fd, struct mf_err *err);
#endif
