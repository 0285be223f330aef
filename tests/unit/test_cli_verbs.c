/* Each verb of `mayfly` against a fake daemon: what it asks, what it shows, its exit code. */
#include "admin.pb-c.h"
#include "cli/svid.h"
#include "codec/pem.h"
#include "codec/x509_peek.h"
#include "grpc/health/v1/health.pb-c.h"
#include "job.pb-c.h"
#include "tests/unit/cli_fake.h"
#include "workload.pb-c.h"
#include "x509_ref.h"

#define HOUR_S 3600
/* Shown as "1h30m", and for a while so. */
#define LEFT_S (HOUR_S + 30 * 60 + 50)

/* --- the identities of the tests --- */

static struct mf_buf leaf[2], ca_der;
static int64_t now_s;
static X509SVID svids[2];
static X509SVID *svid_list[2] = { &svids[0], &svids[1] };
static X509SVIDResponse answer_one, answer_two, answer_bad;
static char id0[] = "spiffe://x.test/job/j-1", id1[] = "spiffe://x.test/run/r-1", hint0[] = "job",
	    hint1[] = "run";
static char s_reason[] = "no rule permits it";
static char key_bytes[] = "\x30\x03\x02\x01\x05";

static int
make_svids(void **state)
{
	char *ids[] = { id0, id1 }, *hints[] = { hint0, hint1 };
	now_s = mf_now().wall_us / 1000000;
	EVP_PKEY *ca_key = mf_ref_key(), *key = mf_ref_key();
	struct ref_cert cac = { .key = ca_key,
		.not_before_s = now_s - 60,
		.not_after_s = now_s + 24 * HOUR_S,
		.uri = { "spiffe://x.test" },
		.ca = true,
		.pathlen = -1,
		.ku = 1u << 5 };
	X509 *ca = mf_ref_cert(&cac);
	mf_buf_init(&ca_der, MF_LIM_CERT_DER);
	mf_ref_der(ca, &ca_der);
	for (size_t i = 0; i < 2; i++) {
		struct ref_cert c = { .serial = (const uint8_t *)"\x00\xab\xcd",
			.n_serial = 3,
			.issuer = ca,
			.issuer_key = ca_key,
			.key = key,
			.not_before_s = now_s - 60,
			.not_after_s = now_s + LEFT_S,
			.uri = { ids[i] },
			.pathlen = -1,
			.ku = 1,
			.eku = true };
		X509 *x = mf_ref_cert(&c);
		mf_buf_init(&leaf[i], MF_LIM_CERT_DER);
		mf_ref_der(x, &leaf[i]);
		X509_free(x);
		svids[i] = (X509SVID)X509_SVID__INIT;
		svids[i].spiffe_id = ids[i];
		svids[i].hint = hints[i];
		svids[i].x509_svid = (ProtobufCBinaryData) { leaf[i].n, leaf[i].p };
		svids[i].x509_svid_key = (ProtobufCBinaryData) { 5, (uint8_t *)key_bytes };
		svids[i].bundle = (ProtobufCBinaryData) { ca_der.n, ca_der.p };
	}
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	answer_one = answer_two = answer_bad = (X509SVIDResponse)X509_SVIDRESPONSE__INIT;
	answer_one.svids = answer_two.svids = svid_list;
	answer_one.n_svids = 1;
	answer_two.n_svids = 2;
	static X509SVID swapped;
	static X509SVID *swapped_list[] = { &swapped };
	swapped = svids[0];
	swapped.spiffe_id = id1;
	answer_bad.svids = swapped_list;
	answer_bad.n_svids = 1;
	return fake_setup(state);
}

static int
drop_svids(void **state)
{
	for (size_t i = 0; i < 2; i++)
		mf_buf_fini(&leaf[i]);
	mf_buf_fini(&ca_der);
	free(cli_out);
	free(cli_err);
	return fake_teardown(state);
}

static char *
slurp(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *s = calloc(1, 65536);
	if (f == NULL)
		fail_msg("no file %s", path);
	assert_non_null(s);
	assert_true(fread(s, 1, 65535, f) < 65535);
	(void)fclose(f);
	return s;
}

