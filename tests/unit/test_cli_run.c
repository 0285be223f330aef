/* `mayfly run` against a fake agent: placements, refusals, exit codes, signals, what the job finds. */
#include <fcntl.h>

#include "job.pb-c.h"
#include "tests/unit/cli_fake.h"

static Mayfly__Job__V1__Placement placement;
static char cgroup[128] = "/nonexistent/cgroup", job_id[] = "j-run", run_id[] = "r-run",
	    key[] = "local/n/b/p-1", none[] = "", why[] = "no cgroup may be made", denied[] = "denied",
	    no_rule[] = "no rule permits it", operator_[] = "operator";
static bool cloud, weak, refuse, silent, end_at_once, lose;
static struct mf_grpc_call *ends_later; /* the job is ended once DIR/up is there */

typedef Mayfly__Job__V1__StartEvent event;

static void
tell(struct mf_grpc_call *c, event *e)
{
	if (mf_grpc_send(c, &e->base, NULL) != MF_OK)
		abort();
}

/* --- cloud grants --- */

static char data_name[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI", data_uri[] = "http://127.1.2.3:9/v1/aws/data",
	    secret_name[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", secret_file[] = "secret",
	    token_name[] = "MAYFLY_TOKEN_FILE_API", token_file[] = "token-api", api[] = "api",
	    gone[] = "AWS_ACCESS_KEY_ID", body1[] = "first", body2[] = "second", secret[] = "cg-1.abc",
	    leaked[] = "revoked by alice: leaked";

static void
grant_with_cloud(struct mf_grpc_call *c, event *e)
{
	Mayfly__Job__V1__CloudEnvironment env = MAYFLY__JOB__V1__CLOUD_ENVIRONMENT__INIT;
	Mayfly__Job__V1__EnvVariable v[3], *set[3];
	Mayfly__Job__V1__CloudFile f[2], *files[2];
	char *unset[] = { gone };
	for (size_t k = 0; k < 3; k++) {
		v[k] = (Mayfly__Job__V1__EnvVariable)MAYFLY__JOB__V1__ENV_VARIABLE__INIT;
		set[k] = &v[k];
	}
	v[0].name = data_name;
	v[0].value = data_uri;
	v[1].name = secret_name;
	v[1].file = secret_file;
	v[2].name = token_name;
	v[2].file = token_file;
	for (size_t k = 0; k < 2; k++) {
		f[k] = (Mayfly__Job__V1__CloudFile)MAYFLY__JOB__V1__CLOUD_FILE__INIT;
		files[k] = &f[k];
	}
	f[0].name = secret_file;
	f[0].body = (ProtobufCBinaryData) { strlen(secret), (uint8_t *)secret };
	f[1].name = token_file; /* its token comes later */
	f[1].grant = api;
	env.set = set;
	env.n_set = 3;
	env.unset = unset;
	env.n_unset = 1;
	env.files = files;
	env.n_files = 2;
	e->granted->cloud = &env;
	tell(c, e);
}

static void
tell_cloud(struct mf_grpc_call *c, char *body)
{
	event e = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__CloudNews n = MAYFLY__JOB__V1__CLOUD_NEWS__INIT;
	n.grant = api;
	n.file = token_file;
	n.ended = body == NULL;
	n.reason = body == NULL ? leaked : none;
	n.body = (ProtobufCBinaryData) { body == NULL ? 0 : strlen(body), (uint8_t *)body };
	e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_CLOUD_NEWS;
	e.cloud_news = &n;
	tell(c, &e);
}

/* One word for each file that the job makes. */
static void
news_when_up(void)
{
	static int said;
	static const char *const when[] = { "up", "up2" };
	if (ends_later == NULL || said == 2 || access(fake_path(when[said]), F_OK) != 0)
		return;
	tell_cloud(ends_later, said == 0 ? body2 : NULL);
	said++;
}

static void
grant(struct mf_grpc_call *c)
{
	event e = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Granted g = MAYFLY__JOB__V1__GRANTED__INIT;
	Mayfly__Job__V1__Refused r = MAYFLY__JOB__V1__REFUSED__INIT;
	Mayfly__Job__V1__Ended d = MAYFLY__JOB__V1__ENDED__INIT;
	g.job_id = job_id;
	e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED;
	g.run_id = run_id;
	e.granted = &g;
	if (refuse) {
		r.code = denied;
		r.reason = no_rule;
		e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_REFUSED;
		e.refused = &r;
	}
	if (cloud) {
		grant_with_cloud(c, &e);
		tell_cloud(c, body1);
	} else {
		tell(c, &e);
	}
	if (fake_tick != NULL) {
		ends_later = c;
	} else if (end_at_once) {
		d.cause = operator_;
		e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_ENDED;
		e.ended = &d;
		tell(c, &e);
	}
}

static void
end_when_up(void)
{
	event e = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Ended d = MAYFLY__JOB__V1__ENDED__INIT;
	if (ends_later == NULL || access(fake_path("up"), F_OK) != 0)
		return;
	struct mf_grpc_call *c = ends_later;
	ends_later = NULL;
	if (lose) {
		mf_grpc_finish(c, MF_GRPC_UNAVAILABLE, "the agent is going down");
		return;
	}
	d.cause = operator_;
	e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_ENDED;
	e.ended = &d;
	tell(c, &e);
	mf_grpc_finish(c, MF_GRPC_OK, NULL);
}

static void
start(struct mf_grpc_call *c, const ProtobufCMessage *msg)
{
	const Mayfly__Job__V1__StartRequest *m = (const void *)msg;
	event e = MAYFLY__JOB__V1__START_EVENT__INIT;
	Mayfly__Job__V1__Created made = MAYFLY__JOB__V1__CREATED__INIT;
	Mayfly__Job__V1__Placed placed = MAYFLY__JOB__V1__PLACED__INIT;
	char comm[64], name[64] = "";
	FILE *f;
	switch (m->body_case) {
	case MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC:
		if (strcmp(m->spec->profile, "train") != 0 || strcmp(m->spec->name, "nightly") != 0 ||
		    m->spec->manifest.len != 3) {
			mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "wrong spec");
			return;
		}
		if (silent) {
			ends_later = c;
			return;
		}
		made.placement = placement;
		made.cgroup_path = cgroup;
		made.instance_key = key;
		made.weak = weak;
		made.reason = weak ? why : none;
		e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_CREATED;
		e.created = &made;
		tell(c, &e);
		if (placement == MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_INSIDE)
			grant(c);
		return;
	case MAYFLY__JOB__V1__START_REQUEST__BODY_PLACE:
		/* the child exists, and is not the job's program yet */
		(void)snprintf(comm, sizeof(comm), "/proc/%d/comm", m->place->pid);
		f = fopen(comm, "r");
		if (f == NULL || fgets(name, sizeof(name), f) == NULL || strstr(name, "unit_test") == NULL) {
			mf_grpc_finish(c, MF_GRPC_FAILED_PRECONDITION, "not our child");
			return;
		}
		(void)fclose(f);
		e.body_case = MAYFLY__JOB__V1__START_EVENT__BODY_PLACED;
		e.placed = &placed;
		tell(c, &e);
		grant(c);
		return;
	default:
		return;
	}
}

static struct fake_rule rules[FAKE_RULES] = { { .m = &mf_cli_job_start, .own = start } };

static const char *
manifest(void)
{
	static char path[128];
	(void)snprintf(path, sizeof(path), "%s/m.json", fake_dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs("{}\n", f) < 0, 0);
	assert_int_equal(fclose(f), 0);
	return path;
}

/*
 * `mayfly run ... -- sh -c ${script} DIR` in a process of its own, which has no children but the job's: a subreaper
 * waits for all that it has. Its stderr is DIR/stderr, as soon as it is written.
 */
static pid_t
sh_start(const char *script)
{
	char words[][16] = { "mayfly", "run", "--profile", "train", "--name", "nightly", "--manifest", "--",
		"sh", "-c" };
	char *argv[14], *copy = strdup(script), *m = strdup(manifest());
	int argc = 0;
	assert_true(copy != NULL && m != NULL);
	for (size_t i = 0; i < MF_COUNT(words); i++) {
		argv[argc++] = words[i];
		if (i == 6)
			argv[argc++] = m;
	}
	argv[argc++] = copy;
	argv[argc++] = fake_dir;
	argv[argc] = NULL;
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		FILE *f = fopen(fake_path("stderr"), "we");
		if (f == NULL || setvbuf(f, NULL, _IONBF, 0) != 0)
			_exit(99);
		_exit(mf_cli_main(argc, argv, "9", "9", stdout, f));
	}
	free(copy);
	free(m);
	return pid;
}

