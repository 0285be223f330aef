/* First byte: which message type. What the check accepts must unpack, and pack to something it accepts. */
#include <stdlib.h>

#include "grpc/health/v1/health.pb-c.h"
#include "rpc/pb_check.h"
#include "google/protobuf/struct.pb-c.h"
#include "workload.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&google__protobuf__struct__descriptor,
	&google__protobuf__value__descriptor,
	&x509_svidresponse__descriptor,
	&jwtsvidrequest__descriptor,
	&validate_jwtsvidresponse__descriptor,
	&grpc__health__v1__health_check_response__descriptor,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const ProtobufCMessageDescriptor *desc = types[data[0] % MF_COUNT(types)];
	struct mf_slice in = mf_slice(data + 1, size - 1);
	struct mf_err err = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	enum mf_status checked = mf_pb_check(desc, in, NULL, &err);
	enum mf_status s = mf_pb_unpack(desc, in, &msg, &err);
	if (s != checked)
		abort();
	if (s != MF_OK)
		return 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 2u << 20);
	if (mf_pb_pack(msg, &out, &err) != MF_OK)
		abort();
	return 0;
}
