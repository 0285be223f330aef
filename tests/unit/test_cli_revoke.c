/* `mayfly revoke --credential`, `--wait` and `mayfly credential show` against a fake broker whose credentials die step by step. */
#include <fcntl.h>

#include "admin.pb-c.h"
#include "tests/unit/cli_fake.h"

static int64_t now_s;
static char token[] = "0190-token", serial[] = "abcd", kind_cloud[] = "cloud:data", kind_svid[] = "x509-svid",
	    job1[] = "j-aaa", stopped[] = "stopped", denied[] = "denied", none[] = "", grant[] = "data",
	    grant_ended[] = "cloud:data", person[] = "person:unix:alice";
static unsigned asked; /* in the fake's process */

static Mayfly__Admin__V1__Credential
credential(char *kind, char *id, char *level, int64_t dead_at, uint64_t record)
{
	Mayfly__Admin__V1__Credential c = MAYFLY__ADMIN__V1__CREDENTIAL__INIT;
	c.kind = kind;
	c.id = id;
	c.job_id = job1;
	c.level = level;
	c.not_after = now_s + 1200;
	c.dead_at = dead_at;
	c.record_index = record;
	return c;
}

/* Two pages; the token is confirmed at the third question, and is dead two seconds later. */
static void
dying(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ListCredentialsRequest *q = (const void *)req;
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	char page[] = "1";
	bool second = strcmp(q->page, page) == 0;
	if (strcmp(q->subject, job1) != 0 || !q->all) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "wrong request");
		return;
	}
	asked += !second;
	bool known = asked >= 3;
	Mayfly__Admin__V1__Credential x = credential(kind_svid, serial, stopped, now_s + 1200, 7),
				      t = credential(kind_cloud, token, known ? denied : none,
					  known ? now_s : 0, known ? 9 : 0),
				      *v[] = { second ? &t : &x };
	r.n_credentials = 1;
	r.credentials = v;
	if (!second)
		r.next_page = page;
	mf_grpc_reply(c, &r.base);
}

/* Nobody confirms. */
static void
pending(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	Mayfly__Admin__V1__Credential t = credential(kind_cloud, token, none, 0, 0), *v[] = { &t };
	MF_UNUSED(req);
	r.n_credentials = 1;
	r.credentials = v;
	mf_grpc_reply(c, &r.base);
}

static void
nothing(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	MF_UNUSED(req);
	mf_grpc_reply(c, &r.base);
}

static Mayfly__Admin__V1__RemovalResponse
removal(char *subject)
{
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	r.effective = r.recorded = 1;
	r.record_index = 7;
	r.jobs = r.leases = 1;
	r.subject = subject;
	return r;
}

static void
test_wait(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse done = removal(job1);
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_revoke, .answers = { &done.base } },
		{ .m = &mf_cli_list_credentials, .own = dying } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	/* What can be taken back was: the rest is said to expire, and is not waited for. */
	assert_int_equal(cli("revoke", "--job", job1, "--wait", NULL), 0);
	assert_out("recorded: record 7");
	assert_out("cloud:data  0190-token  j-aaa  denied   since ");
	assert_out("no: expires at ");
	assert_err("0190-token: denied, dead since");
	assert_err("(record 9)");
	assert_err("abcd: stopped, expires at");
	assert_err("1 only expires");
	/* All of it, within a time in which that cannot be: said at once. */
	assert_int_equal(cli("revoke", "--job", job1, "--wait", "--timeout", "1m", "-o", "json", NULL), 4);
	const struct mf_json_value *v = item("Removal", 0, &doc);
	assert_str(v, "subject", "j-aaa");
	assert_str(mf_json_at(mf_json_get(v, "credentials"), 0), "level", "denied");
	mf_json_free(doc);
	fake_stop(pid);
	rules[1] = (struct fake_rule) { .m = &mf_cli_list_credentials, .own = pending };
	pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--job", job1, "--wait", "--timeout", "1s", NULL), 4);
	assert_out("not confirmed; expires at");
	assert_err("1 not confirmed yet");
	fake_stop(pid);
	rules[1] = (struct fake_rule) { .m = &mf_cli_list_credentials, .own = nothing };
	pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--job", job1, "--wait", NULL), 0);
	assert_err("nothing of it was left");
	fake_stop(pid);
	/* What is not on record is shown by nobody. */
	done.recorded = 0;
	pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--job", job1, "--wait", NULL), 3);
	assert_err("not waited for");
	fake_stop(pid);
}

