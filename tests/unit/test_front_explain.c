/* mayfly.job.v1.Jobs/Explain on the agent's front, before a fake attestor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "front_rig.h"

static const struct mf_grpc_method method = { .path = "/mayfly.job.v1.Jobs/Explain",
	.request = &mayfly__job__v1__explain_request__descriptor,
	.response = &mayfly__job__v1__explain_response__descriptor,
	.max_message = MF_LIM_MANIFEST + 8192 };

static char train[] = "train", rule[] = "by-env", cure[] = "ask team-x", why[] = "not now";

static int
setup(void **state)
{
	struct rig *r = mf_frig_new();
	r->cfg.hold_ms = RIG_HANG_MS;
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	mf_frig_free(*state);
	return 0;
}

static void
ask(struct rig *r, struct rig_client *c)
{
	Mayfly__Job__V1__ExplainRequest q = MAYFLY__JOB__V1__EXPLAIN_REQUEST__INIT;
	char manifest[] = "{}";
	q.profile = train;
	q.name = rule;
	q.manifest = (ProtobufCBinaryData) { 2, (uint8_t *)manifest };
	mf_frig_ask(r, c, &method, &q.base);
}

static void
on_permit(struct rig *r, const Mayfly__Roles__V1__ExplainJob *m)
{
	Mayfly__Roles__V1__JobExplained a = MAYFLY__ROLES__V1__JOB_EXPLAINED__INIT;
	Mayfly__Agent__V1__Explained x = MAYFLY__AGENT__V1__EXPLAINED__INIT;
	assert_string_equal(m->profile, train);
	assert_string_equal(m->name, rule);
	assert_int_equal(m->manifest.len, 2);
	assert_int_equal(m->conn_id, r->conn_id);
	x.permit = true;
	x.profile = train;
	x.rule = rule;
	x.cure = cure;
	a.explained = &x;
	a.explain_id = m->explain_id + 1; /* another question's */
	mf_frig_send(r, MF_MSG_JOB_EXPLAINED, &a.base);
	a.explain_id = m->explain_id;
	mf_frig_send(r, MF_MSG_JOB_EXPLAINED, &a.base);
}

static void
refuse(struct rig *r, uint64_t explain_id, Mayfly__Agent__V1__RefusalCode code)
{
	Mayfly__Roles__V1__JobExplained a = MAYFLY__ROLES__V1__JOB_EXPLAINED__INIT;
	Mayfly__Agent__V1__Refusal no = MAYFLY__AGENT__V1__REFUSAL__INIT;
	no.code = code;
	no.reason = why;
	a.explain_id = explain_id;
	a.refusal = code == MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNSPECIFIED ? NULL : &no;
	mf_frig_send(r, MF_MSG_JOB_EXPLAINED, &a.base);
}

static bool
was_asked(void *ctx)
{
	return ((struct rig *)ctx)->explains > 0;
}

static void
test_answers(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	r->on_explain = on_permit;
	mf_frig_start(r);
	ask(r, &c);
	const Mayfly__Job__V1__ExplainResponse *x = (const void *)mf_frig_next(&c);
	assert_non_null(x);
	assert_true(x->permit);
	assert_string_equal(x->profile, train);
	assert_string_equal(x->rule, rule);
	assert_string_equal(x->cure, cure);
	mf_frig_close(&c);
	assert_int_equal(r->explains, 1);
	/* It starts nothing and asks for no identity. */
	assert_int_equal(r->start, 0);
	assert_int_equal(r->attach, 0);
}

static void
test_refusals(void **state)
{
	static const struct {
		Mayfly__Agent__V1__RefusalCode code;
		enum mf_grpc_code want;
	} cases[] = { { MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE, MF_GRPC_UNAVAILABLE },
		{ MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID, MF_GRPC_FAILED_PRECONDITION },
		{ MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNSPECIFIED, MF_GRPC_UNAVAILABLE } };
	struct rig *r = *state;
	struct rig_client c;
	mf_frig_start(r);
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		r->explains = 0;
		ask(r, &c);
		assert_true(mf_frig_until(r, was_asked, r));
		refuse(r, r->explain_id, cases[i].code);
		assert_int_equal(mf_frig_end(&c), cases[i].want);
		mf_frig_close(&c);
	}
	/* Who is nobody gets no explanation either. */
	r->who = RIG_STRANGER;
	r->explains = 0;
	ask(r, &c);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_PERMISSION_DENIED);
	assert_int_equal(r->explains, 0);
	mf_frig_close(&c);
}

