#include "rpc/pb_wire.h"

#include <protobuf-c/protobuf-c.h>

#define FIELD_NUMBER_MAX 536870911u

bool
mf_pb_varint_read(struct mf_reader *r, unsigned bits, uint64_t *ret_v)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < bits; shift += 7) {
		uint8_t c;
		if (!mf_read_u8(r, &c))
			return false;
		if (bits - shift < 7 && c >> (bits - shift) != 0)
			return false;
		v |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0) {
			*ret_v = v;
			return true;
		}
	}
	return false;
}

enum mf_pb_wire
mf_pb_field_read(struct mf_reader *in, struct mf_pb_field *ret_f)
{
	uint64_t tag, n;
	bool whole;
	*ret_f = (struct mf_pb_field) { .bytes = mf_slice(NULL, 0) };
	if (!mf_pb_varint_read(in, 32, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
		return MF_PB_WIRE_BAD_TAG;
	ret_f->number = (uint32_t)(tag >> 3);
	ret_f->type = (uint8_t)(tag & 7);
	switch (ret_f->type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		whole = mf_pb_varint_read(in, 64, &ret_f->value);
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		whole = mf_read_bytes(in, 8, &ret_f->bytes);
		break;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		whole = mf_read_bytes(in, 4, &ret_f->bytes);
		break;
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		whole = mf_pb_varint_read(in, 32, &n) && mf_read_bytes(in, (size_t)n, &ret_f->bytes);
		break;
	default:
		return MF_PB_WIRE_BAD_TYPE;
	}
	return whole ? MF_PB_WIRE_OK : MF_PB_WIRE_CUT;
}
