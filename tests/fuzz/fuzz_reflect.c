/* A question to reflection, as it comes: what the check accepts gets one answer or one status, never neither. */
#include <stdlib.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc/grpc_reflect.h"
#include "rpc/proto_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned answers, statuses;

static void
message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(c);
	MF_UNUSED(msg);
	answers++;
}

static void
status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	MF_UNUSED(c);
	MF_UNUSED(code);
	MF_UNUSED(text);
	statuses++;
}

static bool
carry(struct mf_grpc_conn *from, struct mf_grpc_conn *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1u << 20);
	if (mf_grpc_pull(from, &b, 65536, NULL) != MF_OK ||
	    mf_grpc_recv(to, mf_buf_slice(&b), 0, NULL) != MF_OK)
		abort();
	return b.n > 0;
}

static void
ask(const ProtobufCMessage *msg)
{
	static const struct mf_grpc_client_ops ops = { .on_message = message, .on_status = status };
	const struct mf_grpc_service *services[1];
	struct mf_grpc_counters counters = { 0 };
	MF_AUTO(mf_grpc_reflect_free) struct mf_grpc_reflect *r = NULL;
	if (mf_grpc_reflect_new(services, 1, &r, NULL) != MF_OK)
		abort();
	services[0] = mf_grpc_reflect_service(r);
	struct mf_grpc_server srv = { .services = services, .n_services = 1, .counters = &counters };
	struct mf_grpc_client cl = { .counters = &counters };
	MF_AUTO(mf_grpc_conn_free) struct mf_grpc_conn *s = NULL;
	MF_AUTO(mf_grpc_conn_free) struct mf_grpc_conn *c = NULL;
	struct mf_grpc_call *call;
	if (mf_grpc_conn_new_server(&srv, NULL, NULL, 0, &s, NULL) != MF_OK ||
	    mf_grpc_conn_new_client(&cl, NULL, NULL, 0, &c, NULL) != MF_OK ||
	    mf_grpc_open(c, &mf_grpc_reflect_v1, &ops, NULL, NULL, 0, 0, &call, NULL) != MF_OK ||
	    mf_grpc_send(call, msg, NULL) != MF_OK)
		abort();
	mf_grpc_half_close(call);
	answers = statuses = 0;
	while (carry(c, s) || carry(s, c))
		;
	if (statuses != 1 || answers > 1)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	/* As a name, whatever it is. */
	enum mf_proto_kind kind = MF_PROTO_NONE;
	size_t file = mf_proto_file_of(UINT32_MAX, mf_slice(data, size), &kind);
	if ((file == MF_PROTO_NO_FILE) != (kind == MF_PROTO_NONE))
		abort();
	if (size <= MF_GRPC_REFLECT_REQUEST_MAX &&
	    mf_pb_unpack(&grpc__reflection__v1__server_reflection_request__descriptor, mf_slice(data, size),
		&msg, &err) == MF_OK)
		ask(msg);
	return 0;
}
