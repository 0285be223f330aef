/* The verbs for operators against a fake broker: what they ask, what they show, their exit codes. */
#include "admin.pb-c.h"
#include "tests/unit/cli_fake.h"

#define HOUR_S 3600
/* Shown as "1h30m", and for a while so. */
#define LEFT_S (HOUR_S + 30 * 60 + 50)

static int64_t now_s;
static char id0[] = "spiffe://x.test/job/j-1", td[] = "x.test", s_rule[] = "dev", s_grade[] = "pidfd+cgroup",
	    s_serial[] = "abcd";

/* --- operators --- */

static char job1[] = "j-aaa", job2[] = "j-bbb", s_open[] = "open", s_key[] = "local/n/b/p-1",
	    s_kind[] = "x509-svid", s_at[] = "expires at", s_node[] = "n-1", s_name[] = "nightly",
	    s_live[] = "live";

static Mayfly__Admin__V1__Job
job(char *id)
{
	Mayfly__Admin__V1__Job j = MAYFLY__ADMIN__V1__JOB__INIT;
	j.id = id;
	j.key = s_key;
	j.name = s_name;
	j.state = s_open;
	j.profile = s_rule;
	j.started_us = (now_s - 305) * 1000000;
	j.instances = 3;
	j.live_instances = 2;
	return j;
}

static Mayfly__Admin__V1__Credential
credential(void)
{
	Mayfly__Admin__V1__Credential c = MAYFLY__ADMIN__V1__CREDENTIAL__INIT;
	c.kind = s_kind;
	c.id = s_serial;
	c.job_id = job1;
	c.spiffe_id = id0;
	c.not_before = now_s - 60;
	c.not_after = now_s + LEFT_S;
	c.state = s_live;
	c.ends_with_job = s_at;
	return c;
}

static bool
wants_all_aa(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ListJobsRequest *r = (const void *)req;
	return r->all && strcmp(r->match, "j-aa") == 0;
}

static void
test_job_ls(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Job a = job(job1), b = job(job2);
	Mayfly__Admin__V1__Job *list[] = { &a, &b };
	Mayfly__Admin__V1__ListJobsResponse r = MAYFLY__ADMIN__V1__LIST_JOBS_RESPONSE__INIT;
	r.jobs = list;
	r.n_jobs = 2;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_list_jobs, .answers = { &r.base } } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "ls", NULL), 0);
	assert_out("JOB    NAME     STATE  PROFILE  PERSON  LIVE  AGE  ENDED  CAUSE\n"
		   "j-aaa  nightly  open   dev      -       2/3   5m   -      -\n"
		   "j-bbb  nightly  open   dev      -       2/3   5m   -      -\n");
	assert_int_equal(cli("job", "ls", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("JobList", 1, &doc);
	assert_str(v, "id", "j-bbb");
	assert_str(v, "state", "open");
	assert_str(v, "key", s_key);
	assert_int_equal(mf_json_type(mf_json_get(v, "ended")), MF_JSON_NULL);
	mf_json_free(doc);
	fake_stop(pid);

	r.n_jobs = 0;
	rules[0].right = wants_all_aa;
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "ls", NULL), 1);
	assert_err("wrong request");
	assert_int_equal(cli("job", "ls", "-a", "j-aa", NULL), 0);
	assert_string_equal(cli_out, "");
	assert_err("no jobs");
	assert_int_equal(cli("job", "ls", "--all", "-o", "json", "j-aa", NULL), 0);
	assert_string_equal(cli_out, "{\"apiVersion\":\"mayfly/v1\",\"kind\":\"JobList\",\"items\":[]}\n");
	fake_stop(pid);
}

static bool
wants_j1(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__GetJobRequest *r = (const void *)req;
	return strcmp(r->match, job1) == 0;
}

