/*
 * h2_head: one header list: kept as bytes and references, checked field by field.
 *
 * nghttp2's own checks of HTTP messages are off on servers, because they reset streams for an
 * :authority that gRPC clients send on Unix sockets (a path, nothing); these here take their place:
 * RFC 9113 8.2 and 8.3. Internal to lib/rpc.
 */
#ifndef MF_RPC_H2_HEAD_H
#define MF_RPC_H2_HEAD_H
#include "rpc/h2.h"

enum mf_h2_head_kind {
	MF_H2_REQUEST,	     /* checked, :authority must be sound or replaced by host */
	MF_H2_REQUEST_LOCAL, /* checked, any :authority or none */
	MF_H2_TRAILERS,	     /* checked: no pseudo fields */
	MF_H2_UNCHECKED,     /* a response: nghttp2 has checked it */
};

struct mf_h2_head {
	struct mf_buf bytes;
	struct mf_h2_head_ref *refs;
	size_t n, cap;
	size_t listed;	 /* size by RFC 9113 6.5.2, of all fields that came */
	size_t max;	 /* of listed; what is over it is not kept */
	unsigned pseudo; /* which pseudo fields came */
	bool regular, host, bad, has_length;
	uint64_t length; /* content-length */
};

void mf_h2_head_init(struct mf_h2_head *h, size_t max);
void mf_h2_head_fini(struct mf_h2_head *h);
void mf_h2_head_reset(struct mf_h2_head *h); /* empty again, memory kept */
/* Malformed fields only set h->bad. Fails with MF_E_NOMEM. */
MF_NODISCARD enum mf_status
mf_h2_head_add(struct mf_h2_head *h, enum mf_h2_head_kind kind, struct mf_slice name, struct mf_slice value);
/* True when the list as a whole is one of ${kind}. */
bool mf_h2_head_whole(const struct mf_h2_head *h, enum mf_h2_head_kind kind);
static inline bool
mf_h2_head_over(const struct mf_h2_head *h)
{
	return h->listed > h->max;
}
struct mf_h2_field mf_h2_head_field(const struct mf_h2_head *h, size_t i);
size_t mf_h2_head_find(const struct mf_h2_head *h, const char *name, struct mf_slice *ret_v);
#endif