static bool
wants_final(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__RevokeRequest *r = (const void *)req;
	return r->what_case == MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_CREDENTIAL &&
	       strcmp(r->credential, "0190") == 0 && r->final && strcmp(r->reason, "leaked") == 0;
}

static void
test_one(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse done = removal(token);
	done.jobs = done.leases = 0;
	done.credentials_ended = 2;
	done.grant_ended = grant_ended;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_revoke, .answers = { &done.base }, .right = wants_final }
	};
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--credential", "0190", "--final", "-r", "leaked", NULL), 0);
	assert_out("effective: 2 credentials ended");
	assert_out("for good: cloud:data is refused to that instance");
	assert_int_equal(cli("revoke", "-c", "0190", "--job", job1, NULL), 2);
	assert_int_equal(cli("revoke", "--person", "unix:alice", "--final", NULL), 2);
	fake_stop(pid);
}

/* A freeze says what it froze also when it waits. */
static void
test_freeze(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse done = removal(person);
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_revoke, .answers = { &done.base } },
		{ .m = &mf_cli_list_credentials, .own = pending } };
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--person", "unix:alice", "--wait", "--timeout", "1s", NULL), 4);
	assert_err("frozen: nothing is issued for it");
	fake_stop(pid);
}

/* ---- all sessions of a role ---- */

static char aws[] = "aws", role[] = "arn:aws:iam::1:role/ml/train",
	    role_subject[] = "role:aws:arn:aws:iam::1:role/ml/train";

static void
of_role(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__RevokeRequest *q = (const void *)req;
	Mayfly__Admin__V1__RemovalResponse r = removal(role_subject);
	Mayfly__Admin__V1__EndedSessions s = MAYFLY__ADMIN__V1__ENDED_SESSIONS__INIT;
	if (q->what_case != MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_SESSIONS ||
	    strcmp(q->sessions->target, aws) != 0 || strcmp(q->sessions->role, "train") != 0 ||
	    strcmp(q->reason, "leaked") != 0) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "wrong request");
		return;
	}
	s.target = aws;
	s.role = role;
	s.before = now_s + 3;
	s.until = now_s + 43500;
	s.credentials = 12;
	s.jobs = 5;
	s.dry_run = q->dry_run;
	r.effective = r.recorded = !q->dry_run;
	r.jobs = r.leases = 0;
	r.credentials_ended = 12;
	r.sessions = &s;
	mf_grpc_reply(c, &r.base);
}

/* Nobody of ours has one; the provider confirms at the third question. */
static void
role_dying(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ListCredentialsRequest *q = (const void *)req;
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	Mayfly__Admin__V1__EndedSessions s = MAYFLY__ADMIN__V1__ENDED_SESSIONS__INIT;
	if (strcmp(q->subject, role_subject) != 0) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "wrong request");
		return;
	}
	s.confirmed = ++asked >= 3;
	s.dead_at = s.confirmed ? now_s : 0;
	s.confirmed_index = s.confirmed ? 11 : 0;
	r.sessions = &s;
	mf_grpc_reply(c, &r.base);
}

/* What is typed at a terminal; NULL: there is none. */
static int
typing(const char *line, bool json)
{
	int old = dup(0), fd = line == NULL ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1, master = -1;
	if (line != NULL) {
		master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
		fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
		assert_int_equal(write(master, line, strlen(line)), strlen(line));
	}
	assert_true(old >= 0 && fd >= 0 && dup2(fd, 0) == 0);
	clearerr(stdin);
	int rc = cli(
	    "revoke", "--target", aws, "--role", "train", "-r", "leaked", json ? "-o" : NULL, "json", NULL);
	assert_int_equal(dup2(old, 0), 0);
	(void)close(old);
	(void)close(fd);
	if (master >= 0)
		(void)close(master);
	return rc;
}