static void
test_job_show(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Job a = job(job1);
	Mayfly__Admin__V1__Instance i = MAYFLY__ADMIN__V1__INSTANCE__INIT;
	Mayfly__Admin__V1__Credential c = credential();
	Mayfly__Admin__V1__Instance *il[] = { &i };
	Mayfly__Admin__V1__Credential *cl[] = { &c };
	Mayfly__Admin__V1__GetJobResponse r = MAYFLY__ADMIN__V1__GET_JOB_RESPONSE__INIT;
	r.job = &a;
	i.id = s_node;
	i.grade = s_grade;
	r.instances = il;
	r.n_instances = 1;
	r.credentials = cl;
	r.n_credentials = 1;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_get_job, .answers = { &r.base }, .right = wants_j1 }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "show", job1, NULL), 0);
	assert_out("Job             j-aaa\n");
	assert_out("\nInstances\n  INSTANCE");
	assert_out("\nCredentials that have not expired\n");
	assert_out("expires at");
	assert_int_equal(cli("job", "show", "-o", "json", job1, NULL), 0);
	const struct mf_json_value *v = item("Job", 0, &doc);
	assert_str(v, "state", "open");
	assert_str(mf_json_at(mf_json_get(v, "instances"), 0), "grade", s_grade);
	assert_str(mf_json_at(mf_json_get(v, "credentials"), 0), "id", "abcd");
	mf_json_free(doc);
	fake_stop(pid);

	rules[0] = (struct fake_rule) { .m = &mf_cli_get_job,
		.code = MF_GRPC_INVALID_ARGUMENT,
		.text = "several jobs fit: j-aaa, j-aab; type more letters" };
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "show", "j-aa", NULL), 1);
	assert_err("several jobs fit: j-aaa, j-aab");
	fake_stop(pid);
	r.job = NULL;
	rules[0] = (struct fake_rule) { .m = &mf_cli_get_job, .answers = { &r.base } };
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "show", "j-aa", NULL), 1);
	assert_err("holds no job");
	fake_stop(pid);
}

static bool
wants_end(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__EndJobRequest *r = (const void *)req;
	return strcmp(r->match, job1) == 0 && strcmp(r->reason, "why not") == 0;
}

static bool
wants_revoke_node(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__RevokeRequest *r = (const void *)req;
	return r->what_case == MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_NODE && strcmp(r->node, "n-1") == 0;
}

static void
test_removals(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Credential c = credential();
	Mayfly__Admin__V1__Credential *cl[] = { &c };
	Mayfly__Admin__V1__RemovalResponse done = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT, late;
	done.effective = done.recorded = 1;
	done.record_index = 42;
	done.jobs = done.leases = 1;
	done.subject = job1;
	done.credentials = cl;
	done.n_credentials = 1;
	late = done;
	late.recorded = 0;
	late.n_credentials = 0;
	Mayfly__Admin__V1__RemovalResponse none = late;
	none.effective = 0;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_end_job, .answers = { &done.base }, .right = wants_end },
		{ .m = &mf_cli_revoke, .answers = { &late.base }, .right = wants_revoke_node },
		{ .m = &mf_cli_evict_node, .answers = { &none.base } }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "end", job1, "--reason", "why not", NULL), 0);
	assert_out("j-aaa\neffective: 1 job and 1 lease ended");
	assert_out("recorded: record 42\n");
	assert_out("stay accepted by servers that look at certificates only:\n  x509-svid abcd (");
	assert_out("(1h30m left)");
	assert_int_equal(cli("job", "end", job1, "-r", "why not", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("Removal", 0, &doc);
	assert_str(v, "subject", "j-aaa");
	assert_str(mf_json_at(mf_json_get(v, "credentials"), 0), "ends_with_job", "expires at");
	mf_json_free(doc);
	/* effective, not recorded: 3 */
	assert_int_equal(cli("revoke", "--node", "n-1", NULL), 3);
	assert_out("NOT recorded yet");
	assert_out("no credential of it was still valid");
	assert_int_equal(cli("revoke", "--job", "n-1", NULL), 1);
	assert_int_equal(cli("node", "evict", "n-1", NULL), 1);
	assert_out("not effective");
	fake_stop(pid);
	rules[0] =
	    (struct fake_rule) { .m = &mf_cli_end_job, .code = MF_GRPC_UNAVAILABLE, .text = "no notary" };
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "end", job1, NULL), 4);
	fake_stop(pid);
}

static bool
wants_drain(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__EndJobRequest *r = (const void *)req;
	return r->drain;
}

static bool
wants_two_hours(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ExtendJobRequest *r = (const void *)req;
	return strcmp(r->match, job1) == 0 && r->by_s == 7200 && r->until == 0 &&
	       strcmp(r->reason, "epochs") == 0;
}

static bool
wants_until(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ExtendJobRequest *r = (const void *)req;
	return r->by_s == 0 && r->until == 1795000000;
}