static void
assert_mode(const char *path, mode_t mode)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static void
assert_cert_file(const char *path, struct mf_slice der)
{
	char *text = slurp(path);
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_BUNDLE_DER);
	assert_int_equal(mf_pem_get_all(mf_slice_str(text), MF_PEM_CERTIFICATE, &b, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&b), der));
	mf_buf_fini(&b);
	free(text);
}

/* --- svid --- */

static void
test_svid_fetch(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_fetch_x509_svid, .answers = { &answer_two.base }, .hold = true }
	};
	struct mf_json *doc = NULL;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 0);
	assert_out("SPIFFE ID");
	assert_out(id0);
	assert_out(id1);
	assert_out("1h30m");
	assert_out("serial abcd\n");

	assert_int_equal(cli("svid", "fetch", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("X509SVIDList", 1, &doc);
	assert_str(v, "spiffe_id", id1);
	assert_str(v, "hint", "run");
	assert_str(v, "serial", "abcd");
	assert_null(mf_json_get(v, "key"));
	assert_null(strstr(cli_out, "PRIVATE KEY"));
	struct mf_slice s;
	assert_true(mf_json_string(mf_json_get(v, "chain"), &s));
	assert_true(mf_slice_starts(s, MF_SLICE_LIT("-----BEGIN CERTIFICATE-----\n")));
	assert_true(mf_json_string(mf_json_get(v, "not_after"), &s));
	int64_t us = 0;
	assert_int_equal(mf_time_get(s, &us, NULL), MF_OK);
	assert_int_equal(us / 1000000, now_s + LEFT_S);
	mf_json_free(doc);

	assert_int_equal(cli("svid", "fetch", "-o", "json", "--with-key", NULL), 0);
	v = item("X509SVIDList", 0, &doc);
	assert_str(v, "key", "-----BEGIN PRIVATE KEY-----\nMAMCAQU=\n-----END PRIVATE KEY-----\n");
	mf_json_free(doc);
	fake_stop(pid);
}

static void
test_svid_write(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_fetch_x509_svid, .answers = { &answer_two.base }, .hold = true }
	};
	pid_t pid = fake_start("agent", rules);
	char dir[128], path[160];
	(void)snprintf(dir, sizeof(dir), "%s/w", fake_dir);
	mode_t old = umask(0);
	for (int i = 0; i < 2; i++) { /* the second time replaces */
		assert_int_equal(cli("svid", "fetch", "--write", dir, NULL), 0);
		assert_err("wrote svid.pem");
		(void)umask(077);
	}
	(void)umask(old);
	assert_mode(dir, 0700);
	(void)snprintf(path, sizeof(path), "%s/key.pem", dir);
	assert_mode(path, 0600);
	char *key = slurp(path);
	assert_string_equal(key, "-----BEGIN PRIVATE KEY-----\nMAMCAQU=\n-----END PRIVATE KEY-----\n");
	free(key);
	(void)snprintf(path, sizeof(path), "%s/svid.pem", dir);
	assert_mode(path, 0644);
	assert_cert_file(path, mf_buf_slice(&leaf[0]));
	(void)snprintf(path, sizeof(path), "%s/bundle.pem", dir);
	assert_cert_file(path, mf_buf_slice(&ca_der));
	(void)snprintf(path, sizeof(path), "%s/run/svid.pem", dir);
	assert_cert_file(path, mf_buf_slice(&leaf[1]));
	(void)snprintf(path, sizeof(path), "%s/run/key.pem", dir);
	assert_mode(path, 0600);
	assert_int_equal(cli("svid", "fetch", "--write", "/nonexistent/dir", NULL), 1);
	assert_err("/nonexistent/dir");
	fake_stop(pid);
}

