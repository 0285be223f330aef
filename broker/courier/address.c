#include "broker/courier/address.h"

#include <netinet/in.h>

static const char loopback[] =
    "the address is loopback: set `loopback: true` if the target is on this machine",
		  no_loopback[] = "without TLS only loopback addresses may be connected to",
		  link_local[] = "the address is link-local: metadata services are there, no provider",
		  no_host[] = "the address is that of no single host", no_kind[] = "no IP address";

static const char *
v4_refused(const uint8_t b[4], enum mf_address_rule rule)
{
	bool local = b[0] == 127;
	if (b[0] == 0 || b[0] >= 224)
		return no_host;
	if (b[0] == 169 && b[1] == 254)
		return link_local;
	if (b[0] == 100 && b[1] == 100 && b[2] == 100 && b[3] == 200)
		return link_local; /* Alibaba's metadata service */
	if (rule == MF_ADDRESS_LOOPBACK)
		return local ? NULL : no_loopback;
	return local && rule == MF_ADDRESS_PUBLIC ? loopback : NULL;
}

static const char *
v6_refused(const uint8_t b[16], enum mf_address_rule rule)
{
	static const uint8_t zero[16] = { 0 }, mapped[12] = { [10] = 0xff, [11] = 0xff },
			     nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	if (memcmp(b, mapped, sizeof(mapped)) == 0 || memcmp(b, nat64, sizeof(nat64)) == 0)
		return v4_refused(b + 12, rule);
	bool local = memcmp(b, zero, 15) == 0 && b[15] == 1;
	if (!local && memcmp(b, zero, 12) == 0)
		return no_host; /* unspecified, and the old v4-compatible form */
	if (b[0] == 0xff)
		return no_host;
	if ((b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
	    (b[0] == 0xfd && b[1] == 0x00 && b[2] == 0x0e && b[3] == 0xc2))
		return link_local; /* fe80::/10; fd00:ec2::/32 is AWS' */
	if (rule == MF_ADDRESS_LOOPBACK)
		return local ? NULL : no_loopback;
	return local && rule == MF_ADDRESS_PUBLIC ? loopback : NULL;
}

const char *
mf_address_refused(const struct sockaddr *a, socklen_t n, enum mf_address_rule rule)
{
	union {
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u;
	if (n >= sizeof(u.v4) && a->sa_family == AF_INET) {
		memcpy(&u.v4, a, sizeof(u.v4));
		return v4_refused((const uint8_t *)&u.v4.sin_addr, rule);
	}
	if (n >= sizeof(u.v6) && a->sa_family == AF_INET6) {
		memcpy(&u.v6, a, sizeof(u.v6));
		return v6_refused(u.v6.sin6_addr.s6_addr, rule);
	}
	return no_kind;
}
