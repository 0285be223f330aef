/* oauth: the forms of each flow and way of authentication, scopes, lifetimes, revocation and introspection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend_kit.h"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void
target(Mayfly__Roles__V1__CloudTarget *t, const char *flow, const char *auth)
{
	mf_backend_target(&mf_backend_kits[1], t);
	t->flow = text(flow);
	t->client_auth = text(auth);
	t->client_id = text(auth[0] == '\0' ? "" : "a b");
	t->introspection_endpoint = text("https://op.example/introspect");
}

#define CLIENT_JWT                                                                                \
	"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer" \
	"&client_assertion=h.CANARYassertion.s"

static void
test_forms(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *flow, *auth, *form;
	} cases[] = {
		{ "token-exchange", "",
		    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=h."
		    "CANARYassertion.s"
		    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
		    "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&scope="
		    "read" },
		{ "jwt-bearer", "none",
		    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=h."
		    "CANARYassertion.s&scope=read"
		    "&client_id=a%20b" },
		{ "jwt-bearer", "private_key_jwt",
		    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=h."
		    "CANARYassertion.s&scope=read"
		    "&client_id=a%20b" CLIENT_JWT },
		{ "client-credentials", "private_key_jwt",
		    "grant_type=client_credentials&scope=read&client_id=a%20b" CLIENT_JWT },
		{ "client-credentials", "tls_client_auth",
		    "grant_type=client_credentials&scope=read&client_id=a%20b" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		Mayfly__Roles__V1__CloudTarget t;
		Mayfly__Roles__V1__MintRequest m;
		struct mf_cloud_op *op = NULL;
		struct mf_http_request req;
		struct mf_err err = { 0 };
		target(&t, cases[i].flow, cases[i].auth);
		if (mf_backend_oauth.check(&t, &err) != MF_OK)
			fail_msg("%s", err.msg);
		mf_backend_mint_request(&m);
		struct mf_cloud_job job = { .target = &t, .mint = &m, .now_s = BACKEND_NOW };
		assert_int_equal(mf_backend_oauth.start(MF_CLOUD_MINT, &job, &op, NULL), MF_OK);
		assert_int_equal(mf_backend_oauth.next(op, NULL, &req), MF_CLOUD_SEND);
		assert_string_equal(req.url, "https://op.example/token");
		if (!mf_slice_eq_str(req.body, cases[i].form))
			fail_msg("%s/%s: %.*s", cases[i].flow, cases[i].auth, (int)req.body.n,
			    (const char *)req.body.p);
		mf_backend_oauth.free(op);
	}
}

static void
test_scope(void **state)
{
	MF_UNUSED(state);
	static const char *const one[] = { "read", "write" }, *const two[] = { "list" };
	Mayfly__Roles__V1__CloudTarget t;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	struct mf_scope *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	target(&t, "token-exchange", "");
	s->statements_n = 2;
	s->statements[0] = (struct mf_scope_rendered) { .actions = one, .actions_n = 2, .resources_n = 1 };
	s->statements[0].resources[0] = MF_SLICE_LIT("https://a/x&y");
	s->statements[1] = (struct mf_scope_rendered) { .actions = two, .actions_n = 1, .resources_n = 1 };
	s->statements[1].resources[0] = MF_SLICE_LIT("urn:b");
	assert_int_equal(mf_backend_oauth.render_scope(&t, s, 0, &b, NULL), MF_OK);
	assert_string_equal(
	    mf_buf_cstr(&b), "scope=read%20write%20list&resource=https%3A%2F%2Fa%2Fx%26y&resource=urn%3Ab");
	free(s);
}

static void
test_tokens(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *body, *format, *session;
		int64_t life;
	} cases[] = {
		{ "{\"access_token\":\"opaque\",\"token_type\":\"Bearer\",\"expires_in\":60}", "opaque", "",
		    60 },
		{ "{\"access_token\":\"opaque\",\"token_type\":\"Bearer\",\"expires_in\":\"61\"}", "opaque",
		    "", 61 },
		{ "{\"access_token\":\"aa.eyJqdGkiOiJ4LTEifQ.c\",\"token_type\":\"Bearer\",\"expires_in\":"
		  "62}",
		    "jwt", "x-1", 62 },
		{ "{\"access_token\":\"aa.eyJqdGkiOjF9.c\",\"token_type\":\"Bearer\",\"expires_in\":63,"
		  "\"scope\":\"a\\u0007\"}",
		    "jwt", "", 63 },
		{ "{\"access_token\":\"a.b.c\",\"token_type\":\"Bearer\",\"expires_in\":64}", "opaque", "",
		    64 },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct backend_run r = mf_backend_mint(&mf_backend_kits[1], 200, mf_slice_str(cases[i].body));
		assert_true(r.result.minted);
		assert_string_equal(r.result.token_format, cases[i].format);
		assert_string_equal(r.result.provider_session, cases[i].session);
		assert_int_equal(r.result.expires, BACKEND_NOW + cases[i].life);
		mf_backend_done(&r);
	}
}

static void
test_revocation(void **state)
{
	MF_UNUSED(state);
	static const struct {
		unsigned status;
		const char *body, *want;
	} cases[] = { { 200, "", "" }, { 204, "", "" },
		{ 400, "{\"error\":\"unsupported_token_type\"}", "config" },
		{ 401, "{\"error\":\"invalid_client\"}", "trust" }, { 500, "CANARY", "transient" },
		{ 503, "", "transient" }, { 0, "", "transient" } };
	static uint8_t handle[] = "to+ken";
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		Mayfly__Roles__V1__CloudTarget t;
		Mayfly__Roles__V1__CloudRevokeRequest r = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
		Mayfly__Roles__V1__CloudRevokeResult res = MAYFLY__ROLES__V1__CLOUD_REVOKE_RESULT__INIT;
		struct mf_cloud_op *op = NULL;
		struct mf_http_request req;
		struct mf_http_reply reply = {
			.status = cases[i].status, .sent = true, .body = mf_slice_str(cases[i].body)
		};
		target(&t, "token-exchange", "none");
		r.handle = (ProtobufCBinaryData) { sizeof(handle) - 1, handle };
		struct mf_cloud_job job = { .target = &t, .revoke = &r, .now_s = BACKEND_NOW };
		assert_int_equal(mf_backend_oauth.start(MF_CLOUD_REVOKE, &job, &op, NULL), MF_OK);
		assert_int_equal(mf_backend_oauth.next(op, NULL, &req), MF_CLOUD_SEND);
		assert_string_equal(req.url, "https://op.example/revoke");
		assert_true(
		    mf_slice_eq_str(req.body, "token=to%2Bken&token_type_hint=access_token&client_id=a%20b"));
		assert_int_equal(mf_backend_oauth.next(op, &reply, &req), MF_CLOUD_DONE);
		mf_backend_oauth.revoke_result(op, &res);
		assert_int_equal(res.confirmed, cases[i].want[0] == '\0');
		assert_string_equal(res.error, cases[i].want);
		assert_int_equal(res.level, res.confirmed ? 1 : 0);
		assert_int_equal(res.dead_at, res.confirmed ? BACKEND_NOW : 0);
		assert_null(strstr(res.reason, "CANARY"));
		mf_backend_oauth.free(op);
	}
	/* It cannot be told of. */
	Mayfly__Roles__V1__CloudTarget t;
	Mayfly__Roles__V1__CloudRevokeRequest r = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
	struct mf_cloud_op *op = NULL;
	target(&t, "token-exchange", "none");
	t.revocation_endpoint = text("");
	r.handle = (ProtobufCBinaryData) { sizeof(handle) - 1, handle };
	struct mf_cloud_job job = { .target = &t, .revoke = &r };
	assert_int_equal(mf_backend_oauth.start(MF_CLOUD_REVOKE, &job, &op, NULL), MF_E_UNSUPPORTED);
}