/* A hint that is no file name does not choose where files go. */
static void
test_svid_write_hint(void **state)
{
	MF_UNUSED(state);
	char evil[] = "../../evil";
	X509SVID b = svids[1];
	X509SVID *list[] = { &svids[0], &b };
	X509SVIDResponse two = answer_two;
	b.hint = evil;
	two.svids = list;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_fetch_x509_svid, .answers = { &two.base }, .hold = true }
	};
	pid_t pid = fake_start("agent", rules);
	char dir[128], path[160];
	(void)snprintf(dir, sizeof(dir), "%s/deep", fake_dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	(void)snprintf(dir, sizeof(dir), "%s/deep/w", fake_dir);
	assert_int_equal(cli("svid", "fetch", "--write", dir, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/2/svid.pem", dir);
	assert_cert_file(path, mf_buf_slice(&leaf[1]));
	(void)snprintf(path, sizeof(path), "%s/evil", fake_dir);
	assert_int_not_equal(access(path, F_OK), 0);
	fake_stop(pid);
}

static void
test_svid_refused(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_fetch_x509_svid,
	    .code = MF_GRPC_PERMISSION_DENIED,
	    .text = "no identity issued: no rule permits it" } };
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 1);
	assert_string_equal(cli_err, "mayfly: no identity issued: no rule permits it\n");
	assert_string_equal(cli_out, "");
	assert_int_equal(cli("svid", "watch", NULL), 1);
	assert_err("no identity issued");
	fake_stop(pid);

	/* the Workload API says only that; WhoAmI knows why */
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	w.reason = s_reason;
	rules[0].text = "no identity issued";
	rules[1] = (struct fake_rule) { .m = &mf_cli_who_am_i, .answers = { &w.base } };
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 1);
	assert_string_equal(cli_err, "mayfly: no identity issued: no rule permits it\n");
	assert_int_equal(cli("svid", "watch", NULL), 1);
	assert_string_equal(cli_err, "mayfly: no identity issued: no rule permits it\n");
	fake_stop(pid);
	char ended[] = "ended", said[] = "leaked";
	w.state = ended;
	w.reason = said;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 1);
	assert_string_equal(cli_err, "mayfly: no identity issued: the job was ended (leaked)\n");
	fake_stop(pid);
	rules[1] = (struct fake_rule) { .m = NULL };

	rules[0] = (struct fake_rule) {
		.m = &mf_cli_fetch_x509_svid, .code = MF_GRPC_UNAVAILABLE, .text = "starting"
	};
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 4);
	assert_err("starting");
	assert_int_equal(cli("svid", "watch", NULL), 4);
	fake_stop(pid);

	/* the certificate is of another SPIFFE ID than the answer says */
	rules[0] = (struct fake_rule) {
		.m = &mf_cli_fetch_x509_svid, .answers = { &answer_bad.base }, .hold = true
	};
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", NULL), 1);
	assert_err("not one of its SPIFFE ID");
	fake_stop(pid);

	/* an agent that says nothing */
	rules[0] = (struct fake_rule) { .m = &mf_cli_fetch_x509_svid, .hold = true };
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "fetch", "--timeout", "100ms", NULL), 4);
	fake_stop(pid);
}

static void
test_svid_watch(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_fetch_x509_svid,
	    .answers = { &answer_one.base, &answer_two.base },
	    .hold = true } };
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "watch", "--count", "2", NULL), 0);
	char *nl = strchr(cli_out, '\n');
	assert_non_null(nl);
	assert_int_equal(strchr(nl + 1, '\n')[1], '\0'); /* two lines */
	assert_non_null(strstr(nl, id1));
	assert_out("serial abcd until ");
	assert_int_equal(cli("svid", "watch", "-n", "1", "-o", "json", NULL), 0);
	struct mf_json *doc = NULL;
	assert_str(item("X509SVIDList", 0, &doc), "spiffe_id", id0);
	mf_json_free(doc);
	fake_stop(pid);

	/* the stream ends: tried again, and the next connection goes on */
	rules[0] = (struct fake_rule) { .m = &mf_cli_fetch_x509_svid,
		.answers = { &answer_one.base },
		.code = MF_GRPC_UNAVAILABLE,
		.text = "the agent is going down" };
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "watch", "--count", "2", NULL), 0);
	assert_err("the agent is going down; trying again");
	fake_stop(pid);

	/* the job ends */
	rules[0].code = MF_GRPC_PERMISSION_DENIED;
	rules[0].text = "no identity issued: the job has ended";
	pid = fake_start("agent", rules);
	assert_int_equal(cli("svid", "watch", NULL), 1);
	assert_err("the job has ended");
	fake_stop(pid);
}

