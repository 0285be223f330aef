/* `mayfly doctor --profile` against fake daemons: what is shown, and the exit code. */
#include "admin.pb-c.h"
#include "job.pb-c.h"
#include "tests/unit/cli_fake.h"

static char s_code[] = "token", s_level[] = "fail", s_side[] = "provider", s_cause[] = "refused",
	    s_cure[] = "mend it", s_grant[] = "data", s_profile[] = "profile", s_fine[] = "ok", s_none[] = "";

static void
say_probe(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ProbeCloudRequest *q =
	    (const Mayfly__Admin__V1__ProbeCloudRequest *)(const void *)req;
	Mayfly__Admin__V1__CloudProbe p = MAYFLY__ADMIN__V1__CLOUD_PROBE__INIT;
	Mayfly__Admin__V1__CloudFinding m = MAYFLY__ADMIN__V1__CLOUD_FINDING__INIT, *pm = &m;
	char *grants[] = { s_grant };
	bool one = q->grant[0] != '\0', bad = one && !q->look;
	m.code = one ? s_code : s_profile;
	m.level = bad ? s_level : s_fine;
	m.side = bad ? s_side : s_none;
	m.cause = s_cause;
	m.cure = bad ? s_cure : s_none;
	p.findings = &pm;
	p.n_findings = 1;
	p.grants = grants;
	p.n_grants = one ? 0 : 1;
	mf_grpc_reply(c, &p.base);
}

static void
test_doctor_profile(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	Mayfly__Job__V1__ExplainResponse x = MAYFLY__JOB__V1__EXPLAIN_RESPONSE__INIT;
	struct mf_json *doc = NULL;
	x.permit = 1;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_who_am_i, .answers = { &w.base } },
		{ .m = &mf_cli_explain, .answers = { &x.base } } };
	struct fake_rule admin_rules[FAKE_RULES] = { { .m = &mf_cli_probe_cloud, .own = say_probe } };
	pid_t pid = fake_start("agent", rules), admin = fake_start("admin", admin_rules);
	assert_int_equal(cli("doctor", "--profile", "train", NULL), 1);
	assert_out("fail  data.token");
	assert_out("where: the provider: its trust policy, its roles");
	assert_out("cure: mend it");
	assert_out("ok    agent.permit");
	assert_null(strstr(cli_out, "kernel.")); /* instead of the machine */
	assert_int_equal(cli("doctor", "--profile", "train", "-o", "json", NULL), 1);
	assert_int_equal(mf_json_parse(mf_slice_str(cli_out), 0, &doc, NULL), MF_OK);
	mf_json_free(doc);
	assert_out("\"side\":\"provider\"");
	assert_int_equal(cli("doctor", "--profile", "train", "--no-token", NULL), 0);
	assert_int_equal(cli("doctor", "--grant", "data", NULL), 2);
	fake_stop(admin);
	/* For lack of rights: said, and no failure. */
	assert_int_equal(cli("doctor", "--profile", "train", NULL), 0);
	assert_out("warn  broker");
	assert_out("not looked at: the broker's side");
	fake_stop(pid);
	assert_int_equal(cli("doctor", "--profile", "train", NULL), 0);
	assert_out("not looked at: the agent's side");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_doctor_profile) };
	return cmocka_run_group_tests_name("cli_doctor", tests, fake_setup, fake_teardown);
}
