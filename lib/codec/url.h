/*
 * url: the http(s) URLs that an operator configures and a provider's documents name, taken apart strictly.
 *
 *   https://host[:port][/path][?query]
 *
 * Scheme and host in lowercase; the host is a DNS name, an IPv4 address or an IPv6 address in brackets. No user, no fragment, no
 * byte outside of RFC 3986, no "." or ".." segment. Whoever connects must still look at the address that a name resolved to.
 * Pure.
 */
#ifndef MF_CODEC_URL_H
#define MF_CODEC_URL_H
#include "base/buf.h"

#define MF_URL_MAX 2048u

struct mf_url {
	bool https;
	struct mf_slice host;	   /* without brackets */
	struct mf_slice authority; /* as it stands: host, and port where one is written: the Host header */
	uint16_t port;		   /* 80 and 443 where none is written */
	struct mf_slice path;	   /* "" or "/..." */
	struct mf_slice query;	   /* without "?"; empty: none */
};

/* The slices lie in ${text}. MF_E_INVALID, MF_E_TOOBIG; the text says what is wrong, not the bytes. */
MF_NODISCARD enum mf_status mf_url_parse(struct mf_slice text, struct mf_url *ret_u, struct mf_err *err);
/* Append ${s} percent-encoded: all but RFC 3986's unreserved letters, a space as %20 (forms, queries, SigV4). */
void mf_url_encode(struct mf_buf *to, struct mf_slice s);
/* Append ${s} with its %XX decoded; "+" stays. MF_E_INVALID: a percent sign that starts none. */
MF_NODISCARD enum mf_status mf_url_decode(struct mf_slice s, struct mf_buf *to, struct mf_err *err);
#endif