static void
test_introspection(void **state)
{
	MF_UNUSED(state);
	static const struct {
		unsigned status;
		const char *body, *want;
		bool known, active;
	} cases[] = { { 200, "{\"active\":true}", "", true, true },
		{ 200, "{\"active\":false}", "", true, false },
		{ 200, "{\"active\":1}", "transient", false, false },
		{ 200, "CANARY", "transient", false, false },
		{ 401, "{\"error\":\"invalid_client\"}", "trust", false, false },
		{ 302, "", "config", false, false } };
	static uint8_t handle[] = "token";
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		Mayfly__Roles__V1__CloudTarget t;
		Mayfly__Roles__V1__CloudProbeRequest p = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
		Mayfly__Roles__V1__CloudProbeResult res = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
		struct mf_cloud_op *op = NULL;
		struct mf_http_request req;
		struct mf_http_reply reply = {
			.status = cases[i].status, .sent = true, .body = mf_slice_str(cases[i].body)
		};
		target(&t, "token-exchange", "none");
		p.handle = (ProtobufCBinaryData) { sizeof(handle) - 1, handle };
		struct mf_cloud_job job = { .target = &t, .probe = &p, .now_s = BACKEND_NOW };
		assert_int_equal(mf_backend_oauth.start(MF_CLOUD_PROBE, &job, &op, NULL), MF_OK);
		assert_int_equal(mf_backend_oauth.next(op, NULL, &req), MF_CLOUD_SEND);
		assert_string_equal(req.url, "https://op.example/introspect");
		assert_int_equal(mf_backend_oauth.next(op, &reply, &req), MF_CLOUD_DONE);
		mf_backend_oauth.probe_result(op, &res);
		assert_int_equal(res.known, cases[i].known);
		assert_int_equal(res.active, cases[i].active);
		assert_string_equal(res.error, cases[i].want);
		assert_null(strstr(res.reason, "CANARY"));
		mf_backend_oauth.free(op);
	}
}

static void
test_targets(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *flow, *auth, *audience, *client_id, *names;
	} cases[] = {
		{ "password", "none", "a", "c", "flow" },
		{ "jwt-bearer", "client_secret", "a", "c", "client_auth" },
		{ "jwt-bearer", "private_key_jwt", "a", "", "client_id" },
		{ "client-credentials", "none", "a", "c", "client_auth" },
		{ "jwt-bearer", "none", "", "c", "audience" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		Mayfly__Roles__V1__CloudTarget t;
		struct mf_err err = { 0 };
		target(&t, cases[i].flow, cases[i].auth);
		t.audience = text(cases[i].audience);
		t.client_id = text(cases[i].client_id);
		assert_int_equal(mf_backend_oauth.check(&t, &err), MF_E_INVALID);
		assert_int_equal(strncmp(err.msg, cases[i].names, strlen(cases[i].names)), 0);
	}
	/* A single token can be ended only where the server says where. */
	Mayfly__Roles__V1__CloudTarget t;
	target(&t, "jwt-bearer", "none");
	t.revocation_endpoint = text("https://op.example/revoke");
	assert_int_equal(
	    mf_token_backend_levels(&mf_backend_oauth, &t), MF_REVOKE_STOPPED | MF_REVOKE_CREDENTIAL);
	t.revocation_endpoint = text("");
	assert_int_equal(mf_token_backend_levels(&mf_backend_oauth, &t), MF_REVOKE_STOPPED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_revocation),
		cmocka_unit_test(test_introspection),
		cmocka_unit_test(test_targets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