/* Its exit code; its stderr is in cli_err. */
static int
sh_wait(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	free(cli_err);
	free(cli_out);
	cli_err = calloc(1, 4096);
	cli_out = calloc(1, 1);
	FILE *f = fopen(fake_path("stderr"), "r");
	assert_true(f != NULL && cli_err != NULL && cli_out != NULL);
	assert_true(fread(cli_err, 1, 4095, f) < 4095);
	(void)fclose(f);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
sh(const char *script)
{
	return sh_wait(sh_start(script));
}

static char *
job_said(void)
{
	static char text[1024];
	FILE *f = fopen(fake_path("said"), "r");
	assert_non_null(f);
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	(void)unlink(fake_path("said"));
	return text;
}

static int
reset(void **state)
{
	MF_UNUSED(state);
	placement = MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_INSIDE;
	cloud = weak = refuse = silent = end_at_once = lose = false;
	fake_tick = NULL;
	return 0;
}

static void
test_environment(void **state)
{
	MF_UNUSED(state);
	char want[256];
	(void)snprintf(want, sizeof(want), "j-run r-run unix://%s\n", fake_path("agent"));
	for (int p = 1; p <= 3; p++) {
		/* CGROUP without one that we may be born in: the agent moves the child */
		placement = (Mayfly__Job__V1__Placement)p;
		pid_t pid = fake_start("agent", rules);
		assert_int_equal(
		    sh("echo \"$MAYFLY_JOB $MAYFLY_RUN $SPIFFE_ENDPOINT_SOCKET\" >$0/said; exit 7"), 7);
		assert_string_equal(job_said(), want);
		assert_string_equal(cli_err, "");
		fake_stop(pid);
	}
}

/* The job inherits no descriptor of ours, and signals as we were given them. */
static void
test_descriptors(void **state)
{
	MF_UNUSED(state);
	char cmd[256], want[256];
	pid_t pid = fake_start("agent", rules);
	(void)snprintf(cmd, sizeof(cmd),
	    "(ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Cgt)' /proc/self/status) >%s", fake_path("said"));
	assert_int_equal(system(cmd), 0);
	(void)snprintf(want, sizeof(want), "%s", job_said());
	assert_int_equal(
	    sh("(ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Cgt)' /proc/self/status) >$0/said"), 0);
	assert_string_equal(job_said(), want);
	fake_stop(pid);
}

static void
test_exit_codes(void **state)
{
	MF_UNUSED(state);
	pid_t pid = fake_start("agent", rules);
	const char *m = manifest();
	assert_int_equal(sh("exit 0"), 0);
	assert_int_equal(sh("exit 255"), 255);
	assert_int_equal(sh("kill -9 $$"), 137);
	assert_int_equal(cli("run", "--profile", "train", "--name", "nightly", "--manifest", m, "--",
			     "/nonexistent/x", NULL),
	    127);
	assert_err("/nonexistent/x: No such file");
	assert_int_equal(
	    cli("run", "--profile", "train", "--name", "nightly", "--manifest", m, "--", m, NULL), 126);
	assert_err("Permission denied");
	/* the agent did not like it */
	assert_int_equal(cli("run", "--profile", "other", "--", "true", NULL), 125);
	assert_err("wrong spec");
	fake_stop(pid);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	refuse = true;
	for (int p = 1; p <= 3; p++) {
		placement = (Mayfly__Job__V1__Placement)p;
		pid_t pid = fake_start("agent", rules);
		assert_int_equal(sh("touch $0/ran"), 125);
		assert_err("no identity issued (denied): no rule permits it");
		assert_int_not_equal(access(fake_path("ran"), F_OK), 0);
		fake_stop(pid);
	}
	/* no answer */
	refuse = false;
	silent = true;
	pid_t pid = fake_start("agent", rules);
	const char *m = manifest();
	assert_int_equal(cli("run", "--profile", "train", "--name", "nightly", "--manifest", m, "--timeout",
			     "200ms", "--", "true", NULL),
	    125);
	assert_err("did not grant an identity in time");
	fake_stop(pid);
	/* a manifest that is too long to be one */
	FILE *f = fopen(m, "w");
	assert_non_null(f);
	for (int i = 0; i < 40000; i++)
		(void)fputc('x', f);
	(void)fclose(f);
	assert_int_equal(cli("run", "--manifest", m, "--", "true", NULL), 125);
	assert_err("longer than 32768 bytes");
}

static void
test_weak_and_ended(void **state)
{
	MF_UNUSED(state);
	/* ended before it began: nothing runs */
	end_at_once = true;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(sh("touch $0/ran"), 125);
	assert_err("the job was ended before it began: operator");
	assert_int_not_equal(access(fake_path("ran"), F_OK), 0);
	fake_stop(pid);

	/* ended while it runs: it is told */
	end_at_once = false;
	weak = true;
	fake_tick = end_when_up;
	pid = fake_start("agent", rules);
	assert_int_equal(
	    sh("touch $0/up; until grep -q 'was ended' $0/stderr; do sleep 0.02; done; exit 3"), 3);
	assert_err("weaker evidence about this job: no cgroup may be made");
	assert_err("job j-run was ended (operator): the command goes on without an identity");
	fake_stop(pid);
	(void)unlink(fake_path("up"));

	/* an agent that goes away ends nothing */
	weak = false;
	lose = true;
	pid = fake_start("agent", rules);
	assert_int_equal(
	    sh("touch $0/up; until grep -q 'is away' $0/stderr; do sleep 0.02; done; exit 4"), 4);
	assert_err("the agent is away (the agent is going down); the job goes on");
	fake_stop(pid);
	(void)unlink(fake_path("up"));
}

/* The job's files: there before it starts, private, without a newline, replaced, and gone with it. */
static void
test_cloud(void **state)
{
	MF_UNUSED(state);
	char dir[256] = "";
	cloud = true;
	fake_tick = news_when_up;
	assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEUSER", 1), 0);
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(
	    sh("d=$(dirname $MAYFLY_TOKEN_FILE_API); "
	       "echo \"$AWS_CONTAINER_CREDENTIALS_FULL_URI $(cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) "
	       "$(cat $MAYFLY_TOKEN_FILE_API) ${AWS_ACCESS_KEY_ID-unset} $(stat -c %a $d $d/*) "
	       "$(wc -c <$MAYFLY_TOKEN_FILE_API) $(stat -f -c %T $d)\" | tr '\\n' ' ' >$0/said; touch $0/up; "
	       "until [ \"$(cat $MAYFLY_TOKEN_FILE_API)\" = second ]; do sleep 0.02; done; touch $0/up2; "
	       "until grep -q leaked $0/stderr; do sleep 0.02; done; "
	       "[ ! -e $MAYFLY_TOKEN_FILE_API ] || exit 9; echo $d >$0/dir; exit 6"),
	    6);
	assert_string_equal(
	    job_said(), "http://127.1.2.3:9/v1/aws/data cg-1.abc first unset 700 400 400 5 tmpfs ");
	assert_err("cloud grant api is over: revoked by alice: leaked");
	FILE *f = fopen(fake_path("dir"), "r");
	assert_true(f != NULL && fgets(dir, sizeof(dir), f) != NULL);
	(void)fclose(f);
	dir[strcspn(dir, "\n")] = '\0';
	assert_int_equal(strncmp(dir, "/", 1), 0);
	assert_int_not_equal(access(dir, F_OK), 0);
	fake_stop(pid);
	(void)unlink(fake_path("up"));
	(void)unlink(fake_path("up2"));
	(void)unlink(fake_path("dir"));
	assert_int_equal(unsetenv("AWS_ACCESS_KEY_ID"), 0);
}

/* A subreaper waits for what the command leaves behind: the job ends with its last process. */
static void
test_tree(void **state)
{
	MF_UNUSED(state);
	placement = MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_SUBREAPER;
	pid_t pid = fake_start("agent", rules);
	assert_int_equal(sh("(sleep 0.5; echo late >$0/said) & exit 5"), 5);
	assert_string_equal(job_said(), "late\n");
	assert_err("waiting for processes that it left behind");
	fake_stop(pid);
	/* in a cgroup the job goes on without its runner */
	placement = MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_CGROUP;
	pid = fake_start("agent", rules);
	assert_int_equal(sh("sleep 1 >/dev/null 2>&1 & exit 5"), 5);
	fake_stop(pid);
}

static void
test_signals(void **state)
{
	MF_UNUSED(state);
	pid_t agent = fake_start("agent", rules);
	static const int sigs[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP };
	for (size_t i = 0; i < MF_COUNT(sigs); i++) {
		(void)unlink(fake_path("up"));
		pid_t runner = sh_start("trap 'echo got >$0/said; exit 9' TERM INT USR1 HUP; echo >$0/up; "
					"while :; do sleep 0.05; done");
		while (access(fake_path("up"), F_OK) != 0)
			(void)usleep(10000);
		assert_int_equal(kill(runner, sigs[i]), 0);
		assert_int_equal(sh_wait(runner), 9);
		assert_string_equal(job_said(), "got\n");
	}
	fake_stop(agent);
}

static void
on_spec(void)
{
	/* the runner waits: its request was seen */
	if (ends_later != NULL)
		(void)close(open(fake_path("up"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* Before the command runs, a signal ends the wait. */
static void
test_interrupted(void **state)
{
	MF_UNUSED(state);
	(void)unlink(fake_path("up"));
	silent = true;
	fake_tick = on_spec;
	pid_t agent = fake_start("agent", rules);
	pid_t runner = sh_start("touch $0/ran");
	while (access(fake_path("up"), F_OK) != 0)
		(void)usleep(10000);
	assert_int_equal(kill(runner, SIGTERM), 0);
	assert_int_equal(sh_wait(runner), 143);
	assert_err("interrupted before the command was started");
	assert_int_not_equal(access(fake_path("ran"), F_OK), 0);
	fake_stop(agent);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_environment, reset),
		cmocka_unit_test_setup(test_descriptors, reset),
		cmocka_unit_test_setup(test_exit_codes, reset),
		cmocka_unit_test_setup(test_refused, reset),
		cmocka_unit_test_setup(test_weak_and_ended, reset),
		cmocka_unit_test_setup(test_cloud, reset),
		cmocka_unit_test_setup(test_tree, reset),
		cmocka_unit_test_setup(test_signals, reset),
		cmocka_unit_test_setup(test_interrupted, reset),
	};
	return cmocka_run_group_tests(tests, fake_setup, fake_teardown);
}
