/* Admin acts in the notary: who asked stands in the record, and roles bind here too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_rig.h"

#define CERT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* The last record as text. */
static const char *
last(const struct rig *r)
{
	static char to[32768];
	const struct rig_record *rec = &r->log[r->log_n - 1];
	assert_true(rec->n < sizeof(to));
	memcpy(to, rec->p, rec->n);
	to[rec->n] = '\0';
	return to;
}

static void
token_call(Mayfly__Roles__V1__AdminCall *call, Mayfly__Admin__V1__CreateJoinTokenRequest *q)
{
	mayfly__roles__v1__admin_call__init(call);
	mayfly__admin__v1__create_join_token_request__init(q);
	call->call_id = 7;
	call->loginuid = UINT32_MAX;
	call->what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call->create_join_token = q;
}

static void
test_actor(void **state)
{
	struct rig *r = mf_rig_new();
	Mayfly__Roles__V1__AdminCall call;
	Mayfly__Admin__V1__CreateJoinTokenRequest q;
	(void)state;
	token_call(&call, &q);
	call.uid = 1000;
	call.pid = 42;
	call.loginuid = 1001;
	mf_engine_admin(r->e, r->now, &call);
	assert_non_null(strstr(last(r), "{\"actor\":{\"kind\":\"operator\",\"loginuid\":1001,\"pid\":42,"
					"\"role\":\"admin\",\"uid\":1000},"));
	token_call(&call, &q);
	call.remote = true;
	call.cert_sha256 = text(CERT);
	call.spiffe_id = text("spiffe://example.org/ops/alice");
	call.role = text("operator");
	mf_engine_admin(r->e, r->now, &call);
	assert_non_null(strstr(last(r), "{\"actor\":{\"cert_sha256\":\"" CERT
					"\",\"kind\":\"operator\",\"role\":\"operator\",\"spiffe_id\":"
					"\"spiffe://example.org/ops/alice\"},"));
	/* Removals have it as well. */
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	Mayfly__Admin__V1__EvictNodeRequest e = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &e;
	e.match = node;
	call.spiffe_id = text("");
	call.subject = text("CN=bob \"the, op\",O=Example");
	call.role = text("revoker");
	size_t before = r->log_n;
	mf_engine_admin(r->e, r->now, &call);
	bool found = false;
	for (size_t i = before; i < r->log_n; i++) {
		MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
		assert_int_equal(mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
		const struct mf_record *rec = mf_record_doc_get(doc);
		if (rec->type != MF_REC_REVOKE_REQUESTED)
			continue;
		found = true;
		assert_true(mf_slice_eq_str(rec->s[MF_RS_ACTOR_SUBJECT], call.subject));
		assert_true(mf_slice_eq_str(rec->s[MF_RS_ACTOR_ROLE], "revoker"));
		assert_false(mf_record_has_num(rec, MF_RN_UID));
	}
	assert_true(found);
	mf_rig_free(r);
}

/* A front that lets through what it should not is not believed. */
static void
test_roles_bind(void **state)
{
	static const struct {
		const char *role, *cert, *subject;
		bool may;
	} t[] = {
		{ "operator", CERT, "", true },
		{ "admin", CERT, "", true },
		{ "revoker", CERT, "", false },
		{ "viewer", CERT, "", false },
		{ "", CERT, "", false },
		{ "root", CERT, "", false },
		{ "admin", "", "", false },
		{ "admin", CERT "00", "", false },
		{ "admin", CERT, "a\x01", false },
	};
	struct rig *r = mf_rig_new();
	(void)state;
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		Mayfly__Roles__V1__AdminCall call;
		Mayfly__Admin__V1__CreateJoinTokenRequest q;
		size_t n = r->log_n;
		token_call(&call, &q);
		call.remote = true;
		call.role = text(t[i].role);
		call.cert_sha256 = text(t[i].cert);
		call.subject = text(t[i].subject);
		mf_engine_admin(r->e, r->now, &call);
		mf_rig_settle(r);
		assert_int_equal(r->log_n > n, t[i].may);
		assert_string_equal(r->reply->error_code, t[i].may ? "" : "denied");
	}
	/* A call without an act, or with one of a later release. */
	Mayfly__Roles__V1__AdminCall none = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	mf_engine_admin(r->e, r->now, &none);
	assert_string_equal(r->reply->error_code, "unsupported");
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actor),
		cmocka_unit_test(test_roles_bind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
