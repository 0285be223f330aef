/*
 * Golden bytes of mayfly.agent.v1 and mayfly.job.v1: agents and brokers of neighbouring releases talk, so field
 * numbers and types stay. A change of a golden string here is a change of the protocol.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"

#include "agent.pb-c.h"
#include "job.pb-c.h"
#include "workload.pb-c.h"

static void
check(const ProtobufCMessage *m, const char *hex)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, h;
	mf_buf_init(&b, 65536);
	mf_buf_init(&h, 131072);
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *at = mf_buf_extend(&b, n);
	assert_non_null(at);
	(void)protobuf_c_message_pack(m, at);
	mf_hex_put(&h, mf_buf_slice(&b));
	assert_string_equal(mf_buf_cstr(&h), hex);
	/* And back: the same bytes are understood. */
	ProtobufCMessage *again = protobuf_c_message_unpack(m->descriptor, NULL, b.n, b.p);
	assert_non_null(again);
	protobuf_c_message_free_unpacked(again, NULL);
}

#define BYTES(x)                              \
	{                                     \
		sizeof(x) - 1, (uint8_t *)(x) \
	}

static char boot[] = "b", host[] = "h", rel[] = "r", feat[] = "f", key[] = "k", lease[] = "l", text[] = "t";
static uint8_t v1[] = "\1\2", v2[] = "\3";

static void
test_up(void **state)
{
	MF_UNUSED(state);
	char *features[] = { feat };
	Mayfly__Agent__V1__Hello hello = MAYFLY__AGENT__V1__HELLO__INIT;
	hello.version_min = 1;
	hello.version_max = 2;
	hello.n_features = 1;
	hello.features = features;
	hello.boot_id = boot;
	hello.session_value = (ProtobufCBinaryData)BYTES(v1);
	hello.hostname = host;
	hello.release = rel;
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	up.request_id = 5;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HELLO;
	up.hello = &hello;
	check(&up.base, "08051214080110021a01662201622a0201023201683a0172");
	Mayfly__Agent__V1__Join join = MAYFLY__AGENT__V1__JOIN__INIT;
	join.token_id = text;
	join.token_secret = (ProtobufCBinaryData)BYTES(v2);
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_JOIN;
	up.join = &join;
	check(&up.base, "08051a061201741a0103");
	/* x509pop */
	ProtobufCBinaryData certs[] = { BYTES(v2), BYTES(v1) };
	join.attestor = text;
	join.n_certificates = 2;
	join.certificates = certs;
	join.signature = (ProtobufCBinaryData)BYTES(v1);
	check(&up.base, "08051a141201741a01032201742a01032a02010232020102");
	Mayfly__Agent__V1__SessionStored stored = MAYFLY__AGENT__V1__SESSION_STORED__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_SESSION_STORED;
	up.session_stored = &stored;
	check(&up.base, "08052200");
	Mayfly__Agent__V1__HeldInstance held = MAYFLY__AGENT__V1__HELD_INSTANCE__INIT, *pheld = &held;
	held.instance_key = key;
	held.lease_id = lease;
	held.epoch = 3;
	Mayfly__Agent__V1__Resync resync = MAYFLY__AGENT__V1__RESYNC__INIT;
	resync.n_instances = 1;
	resync.instances = &pheld;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RESYNC;
	up.resync = &resync;
	check(&up.base, "08052a0a0a080a016b12016c1803");
	Mayfly__Agent__V1__CertifyOuter outer = MAYFLY__AGENT__V1__CERTIFY_OUTER__INIT;
	outer.point = (ProtobufCBinaryData)BYTES(v2);
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_CERTIFY_OUTER;
	up.certify_outer = &outer;
	check(&up.base, "080532030a0103");
}

static void
test_up_jobs(void **state)
{
	MF_UNUSED(state);
	char *selectors[] = { text };
	ProtobufCBinaryData points[] = { BYTES(v2) };
	Mayfly__Agent__V1__Attach a = MAYFLY__AGENT__V1__ATTACH__INIT;
	a.instance_key = key;
	a.n_selectors = 1;
	a.selectors = selectors;
	a.grade = text;
	a.n_points = 1;
	a.points = points;
	a.profile = text;
	a.manifest = (ProtobufCBinaryData)BYTES(v2);
	a.name = text;
	a.interactive = 1;
	a.unix_user = text;
	a.unix_uid = 9;
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &a;
	check(&up.base, "3a1c0a016b1201741a01742201032a01743201033a017440014a01745009");
	Mayfly__Agent__V1__Explain x = MAYFLY__AGENT__V1__EXPLAIN__INIT;
	Mayfly__Agent__V1__Attach short_one = MAYFLY__AGENT__V1__ATTACH__INIT;
	short_one.instance_key = key;
	x.attach = &short_one;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_EXPLAIN;
	up.explain = &x;
	check(&up.base, "f201050a030a016b");
	Mayfly__Agent__V1__Renew r = MAYFLY__AGENT__V1__RENEW__INIT;
	r.lease_id = lease;
	r.epoch = 3;
	r.n_points = 1;
	r.points = points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RENEW;
	up.renew = &r;
	check(&up.base, "42080a016c10031a0103");
	Mayfly__Agent__V1__End e = MAYFLY__AGENT__V1__END__INIT;
	e.instance_key = key;
	e.lease_id = lease;
	e.cause = MAYFLY__AGENT__V1__END_CAUSE__END_EMPTY;
	e.detected_us = 7;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_END;
	up.end = &e;
	check(&up.base, "4a0a0a016b12016c18012007");
	Mayfly__Agent__V1__Heartbeat h = MAYFLY__AGENT__V1__HEARTBEAT__INIT;
	h.live = 2;
	h.wall_us = 8;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_HEARTBEAT;
	up.heartbeat = &h;
	check(&up.base, "520408021008");
}

