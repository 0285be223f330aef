#include "client/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/text.h"

static enum mf_status
bad(struct mf_err *err, const char *why)
{
	return MF_FAIL(err, MF_E_INVALID,
	    "agent address: %s; write unix:///absolute/path or tcp://<IP address>:<port>", why);
}

/* WEP-8: "unix: no authority, absolute path, nothing else". */
static enum mf_status
parse_unix(struct mf_slice rest, struct mf_endpoint *ret_ep, struct mf_err *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	if (mf_slice_starts(rest, MF_SLICE_LIT("//")))
		rest = mf_slice_sub(rest, 2, rest.n);
	if (rest.n == 0 || rest.p[0] != '/')
		return bad(err, "a path that is not absolute, or a host");
	if (rest.n == 1 || rest.p[1] == '/')
		return bad(err, "no path to a socket");
	for (size_t i = 0; i < rest.n; i++) {
		uint8_t c = rest.p[i];
		if (c == '?' || c == '#')
			return bad(err, "a query or fragment");
		if (c <= ' ' || c == 0x7f || c == '%')
			return bad(err, "a blank, control or percent-encoded byte in the path");
	}
	if (rest.n >= sizeof(un.sun_path))
		return MF_FAIL(err, MF_E_TOOBIG, "agent address: a socket path of %zu bytes, at most %zu",
		    rest.n, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, rest.p, rest.n);
	*ret_ep = (struct mf_endpoint) { .n = sizeof(un) };
	memcpy(&ret_ep->addr, &un, sizeof(un));
	return MF_OK;
}

static enum mf_status
parse_port(struct mf_slice s, in_port_t *ret_port, struct mf_err *err)
{
	uint64_t v;
	if (!mf_parse_u64(s, &v) || v == 0 || v > 65535)
		return bad(err, "no port number after the IP address");
	*ret_port = htons((uint16_t)v);
	return MF_OK;
}

static bool
parse_ip(int family, struct mf_slice s, void *ret)
{
	char text[INET6_ADDRSTRLEN] = { 0 };
	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	return inet_pton(family, text, ret) == 1;
}

/* WEP-9: "tcp: IP literal and port only". */
static enum mf_status
parse_tcp(struct mf_slice rest, struct mf_endpoint *ret_ep, struct mf_err *err)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	if (rest.n > 0 && rest.p[0] == '[') {
		const uint8_t *close = memchr(rest.p, ']', rest.n);
		size_t at = close == NULL ? 0 : (size_t)(close - rest.p);
		if (close == NULL || at + 1 >= rest.n || rest.p[at + 1] != ':' ||
		    !parse_ip(AF_INET6, mf_slice_sub(rest, 1, at - 1), &v6.sin6_addr))
			return bad(err, "no IPv6 address in brackets with a port");
		MF_TRY(parse_port(mf_slice_sub(rest, at + 2, rest.n), &v6.sin6_port, err));
		*ret_ep = (struct mf_endpoint) { .n = sizeof(v6) };
		memcpy(&ret_ep->addr, &v6, sizeof(v6));
		return MF_OK;
	}
	const uint8_t *colon = rest.n == 0 ? NULL : memchr(rest.p, ':', rest.n);
	size_t at = colon == NULL ? rest.n : (size_t)(colon - rest.p);
	if (!parse_ip(AF_INET, mf_slice_sub(rest, 0, at), &v4.sin_addr))
		return bad(err, "not an IP address: names are not looked up");
	MF_TRY(parse_port(mf_slice_sub(rest, at + 1, rest.n), &v4.sin_port, err));
	*ret_ep = (struct mf_endpoint) { .n = sizeof(v4) };
	memcpy(&ret_ep->addr, &v4, sizeof(v4));
	return MF_OK;
}

enum mf_status
mf_endpoint_parse(struct mf_slice uri, struct mf_endpoint *ret_ep, struct mf_err *err)
{
	if (mf_slice_starts(uri, MF_SLICE_LIT("unix:")))
		return parse_unix(mf_slice_sub(uri, 5, uri.n), ret_ep, err);
	if (mf_slice_starts(uri, MF_SLICE_LIT("tcp://")))
		return parse_tcp(mf_slice_sub(uri, 6, uri.n), ret_ep, err);
	return bad(err, uri.n == 0 ? "empty" : "neither unix: nor tcp://");
}