static void
test_drain_and_extend(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse drain = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	Mayfly__Admin__V1__ExtendJobResponse x = MAYFLY__ADMIN__V1__EXTEND_JOB_RESPONSE__INIT;
	drain.effective = drain.recorded = 1;
	drain.jobs = 1;
	drain.leases = 3;
	drain.subject = job1;
	drain.ending_until = now_s + 61;
	x.job_id = job1;
	x.before = now_s;
	x.deadline = now_s + 7200;
	x.stop = now_s + 7260;
	x.record_index = 99;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_end_job, .answers = { &drain.base }, .right = wants_drain },
		{ .m = &mf_cli_extend_job, .answers = { &x.base }, .right = wants_two_hours }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "end", job1, "--drain", NULL), 0);
	assert_out("effective: the end is announced; what its 3 leases held is served and renewed until ");
	assert_out("left), nothing new is granted");
	assert_int_equal(cli("job", "extend", job1, NULL), 2);
	assert_int_equal(
	    cli("job", "extend", job1, "--by", "2h", "--until", "2026-11-18T11:06:40Z", NULL), 2);
	assert_int_equal(cli("job", "extend", job1, "--by", "soon", NULL), 2);
	assert_int_equal(cli("job", "extend", job1, "--until", "tomorrow", NULL), 2);
	assert_int_equal(cli("job", "extend", job1, "--by", "500ms", NULL), 2);
	assert_int_equal(cli("job", "extend", job1, "--by", "2h", "-r", "epochs", NULL), 0);
	assert_out("deadline: ");
	assert_out("recorded: record 99");
	assert_int_equal(cli("job", "extend", job1, "--by", "2h", "-r", "epochs", "-o", "json", NULL), 0);
	assert_str(item("Extension", 0, &doc), "job", "j-aaa");
	mf_json_free(doc);
	fake_stop(pid);
	rules[1].right = wants_until;
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "extend", job1, "--until", "2026-11-18T11:06:40Z", NULL), 0);
	fake_stop(pid);
	rules[1] = (struct fake_rule) {
		.m = &mf_cli_extend_job, .code = MF_GRPC_PERMISSION_DENIED, .text = "max_job"
	};
	pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "extend", job1, "--by", "2h", NULL), 1);
	assert_err("max_job");
	fake_stop(pid);
}

static void
test_job_filters(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Job a = job(job1), old = job(job2);
	Mayfly__Admin__V1__Job *list[] = { &a, &old };
	Mayfly__Admin__V1__ListJobsResponse r = MAYFLY__ADMIN__V1__LIST_JOBS_RESPONSE__INIT;
	old.started_us = INT64_C(1000000);
	r.jobs = list;
	r.n_jobs = 2;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_list_jobs, .answers = { &r.base } } };
	assert_int_equal(cli("job", "ls", "-l", "colour=red", NULL), 2);
	assert_int_equal(cli("job", "ls", "-l", "profile", NULL), 2);
	assert_int_equal(cli("job", "ls", "--since", "yesterday", NULL), 2);
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("job", "ls", "--since", "1h", NULL), 0);
	assert_out("j-aaa");
	assert_null(strstr(cli_out, "j-bbb"));
	assert_int_equal(cli("job", "ls", "-l", "profile=dev", "-l", "state=open", NULL), 0);
	assert_out("j-aaa");
	assert_int_equal(cli("job", "ls", "-l", "profile=train", NULL), 0);
	assert_string_equal(cli_out, "");
	fake_stop(pid);
}

static bool
wants_token(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__CreateJoinTokenRequest *r = (const void *)req;
	return r->ttl_s == 900 && r->uses == 3 && r->n_attributes == 2 &&
	       strcmp(r->attributes[0]->key, "pool") == 0 && strcmp(r->attributes[0]->value, "gpu-a") == 0 &&
	       strcmp(r->attributes[1]->value, "b=c") == 0 && strcmp(r->address, "10.0.0.1:8461") == 0;
}

