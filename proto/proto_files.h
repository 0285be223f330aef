/*
 * proto_files: the descriptors of our .proto files, serialized (google.protobuf.FileDescriptorProto), as protoc made
 * them at build time. The names are those by which the files import one another.
 */
#ifndef MF_PROTO_FILES_H
#define MF_PROTO_FILES_H
#include <stddef.h>
#include <stdint.h>

struct mf_proto_file {
	const char *name;
	const uint8_t *bytes;
	size_t n;
};

extern const struct mf_proto_file mf_proto_files[];
extern const size_t mf_proto_files_n;
#endif
