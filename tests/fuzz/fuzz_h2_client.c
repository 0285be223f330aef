/* Bytes of a hostile server straight into a gRPC client with open calls. First byte: portion size. */
#include <stdlib.h>

#include "rpc/grpc.h"
#include "rpc/grpc_health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_message(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(c);
	MF_UNUSED(msg);
}

static void
on_status(struct mf_grpc_call *c, enum mf_grpc_code code, const char *text)
{
	int *open = mf_grpc_call_user(c);
	MF_UNUSED(code);
	(*open)--;
	if (strlen(text) > 100000)
		abort();
}

static const struct mf_grpc_client_ops ops = { .on_message = on_message, .on_status = on_status };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct mf_grpc_counters counters = { 0 };
	const struct mf_grpc_client cl = { .counters = &counters };
	struct mf_grpc_conn *c = NULL;
	struct mf_grpc_call *call = NULL;
	int open = 0;
	if (mf_grpc_conn_new_client(&cl, NULL, NULL, 1000, &c, NULL) != MF_OK)
		abort();
	for (int i = 0; i < 4; i++) {
		const struct mf_grpc_method *m = i % 2 == 0 ? &mf_grpc_health_check : &mf_grpc_health_watch;
		if (mf_grpc_open(c, m, &ops, &open, NULL, 0, 0, &call, NULL) != MF_OK)
			abort();
		open++;
		mf_grpc_half_close(call);
	}
	struct mf_buf out;
	mf_buf_init(&out, 1u << 20);
	if (mf_grpc_pull(c, &out, 16384, NULL) != MF_OK)
		abort();
	const struct mf_slice in = mf_slice(data + 1, size - 1);
	const size_t step = (size_t)data[0] * 4 + 1;
	for (size_t at = 0; at < in.n; at += step) {
		enum mf_status s = mf_grpc_recv(c, mf_slice_sub(in, at, step), 1000 + at, NULL);
		mf_buf_reset(&out);
		if (mf_grpc_pull(c, &out, 16384, NULL) != MF_OK || s != MF_OK)
			break;
	}
	mf_buf_fini(&out);
	mf_grpc_conn_free(c);
	if (open != 0 || counters.open != 0)
		abort(); /* every call is told its end exactly once */
	return 0;
}
