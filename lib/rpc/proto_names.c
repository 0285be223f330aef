#include "rpc/proto_names.h"

#include <protobuf-c/protobuf-c.h>

#include "rpc/pb_wire.h"

/* Fields of google.protobuf.FileDescriptorProto. */
#define FILE_PACKAGE 2u
#define FILE_DEPENDENCY 3u
/* In every descriptor that has a name of its own. */
#define NAME 1u
/* EnumDescriptorProto.value: such names lie beside the enum's, not below it, as in C++. */
#define ENUM_VALUE 2u

/* What is named inside of what: descriptor.proto's fields, and what they hold. */
static const struct {
	enum mf_proto_kind in; /* MF_PROTO_NONE: the file */
	uint32_t number;
	enum mf_proto_kind holds;
} parts[] = {
	{ MF_PROTO_NONE, 4, MF_PROTO_MESSAGE }, { MF_PROTO_NONE, 5, MF_PROTO_ENUM },
	{ MF_PROTO_NONE, 6, MF_PROTO_SERVICE }, { MF_PROTO_NONE, 7, MF_PROTO_OTHER }, /* extension */
	{ MF_PROTO_MESSAGE, 2, MF_PROTO_OTHER },				      /* field */
	{ MF_PROTO_MESSAGE, 3, MF_PROTO_MESSAGE }, { MF_PROTO_MESSAGE, 4, MF_PROTO_ENUM },
	{ MF_PROTO_MESSAGE, 6, MF_PROTO_OTHER }, /* extension */
	{ MF_PROTO_MESSAGE, 8, MF_PROTO_OTHER }, /* oneof */
	{ MF_PROTO_SERVICE, 2, MF_PROTO_OTHER }, /* method */
};

/* A descriptor and what it describes. */
struct part {
	enum mf_proto_kind kind;
	struct mf_slice bytes;
};

static struct mf_slice
file_bytes(size_t i)
{
	return mf_slice(mf_proto_files[i].bytes, mf_proto_files[i].n);
}

/* The next field ${number} (0: any) that has bytes, from ${in} on. */
static bool
next(struct mf_reader *in, uint32_t number, struct mf_pb_field *ret_f)
{
	while (!mf_reader_end(in)) {
		if (mf_pb_field_read(in, ret_f) != MF_PB_WIRE_OK)
			return false;
		if (ret_f->type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
		    (number == 0 || ret_f->number == number))
			return true;
	}
	return false;
}

static struct mf_slice
string_of(struct mf_slice bytes, uint32_t number)
{
	struct mf_reader in = mf_reader(bytes);
	struct mf_pb_field f;
	return next(&in, number, &f) ? f.bytes : mf_slice(NULL, 0);
}

static enum mf_proto_kind
holds(enum mf_proto_kind in, uint32_t number)
{
	for (size_t i = 0; i < MF_COUNT(parts); i++)
		if (parts[i].in == in && parts[i].number == number)
			return parts[i].holds;
	return MF_PROTO_NONE;
}

static bool
has_value(struct mf_slice an_enum, struct mf_slice name)
{
	struct mf_reader in = mf_reader(an_enum);
	struct mf_pb_field f;
	while (next(&in, ENUM_VALUE, &f))
		if (mf_slice_eq(string_of(f.bytes, NAME), name))
			return true;
	return false;
}

/* What is called ${name} directly inside of ${p}, which it becomes. */
static bool
step(struct part *p, struct mf_slice name)
{
	struct mf_reader in = mf_reader(p->bytes);
	struct mf_pb_field f;
	while (next(&in, 0, &f)) {
		enum mf_proto_kind kind = holds(p->kind, f.number);
		if (kind == MF_PROTO_NONE)
			continue;
		bool found = mf_slice_eq(string_of(f.bytes, NAME), name);
		if (!found && kind == MF_PROTO_ENUM && has_value(f.bytes, name)) {
			kind = MF_PROTO_OTHER;
			found = true;
		}
		if (found) {
			*p = (struct part) { kind, f.bytes };
			return true;
		}
	}
	return false;
}

/* Up to the first dot; ${rest} keeps what comes after it. */
static struct mf_slice
first_name(struct mf_slice *rest)
{
	size_t n = 0;
	while (n < rest->n && rest->p[n] != '.')
		n++;
	struct mf_slice first = mf_slice_sub(*rest, 0, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return first;
}

static enum mf_proto_kind
kind_in_file(size_t i, struct mf_slice symbol)
{
	struct part p = { MF_PROTO_NONE, file_bytes(i) };
	struct mf_slice package = string_of(p.bytes, FILE_PACKAGE);
	if (package.n > 0) {
		if (!mf_slice_starts(symbol, package) || symbol.n == package.n || symbol.p[package.n] != '.')
			return MF_PROTO_NONE;
		symbol = mf_slice_sub(symbol, package.n + 1, symbol.n);
	}
	bool dot;
	do {
		size_t before = symbol.n;
		struct mf_slice name = first_name(&symbol);
		dot = name.n < before; /* or nothing is left, and the symbol ended in no dot */
		if (name.n == 0 || p.kind == MF_PROTO_OTHER || !step(&p, name))
			return MF_PROTO_NONE;
	} while (dot);
	return p.kind;
}

size_t
mf_proto_file_named(struct mf_slice name)
{
	size_t i = 0;
	while (i < mf_proto_files_n && !mf_slice_eq_str(name, mf_proto_files[i].name))
		i++;
	return i < mf_proto_files_n ? i : MF_PROTO_NO_FILE;
}

size_t
mf_proto_file_of(mf_proto_set among, struct mf_slice symbol, enum mf_proto_kind *ret_kind)
{
	for (size_t i = 0; i < mf_proto_files_n && i < MF_PROTO_FILES_MAX; i++) {
		enum mf_proto_kind kind = (among >> i & 1) != 0 ? kind_in_file(i, symbol) : MF_PROTO_NONE;
		if (kind == MF_PROTO_NONE)
			continue;
		if (ret_kind != NULL)
			*ret_kind = kind;
		return i;
	}
	return MF_PROTO_NO_FILE;
}

mf_proto_set
mf_proto_file_needs(size_t i)
{
	mf_proto_set set = (mf_proto_set)1 << i, done = 0;
	while (set != done) {
		size_t at = 0;
		while (((set & ~done) >> at & 1) == 0)
			at++;
		done |= (mf_proto_set)1 << at;
		struct mf_reader in = mf_reader(file_bytes(at));
		struct mf_pb_field f;
		while (next(&in, FILE_DEPENDENCY, &f)) {
			size_t d = mf_proto_file_named(f.bytes);
			if (d != MF_PROTO_NO_FILE)
				set |= (mf_proto_set)1 << d;
		}
	}
	return set;
}