static void
test_down(void **state)
{
	MF_UNUSED(state);
	Mayfly__Agent__V1__Vouch v = MAYFLY__AGENT__V1__VOUCH__INIT;
	v.kind = MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE;
	v.number = 4;
	v.sha256 = (ProtobufCBinaryData)BYTES(v2);
	Mayfly__Agent__V1__Welcome w = MAYFLY__AGENT__V1__WELCOME__INIT;
	w.version = 1;
	w.node_id = text;
	w.session_value = (ProtobufCBinaryData)BYTES(v2);
	w.broker_id = text;
	w.trust_domain = text;
	w.lease_ttl_ms = 5;
	w.heartbeat_ms = 6;
	w.bundle = &v;
	Mayfly__Agent__V1__Down d = MAYFLY__AGENT__V1__DOWN__INIT;
	d.request_id = 5;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_WELCOME;
	d.welcome = &w;
	check(&d.base, "0805121b08011a01742201032a0174320174380540064a07080110041a0103");
	Mayfly__Agent__V1__Refusal r = MAYFLY__AGENT__V1__REFUSAL__INIT;
	r.code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED;
	r.reason = text;
	r.rule = text;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL;
	d.refusal = &r;
	check(&d.base, "08051a0808031201741a0174");
	Mayfly__Agent__V1__Explained x = MAYFLY__AGENT__V1__EXPLAINED__INIT;
	x.permit = 1;
	x.profile = x.rule = x.attribute = x.reason = x.cure = x.policy_sha256 = text;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_EXPLAINED;
	d.explained = &x;
	check(&d.base, "0805f2011408011201741a01742201742a01743201743a0174");
	Mayfly__Agent__V1__Issued is = MAYFLY__AGENT__V1__ISSUED__INIT, *pis = &is;
	is.point = 1;
	is.spiffe_id = text;
	is.hint = text;
	is.chain = (ProtobufCBinaryData)BYTES(v2);
	is.serial = text;
	is.not_before = 6;
	is.not_after = 7;
	Mayfly__Agent__V1__Grant g = MAYFLY__AGENT__V1__GRANT__INIT;
	g.lease_id = lease;
	g.epoch = 1;
	g.job_id = text;
	g.job_key = text;
	g.run_id = text;
	g.instance = 1;
	g.profile = text;
	g.rule = text;
	g.tenant = text;
	g.n_issued = 1;
	g.issued = &pis;
	g.deadline = 9;
	g.drain_ms = 8;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_GRANT;
	d.grant = &g;
	check(&d.base, "080532310a016c10011a01742201742a017430013a01744201744a0174521208011201741a01742201032"
		       "a01743006380758"
		       "096008");
	Mayfly__Agent__V1__LeaseEnded le = MAYFLY__AGENT__V1__LEASE_ENDED__INIT;
	le.lease_id = lease;
	le.instance_key = key;
	le.cause = MAYFLY__AGENT__V1__END_CAUSE__END_OPERATOR;
	le.reason = text;
	le.suspended = 1;
	d.request_id = 0;
	d.body_case = MAYFLY__AGENT__V1__DOWN__BODY_LEASE_ENDED;
	d.lease_ended = &le;
	check(&d.base, "420d0a016c12016b18062201742801");
}

static void
test_jobs(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__StartSpec spec = MAYFLY__JOB__V1__START_SPEC__INIT;
	spec.profile = text;
	spec.name = text;
	spec.manifest = (ProtobufCBinaryData)BYTES(v2);
	Mayfly__Job__V1__StartRequest q = MAYFLY__JOB__V1__START_REQUEST__INIT;
	q.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC;
	q.spec = &spec;
	check(&q.base, "0a090a01741201741a0103");
	Mayfly__Job__V1__Place place = MAYFLY__JOB__V1__PLACE__INIT;
	place.pid = 9;
	q.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_PLACE;
	q.place = &place;
	check(&q.base, "12020809");
	Mayfly__Job__V1__Created c = MAYFLY__JOB__V1__CREATED__INIT;
	c.placement = MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_CGROUP;
	c.cgroup_path = text;
	c.instance_key = key;
	c.weak = 1;
	c.reason = text;
	Mayfly__Job__V1__StartEvent ev = MAYFLY__JOB__V1__START_EVENT__INIT;
	ev.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_CREATED;
	ev.created = &c;
	check(&ev.base, "0a0d08011201741a016b20012a0174");
	Mayfly__Job__V1__ExplainRequest eq = MAYFLY__JOB__V1__EXPLAIN_REQUEST__INIT;
	eq.profile = eq.name = text;
	eq.manifest = (ProtobufCBinaryData)BYTES(v2);
	check(&eq.base, "0a01741201741a0103");
	Mayfly__Job__V1__ExplainResponse er = MAYFLY__JOB__V1__EXPLAIN_RESPONSE__INIT;
	er.permit = 1;
	er.profile = er.rule = er.attribute = er.reason = er.cure = er.policy_sha256 = text;
	check(&er.base, "08011201741a01742201742a01743201743a0174");
}