static void
test_sessions(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_revoke, .own = of_role },
		{ .m = &mf_cli_list_credentials, .own = role_dying } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(
	    cli("revoke", "--target", aws, "--role", "train", "-r", "leaked", "--dry-run", NULL), 0);
	assert_out("would end all sessions");
	assert_out("12 tokens of 5 jobs");
	assert_out("nothing was changed");
	/* Without a terminal it has to be said on the command line. */
	assert_int_equal(typing(NULL, false), 2);
	assert_err("12 token(s) of 5 job(s)");
	assert_err("--yes");
	assert_string_equal(cli_out, "");
	/* At one, by the role's name. */
	assert_int_equal(typing("trian\n", false), 1);
	assert_err("Type the name of the role (train)");
	assert_err("nothing was changed");
	assert_string_equal(cli_out, "");
	assert_int_equal(typing("train\n", false), 0);
	assert_err("12 tokens of 5 jobs");
	assert_out("effective: ended are all sessions");
	assert_out("recorded: record 7");
	assert_int_equal(typing("train\n", true), 0);
	const struct mf_json_value *v = item("Removal", 0, &doc);
	assert_str(mf_json_get(v, "sessions"), "role", role);
	assert_str(v, "subject", role_subject);
	mf_json_free(doc);
	assert_int_equal(
	    cli("revoke", "--target", aws, "--role", "train", "-r", "leaked", "--yes", "--wait", NULL), 0);
	assert_err("(record 11)");
	assert_err("all dead");
	assert_int_equal(cli("revoke", "--target", aws, "--role", "train", "-r", "leaked", "--yes", "--wait",
			     "-o", "json", NULL),
	    0);
	v = item("Removal", 0, &doc);
	bool yes = false;
	assert_true(mf_json_bool(mf_json_get(v, "sessions_confirmed"), &yes) && yes);
	mf_json_free(doc);
	/* What does not go together. */
	assert_int_equal(cli("revoke", "--target", aws, NULL), 2);
	assert_int_equal(cli("revoke", "--role", "train", NULL), 2);
	assert_int_equal(cli("revoke", "--target", aws, "--role", "train", "--all", NULL), 2);
	assert_int_equal(cli("revoke", "--target", aws, "--role", "train", "--dry-run", "--yes", NULL), 2);
	assert_int_equal(cli("revoke", "--target", aws, "--role", "train", "--for", "1h", NULL), 2);
	assert_int_equal(cli("revoke", "--all", "--dry-run", NULL), 2);
	fake_stop(pid);
}

static void
test_show(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Credential c = credential(kind_cloud, token, denied, now_s, 9);
	Mayfly__Admin__V1__CredentialDetail d = MAYFLY__ADMIN__V1__CREDENTIAL_DETAIL__INIT;
	Mayfly__Admin__V1__CredentialRecord one = MAYFLY__ADMIN__V1__CREDENTIAL_RECORD__INIT,
					    two = MAYFLY__ADMIN__V1__CREDENTIAL_RECORD__INIT,
					    *v[] = { &one, &two };
	char scope[] = "{\"Action\":\"s3:GetObject\"}", issued[] = "issued", ended[] = "ended", req[] = "tx1";
	c.grant = grant;
	one.index = 3;
	one.says = issued;
	two.index = 9;
	two.says = ended;
	d.credential = &c;
	d.scope = scope;
	d.request_id = req;
	d.n_records = 2;
	d.records = v;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_get_credential, .answers = { &d.base } } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("credential", "show", token, NULL), 0);
	assert_out("Level       denied\n");
	assert_out("s3:GetObject");
	assert_out("3 issued, 9 ended");
	assert_int_equal(cli("credential", "show", token, "-o", "json", NULL), 0);
	const struct mf_json_value *i = item("Credential", 0, &doc);
	assert_str(i, "id", token);
	assert_str(i, "request_id", "tx1");
	assert_str(mf_json_at(mf_json_get(i, "records"), 1), "says", "ended");
	mf_json_free(doc);
	fake_stop(pid);
}

static int
start(void **state)
{
	now_s = mf_now().wall_us / 1000000;
	return fake_setup(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_wait), cmocka_unit_test(test_one),
		cmocka_unit_test(test_freeze), cmocka_unit_test(test_sessions), cmocka_unit_test(test_show) };
	return cmocka_run_group_tests_name("cli_revoke", tests, start, fake_teardown);
}
