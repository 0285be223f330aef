/* svid fetch --jwt and svid validate against a fake agent: what they ask, what they print, what they refuse. */
#include "base/limits.h"
#include "tests/unit/cli_fake.h"
#include "workload.pb-c.h"

static char id0[] = "spiffe://x.test/job/j-1", id1[] = "spiffe://x.test/run/r-1", hint0[] = "job",
	    hint1[] = "run", token0[] = "aaa.bbb.ccc", token1[] = "ddd.eee.fff";

/* --- fetch --- */

static bool
wants_two(const ProtobufCMessage *req)
{
	const JWTSVIDRequest *q = (const void *)req;
	return q->n_audience == 2 && strcmp(q->audience[0], "one") == 0 &&
	       strcmp(q->audience[1], "two") == 0 && strcmp(q->spiffe_id, id1) == 0;
}

static void
test_fetch(void **state)
{
	MF_UNUSED(state);
	JWTSVID a = JWTSVID__INIT, b = JWTSVID__INIT, *list[] = { &a, &b };
	JWTSVIDResponse m = JWTSVIDRESPONSE__INIT;
	a.spiffe_id = id0;
	a.hint = hint0;
	a.svid = token0;
	b.spiffe_id = id1;
	b.hint = hint1;
	b.svid = token1;
	m.svids = list;
	m.n_svids = 2;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_fetch_jwt_svid, .answers = { &m.base } } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("agent", rules);
	/* The default identity's token and nothing else: it stands in $(...). */
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "one", NULL), 0);
	assert_string_equal(cli_out, "aaa.bbb.ccc\n");
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "one", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("JWTSVIDList", 1, &doc);
	assert_str(v, "spiffe_id", id1);
	assert_str(v, "hint", "run");
	assert_str(v, "token", token1);
	mf_json_free(doc);
	assert_int_equal(cli("svid", "fetch", "--jwt", NULL), 2);
	assert_err("--jwt needs --audience A");
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "one", "--write", "/tmp/x", NULL), 2);
	assert_err("--write and --with-key are for certificates");
	fake_stop(pid);
	rules[0].right = wants_two;
	pid = fake_start("agent", rules);
	assert_int_equal(
	    cli("svid", "fetch", "--jwt", "--audience", "one", "--audience", "two", "--spiffe-id", id1, NULL),
	    0);
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "two", NULL), 1);
	assert_err("wrong request");
	fake_stop(pid);
	m.n_svids = 0;
	rules[0].right = NULL;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "one", NULL), 1);
	assert_err("without a token");
	fake_stop(pid);
	rules[0] = (struct fake_rule) { .m = &mf_cli_fetch_jwt_svid,
		.code = MF_GRPC_PERMISSION_DENIED,
		.text = "the profile lists no such audience" };
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "three", NULL), 1);
	assert_err("no such audience");
	fake_stop(pid);
	assert_int_equal(cli("svid", "fetch", "--jwt", "--audience", "one", NULL), 4);
}

static void
test_many_audiences(void **state)
{
	MF_UNUSED(state);
	/* One more than a token may have: "svid fetch --jwt" and MF_LIM_JWT_AUDIENCES + 1 times "--audience a". */
	assert_int_equal(MF_LIM_JWT_AUDIENCES, 16);
#define FOUR "--audience=a", "--audience=a", "--audience=a", "--audience=a"
	assert_int_equal(cli("svid", "fetch", "--jwt", FOUR, FOUR, FOUR, FOUR, "--audience=a", NULL), 2);
	assert_err("at most 16 audiences");
}

/* --- validate --- */

typedef Google__Protobuf__Value value;

static bool
wants_token(const ProtobufCMessage *req)
{
	const ValidateJWTSVIDRequest *q = (const void *)req;
	return strcmp(q->audience, "one") == 0 && strcmp(q->svid, token0) == 0;
}

static value
number(double d)
{
	value v = GOOGLE__PROTOBUF__VALUE__INIT;
	v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
	v.number_value = d;
	return v;
}

static value
text(char *s)
{
	value v = GOOGLE__PROTOBUF__VALUE__INIT;
	v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
	v.string_value = s;
	return v;
}

/* stdin of the CLI is ${bytes}. */
static int
validate_stdin(const char *bytes, size_t n)
{
	int way[2], keep = dup(STDIN_FILENO);
	assert_int_equal(pipe(way), 0);
	assert_int_equal(write(way[1], bytes, n), (ssize_t)n);
	(void)close(way[1]);
	assert_int_equal(dup2(way[0], STDIN_FILENO), STDIN_FILENO);
	(void)close(way[0]);
	int rc = cli("svid", "validate", "--audience", "one", "-", NULL);
	assert_int_equal(dup2(keep, STDIN_FILENO), STDIN_FILENO);
	(void)close(keep);
	return rc;
}