/* "name=number type" of every field; a name with * is repeated. */
static void
fields_are(const ProtobufCMessageDescriptor *d, const char *want)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 1024);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const char *type = f->type == PROTOBUF_C_TYPE_STRING  ? "string"
				   : f->type == PROTOBUF_C_TYPE_BYTES ? "bytes"
				   : f->type == PROTOBUF_C_TYPE_MESSAGE
				       ? ((const ProtobufCMessageDescriptor *)f->descriptor)->name
				       : "?";
		mf_buf_putf(&b, "%s%s%s=%u %s", i == 0 ? "" : ", ", f->name,
		    f->label == PROTOBUF_C_LABEL_REPEATED ? "*" : "", f->id, type);
	}
	assert_string_equal(mf_buf_cstr(&b), want);
}

/* W-1, W-7, WEP-14: the standard's service and messages, nothing more and nothing less. */
static void
test_workload(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *name, *asks, *says;
	} methods[] = { { "FetchX509SVID", "X509SVIDRequest", "X509SVIDResponse" },
		{ "FetchX509Bundles", "X509BundlesRequest", "X509BundlesResponse" },
		{ "FetchJWTSVID", "JWTSVIDRequest", "JWTSVIDResponse" },
		{ "FetchJWTBundles", "JWTBundlesRequest", "JWTBundlesResponse" },
		{ "ValidateJWTSVID", "ValidateJWTSVIDRequest", "ValidateJWTSVIDResponse" },
		{ "FetchWITSVID", "WITSVIDRequest", "WITSVIDResponse" },
		{ "FetchWITBundles", "WITBundlesRequest", "WITBundlesResponse" } };
	static const struct {
		const ProtobufCMessageDescriptor *d;
		const char *fields;
	} messages[] = {
		{ &x509_svidrequest__descriptor, "" },
		{ &x509_svidresponse__descriptor, "svids*=1 X509SVID, crl*=2 bytes, federated_bundles*=3 "
						  "X509SVIDResponse.FederatedBundlesEntry" },
		{ &x509_svid__descriptor, "spiffe_id=1 string, x509_svid=2 bytes, x509_svid_key=3 bytes, "
					  "bundle=4 bytes, hint=5 string" },
		{ &x509_bundles_request__descriptor, "" },
		{ &x509_bundles_response__descriptor,
		    "crl*=1 bytes, bundles*=2 X509BundlesResponse.BundlesEntry" },
		{ &jwtsvidrequest__descriptor, "audience*=1 string, spiffe_id=2 string" },
		{ &jwtsvidresponse__descriptor, "svids*=1 JWTSVID" },
		{ &jwtsvid__descriptor, "spiffe_id=1 string, svid=2 string, hint=3 string" },
		{ &jwtbundles_request__descriptor, "" },
		{ &jwtbundles_response__descriptor, "bundles*=1 JWTBundlesResponse.BundlesEntry" },
		{ &validate_jwtsvidrequest__descriptor, "audience=1 string, svid=2 string" },
		{ &validate_jwtsvidresponse__descriptor,
		    "spiffe_id=1 string, claims=2 google.protobuf.Struct" },
		{ &x509_svidresponse__federated_bundles_entry__descriptor, "key=1 string, value=2 bytes" },
		{ &x509_bundles_response__bundles_entry__descriptor, "key=1 string, value=2 bytes" },
		{ &jwtbundles_response__bundles_entry__descriptor, "key=1 string, value=2 bytes" },
		{ &google__protobuf__struct__descriptor, "fields*=1 google.protobuf.Struct.FieldsEntry" },
	};
	const ProtobufCServiceDescriptor *s = &spiffe_workload_api__descriptor;
	assert_string_equal(s->name, "SpiffeWorkloadAPI");
	assert_string_equal(s->package, "");
	assert_int_equal(s->n_methods, MF_COUNT(methods));
	for (size_t i = 0; i < MF_COUNT(methods); i++) {
		assert_string_equal(s->methods[i].name, methods[i].name);
		assert_string_equal(s->methods[i].input->name, methods[i].asks);
		assert_string_equal(s->methods[i].output->name, methods[i].says);
	}
	for (size_t i = 0; i < MF_COUNT(messages); i++)
		fields_are(messages[i].d, messages[i].fields);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up),
		cmocka_unit_test(test_up_jobs),
		cmocka_unit_test(test_down),
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_workload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
