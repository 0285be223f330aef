/*
 * The conformance test of every backend of cloud tokens (broker/backends/token_backend.h): a row of the table below for each. What
 * holds for one kind only is in test_aws_sts and test_oauth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend_kit.h"
#include "rpc/pb_check.h"

static void
test_table(void **state)
{
	MF_UNUSED(state);
	size_t n = 0;
	for (; mf_token_backends[n] != NULL; n++) {
		const struct mf_token_backend *b = mf_token_backends[n];
		assert_ptr_equal(mf_token_backend_find(b->name), b);
		assert_string_equal(mf_backend_kits[n].name, b->name);
		assert_true(b->caps.kind[0] != '\0');
		assert_true(b->caps.ttl_min_s > 0 && b->caps.ttl_min_s <= b->caps.ttl_default_s &&
			    b->caps.ttl_default_s <= b->caps.ttl_max_s);
		assert_true((b->caps.levels & MF_REVOKE_STOPPED) != 0);
		Mayfly__Roles__V1__CloudTarget t;
		mf_backend_target(&mf_backend_kits[n], &t);
		assert_int_equal(mf_token_backend_levels(b, &t) & ~b->caps.levels, 0);
		assert_true((b->caps.levels & (MF_REVOKE_CREDENTIAL | MF_REVOKE_DENIED)) != 0);
		assert_true(b->caps.tags == ((b->caps.levels & MF_REVOKE_DENIED) != 0));
	}
	assert_null(mf_backend_kits[n].name);
	assert_null(mf_token_backend_find("no-such"));
}

static void
test_check(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		struct mf_err err = { 0 };
		Mayfly__Roles__V1__CloudTarget t, none = MAYFLY__ROLES__V1__CLOUD_TARGET__INIT;
		mf_backend_target(&mf_backend_kits[i], &t);
		if (mf_token_backends[i]->check(&t, &err) != MF_OK)
			fail_msg("%s: %s", mf_backend_kits[i].name, err.msg);
		assert_int_equal(mf_token_backends[i]->check(&none, &err), MF_E_INVALID);
		assert_true(strchr(err.msg, ':') != NULL); /* names the key */
	}
}

static void
test_scope(void **state)
{
	MF_UNUSED(state);
	static const char *const actions[] = { "s3:GetObject" };
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct mf_token_backend *b = mf_token_backends[i];
		Mayfly__Roles__V1__CloudTarget t;
		MF_AUTO_IN(mf_buf_fini) struct mf_buf one, two, bomb;
		mf_buf_init(&one, 65536);
		mf_buf_init(&two, 65536);
		mf_buf_init(&bomb, 65536);
		struct mf_scope *s = calloc(1, sizeof(*s));
		assert_non_null(s);
		s->statements_n = 1;
		s->statements[0].actions = actions;
		s->statements[0].actions_n = 1;
		s->statements[0].resources[0] = MF_SLICE_LIT("arn:aws:s3:::data/runs/j-1/*");
		s->statements[0].resources_n = 1;
		mf_backend_target(&mf_backend_kits[i], &t);
		assert_int_equal(b->render_scope(&t, s, 0, &one, NULL), MF_OK);
		assert_int_equal(b->render_scope(&t, s, 0, &two, NULL), MF_OK);
		assert_true(one.n > 0 && mf_slice_eq(mf_buf_slice(&one), mf_buf_slice(&two)));
		assert_int_equal(
		    b->render_scope(&t, s, 1795300000, &bomb, NULL), b->caps.bomb ? MF_OK : MF_E_INVALID);
		if (b->caps.bomb)
			assert_non_null(strstr(mf_buf_cstr(&bomb), "2026-11-"));
		free(s);
	}
}

static void
test_mints(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct mf_token_backend *b = mf_token_backends[i];
		struct backend_run r =
		    mf_backend_mint(&mf_backend_kits[i], 200, mf_slice_str(mf_backend_kits[i].good));
		ProtobufCMessage *m = NULL;
		assert_true(r.result.minted);
		assert_string_equal(r.result.error, "");
		assert_true(r.result.expires > BACKEND_NOW);
		assert_int_equal(mf_pb_unpack(&mayfly__roles__v1__cloud_token__descriptor,
				     mf_slice(r.result.token.data, r.result.token.len), &m, NULL),
		    MF_OK);
		const Mayfly__Roles__V1__CloudToken *t = (const void *)m;
		assert_int_equal(t->kind, strcmp(b->caps.kind, "aws") == 0 ? 1 : 2);
		assert_string_equal(
		    t->kind == 1 ? t->session_token : t->access_token, mf_backend_kits[i].secret);
		assert_true(b->caps.needs_handle == (r.result.handle.len > 0));
		mf_pb_free(m);
		mf_backend_done(&r);
	}
}

