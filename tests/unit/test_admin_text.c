/* The text that persons sign: one request, one text; nothing of a request left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "rpc/admin_text.h"

#include "admin.pb-c.h"
#include "roles.pb-c.h"

#define NONCE "00112233445566778899aabbccddeeff"

static const struct mf_admin_head head = {
	.log = "b1.example.org/log", .policy = "abcd", .nonce = NONCE, .not_after_s = 1796000000
};

static char *
str(const char *s)
{
	return (char *)(uintptr_t)s;
}

static char *
text_of(const ProtobufCMessage *m)
{
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_ADMIN_TEXT);
	assert_int_equal(mf_admin_text(&head, m, &b, NULL), MF_OK);
	char *t = mf_slice_dup_str(mf_buf_slice(&b));
	mf_buf_fini(&b);
	assert_non_null(t);
	return t;
}

static void
test_token(void **state)
{
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry a =
	    MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry b = a, *both[] = { &a, &b };
	(void)state;
	char *t = text_of(&q.base);
	assert_string_equal(t,
	    "mayfly-admin 1\nact: mayfly.admin.v1.CreateJoinTokenRequest\nlog: "
	    "b1.example.org/log\npolicy: abcd\nnonce: " NONCE "\nnot-after: 1796000000\n\n");
	free(t);
	a.key = str("pool");
	a.value = str("gpu\n-\"a\"");
	b.key = str("a\"]: \"x");
	b.value = str("");
	q.ttl_s = 3600;
	q.uses = 4294967295u;
	q.n_attributes = 2;
	q.attributes = both;
	t = text_of(&q.base);
	/* Sorted, and no value can look like another line. */
	assert_non_null(strstr(t, "\n\nttl_s: 3600\nuses: 4294967295\nattributes[\"a\\\"]: \\\"x\"]: \"\"\n"
				  "attributes[\"pool\"]: \"gpu\\u000a-\\\"a\\\"\"\n"));
	both[0] = &b;
	both[1] = &a;
	char *again = text_of(&q.base);
	assert_string_equal(t, again);
	free(t);
	free(again);
}

/* Each field of a message with every kind of field shows: change one, and the text is another. */
static void
test_every_kind(void **state)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest e = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	Mayfly__Roles__V1__AdminApproval ap = MAYFLY__ROLES__V1__ADMIN_APPROVAL__INIT;
	uint8_t sig[] = { 0, 255 };
	ProtobufCBinaryData sigs[] = { { 2, sig }, { 0, NULL } };
	(void)state;
	c.call_id = UINT64_MAX;
	c.uid = 7;
	c.remote = true;
	c.role = str("admin");
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	c.end_job = &e;
	e.match = str("j-1");
	c.approval = &ap;
	ap.not_after = -5;
	ap.signatures = sigs;
	ap.n_signatures = 2;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_ADMIN_TEXT);
	mf_pb_text(&c.base, "", &b);
	assert_string_equal(mf_buf_cstr(&b),
	    "call_id: 18446744073709551615\nuid: 7\nend_job: {}\nend_job.match: \"j-1\"\nremote: true\nrole: "
	    "\"admin\"\napproval: {}\napproval.not_after: -5\napproval.signatures[0]: 00ff\n"
	    "approval.signatures[1]: \n");
}

static void
test_head(void **state)
{
	static const char *const bad[] = { "", "mayfly-admin 1\n", "mayfly-admin 2\nact: x\n",
		"mayfly-admin 1\nact: x\nlog: y\npolicy: z\nnonce: n\n",
		"mayfly-admin 1\nact: x\nlog: y\npolicy: z\nnonce: n\nnot-after: x\n",
		"mayfly-admin 1\nact: x\nlog: y\npolicy: z\nnonce: n\nnot-after: 1" };
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	struct mf_admin_head h;
	(void)state;
	char *t = text_of(&q.base);
	assert_int_equal(mf_admin_text_head(t, &h, NULL), MF_OK);
	assert_string_equal(h.log, head.log);
	assert_string_equal(h.policy, head.policy);
	assert_string_equal(h.nonce, head.nonce);
	assert_int_equal(h.not_after_s, head.not_after_s);
	free(t);
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		char copy[256];
		(void)snprintf(copy, sizeof(copy), "%s", bad[i]);
		assert_int_equal(mf_admin_text_head(copy, &h, NULL), MF_E_INVALID);
	}
	struct mf_buf b;
	mf_buf_init(&b, 4096);
	h = head;
	h.nonce = "short";
	assert_int_equal(mf_admin_text(&h, &q.base, &b, NULL), MF_E_INVALID);
	h = head;
	h.log = "a\nb";
	assert_int_equal(mf_admin_text(&h, &q.base, &b, NULL), MF_E_INVALID);
	mf_buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
