/*
 * Bytes straight into a gRPC server. First byte: bit 0 any :authority, bit 1 the client preface is put
 * in front, bits 2-7 how many bytes are handed over at once.
 */
#include <stdlib.h>

#include "rpc/grpc.h"
#include "rpc/grpc_health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
echo(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	MF_UNUSED(msg);
	ProtobufCMessage *m = NULL;
	if (mf_pb_unpack(mf_grpc_call_method(c)->response, mf_slice(NULL, 0), &m, NULL) != MF_OK)
		abort();
	if (mf_grpc_send(c, m, NULL) == MF_E_AGAIN)
		mf_grpc_pause(c);
	mf_pb_free(m);
}

static void
done(struct mf_grpc_call *c)
{
	mf_grpc_finish(c, MF_GRPC_OK, "done");
}

static void
resume(struct mf_grpc_call *c)
{
	mf_grpc_resume(c);
}

static const struct mf_grpc_server_ops bidi_ops = {
	.on_message = echo, .on_half_close = done, .on_writable = resume
};

static void
run(struct mf_grpc_conn *c, struct mf_slice in, size_t step)
{
	struct mf_buf out;
	mf_buf_init(&out, 1u << 20);
	for (size_t at = 0; at < in.n; at += step) {
		enum mf_status s = mf_grpc_recv(c, mf_slice_sub(in, at, step), 1000 + at * 10, NULL);
		mf_buf_reset(&out);
		if (mf_grpc_pull(c, &out, 16384, NULL) != MF_OK || s != MF_OK)
			break;
		if (mf_grpc_tick(c, 1000 + at * 10, NULL) != MF_OK)
			break;
	}
	mf_buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	if (size == 0)
		return 0;
	struct mf_grpc_health *h = NULL;
	if (mf_grpc_health_new(&h, NULL) != MF_OK ||
	    mf_grpc_health_set(h, "", MF_GRPC_HEALTH_SERVING, NULL) != MF_OK)
		abort();
	struct mf_grpc_method bidi = mf_grpc_health_watch;
	bidi.path = "/b";
	bidi.flags = MF_GRPC_BIDI;
	bidi.ops = &bidi_ops;
	const struct mf_grpc_service more = { &bidi, 1, NULL };
	const struct mf_grpc_service *services[] = { mf_grpc_health_service(h), &more };
	struct mf_grpc_counters counters = { 0 };
	const struct mf_grpc_server srv = { .services = services,
		.n_services = 2,
		.any_authority = (data[0] & 1) != 0,
		.keepalive_ms = 5000,
		.counters = &counters };
	struct mf_grpc_conn *c = NULL;
	if (mf_grpc_conn_new_server(&srv, NULL, NULL, 1000, &c, NULL) != MF_OK)
		abort();
	if ((data[0] & 2) == 0 || mf_grpc_recv(c, mf_slice_str(preface), 1000, NULL) == MF_OK)
		run(c, mf_slice(data + 1, size - 1), (size_t)(data[0] >> 2) * 16 + 1);
	mf_grpc_conn_free(c);
	if (counters.open != 0)
		abort();
	mf_grpc_health_free(h);
	return 0;
}