static void
test_node(void **state)
{
	MF_UNUSED(state);
	char token[] = "mft1-secret", tid[] = "t-1", host[] = "gpu07", pool[] = "pool", gpu[] = "gpu-a",
	     conn[] = "connected";
	Mayfly__Admin__V1__CreateJoinTokenResponse t = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_RESPONSE__INIT;
	t.token = token;
	t.token_id = tid;
	t.expires = now_s + 900;
	t.uses = 3;
	Mayfly__Admin__V1__Node__AttributesEntry a = MAYFLY__ADMIN__V1__NODE__ATTRIBUTES_ENTRY__INIT;
	Mayfly__Admin__V1__Node__AttributesEntry *al[] = { &a };
	Mayfly__Admin__V1__Node n = MAYFLY__ADMIN__V1__NODE__INIT;
	Mayfly__Admin__V1__Node *nl[] = { &n };
	Mayfly__Admin__V1__ListNodesResponse ls = MAYFLY__ADMIN__V1__LIST_NODES_RESPONSE__INIT;
	a.key = pool;
	a.value = gpu;
	n.id = s_node;
	n.hostname = host;
	n.state = conn;
	n.attributes = al;
	n.n_attributes = 1;
	n.registered_us = (now_s - 7205) * 1000000;
	ls.nodes = nl;
	ls.n_nodes = 1;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_create_join_token, .answers = { &t.base }, .right = wants_token },
		{ .m = &mf_cli_list_nodes, .answers = { &ls.base } }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("node", "token", "--ttl", "15m", "--uses", "3", "--attribute", "pool=gpu-a",
			     "--attribute", "k=b=c", "--address", "10.0.0.1:8461", NULL),
	    0);
	assert_string_equal(cli_out, "mft1-secret\n");
	assert_err("token t-1: for 3 nodes, until ");
	assert_null(strstr(cli_err, "mft1-secret"));
	assert_int_equal(cli("node", "ls", NULL), 0);
	assert_out("n-1   gpu07  connected  pool=gpu-a  0     2h");
	assert_int_equal(cli("node", "ls", "-o", "json", NULL), 0);
	assert_str(mf_json_get(item("NodeList", 0, &doc), "attributes"), "pool", "gpu-a");
	mf_json_free(doc);
	fake_stop(pid);
}

static bool
wants_readmit(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ReadmitNodeRequest *r = (const void *)req;
	return strcmp(r->match, "n-1") == 0 && strcmp(r->reason, "mended") == 0;
}

static void
test_node_show_and_readmit(void **state)
{
	MF_UNUSED(state);
	char host[] = "gpu07", st[] = "evicted", why[] = "stolen\033[2J", refused[] = "a copy", id[] = "n-1";
	Mayfly__Admin__V1__Node n = MAYFLY__ADMIN__V1__NODE__INIT;
	Mayfly__Admin__V1__ReadmitNodeResponse done = MAYFLY__ADMIN__V1__READMIT_NODE_RESPONSE__INIT;
	n.id = id;
	n.hostname = host;
	n.state = st;
	n.evict_reason = why;
	n.refused = refused;
	n.refused_us = n.evicted_us = now_s * 1000000;
	done.node_id = id;
	done.record_index = 17;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_get_node, .answers = { &n.base } },
		{ .m = &mf_cli_readmit_node, .answers = { &done.base }, .right = wants_readmit } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("node", "show", "n-1", NULL), 0);
	assert_out("Because");
	assert_out("stolen");
	assert_null(strchr(cli_out, '\033'));
	assert_out("a copy");
	assert_int_equal(cli("node", "show", "n-1", "-o", "json", NULL), 0);
	assert_str(item("Node", 0, &doc), "refused_reason", "a copy");
	mf_json_free(doc);
	assert_int_equal(cli("node", "show", NULL), 2);
	assert_int_equal(cli("node", "readmit", NULL), 2);
	assert_int_equal(cli("node", "readmit", "n-1", "--reason", "mended", NULL), 0);
	assert_out("n-1\nrecorded: record 17\n");
	assert_int_equal(cli("node", "readmit", "n-1", "-r", "mended", "-o", "json", NULL), 0);
	assert_str(item("Readmission", 0, &doc), "node", "n-1");
	mf_json_free(doc);
	fake_stop(pid);
}

static bool
wants_creds(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ListCredentialsRequest *r = (const void *)req;
	return r->all && strcmp(r->job, job1) == 0;
}

