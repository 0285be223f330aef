/*
 * pb_check: the only way protobuf bytes from outside become a message.
 *
 * protobuf-c has no recursion limit, accepts invalid UTF-8, and cuts a string at an embedded NUL
 * ("spiffe://td/a\0b" becomes another identity). So a check driven by the descriptor runs before
 * every unpack, in constant stack, and the unpack itself lives in one capped arena that is wiped
 * when it is freed (messages carry private keys).
 *
 * Stricter than the protobuf language on purpose: a field that is not repeated stands at most once,
 * at most one member of a oneof is set, and groups are refused. No encoder writes otherwise, and
 * what cannot be read in two ways cannot be smuggled. Unknown fields are accepted (and counted):
 * neighbouring releases talk to each other.
 *
 * Caps (limits.h): MF_LIM_PB_BYTES, MF_LIM_PB_DEPTH, MF_LIM_PB_ELEMENTS, MF_LIM_PB_MEMORY.
 * No globals; any thread.
 */
#ifndef MF_RPC_PB_CHECK_H
#define MF_RPC_PB_CHECK_H
#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

struct mf_pb_cost {
	size_t memory;	 /* bytes that an unpack will want, rounded up */
	size_t elements; /* repeated elements, sub-messages and unknown fields */
	size_t depth;	 /* 1 for a message without sub-messages */
};

/*
 * Check that ${in} is a message of ${desc}. Fails with MF_E_INVALID (the bytes break a rule) or
 * MF_E_TOOBIG (a cap); ${err} names message and field, never bytes. ${ret_cost} may be NULL.
 */
MF_NODISCARD enum mf_status mf_pb_check(const ProtobufCMessageDescriptor *desc, struct mf_slice in,
    struct mf_pb_cost *ret_cost, struct mf_err *err);

/*
 * Check, then unpack. *ret_msg is a message of ${desc} (cast it to its own type), to be freed with
 * mf_pb_free and with nothing else; it may be changed in place, but pointers put into it stay the
 * caller's. Fails as mf_pb_check, or with MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_pb_unpack(const ProtobufCMessageDescriptor *desc, struct mf_slice in,
    ProtobufCMessage **ret_msg, struct mf_err *err);
/* Wipes and frees. NULL is a no-op. Only for what mf_pb_unpack returned. */
void mf_pb_free(ProtobufCMessage *msg);
MF_DEFINE_CLEANUP(ProtobufCMessage, mf_pb_free)

/*
 * Append the encoding of ${msg} to ${to}. What was written passes mf_pb_check, so a peer that is as
 * strict as we are can read it: a string of ours that is not UTF-8 is MF_E_INTERNAL here and
 * nothing is appended.
 */
MF_NODISCARD enum mf_status mf_pb_pack(const ProtobufCMessage *msg, struct mf_buf *to, struct mf_err *err);
#endif
