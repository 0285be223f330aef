#include "rpc/pb_check.h"

#include "base/limits.h"
#include "base/text.h"
#include "rpc/pb_wire.h"

#define FIELDS_MAX 128u /* fields of one message type of ours: a static bound, not one of input */
/* protobuf-c keeps the first 16 fields of a message on the stack and the rest in doubling slabs. */
#define SLAB_FREE 16u
#define SLAB_BYTES 144u
#define ROUND 16u

struct frame {
	const ProtobufCMessageDescriptor *desc;
	struct mf_reader in;
	uint64_t seen[FIELDS_MAX / 64];
	size_t occurrences;
};

struct check {
	struct frame stack[MF_LIM_PB_DEPTH];
	size_t depth;
	struct mf_pb_cost cost;
	struct mf_err *err;
};

static size_t
rounded(size_t n)
{
	return (n + ROUND - 1) / ROUND * ROUND;
}

static ProtobufCWireType
wire_type_of(ProtobufCType t)
{
	switch (t) {
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return PROTOBUF_C_WIRE_TYPE_32BIT;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return PROTOBUF_C_WIRE_TYPE_64BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	default:
		return PROTOBUF_C_WIRE_TYPE_VARINT;
	}
}

/* Both sides of the cap: how many, and how much memory. */
static enum mf_status
charge(struct check *c, size_t elements, size_t memory)
{
	c->cost.elements += elements;
	if (c->cost.elements > MF_LIM_PB_ELEMENTS)
		return MF_FAIL(c->err, MF_E_TOOBIG, "protobuf: more than %u elements", MF_LIM_PB_ELEMENTS);
	c->cost.memory += memory;
	if (c->cost.memory > MF_LIM_PB_MEMORY)
		return MF_FAIL(c->err, MF_E_TOOBIG, "protobuf: would need more than %u bytes of memory",
		    MF_LIM_PB_MEMORY);
	return MF_OK;
}

static enum mf_status
bad(struct check *c, const struct frame *f, const ProtobufCFieldDescriptor *fd, const char *what)
{
	return MF_FAIL(c->err, MF_E_INVALID, "protobuf %s%s%s: %s", f->desc->name, fd == NULL ? "" : ".",
	    fd == NULL ? "" : fd->name, what);
}

static enum mf_status
push(struct check *c, const ProtobufCMessageDescriptor *desc, struct mf_slice in)
{
	if (c->depth == MF_LIM_PB_DEPTH)
		return MF_FAIL(
		    c->err, MF_E_TOOBIG, "protobuf %s: nested deeper than %u", desc->name, MF_LIM_PB_DEPTH);
	if (desc->n_fields > FIELDS_MAX)
		return MF_FAIL(c->err, MF_E_INTERNAL, "protobuf %s: more than %u fields in the type",
		    desc->name, FIELDS_MAX);
	c->stack[c->depth++] = (struct frame) { .desc = desc, .in = mf_reader(in) };
	if (c->depth > c->cost.depth)
		c->cost.depth = c->depth;
	return charge(c, 0, rounded(desc->sizeof_message));
}