static void
test_credential_and_status(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Credential c = credential();
	Mayfly__Admin__V1__Credential *cl[] = { &c };
	Mayfly__Admin__V1__ListCredentialsResponse r = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_RESPONSE__INIT;
	Mayfly__Admin__V1__Status st = MAYFLY__ADMIN__V1__STATUS__INIT;
	r.credentials = cl;
	r.n_credentials = 1;
	char stale[] = "stale",
	     why[] = "https://x.test does not show the key that signs: `mayfly oidc export DIR`";
	st.trust_domain = td;
	st.log_size = 17;
	st.issuer = stale;
	st.issuer_why = why;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_list_credentials, .answers = { &r.base }, .right = wants_creds },
		{ .m = &mf_cli_get_status, .answers = { &st.base } }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("credential", "ls", "--all", "--job", job1, NULL), 0);
	assert_out("ENDS WITH THE JOB");
	assert_out("expires at");
	assert_int_equal(cli("credential", "ls", "-a", "-j", job1, "-o", "json", NULL), 0);
	assert_str(item("CredentialList", 0, &doc), "job", job1);
	mf_json_free(doc);
	assert_int_equal(cli("credential", "ls", NULL), 1);
	assert_int_equal(cli("status", NULL), 0);
	assert_out("Trust domain      x.test\n");
	assert_out("Records           17\n");
	assert_out("Public issuer     stale\n");
	assert_out(
	    "Trouble with it   https://x.test does not show the key that signs: `mayfly oidc export DIR`\n");
	assert_int_equal(cli("status", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("Status", 0, &doc);
	assert_str(v, "trust_domain", "x.test");
	assert_str(v, "issuer", stale);
	assert_str(v, "issuer_trouble", why);
	mf_json_free(doc);
	fake_stop(pid);
	/* Nobody looks at an issuer: nothing of it is said. */
	st.issuer = st.issuer_why = td + strlen(td);
	pid = fake_start("admin", rules);
	assert_int_equal(cli("status", NULL), 0);
	assert_null(strstr(cli_out, "issuer"));
	fake_stop(pid);
}

static char s_keyid[] = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff", s_x509[] = "x509",
	    s_prepared[] = "prepared", s_self[] = "self", s_ready[] = "ready", s_note[] = "wait a little";

static Mayfly__Admin__V1__Key
signing_key(void)
{
	Mayfly__Admin__V1__Key k = MAYFLY__ADMIN__V1__KEY__INIT;
	k.id = s_keyid;
	k.use = s_x509;
	k.state = s_prepared;
	k.issuer = s_self;
	k.activation = s_ready;
	k.bundle = 3;
	k.agents = 4;
	k.agents_confirmed = 2;
	k.held = 5;
	k.not_after = now_s + LEFT_S;
	k.published = true;
	return k;
}

static bool
wants_force(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__ActivateKeyRequest *r = (const void *)req;
	return r->force && strcmp(r->match, "00ff") == 0 && strcmp(r->reason, "test") == 0;
}

static void
test_keys(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__Key k = signing_key(), *list[] = { &k };
	Mayfly__Admin__V1__ListKeysResponse r = MAYFLY__ADMIN__V1__LIST_KEYS_RESPONSE__INIT;
	Mayfly__Admin__V1__KeyResponse one = MAYFLY__ADMIN__V1__KEY_RESPONSE__INIT;
	r.keys = list;
	r.n_keys = 1;
	one.key = &k;
	one.record_index = 42;
	one.note = s_note;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_list_keys, .answers = { &r.base } },
		{ .m = &mf_cli_prepare_key, .answers = { &one.base } },
		{ .m = &mf_cli_activate_key, .answers = { &one.base }, .right = wants_force } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("key", "ls", NULL), 0);
	assert_out("STATE     ISSUER  BUNDLE  AGENTS  HELD  EXPIRES  ACTIVATION\n");
	assert_out("prepared  self    3       2/4     5     1h30m    ready\n");
	assert_int_equal(cli("key", "ls", "--all", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("KeyList", 0, &doc);
	assert_str(v, "id", s_keyid);
	assert_str(v, "activation", "ready");
	mf_json_free(doc);
	assert_int_equal(cli("key", "prepare", "--reason", "test", NULL), 0);
	assert_out("x509: prepared; record 42\n");
	assert_err("wait a little");
	assert_int_equal(cli("key", "activate", "00ff", NULL), 1);
	assert_err("wrong request");
	assert_int_equal(cli("key", "activate", "--force", "-r", "test", "00ff", "-o", "json", NULL), 0);
	assert_str(item("Key", 0, &doc), "note", s_note);
	mf_json_free(doc);
	one.key = NULL;
	fake_stop(pid);
	pid = fake_start("admin", rules);
	assert_int_equal(cli("key", "prepare", NULL), 1);
	assert_err("names no key");
	fake_stop(pid);
}

static void
test_key_removals(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse r = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	r.effective = true;
	r.leases = 3;
	r.subject = s_keyid;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_taint_key, .answers = { &r.base } },
		{ .m = &mf_cli_revoke_key, .answers = { &r.base } } };
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("key", "taint", "00ff", NULL), 3);
	assert_out("3 instances to go");
	assert_out("NOT recorded yet");
	fake_stop(pid);
	r.recorded = true;
	r.record_index = 7;
	pid = fake_start("admin", rules);
	assert_int_equal(cli("key", "revoke", "00ff", NULL), 0);
	assert_out("out of the bundle");
	assert_out("recorded: record 7\n");
	assert_int_equal(cli("key", "revoke", "00ff", "-o", "json", NULL), 0);
	assert_str(item("KeyRemoval", 0, &doc), "subject", s_keyid);
	mf_json_free(doc);
	assert_int_equal(cli("key", "taint", NULL), 2);
	fake_stop(pid);
}

