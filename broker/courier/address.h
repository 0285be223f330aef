/*
 * address: which addresses the courier may speak to. A name is the operator's, what it resolves to is not: it must not lead to
 * this machine, to a metadata service or to a neighbour by link. Pure.
 */
#ifndef MF_COURIER_ADDRESS_H
#define MF_COURIER_ADDRESS_H
#include <sys/socket.h>

#include "base/defs.h"

enum mf_address_rule {
	MF_ADDRESS_PUBLIC, /* anything but loopback, link-local, metadata, multicast and what is no address */
	MF_ADDRESS_ALSO_LOOPBACK, /* the target says that it is on this machine */
	MF_ADDRESS_LOOPBACK,	  /* without TLS: loopback and nothing else */
};

/* NULL: it may; else why not. */
const char *mf_address_refused(const struct sockaddr *a, socklen_t n, enum mf_address_rule rule);
#endif
