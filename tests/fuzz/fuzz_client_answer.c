/* Bytes of a hostile agent as an answer to the C client: first byte the kind, then protobuf. What is taken holds. */
#include <stdlib.h>

#include "client/take.h"
#include "workload.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
check_x509(const ProtobufCMessage *msg)
{
	mayfly_x509 *x = NULL;
	struct mf_err err = { 0 };
	if (mf_take_x509(msg, &x, &err) != MF_OK) {
		check(err.msg[0] != '\0');
		return;
	}
	check(mayfly_x509_count(x) > 0 && mayfly_bundles_count(mayfly_x509_bundles(x)) > 0);
	for (size_t i = 0; i < mayfly_x509_count(x); i++) {
		const mayfly_svid *s = mayfly_x509_at(x, i);
		const unsigned char *key = NULL;
		size_t n = 0;
		check(mayfly_svid_chain_count(s) > 0 && strncmp(mayfly_svid_id(s), "spiffe://", 9) == 0);
		check(mayfly_svid_key(s, &key, &n, NULL) == MAYFLY_OK && n > 0);
	}
	mayfly_x509_unref(x);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	bool x509 = data[0] == 0;
	ProtobufCMessage *msg = NULL;
	if (mf_pb_unpack(x509 ? &x509_svidresponse__descriptor : &x509_bundles_response__descriptor,
		mf_slice(data + 1, size - 1), &msg, NULL) != MF_OK)
		return 0;
	if (x509) {
		check_x509(msg);
	} else {
		mayfly_bundles *b = NULL;
		if (mf_take_bundles(msg, &b, NULL) == MF_OK)
			check(mayfly_bundles_count(b) > 0);
		mayfly_bundles_unref(b);
	}
	mf_pb_free(msg);
	return 0;
}