static bool
known_word(const char *w)
{
	static const char *const all[] = { "transient", "throttled", "trust", "scope", "issuer", "clock",
		"denied", "config", "bug", "unknown", NULL };
	for (size_t i = 0; all[i] != NULL; i++)
		if (strcmp(w, all[i]) == 0)
			return true;
	return false;
}

/* Whatever a provider says: a clear word, nothing minted, and not a byte of it in a text. */
static void
refused(const struct backend_kit *k, unsigned status, struct mf_slice body, const char *want)
{
	struct backend_run r = mf_backend_mint(k, status, body);
	if (r.result.minted || !known_word(r.result.error) || strstr(r.result.reason, "CANARY") != NULL ||
	    r.result.token.len != 0 || (want != NULL && strcmp(r.result.error, want) != 0))
		fail_msg("%s: HTTP %u: minted %d, %s: %s", k->name, status, r.result.minted, r.result.error,
		    r.result.reason);
	mf_backend_done(&r);
}

static void
test_hostile(void **state)
{
	MF_UNUSED(state);
	static const struct {
		unsigned status;
		const char *body, *want;
	} cases[] = {
		{ 200, "", "unknown" },
		{ 200, "<CANARY>", "unknown" },
		{ 200, "{\"access_token\":\"CANARY\"}", "unknown" },
		{ 200, "[]", "unknown" },
		{ 204, "", NULL },
		{ 301, "CANARY", "config" },
		{ 302, "", "config" },
		{ 400, "CANARY", "config" },
		{ 401, "CANARY", "denied" },
		{ 403, "<html>CANARY</html>", "denied" },
		{ 404, "CANARY", "config" },
		{ 429, "CANARY", "throttled" },
		{ 500, "CANARY", "unknown" },
		{ 502, "<html>CANARY</html>", "unknown" },
		{ 503, "CANARY", "unknown" },
		{ 599, "", "unknown" },
	};
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct backend_kit *k = &mf_backend_kits[i];
		for (size_t c = 0; c < MF_COUNT(cases); c++)
			refused(k, cases[c].status, mf_slice_str(cases[c].body), cases[c].want);
		/* Cut at every byte. */
		for (size_t n = 0; n < strlen(k->good); n++)
			if (n < k->whole)
				refused(k, 200, mf_slice(k->good, n), "unknown");
		/* Every byte of it spoilt: refused, or another token, but never a crash (the sanitizers look). */
		char *copy = strdup(k->good);
		assert_non_null(copy);
		for (size_t n = 0; copy[n] != '\0'; n++) {
			char was = copy[n];
			copy[n] = '\x01';
			struct backend_run r = mf_backend_mint(k, 200, mf_slice_str(copy));
			assert_true(r.result.minted || known_word(r.result.error));
			mf_backend_done(&r);
			copy[n] = was;
		}
		free(copy);
	}
}

static void
test_no_reply(void **state)
{
	MF_UNUSED(state);
	static const struct {
		bool sent, refused, cut;
		const char *want;
	} cases[] = { { false, false, false, "transient" }, { true, false, false, "unknown" },
		{ false, true, false, "config" } };
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		for (size_t c = 0; c < MF_COUNT(cases); c++) {
			struct mf_http_reply reply = {
				.transport = "test", .sent = cases[c].sent, .refused = cases[c].refused
			};
			struct backend_run r = mf_backend_mint_reply(&mf_backend_kits[i], &reply);
			assert_false(r.result.minted);
			assert_string_equal(r.result.error, cases[c].want);
			mf_backend_done(&r);
		}
		/* The whole good reply, but the transport says that it was cut. */
		struct mf_http_reply cut = { .status = 200,
			.sent = true,
			.cut = true,
			.body = mf_slice_str(mf_backend_kits[i].good) };
		struct backend_run r = mf_backend_mint_reply(&mf_backend_kits[i], &cut);
		assert_false(r.result.minted);
		assert_string_equal(r.result.error, "unknown");
		mf_backend_done(&r);
	}
}

static void
test_codes(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; mf_token_backends[i] != NULL; i++)
		for (const struct backend_code *c = mf_backend_kits[i].codes; c->body != NULL; c++)
			refused(&mf_backend_kits[i], c->status, mf_slice_str(c->body), c->want);
}

