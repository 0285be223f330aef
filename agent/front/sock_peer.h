/*
 * sock_peer: who is at the other end of a TCP connection over loopback, as the kernel says of the other socket (inet_diag):
 * the user that owns it and the cgroup in which it was made. No file of /proc is read.
 */
#ifndef MF_AGENT_FRONT_SOCK_PEER_H
#define MF_AGENT_FRONT_SOCK_PEER_H
#include <netinet/in.h>

#include "base/err.h"
#include "base/slice.h"

struct mf_sock_peer {
	uint32_t uid;
	uint64_t cgroup_id; /* 0: the kernel does not say (before 5.9, or without cgroup2) */
};

/*
 * ${client} is the peer's address, ${server} our own, of one connection. MF_E_NOTFOUND: no such socket, it was closed
 * meanwhile. MF_E_UNSUPPORTED, MF_E_IO: the kernel does not answer.
 */
MF_NODISCARD enum mf_status mf_sock_peer_look(int diag_fd, const struct sockaddr_in *client,
    const struct sockaddr_in *server, struct mf_sock_peer *ret_p, struct mf_err *err);
/* What the kernel answered, taken apart. Pure. As mf_sock_peer_look. */
MF_NODISCARD enum mf_status
mf_sock_peer_parse(struct mf_slice reply, uint32_t seq, struct mf_sock_peer *ret_p, struct mf_err *err);
#endif
