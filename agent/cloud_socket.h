/*
 * cloud_socket: what the agent's supervisor holds for the cloud endpoint of its front (agent/front/cloud_http.h), so that
 * it is the same over every start of that: the listening socket (requests queue in it meanwhile), the key that addresses
 * and secrets of instances come from, and a socket to ask the kernel whose connections are.
 */
#ifndef MF_AGENT_CLOUD_SOCKET_H
#define MF_AGENT_CLOUD_SOCKET_H
#include "base/err.h"

struct mf_cloud_socket {
	int listen_fd, key_fd, diag_fd; /* owned; -1: none */
};

/*
 * The key and the port lie in the directory ${run_fd}, for as long as this boot; a port that somebody else took meanwhile
 * is replaced. ${given} is a listening socket from the service manager, taken over, or -1.
 * Errors: MF_E_IO, MF_E_UNSUPPORTED (a kernel that cannot serve all of loopback and nothing else), MF_E_INVALID.
 */
MF_NODISCARD enum mf_status
mf_cloud_socket_open(int run_fd, int given, struct mf_cloud_socket *ret_s, struct mf_err *err);
void mf_cloud_socket_close(struct mf_cloud_socket *s);
#endif
