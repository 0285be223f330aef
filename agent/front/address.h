/*
 * address: where the broker is: "broker.example:8461", whose name is looked up by a resolver (resolve.h), as this role cannot;
 * or literals, "192.0.2.1:8461,[2001:db8::1]:8461". All of one port, which is the only one that the confinement lets it reach.
 */
#ifndef MF_AGENT_FRONT_ADDRESS_H
#define MF_AGENT_FRONT_ADDRESS_H
#include "base/slice.h"

#define MF_FRONT_HOST_MAX 46u /* INET6_ADDRSTRLEN */
#define MF_FRONT_HOSTS 8u     /* tried in turn; more are left out */

struct mf_front_address {
	char host[MF_FRONT_HOSTS][MF_FRONT_HOST_MAX];
	size_t n;	/* of a name: what was found last; 0: nothing yet */
	char name[254]; /* "": literals */
	uint16_t port;
};
bool mf_front_address_literal(const char *host);
MF_NODISCARD enum mf_status
mf_front_address_parse(const char *text, struct mf_front_address *ret_a, struct mf_err *err);
#endif
