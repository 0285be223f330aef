/*
 * endpoint: the address of a Workload Endpoint (SPIFFE Workload Endpoint, section 4): `unix:` with an absolute path,
 * `tcp:` with an IP literal and a port, and nothing else. Names are never looked up. Pure.
 */
#ifndef MF_CLIENT_ENDPOINT_H
#define MF_CLIENT_ENDPOINT_H
#include <sys/socket.h>

#include "base/slice.h"

struct mf_endpoint {
	struct sockaddr_storage addr;
	socklen_t n;
};

/* MF_E_INVALID names the rule and the form that is meant, MF_E_TOOBIG a path that no socket can have. */
MF_NODISCARD enum mf_status
mf_endpoint_parse(struct mf_slice uri, struct mf_endpoint *ret_ep, struct mf_err *err);
#endif