static void
test_watch_interrupted(void **state)
{
	MF_UNUSED(state);
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_fetch_x509_svid, .answers = { &answer_one.base }, .hold = true }
	};
	pid_t pid = fake_start("agent", rules);
	int out[2];
	assert_int_equal(pipe(out), 0);
	(void)fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		char a0[] = "mayfly", a1[] = "svid", a2[] = "watch";
		char *argv[] = { a0, a1, a2, NULL };
		FILE *f = fdopen(out[1], "w");
		_exit(f == NULL ? 99 : mf_cli_main(3, argv, "1", "1", f, stderr));
	}
	(void)close(out[1]);
	char first;
	assert_int_equal(read(out[0], &first, 1), 1); /* it watches */
	assert_int_equal(kill(child, SIGTERM), 0);
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	(void)close(out[0]);
	fake_stop(pid);
}

/* --- bundle --- */

static char bundle_td[] = "spiffe://x.test", bundle_td2[] = "spiffe://y.test", td[] = "x.test";

static void
test_bundle(void **state)
{
	MF_UNUSED(state);
	X509BundlesResponse__BundlesEntry e[2] = { X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT,
		X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT };
	X509BundlesResponse__BundlesEntry *list[] = { &e[0], &e[1] };
	X509BundlesResponse one = X509_BUNDLES_RESPONSE__INIT, two = X509_BUNDLES_RESPONSE__INIT;
	e[0].key = bundle_td;
	e[1].key = bundle_td2;
	e[0].value = e[1].value = (ProtobufCBinaryData) { ca_der.n, ca_der.p };
	one.bundles = two.bundles = list;
	one.n_bundles = 1;
	two.n_bundles = 2;
	Mayfly__Job__V1__GetBundleResponse whole = MAYFLY__JOB__V1__GET_BUNDLE_RESPONSE__INIT;
	static uint8_t text[] = "{\"keys\":[],\"spiffe_refresh_hint\":300}";
	whole.document = (ProtobufCBinaryData) { sizeof(text) - 1, text };
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_fetch_x509_bundles, .answers = { &one.base }, .hold = true },
		{ .m = &mf_cli_job_bundle, .answers = { &whole.base } },
	};
	pid_t pid = fake_start("agent", rules);
	struct mf_json *doc = NULL;
	assert_int_equal(cli("bundle", "show", NULL), 0);
	assert_true(strncmp(cli_out, "-----BEGIN CERTIFICATE-----\n", 28) == 0);
	assert_int_equal(cli("bundle", "show", "-o", "der", NULL), 0);
	assert_memory_equal(cli_out, ca_der.p, ca_der.n);
	assert_int_equal(cli("bundle", "show", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("BundleList", 0, &doc);
	assert_str(v, "trust_domain", "x.test");
	assert_int_equal(cli("bundle", "show", "-o", "spiffe", NULL), 0);
	assert_string_equal(cli_out, "{\"keys\":[],\"spiffe_refresh_hint\":300}\n");
	assert_int_equal(cli("bundle", "show", "-o", "spife", NULL), 2);
	assert_err("jwks or spiffe");
	assert_str(mf_json_at(mf_json_get(v, "certificates"), 0), "serial", "01");
	mf_json_free(doc);
	fake_stop(pid);

	/* bundles of two trust domains never share a file */
	rules[0].answers[0] = &two.base;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("bundle", "show", NULL), 1);
	assert_err("--trust-domain");
	assert_int_equal(cli("bundle", "show", "--trust-domain", "y.test", NULL), 0);
	assert_int_equal(cli("bundle", "show", "--trust-domain", "z.test", NULL), 1);
	assert_int_equal(cli("bundle", "show", "-o", "json", NULL), 0);
	fake_stop(pid);
}

static void
test_bundle_outside(void **state)
{
	MF_UNUSED(state);
	Mayfly__Admin__V1__GetBundleResponse b = MAYFLY__ADMIN__V1__GET_BUNDLE_RESPONSE__INIT;
	b.trust_domain = td;
	b.ca_der = (ProtobufCBinaryData) { ca_der.n, ca_der.p };
	struct fake_rule agent_rules[FAKE_RULES] = { { .m = &mf_cli_fetch_x509_bundles,
	    .code = MF_GRPC_PERMISSION_DENIED,
	    .text = "no identity issued" } };
	struct fake_rule admin_rules[FAKE_RULES] = { { .m = &mf_cli_get_bundle, .answers = { &b.base } } };
	pid_t agent = fake_start("agent", agent_rules);
	assert_int_equal(cli("bundle", "show", NULL), 1);
	assert_err("no identity issued. Outside of a job the broker answers, but:");
	pid_t admin = fake_start("admin", admin_rules);
	assert_int_equal(cli("bundle", "show", NULL), 0);
	assert_out("BEGIN CERTIFICATE");
	fake_stop(agent);
	fake_stop(admin);
}

