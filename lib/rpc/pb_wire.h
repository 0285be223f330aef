/*
 * pb_wire: one field of protobuf's wire format after the other, without a schema. Internal to lib/rpc; messages are
 * read by rpc/pb_check.h.
 */
#ifndef MF_RPC_PB_WIRE_H
#define MF_RPC_PB_WIRE_H
#include "base/slice.h"

enum mf_pb_wire {
	MF_PB_WIRE_OK,
	MF_PB_WIRE_BAD_TAG,
	MF_PB_WIRE_BAD_TYPE, /* a group, or a wire type that there is not */
	MF_PB_WIRE_CUT,	     /* the value is cut short, or a number of too many bits */
};

struct mf_pb_field {
	uint32_t number;       /* 1 to 2^29 - 1 */
	uint8_t type;	       /* ProtobufCWireType */
	uint64_t value;	       /* of a varint */
	struct mf_slice bytes; /* of any other type */
};

/* ${in} is not at its end. *ret_f is whole only with MF_PB_WIRE_OK. */
MF_NODISCARD enum mf_pb_wire mf_pb_field_read(struct mf_reader *in, struct mf_pb_field *ret_f);
/*
 * Base 128, at most ${bits} (32 or 64). 64 bits: at most ten bytes, the tenth carries one bit. 32 bits: five and four.
 */
MF_NODISCARD bool mf_pb_varint_read(struct mf_reader *r, unsigned bits, uint64_t *ret_v);
#endif