/* Once per message; setting one member of a oneof uses up all of them. */
static bool
mark_seen(struct frame *f, const ProtobufCFieldDescriptor *fd)
{
	size_t at = (size_t)(fd - f->desc->fields);
	if ((f->seen[at / 64] >> (at % 64) & 1) != 0)
		return false;
	f->seen[at / 64] |= UINT64_C(1) << (at % 64);
	if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
		return true;
	for (unsigned i = 0; i < f->desc->n_fields; i++) {
		const ProtobufCFieldDescriptor *o = &f->desc->fields[i];
		if ((o->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
		    o->quantifier_offset == fd->quantifier_offset)
			f->seen[i / 64] |= UINT64_C(1) << (i % 64);
	}
	return true;
}

static enum mf_status
check_packed(struct check *c, const struct frame *f, const ProtobufCFieldDescriptor *fd, struct mf_slice s)
{
	size_t n = 0;
	switch (wire_type_of(fd->type)) {
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		if (s.n % 4 != 0)
			return bad(c, f, fd, "packed length is not a multiple of 4");
		n = s.n / 4;
		break;
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		if (s.n % 8 != 0)
			return bad(c, f, fd, "packed length is not a multiple of 8");
		n = s.n / 8;
		break;
	default: {
		struct mf_reader r = mf_reader(s);
		uint64_t v;
		for (; !mf_reader_end(&r); n++)
			if (!mf_pb_varint_read(&r, 64, &v))
				return bad(c, f, fd, "bad packed number");
		break;
	}
	}
	return charge(c, n, rounded(n * 8));
}

/* A length-prefixed value of a field that we know. Pushes a frame for a sub-message. */
static enum mf_status
check_bytes(struct check *c, const struct frame *f, const ProtobufCFieldDescriptor *fd, struct mf_slice s)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (!mf_utf8_ok(s))
			return bad(c, f, fd, "not UTF-8, or a NUL inside");
		return charge(c, 0, rounded(s.n + 1));
	case PROTOBUF_C_TYPE_BYTES:
		return charge(c, 0, rounded(s.n));
	case PROTOBUF_C_TYPE_MESSAGE:
		MF_TRY(charge(c, fd->label == PROTOBUF_C_LABEL_REPEATED ? 0 : 1, 0));
		return push(c, fd->descriptor, s);
	default:
		return bad(c, f, fd, "wrong wire type");
	}
}

static enum mf_status
check_known(
    struct check *c, struct frame *f, const ProtobufCFieldDescriptor *fd, uint8_t wire, struct mf_slice s)
{
	bool repeated = fd->label == PROTOBUF_C_LABEL_REPEATED;
	if (!repeated && !mark_seen(f, fd))
		return bad(c, f, fd, "set twice (or two members of one oneof)");
	if (wire != (uint8_t)wire_type_of(fd->type)) {
		if (repeated && wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
			return check_packed(c, f, fd, s);
		return bad(c, f, fd, "wrong wire type");
	}
	if (repeated)
		MF_TRY(charge(c, 1, sizeof(ProtobufCBinaryData)));
	if (wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
		return MF_OK;
	return check_bytes(c, f, fd, s);
}

static enum mf_status
check_field(struct check *c, struct frame *f)
{
	struct mf_pb_field v;
	switch (mf_pb_field_read(&f->in, &v)) {
	case MF_PB_WIRE_OK:
		break;
	case MF_PB_WIRE_BAD_TAG:
		return bad(c, f, NULL, "bad field tag");
	case MF_PB_WIRE_BAD_TYPE:
		return bad(c, f, NULL, "group or unknown wire type");
	case MF_PB_WIRE_CUT:
		return bad(c, f, NULL, "cut short");
	}
	if (++f->occurrences > SLAB_FREE)
		MF_TRY(charge(c, 0, SLAB_BYTES));
	const ProtobufCFieldDescriptor *fd = protobuf_c_message_descriptor_get_field(f->desc, v.number);
	if (fd == NULL)
		return charge(c, 1, rounded(sizeof(ProtobufCMessageUnknownField)) + rounded(v.bytes.n + 16));
	return check_known(c, f, fd, v.type, v.bytes);
}

enum mf_status
mf_pb_check(const ProtobufCMessageDescriptor *desc, struct mf_slice in, struct mf_pb_cost *ret_cost,
    struct mf_err *err)
{
	struct check c = { .err = err };
	if (in.n > MF_LIM_PB_BYTES)
		return MF_FAIL(err, MF_E_TOOBIG, "protobuf %s: %zu bytes, at most %u", desc->name, in.n,
		    MF_LIM_PB_BYTES);
	MF_TRY(push(&c, desc, in));
	while (c.depth > 0) {
		struct frame *f = &c.stack[c.depth - 1];
		if (mf_reader_end(&f->in)) {
			c.depth--;
			continue;
		}
		MF_TRY(check_field(&c, f));
	}
	if (ret_cost != NULL)
		*ret_cost = c.cost;
	return MF_OK;
}