/* --- whoami, env, doctor --- */

static char s_granted[] = "granted", s_refused[] = "refused", s_pending[] = "pending", s_job[] = "j-abc",
	    s_run[] = "r-abc", s_rule[] = "dev", s_grade[] = "pidfd+cgroup", s_sel[] = "unix.uid:0",
	    s_serial[] = "abcd";

static bool
wants_train(const ProtobufCMessage *req)
{
	const Mayfly__Job__V1__ExplainRequest *q = (const void *)req;
	return strcmp(q->profile, "train") == 0 && strcmp(q->name, "n") == 0 && q->manifest.len == 0;
}

/* A dry run: its exit code is the answer. */
static void
test_why_dry(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__ExplainResponse x = MAYFLY__JOB__V1__EXPLAIN_RESPONSE__INIT;
	struct fake_rule rules[FAKE_RULES] = {
		{ .m = &mf_cli_explain, .answers = { &x.base }, .right = wants_train }
	};
	struct mf_json *doc = NULL;
	x.permit = true;
	x.rule = x.profile = s_rule;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("why", "--profile", "train", "--name", "n", NULL), 0);
	assert_out("Profile    dev\n");
	assert_out("Permitted  yes\n");
	assert_int_equal(cli("why", "-p", "train", "--name", "n", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("Explanation", 0, &doc);
	assert_str(v, "rule", "dev");
	mf_json_free(doc);
	assert_int_equal(cli("why", "--profile", "other", NULL), 1);
	assert_err("wrong request");
	assert_int_equal(cli("why", "--name", "n", NULL), 2);
	assert_err("goes with --profile");
	assert_int_equal(cli("why", "--profile", "train", "--job", "j-1", NULL), 2);
	assert_err("about none yet");
	assert_int_equal(cli("why", "--manifest", "/nowhere/at/all", NULL), 1);
	assert_err("manifest /nowhere/at/all");
	fake_stop(pid);
	x.permit = false;
	x.reason = s_reason;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("why", "--profile", "train", "--name", "n", NULL), 1);
	assert_out("Permitted  no\n");
	assert_out("no rule permits it");
	fake_stop(pid);
}

static void
test_whoami(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__Identity id = MAYFLY__JOB__V1__IDENTITY__INIT;
	Mayfly__Job__V1__Identity *ids[] = { &id };
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT, no = w;
	char *sel[] = { s_sel };
	id.spiffe_id = id0;
	id.hint = hint0;
	id.serial = s_serial;
	id.not_before = now_s - 60;
	id.not_after = now_s + LEFT_S;
	w.state = s_granted;
	w.job_id = s_job;
	w.run_id = s_run;
	w.rule = w.profile = s_rule;
	w.grade = s_grade;
	w.identities = ids;
	w.n_identities = 1;
	w.deadline = now_s + 10 * HOUR_S + 1800;
	w.selectors = sel;
	w.n_selectors = 1;
	w.broker_reachable = 1;
	no.state = s_refused;
	no.reason = s_reason;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_who_am_i, .answers = { &w.base } } };
	pid_t pid = fake_start("agent", rules);
	struct mf_json *doc = NULL;
	assert_int_equal(cli("whoami", NULL), 0);
	assert_out("Job               j-abc\n");
	assert_out("By rule           dev\n");
	assert_out("(10h left)");
	assert_out(id0);
	assert_int_equal(cli("whoami", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("WhoAmI", 0, &doc);
	assert_str(v, "job", "j-abc");
	assert_str(mf_json_at(mf_json_get(v, "identities"), 0), "spiffe_id", id0);
	mf_json_free(doc);
	assert_int_equal(cli("env", NULL), 0);
	assert_out("export SPIFFE_ENDPOINT_SOCKET=unix:///tmp/mayfly-cli-");
	assert_out("export MAYFLY_JOB=j-abc\n");
	assert_out("export MAYFLY_RUN=r-abc\n");
	fake_stop(pid);

	rules[0].answers[0] = &no.base;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("whoami", NULL), 1);
	assert_out("Why not more      no rule permits it\n");
	assert_int_equal(cli("env", NULL), 0);
	assert_err("no rule permits it");
	assert_null(strstr(cli_out, "MAYFLY_JOB"));
	fake_stop(pid);
	no.state = s_pending;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("whoami", NULL), 4);
	fake_stop(pid);
}

