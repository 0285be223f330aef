/*
 * proto_names: which of our .proto files says what: names looked up in serialized descriptors, where they lie
 * (proto/proto_files.h), without unpacking. For grpc_reflect. Pure; any thread.
 */
#ifndef MF_RPC_PROTO_NAMES_H
#define MF_RPC_PROTO_NAMES_H
#include "base/slice.h"
#include "proto/proto_files.h"

#define MF_PROTO_FILES_MAX 32u
#define MF_PROTO_NO_FILE MF_PROTO_FILES_MAX

/* Sets of files: bit i is mf_proto_files[i]. */
typedef uint32_t mf_proto_set;

enum mf_proto_kind {
	MF_PROTO_NONE,
	MF_PROTO_MESSAGE,
	MF_PROTO_ENUM,
	MF_PROTO_SERVICE,
	MF_PROTO_OTHER, /* a method, a field, a value of an enum */
};

/* The file that others import as ${name}; MF_PROTO_NO_FILE: none. */
size_t mf_proto_file_named(struct mf_slice name);
/*
 * The file of ${among} that defines ${symbol} ("package.Message.field", without a leading dot), and what it is;
 * MF_PROTO_NO_FILE: none. ${ret_kind} may be NULL.
 */
size_t mf_proto_file_of(mf_proto_set among, struct mf_slice symbol, enum mf_proto_kind *ret_kind);
/* File ${i} and all that it imports, directly or not. */
mf_proto_set mf_proto_file_needs(size_t i);
#endif