#define CLAIMS 8u
static void
test_validate(void **state)
{
	MF_UNUSED(state);
	char keys[CLAIMS][8] = { "exp", "half", "big", "sub", "admin", "aud", "none", "more" },
	     evil[] = "a\x1b[31m", inner[] = "inner";
	value v[CLAIMS], in_list = text(token0), *list[] = { &in_list }, nested = number(1);
	Google__Protobuf__ListValue lv = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
	Google__Protobuf__Struct claims = GOOGLE__PROTOBUF__STRUCT__INIT, sub = claims;
	Google__Protobuf__Struct__FieldsEntry e[CLAIMS], *pe[CLAIMS],
	    se = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT, *pse = &se;
	v[0] = number(1796000000);
	v[1] = number(0.5);
	v[2] = number(1e300);
	v[3] = text(evil);
	v[4] = (value)GOOGLE__PROTOBUF__VALUE__INIT;
	v[4].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
	v[4].bool_value = true;
	v[5] = (value)GOOGLE__PROTOBUF__VALUE__INIT;
	v[5].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
	lv.values = list;
	lv.n_values = 1;
	v[5].list_value = &lv;
	v[6] = (value)GOOGLE__PROTOBUF__VALUE__INIT;
	v[6].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
	v[7] = (value)GOOGLE__PROTOBUF__VALUE__INIT;
	v[7].kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
	se.key = inner;
	se.value = &nested;
	sub.fields = &pse;
	sub.n_fields = 1;
	v[7].struct_value = &sub;
	for (size_t i = 0; i < CLAIMS; i++) {
		e[i] = (Google__Protobuf__Struct__FieldsEntry)GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT;
		e[i].key = keys[i];
		e[i].value = &v[i];
		pe[i] = &e[i];
	}
	claims.fields = pe;
	claims.n_fields = CLAIMS;
	ValidateJWTSVIDResponse m = VALIDATE_JWTSVIDRESPONSE__INIT;
	m.spiffe_id = id0;
	m.claims = &claims;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_validate_jwt_svid, .answers = { &m.base }, .right = wants_token }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "validate", "--audience", "one", token0, NULL), 0);
	assert_out("valid for spiffe://x.test/job/j-1\n");
	assert_out("\"exp\":1796000000,\"half\":0.5,\"big\":1.0000000000000001e+300");
	assert_out("\"admin\":true,\"aud\":[\"aaa.bbb.ccc\"],\"none\":null,\"more\":{\"inner\":1}");
	assert_null(strchr(cli_out, '\x1b')); /* what a token says moves no cursor */
	assert_int_equal(cli("svid", "validate", "--audience", "one", token0, "-o", "json", NULL), 0);
	const struct mf_json_value *it = item("JWTValidation", 0, &doc);
	assert_str(it, "spiffe_id", id0);
	assert_str(mf_json_get(it, "claims"), "sub", evil);
	mf_json_free(doc);
	/* By stdin, with the newline that fetch prints, and without. */
	assert_int_equal(validate_stdin("aaa.bbb.ccc\n", 12), 0);
	assert_int_equal(validate_stdin("aaa.bbb.ccc", 11), 0);
	assert_int_equal(validate_stdin("aaa.bbb.ccc\n\n", 13), 1); /* another text */
	assert_int_equal(validate_stdin("aaa\0bbb", 7), 2);
	assert_err("no NUL");
	assert_int_equal(cli("svid", "validate", token0, NULL), 2);
	assert_err("--audience A is needed");
	fake_stop(pid);
	rules[0] = (struct fake_rule) { .m = &mf_cli_validate_jwt_svid,
		.code = MF_GRPC_INVALID_ARGUMENT,
		.text = "the token has expired" };
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "validate", "--audience", "one", token0, NULL), 1);
	assert_err("the token has expired");
	static char big[MF_LIM_JWT + 100];
	memset(big, 'a', sizeof(big) - 1);
	assert_int_equal(validate_stdin(big, sizeof(big) - 1), 1); /* more than a token is not read whole */
	fake_stop(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_many_audiences), cmocka_unit_test(test_validate) };
	return cmocka_run_group_tests_name("cli_jwt", tests, fake_setup, fake_teardown);
}
