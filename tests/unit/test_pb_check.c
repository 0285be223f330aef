#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/pb_check.h"
#include "google/protobuf/struct.pb-c.h"
#include "workload.pb-c.h"

#define SVIDS (&x509_svidresponse__descriptor)
#define JWTREQ (&jwtsvidrequest__descriptor)
#define HEALTH (&grpc__health__v1__health_check_response__descriptor)
#define VALUE (&google__protobuf__value__descriptor)
#define S(lit) MF_SLICE_LIT(lit)

struct test_case {
	const ProtobufCMessageDescriptor *desc;
	struct mf_slice in;
	enum mf_status want;
	const char *msg;
};

/* P-25 */
static void
test_table(void **state)
{
	MF_UNUSED(state);
	const struct test_case cases[] = {
		{ SVIDS, S(""), MF_OK, "" },
		{ JWTREQ, S("\x0a\x01x\x0a\x00"), MF_OK, "" },
		{ JWTREQ, S("\x0a\x03x\0y"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest.audience: not UTF-8, or a NUL inside" },
		{ JWTREQ, S("\x0a\x01\xff"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest.audience: not UTF-8, or a NUL inside" },
		{ JWTREQ, S("\x0a\x03\xed\xa0\x80"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest.audience: not UTF-8, or a NUL inside" },
		{ JWTREQ, S("\x0a\x05x"), MF_E_INVALID, "protobuf JWTSVIDRequest: cut short" },
		{ JWTREQ, S("\x0a\x80\x80\x80\x80\x80\x00"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest: cut short" },
		{ JWTREQ, S("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest: cut short" },
		{ JWTREQ, S("\x0a"), MF_E_INVALID, "protobuf JWTSVIDRequest: cut short" },
		{ JWTREQ, S("\x08\x01"), MF_E_INVALID, "protobuf JWTSVIDRequest.audience: wrong wire type" },
		{ JWTREQ, S("\x12\x01x\x12\x01y"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest.spiffe_id: set twice (or two members of one oneof)" },
		{ JWTREQ, S("\x00\x01"), MF_E_INVALID, "protobuf JWTSVIDRequest: bad field tag" },
		{ JWTREQ, S("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest: bad field tag" },
		{ JWTREQ, S("\x82\x80\x80\x80\x10\x00"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest: bad field tag" },
		{ JWTREQ, S("\x0b\x0c"), MF_E_INVALID,
		    "protobuf JWTSVIDRequest: group or unknown wire type" },
		{ JWTREQ, S("\x0f"), MF_E_INVALID, "protobuf JWTSVIDRequest: group or unknown wire type" },
		/* unknown fields of every wire type */
		{ JWTREQ, S("\x58\x05\x59\x01\x02\x03\x04\x05\x06\x07\x08\x5d\x01\x02\x03\x04\x5a\x02\0\xff"),
		    MF_OK, "" },
		{ JWTREQ, S("\x59\x01"), MF_E_INVALID, "protobuf JWTSVIDRequest: cut short" },
		{ JWTREQ, S("\x5d\x01"), MF_E_INVALID, "protobuf JWTSVIDRequest: cut short" },
		{ SVIDS, S("\x0a\x02\x0a\x00"), MF_OK, "" },
		{ SVIDS, S("\x0a\x03\x0a\x01\0"), MF_E_INVALID,
		    "protobuf X509SVID.spiffe_id: not UTF-8, or a NUL inside" },
		{ SVIDS, S("\x0a\x05\x12\x03\0\xff\0"), MF_OK, "" }, /* bytes take anything */
		{ SVIDS, S("\x1a\x04\x0a\x00\x12\x00"), MF_OK, "" },
		{ SVIDS, S("\x1a\x04\x0a\x02\x12\x00"), MF_E_INVALID,
		    "protobuf X509SVIDResponse.FederatedBundlesEntry.key: " },
		{ HEALTH, S("\x08\x01"), MF_OK, "" },
		{ HEALTH, S("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), MF_OK, "" },
		{ HEALTH, S("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), MF_E_INVALID,
		    "protobuf grpc.health.v1.HealthCheckResponse: cut short" },
		{ HEALTH, S("\x0a\x01\x01"), MF_E_INVALID,
		    "protobuf grpc.health.v1.HealthCheckResponse.status: wrong wire type" },
		{ VALUE, S("\x1a\x01x\x20\x01"), MF_E_INVALID,
		    "protobuf google.protobuf.Value.bool_value: set twice (or two members of one oneof)" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { 0 };
		ProtobufCMessage *const untouched = (void *)(uintptr_t)8, *m = untouched;
		enum mf_status s = mf_pb_unpack(cases[i].desc, cases[i].in, &m, &err);
		if (s != cases[i].want)
			print_message("case %zu: %s\n", i, err.msg);
		assert_int_equal(s, cases[i].want);
		assert_memory_equal(err.msg, cases[i].msg, strlen(cases[i].msg));
		if (s == MF_OK)
			mf_pb_free(m);
		else
			assert_ptr_equal(m, untouched);
	}
}

/* ${n} Values, each the only element of the ListValue of the one around it. */
static void
nest(struct mf_buf *b, unsigned n)
{
	mf_buf_init(b, 1 << 20);
	for (unsigned i = 0; i < n; i++) {
		struct mf_buf next;
		mf_buf_init(&next, 1 << 20);
		mf_buf_put(&next, i % 2 == 0 ? "\x0a" : "\x32", 1);
		for (size_t len = b->n;; len >>= 7) {
			mf_buf_put_u8(&next, (uint8_t)((len & 0x7f) | (len > 0x7f ? 0x80u : 0u)));
			if (len <= 0x7f)
				break;
		}
		mf_buf_put_slice(&next, mf_buf_slice(b));
		mf_buf_fini(b);
		*b = next;
	}
}

static void
test_depth(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct mf_buf b;
	struct mf_pb_cost cost;
	nest(&b, 14);
	assert_int_equal(mf_pb_check(VALUE, mf_buf_slice(&b), &cost, &err), MF_OK);
	assert_int_equal(cost.depth, 15);
	mf_buf_fini(&b);
	nest(&b, 16);
	assert_int_equal(mf_pb_check(VALUE, mf_buf_slice(&b), &cost, &err), MF_E_TOOBIG);
	mf_buf_fini(&b);
	nest(&b, 9000); /* overflows an 8 MiB stack inside protobuf-c */
	assert_int_equal(mf_pb_check(VALUE, mf_buf_slice(&b), &cost, &err), MF_E_TOOBIG);
	mf_buf_fini(&b);
}

static void
test_counts(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4u << 20);
	for (unsigned i = 0; i < MF_LIM_PB_ELEMENTS; i++)
		mf_buf_put(&b, "\x0a\x00", 2);
	MF_AUTO(mf_pb_free) ProtobufCMessage *m = NULL;
	assert_int_equal(mf_pb_unpack(SVIDS, mf_buf_slice(&b), &m, &err), MF_OK);
	assert_int_equal(((X509SVIDResponse *)m)->n_svids, MF_LIM_PB_ELEMENTS);
	mf_buf_put(&b, "\x0a\x00", 2);
	assert_int_equal(mf_pb_check(SVIDS, mf_buf_slice(&b), NULL, &err), MF_E_TOOBIG);
	mf_buf_reset(&b);
	for (unsigned i = 0; i <= MF_LIM_PB_ELEMENTS; i++)
		mf_buf_put(&b, "\x58\x00", 2); /* unknown fields count as well */
	assert_int_equal(mf_pb_check(SVIDS, mf_buf_slice(&b), NULL, &err), MF_E_TOOBIG);
	mf_buf_reset(&b);
	assert_non_null(mf_buf_extend(&b, MF_LIM_PB_BYTES + 1));
	assert_int_equal(mf_pb_check(SVIDS, mf_buf_slice(&b), NULL, &err), MF_E_TOOBIG);
}

static void
test_round_trip(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	char id[] = "spiffe://td/a", bad[] = "\xc3";
	uint8_t der[] = { 1, 0, 2 };
	X509SVID svid, *svids[] = { &svid };
	X509SVIDResponse resp;
	x509_svid__init(&svid);
	x509_svidresponse__init(&resp);
	svid.spiffe_id = id;
	svid.x509_svid = (ProtobufCBinaryData) { sizeof(der), der };
	resp.n_svids = 1;
	resp.svids = svids;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	mf_buf_put_u8(&b, 7);
	assert_int_equal(mf_pb_pack(&resp.base, &b, &err), MF_OK);
	MF_AUTO(mf_pb_free) ProtobufCMessage *m = NULL;
	assert_int_equal(mf_pb_unpack(SVIDS, mf_slice_sub(mf_buf_slice(&b), 1, b.n), &m, &err), MF_OK);
	X509SVIDResponse *got = (X509SVIDResponse *)m;
	assert_string_equal(got->svids[0]->spiffe_id, id);
	assert_int_equal(got->svids[0]->x509_svid.len, sizeof(der));
	size_t n = b.n;
	svid.hint = bad;
	assert_int_equal(mf_pb_pack(&resp.base, &b, &err), MF_E_INTERNAL);
	assert_int_equal(b.n, n);
	svid.hint = id;
	svid.x509_svid_key = (ProtobufCBinaryData) { sizeof(der), der };
	while (mf_pb_pack(&resp.base, &b, &err) == MF_OK)
		;
	assert_int_equal(b.failed, MF_E_TOOBIG);
	mf_pb_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