/* What was refused last stands there whatever this process is. */
static void
test_why(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	Mayfly__Job__V1__PastRefusal past = MAYFLY__JOB__V1__PAST_REFUSAL__INIT;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_who_am_i, .answers = { &w.base } } };
	struct mf_json *doc = NULL;
	w.state = s_granted;
	w.profile = w.rule = s_rule;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(cli("why", NULL), 0);
	assert_out("By rule");
	assert_null(strstr(cli_out, "last refusal"));
	fake_stop(pid);
	past.at_us = now_s * 1000000;
	past.profile = s_grade;
	past.rule = s_rule;
	past.reason = s_reason;
	w.last_refusal = &past;
	pid = fake_start("agent", rules);
	assert_int_equal(cli("why", NULL), 0);
	assert_out("The last refusal of this user here");
	assert_out("no rule permits it");
	assert_int_equal(cli("why", "-o", "json", NULL), 0);
	const struct mf_json_value *v = item("Why", 0, &doc);
	assert_str(mf_json_get(v, "last_refusal"), "reason", "no rule permits it");
	mf_json_free(doc);
	fake_stop(pid);
}

static void
test_doctor(void **state)
{
	MF_UNUSED(state);
	Mayfly__Job__V1__WhoAmIResponse w = MAYFLY__JOB__V1__WHO_AM_IRESPONSE__INIT;
	Grpc__Health__V1__HealthCheckResponse h = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
	Mayfly__Admin__V1__Status st = MAYFLY__ADMIN__V1__STATUS__INIT;
	w.state = s_granted;
	w.job_id = s_job;
	w.broker_reachable = 1;
	h.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	st.issuing = 1;
	st.ca_not_after = now_s + 90 * 24 * HOUR_S;
	struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_who_am_i, .answers = { &w.base } },
		{ .m = &mf_grpc_health_check, .answers = { &h.base } } };
	struct fake_rule admin_rules[FAKE_RULES] = { { .m = &mf_cli_get_status, .answers = { &st.base } } };
	pid_t pid = fake_start("agent", rules), admin = fake_start("admin", admin_rules);
	int rc = cli("doctor", NULL);
	assert_true(
	    rc == 0 || strstr(cli_out, "fail  kernel.") != NULL || strstr(cli_out, "fail  clock") != NULL);
	assert_out("ok    agent.socket");
	assert_out("ok    agent.health");
	assert_out("ok    agent.broker");
	assert_out("ok    broker.issuing");
	assert_null(strstr(cli_out, "broker.ca"));
	fake_stop(pid);
	fake_stop(admin);

	w.broker_reachable = 0;
	h.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
	st.issuing = 0;
	st.issuing_reason = s_reason;
	st.ca_not_after = now_s + HOUR_S;
	pid = fake_start("agent", rules);
	admin = fake_start("admin", admin_rules);
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/dev", fake_dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(cli("doctor", NULL), 1);
	assert_out("fail  agent.health");
	assert_out("fail  agent.broker");
	assert_out("fail  broker.issuing");
	assert_out("warn  broker.ca");
	assert_out("warn  dev.mode");
	fake_stop(pid);
	fake_stop(admin);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_svid_fetch),
		cmocka_unit_test(test_svid_write),
		cmocka_unit_test(test_svid_write_hint),
		cmocka_unit_test(test_svid_refused),
		cmocka_unit_test(test_svid_watch),
		cmocka_unit_test(test_watch_interrupted),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_bundle_outside),
		cmocka_unit_test(test_whoami),
		cmocka_unit_test(test_why_dry),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_doctor),
	};
	return cmocka_run_group_tests(tests, make_svids, drop_svids);
}