static int
setup(void **state)
{
	now_s = mf_now().wall_us / 1000000;
	return fake_setup(state);
}

static bool
wants_freeze(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__RevokeRequest *r = (const void *)req;
	return r->what_case == MAYFLY__ADMIN__V1__REVOKE_REQUEST__WHAT_PERSON &&
	       strcmp(r->person, "unix:alice") == 0 && r->for_s == 7200;
}

static bool
wants_unfreeze(const ProtobufCMessage *req)
{
	const Mayfly__Admin__V1__UnfreezeRequest *r = (const void *)req;
	return strcmp(r->kind, "all") == 0 && r->name[0] == '\0';
}

static void
test_freeze(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__RemovalResponse done = MAYFLY__ADMIN__V1__REMOVAL_RESPONSE__INIT;
	Mayfly__Admin__V1__UnfreezeResponse up = MAYFLY__ADMIN__V1__UNFREEZE_RESPONSE__INIT;
	Mayfly__Admin__V1__ListFreezesResponse list = MAYFLY__ADMIN__V1__LIST_FREEZES_RESPONSE__INIT;
	Mayfly__Admin__V1__Freeze f = MAYFLY__ADMIN__V1__FREEZE__INIT, *fl[] = { &f };
	char subject[] = "person:unix:alice", all[] = "all", why[] = "stolen laptop";
	done.effective = done.recorded = 1;
	done.subject = f.subject = subject;
	f.reason = why;
	f.since_us = INT64_C(1800000000000000);
	up.subject = all;
	up.record_index = 9;
	list.freezes = fl;
	list.n_freezes = 1;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_revoke, .answers = { &done.base }, .right = wants_freeze },
		{ .m = &mf_cli_unfreeze_method, .answers = { &up.base }, .right = wants_unfreeze },
		{ .m = &mf_cli_list_freezes, .answers = { &list.base } }
	};
	pid_t pid = fake_start("admin", rules);
	assert_int_equal(cli("revoke", "--person", "unix:alice", "--for", "2h", NULL), 0);
	assert_out("person:unix:alice\neffective: nothing of it was open");
	assert_err(
	    "frozen: nothing is issued for it until `mayfly unfreeze --person unix:alice`, or the time");
	assert_int_equal(cli("unfreeze", "--all", NULL), 0);
	assert_out("all\nlifted: ");
	assert_out("recorded: record 9\n");
	assert_int_equal(cli("freeze", "ls", NULL), 0);
	assert_out("stolen laptop");
	assert_int_equal(cli("revoke", NULL), 2);
	assert_err("say what to revoke, one of: --job J");
	assert_int_equal(cli("revoke", "--all", "--job", job1, NULL), 2);
	assert_int_equal(cli("revoke", "--job", job1, "--for", "2h", NULL), 2);
	assert_err("does not come back");
	assert_int_equal(cli("revoke", "--all", "--for", "1ms", NULL), 2);
	assert_int_equal(cli("unfreeze", "--all", "--rule", "x", NULL), 2);
	fake_stop(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_ls),
		cmocka_unit_test(test_job_show),
		cmocka_unit_test(test_removals),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_drain_and_extend),
		cmocka_unit_test(test_job_filters),
		cmocka_unit_test(test_node_show_and_readmit),
		cmocka_unit_test(test_credential_and_status),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_key_removals),
		cmocka_unit_test(test_freeze),
	};
	return cmocka_run_group_tests(tests, setup, fake_teardown);
}