static void
test_too_long(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	static char name[300];
	static uint8_t big[MF_LIM_MANIFEST + 1];
	Mayfly__Job__V1__ExplainRequest q = MAYFLY__JOB__V1__EXPLAIN_REQUEST__INIT;
	mf_frig_start(r);
	memset(name, 'x', sizeof(name) - 1);
	q.name = name;
	mf_frig_ask(r, &c, &method, &q.base);
	assert_int_equal(mf_frig_end(&c), mf_grpc_code_of(MF_E_TOOBIG));
	mf_frig_close(&c);
	q.name = train;
	q.manifest = (ProtobufCBinaryData) { sizeof(big), big };
	mf_frig_ask(r, &c, &method, &q.base);
	assert_int_equal(mf_frig_end(&c), mf_grpc_code_of(MF_E_TOOBIG));
	mf_frig_close(&c);
	assert_int_equal(r->explains, 0);
}

/* Without a session the question waits, for as long as any call is held; the attestor's death ends it. */
static void
test_waits(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	r->on_explain = on_permit;
	mf_frig_start(r);
	ask(r, &c);
	assert_non_null(mf_frig_next(&c));
	mf_frig_close(&c);
	mf_frig_session(r, false);
	mf_frig_settle(r);
	r->explains = 0;
	ask(r, &c);
	mf_frig_settle(r);
	assert_int_equal(r->explains, 0);
	assert_true(mf_frig_quiet(&c));
	mf_frig_session(r, true);
	assert_non_null(mf_frig_next(&c));
	mf_frig_close(&c);
	r->on_explain = NULL;
	r->explains = 0;
	ask(r, &c);
	assert_true(mf_frig_until(r, was_asked, r));
	mf_frig_attestor_dies(r);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(c.text, "ask again"));
	mf_frig_close(&c);
	/* Who hangs up meanwhile leaves nothing behind. */
	mf_frig_attestor(r);
	r->explains = 0;
	ask(r, &c);
	assert_true(mf_frig_until(r, was_asked, r));
	mf_frig_close(&c);
	mf_frig_settle(r);
	refuse(r, r->explain_id, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID);
	mf_frig_settle(r);
}

static void
test_no_answer(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	r->cfg.hold_ms = 100;
	mf_frig_start(r);
	ask(r, &c);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(c.text, "ask again"));
	mf_frig_close(&c);
	mf_frig_session(r, false);
	mf_frig_settle(r);
	ask(r, &c);
	assert_int_equal(mf_frig_end(&c), MF_GRPC_UNAVAILABLE);
	assert_non_null(strstr(c.text, "broker cannot be reached"));
	mf_frig_close(&c);
}

static void
test_often(void **state)
{
	struct rig *r = *state;
	struct rig_client c;
	r->on_explain = on_permit;
	mf_frig_start(r);
	for (int i = 0; i < 20; i++) {
		ask(r, &c);
		assert_non_null(mf_frig_next(&c));
		mf_frig_close(&c);
	}
	ask(r, &c);
	enum mf_grpc_code code = mf_frig_end(&c);
	/* A machine so slow that these twenty took a minute has begun to count anew. */
	assert_true(code == MF_GRPC_RESOURCE_EXHAUSTED || r->explains == 21);
	mf_frig_close(&c);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(test_answers), TEST(test_refusals), TEST(test_too_long),
		TEST(test_waits), TEST(test_no_answer), TEST(test_often) };
	return cmocka_run_group_tests_name("front_explain", tests, NULL, NULL);
}