/* A refusal of trust by a provider whose clock is another: the clock is named. */
static void
test_clock(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *date, *want;
	} cases[] = {
		{ "Sat, 21 Nov 2026 22:26:40 GMT", "trust" },
		{ "Sat, 21 Nov 2026 22:27:40 GMT", "trust" },
		{ "Sat, 21 Nov 2026 22:27:41 GMT", "clock" },
		{ "Sat, 21 Nov 2026 22:20:00 GMT", "clock" },
		{ "Saturday, 21-Nov-26 22:20:00 GMT", "trust" },
		{ "Sat, 21 Foo 2026 22:20:00 GMT", "trust" },
		{ "Sat, 41 Nov 2026 22:20:00 GMT", "trust" },
		{ "", "trust" },
	};
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct backend_code *k = mf_backend_kits[i].codes;
		while (strcmp(k->want, "trust") != 0)
			k++;
		for (size_t c = 0; c < MF_COUNT(cases); c++) {
			struct mf_http_reply reply = { .status = k->status,
				.sent = true,
				.date = cases[c].date,
				.body = mf_slice_str(k->body) };
			struct backend_run r = mf_backend_mint_reply(&mf_backend_kits[i], &reply);
			assert_string_equal(r.result.error, cases[c].want);
			mf_backend_done(&r);
		}
	}
}

/* What the request needs is missing: said at the start, nothing is sent. */
static void
test_incomplete(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct mf_token_backend *b = mf_token_backends[i];
		Mayfly__Roles__V1__CloudTarget t;
		Mayfly__Roles__V1__MintRequest m = MAYFLY__ROLES__V1__MINT_REQUEST__INIT;
		Mayfly__Roles__V1__CloudRevokeRequest v = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
		struct mf_cloud_op *op = NULL;
		struct mf_err err = { 0 };
		mf_backend_target(&mf_backend_kits[i], &t);
		struct mf_cloud_job job = { .target = &t, .mint = &m, .revoke = &v, .now_s = BACKEND_NOW };
		assert_int_equal(b->start(MF_CLOUD_MINT, &job, &op, &err), MF_E_INVALID);
		assert_int_equal(b->start(MF_CLOUD_REVOKE, &job, &op, &err), MF_E_INVALID);
		assert_null(op);
		b->free(NULL);
	}
}

static void
test_probe(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct mf_token_backend *b = mf_token_backends[i];
		for (unsigned reached = 0; reached < 2; reached++) {
			Mayfly__Roles__V1__CloudTarget t;
			Mayfly__Roles__V1__CloudProbeRequest p = MAYFLY__ROLES__V1__CLOUD_PROBE_REQUEST__INIT;
			Mayfly__Roles__V1__CloudProbeResult res = MAYFLY__ROLES__V1__CLOUD_PROBE_RESULT__INIT;
			struct mf_cloud_op *op = NULL;
			struct mf_http_request req;
			struct mf_http_reply reply = {
				.status = reached ? 400 : 0, .transport = "test", .sent = true
			};
			mf_backend_target(&mf_backend_kits[i], &t);
			struct mf_cloud_job job = { .target = &t, .probe = &p, .now_s = BACKEND_NOW };
			assert_int_equal(b->start(MF_CLOUD_PROBE, &job, &op, NULL), MF_OK);
			assert_int_equal(b->next(op, NULL, &req), MF_CLOUD_SEND);
			assert_int_equal(b->next(op, &reply, &req), MF_CLOUD_DONE);
			b->probe_result(op, &res);
			assert_int_equal(res.reachable, reached);
			assert_false(res.known);
			if (!reached)
				assert_string_equal(res.error, "transient");
			b->free(op);
		}
	}
}

/* All sessions of a role before a time: who cannot do that says so before anything is sent, so that nobody takes it for done. */
static void
test_sessions(void **state)
{
	MF_UNUSED(state);
	static uint8_t assertion[] = "h.p.s", handle[] = "CANARYhandle";
	static char role[] = "arn:aws:iam::111122223333:role/train";
	for (size_t i = 0; mf_token_backends[i] != NULL; i++) {
		const struct mf_token_backend *b = mf_token_backends[i];
		Mayfly__Roles__V1__CloudTarget t;
		Mayfly__Roles__V1__CloudRevokeRequest q = MAYFLY__ROLES__V1__CLOUD_REVOKE_REQUEST__INIT;
		struct mf_http_request req = { 0 };
		struct mf_cloud_op *op = NULL;
		struct mf_err err = { 0 };
		mf_backend_target(&mf_backend_kits[i], &t);
		q.role = role;
		q.whole = true;
		q.assertion = q.client_assertion = (ProtobufCBinaryData) { sizeof(assertion) - 1, assertion };
		q.handle = (ProtobufCBinaryData) { sizeof(handle) - 1, handle };
		q.older_than = BACKEND_NOW;
		struct mf_cloud_job j = { .target = &t, .revoke = &q, .now_s = BACKEND_NOW };
		enum mf_status s = b->start(MF_CLOUD_REVOKE, &j, &op, &err);
		if ((mf_token_backend_levels(b, &t) & MF_REVOKE_SESSIONS) == 0) {
			assert_int_equal(s, MF_E_UNSUPPORTED);
			assert_null(op);
			continue;
		}
		assert_int_equal(s, MF_OK);
		assert_int_equal(b->next(op, NULL, &req), MF_CLOUD_SEND);
		b->free(op);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_mints),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_no_reply),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
