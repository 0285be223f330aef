/*
 * answer: what the resolver does but for its process: one question in, one answer out. One thread.
 */
#ifndef MF_RESOLVER_ANSWER_H
#define MF_RESOLVER_ANSWER_H
#include "rpc/role_links.h"

#define MF_RESOLVER_ADDRESSES 8u

/*
 * A datagram of the front: Resolve. ${answer} then holds the payload of Resolved, with addresses or with a reason. Any error:
 * the front broke the protocol (or there is no memory): end.
 */
MF_NODISCARD enum mf_status mf_resolver_answer(
    uint16_t type, struct mf_slice payload, bool has_fd, struct mf_buf *answer, struct mf_err *err);
#endif
