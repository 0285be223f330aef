/* The frame of `mayfly`: parsing from the table, help, suggestions, tables, JSON, durations, the files of dev. */
#include "broker/policy/policy_load.h"
#include "cli/connect.h"
#include "cli/dev.h"
#include "cli/doctor.h"
#include "cli/show.h"
#include "codec/json.h"
#include "conf/agent_conf.h"
#include "conf/broker_conf.h"
#include "tests/unit/cli_fake.h"

static const char *
str(struct mf_buf *b)
{
	const char *s = mf_buf_cstr(b);
	assert_non_null(s);
	return s;
}

static void
test_durations(void **state)
{
	MF_UNUSED(state);
	static const struct {
		uint64_t s;
		const char *text;
	} cases[] = { { 0, "0s" }, { 59, "59s" }, { 60, "1m" }, { 119, "1m" }, { 3600, "1h" },
		{ 7500, "2h5m" }, { 36000, "10h" }, { 39000, "10h" }, { 86400, "1d" },
		{ 86400 + 3 * 3600, "1d3h" }, { 86400 * 400, "400d" } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_buf b;
		mf_buf_init(&b, 100);
		mf_show_duration(&b, cases[i].s);
		assert_string_equal(str(&b), cases[i].text);
		mf_buf_fini(&b);
	}
	struct mf_now now = { .wall_us = 1000 * 1000000LL };
	struct mf_buf b;
	mf_buf_init(&b, 100);
	mf_show_until(&b, 1090, now);
	assert_string_equal(str(&b), "1970-01-01T00:18:10Z (1m left)");
	mf_buf_reset(&b);
	mf_show_until(&b, 1000, now);
	assert_string_equal(str(&b), "1970-01-01T00:16:40Z (expired)");
	mf_buf_fini(&b);
}

struct row {
	const char *name;
	uint32_t n;
	int yes;
	int64_t when_s, since_us;
	size_t n_tags;
	char **tags;
};

static const struct mf_col cols[] = {
	{ .head = "NAME", .key = "name", .type = MF_COL_STR, .at = offsetof(struct row, name) },
	{ .head = "N", .key = "n", .type = MF_COL_U32, .at = offsetof(struct row, n) },
	{ .head = "YES", .key = "yes", .type = MF_COL_BOOL, .at = offsetof(struct row, yes) },
	{ .head = "LEFT", .key = "when", .type = MF_COL_LEFT_S, .at = offsetof(struct row, when_s) },
	{ .head = "AGE", .key = "since", .type = MF_COL_AGE_US, .at = offsetof(struct row, since_us) },
	{ .head = "TAGS",
	    .key = "tags",
	    .type = MF_COL_STRS,
	    .at = offsetof(struct row, tags),
	    .count = offsetof(struct row, n_tags) },
};

static void
test_table(void **state)
{
	MF_UNUSED(state);
	char t1[] = "a", t2[] = "b";
	char *tags[] = { t1, t2 };
	/* a name that would move the cursor, and one with letters of two bytes */
	struct row rows[] = { { "x\x1b[2J\xc2\x9by", 7, 1, 1090, 940 * 1000000LL, 2, tags },
		{ "f\xc3\xbc\xc3\x9f", 12345, 0, 0, 0, 0, NULL } };
	const void *items[] = { &rows[0], &rows[1] };
	struct mf_now now = { .wall_us = 1000 * 1000000LL };
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, 10000);
	assert_int_equal(mf_show_table(&b, " ", MF_COLS(cols), items, 2, now, &err), MF_OK);
	assert_string_equal(str(&b), " NAME     N      YES  LEFT  AGE  TAGS\n"
				     " x?[2J?y  7      yes  1m    1m   a,b\n"
				     " f\xc3\xbc\xc3\x9f      12345  no   -     -    -\n");
	mf_buf_reset(&b);
	assert_int_equal(mf_show_block(&b, MF_COLS(cols), &rows[1], now, &err), MF_OK);
	assert_string_equal(str(&b), "NAME  f\xc3\xbc\xc3\x9f\nN     12345\nYES   no\n");
	mf_buf_fini(&b);

	/* no room is an error, not a cut table */
	mf_buf_init(&b, 20);
	assert_int_equal(mf_show_table(&b, " ", MF_COLS(cols), items, 2, now, &err), MF_E_TOOBIG);
	mf_buf_fini(&b);
	assert_null(mf_table_new(0));
	assert_null(mf_table_new(1000));
}

static void
test_json(void **state)
{
	MF_UNUSED(state);
	struct row row = { "x\x1b\"y", 7, 1, 1090, 940 * 1000000LL + 5, 0, NULL };
	struct mf_err err = { 0 };
	struct mf_jw w;
	struct mf_buf b;
	mf_buf_init(&b, 10000);
	mf_show_json_begin(&w, &b, "Things");
	mf_jw_object_begin(&w);
	mf_show_object(&w, MF_COLS(cols), &row);
	mf_jw_object_end(&w);
	assert_int_equal(mf_show_json_end(&w, &err), MF_OK);
	assert_string_equal(str(&b),
	    "{\"apiVersion\":\"mayfly/v1\",\"kind\":\"Things\",\"items\":[{\"name\":"
	    "\"x\\u001B\\\"y\",\"n\":7,\"yes\":true,\"when\":\"1970-01-01T00:18:10Z\",\"since\":"
	    "\"1970-01-01T00:15:40.000005Z\",\"tags\":[]}]}\n");
	mf_buf_reset(&b);
	row = (struct row) { .name = "" };
	mf_show_json_begin(&w, &b, "Things");
	mf_jw_object_begin(&w);
	mf_show_object(&w, MF_COLS(cols), &row);
	mf_jw_object_end(&w);
	assert_int_equal(mf_show_json_end(&w, &err), MF_OK);
	assert_non_null(strstr(str(&b), "\"name\":null"));
	assert_non_null(strstr(str(&b), "\"when\":null,\"since\":null"));
	mf_buf_fini(&b);
}

static void
test_export(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	mf_buf_init(&b, 1000);
	mf_show_export(&b, "A", "unix:///tmp/x-1_2.sock");
	mf_show_export(&b, "B", "it's $HOME");
	mf_show_export(&b, "C", "");
	assert_string_equal(
	    str(&b), "export A=unix:///tmp/x-1_2.sock\nexport B='it'\\''s $HOME'\nexport C=\n");
	mf_buf_fini(&b);
}

static void
test_socket_path(void **state)
{
	MF_UNUSED(state);
	assert_string_equal(mf_cli_socket_path("unix:///run/x"), "/run/x");
	assert_string_equal(mf_cli_socket_path("unix:/run/x"), "/run/x");
	assert_string_equal(mf_cli_socket_path("/run/x"), "/run/x");
	static const char *const bad[] = { "", "x", "unix:", "unix://", "unix:///", "unix:x", "unix://host/x",
		"/", "tcp://127.0.0.1:80", "http:///x", "unix:x/y" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		if (mf_cli_socket_path(bad[i]) != NULL)
			fail_msg("taken: %s", bad[i]);
}

static void
test_kernel_older(void **state)
{
	MF_UNUSED(state);
	assert_true(mf_kernel_older("5.13.19-1", 5, 14));
	assert_false(mf_kernel_older("5.14.0-503.el9", 5, 14));
	assert_false(mf_kernel_older("6.1.0-28-amd64", 5, 14));
	assert_true(mf_kernel_older("6.1.0-28-amd64", 6, 5));
	assert_false(mf_kernel_older("6.13", 6, 13));
	assert_false(mf_kernel_older("10.0", 6, 13));
	assert_true(mf_kernel_older("", 5, 14));
	assert_true(mf_kernel_older("x", 5, 14));
}

/* --- the command line --- */

static void
test_usage(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(cli(NULL), 2);
	assert_err("usage: mayfly COMMAND");
	assert_int_equal(cli("jbo", NULL), 2);
	assert_err("unknown command `jbo`; did you mean `job`?");
	assert_int_equal(cli("job", "sho", "x", NULL), 2);
	assert_err("did you mean `job show`?");
	assert_int_equal(cli("nothinglikeit", NULL), 2);
	assert_err("unknown command `nothinglikeit`");
	assert_int_equal(cli("job", NULL), 2);
	assert_err("usage: mayfly job COMMAND");
	assert_int_equal(cli("job", "show", NULL), 2);
	assert_err("J is missing");
	assert_int_equal(cli("job", "show", "a", "b", NULL), 2);
	assert_err("one argument too many: b");
	assert_int_equal(cli("job", "end", "a", "--reson", "b", NULL), 2);
	assert_err("--reson: no such option; did you mean --reason?");
	assert_int_equal(cli("job", "end", "a", "--reason", NULL), 2);
	assert_err("--reason: a value is missing");
	assert_int_equal(cli("job", "ls", "-z", NULL), 2);
	assert_err("-z: no such option");
	assert_int_equal(cli("job", "ls", "--all=yes", NULL), 2);
	assert_err("takes no value");
	assert_int_equal(cli("job", "ls", "-o", "yaml", NULL), 2);
	assert_err("-o yaml: must be table or json");
	assert_int_equal(cli("job", "ls", "--timeout", "5", NULL), 2);
	assert_err("--timeout: must be a duration");
	assert_int_equal(cli("run", NULL), 2);
	assert_int_equal(cli("revoke", NULL), 2);
	assert_err("one of: --job J, --node N, --credential C, --profile P");
	assert_int_equal(cli("revoke", "--job", "a", "--final", NULL), 2);
	assert_err("--final goes with --credential");
	assert_int_equal(cli("revoke", "--job", "a", "--node", "b", NULL), 2);
	assert_int_equal(cli("svid", "fetch", "--with-key", NULL), 2);
	assert_err("--with-key needs -o json");
	assert_int_equal(cli("svid", "watch", "--count", "0", NULL), 2);
	assert_int_equal(cli("bundle", "show", "-o", "x", NULL), 2);
	assert_int_equal(cli("node", "token", "--uses", "0", NULL), 2);
	assert_int_equal(cli("node", "token", "--ttl", "1ms", NULL), 2);
	assert_int_equal(cli("node", "token", "--attribute", "k", NULL), 2);
	assert_int_equal(cli("node", "token", "--attribute", "=v", NULL), 2);
	assert_int_equal(cli("node", "token", "--attribute", "k=", NULL), 2);
}

static void
test_help(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(cli("--help", NULL), 0);
	for (size_t i = 0; i < mf_cli_verb_count; i++) {
		const struct mf_cli_verb *v = &mf_cli_verbs[i];
		char word[64];
		(void)snprintf(word, sizeof(word), "  %s%s%s", v->group == NULL ? "" : v->group,
		    v->group == NULL ? "" : " ", v->name);
		assert_int_equal(cli("help", NULL), 0);
		assert_out(word);
		/* each row is whole */
		assert_non_null(v->run);
		assert_true(v->help[0] != '\0' && v->help[strlen(v->help) - 1] != '.');
		assert_true(v->max_args < 0 || v->max_args >= v->min_args);
		struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
		size_t n = mf_cli_declared(v, d);
		for (size_t k = 0; k < n; k++)
			for (size_t m = 0; m < k; m++) {
				assert_string_not_equal(d[k].name, d[m].name);
				assert_true(d[k].letter == '\0' || d[k].letter != d[m].letter);
			}
		if ((v->flags & MF_CLI_RAW) != 0)
			continue;
		assert_int_equal(
		    v->group == NULL ? cli(v->name, "--help", NULL) : cli(v->group, v->name, "-h", NULL), 0);
		assert_out("usage: mayfly ");
		assert_out(v->help + 1);
	}
	assert_int_equal(cli("job", "--help", NULL), 0);
	assert_out("job show J");
	assert_int_equal(cli("help", "job", "end", NULL), 0);
	assert_out("usage: mayfly job end [OPTIONS] J");
	assert_int_equal(cli("help", "nosuch", NULL), 2);
	assert_int_equal(cli("--version", NULL), 0);
	assert_string_equal(cli_out, "mayfly 9.9.9 (build 9.9.9+test)\nSPIFFE specifications 665a28f\n");
}

/* The reference and the man page know every command and option of the table. */
static void
test_docs(void **state)
{
	MF_UNUSED(state);
	static const char *const files[] = { "docs/reference/cli.md", "docs/man/mayfly.1" };
	for (size_t f = 0; f < MF_COUNT(files); f++) {
		char *text = calloc(1, 256 * 1024);
		FILE *in = fopen(files[f], "r");
		assert_true(in != NULL && text != NULL);
		size_t size = fread(text, 1, 256 * 1024 - 1, in);
		(void)fclose(in);
		/* in man pages a hyphen that is to be typed is written \- */
		size_t to = 0;
		for (size_t i = 0; i < size; i++)
			if (text[i] != '\\')
				text[to++] = text[i];
		text[to] = '\0';
		for (size_t i = 0; i < mf_cli_verb_count; i++) {
			const struct mf_cli_verb *v = &mf_cli_verbs[i];
			struct mf_cli_opt d[MF_CLI_DECLARED_MAX + 1];
			char word[64];
			(void)snprintf(word, sizeof(word), "mayfly %s%s%s", v->group == NULL ? "" : v->group,
			    v->group == NULL ? "" : " ", v->name);
			if (strstr(text, word) == NULL)
				fail_msg("%s does not know `%s`", files[f], word);
			size_t n = mf_cli_declared(v, d);
			for (size_t k = 0; k < n; k++) {
				(void)snprintf(word, sizeof(word), "--%s", d[k].name);
				if (strstr(text, word) == NULL)
					fail_msg("%s does not know %s", files[f], word);
			}
		}
		free(text);
	}
}

static void
test_unreachable(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(cli("whoami", NULL), 4);
	assert_err("SPIFFE_ENDPOINT_SOCKET");
	assert_int_equal(cli("svid", "fetch", NULL), 4);
	assert_int_equal(cli("svid", "watch", NULL), 4);
	assert_int_equal(cli("env", NULL), 4);
	assert_int_equal(cli("bundle", "show", NULL), 4);
	assert_err("Outside of a job the broker answers");
	assert_int_equal(cli("job", "ls", NULL), 4);
	assert_err("MAYFLY_ADMIN_SOCKET");
	assert_int_equal(cli("job", "show", "x", NULL), 4);
	assert_int_equal(cli("job", "end", "x", NULL), 4);
	assert_int_equal(cli("node", "ls", NULL), 4);
	assert_int_equal(cli("node", "token", NULL), 4);
	assert_int_equal(cli("credential", "ls", NULL), 4);
	assert_int_equal(cli("revoke", "--job", "x", NULL), 4);
	assert_int_equal(cli("status", NULL), 4);
	assert_int_equal(cli("run", "--profile", "x", "--", "true", NULL), 125);
	assert_int_equal(cli("run", "--manifest", "/nonexistent/m.json", "--", "true", NULL), 125);
	assert_err("/nonexistent/m.json");
	assert_int_equal(cli("whoami", "--socket", "tcp://127.0.0.1:1", NULL), 1);
	assert_err("--socket is no Unix socket");
	(void)setenv("MAYFLY_ADMIN_SOCKET", "relative", 1);
	assert_int_equal(cli("status", NULL), 1);
	assert_err("MAYFLY_ADMIN_SOCKET is no Unix socket");
	(void)setenv("MAYFLY_ADMIN_SOCKET", fake_path("admin"), 1);
}

static void
test_doctor_alone(void **state)
{
	MF_UNUSED(state);
	struct mf_json *doc = NULL;
	assert_int_equal(cli("doctor", NULL), 1);
	assert_out("fail  agent.socket");
	assert_out("cure: ");
	assert_out("kernel.version");
	assert_int_equal(cli("doctor", "-o", "json", NULL), 1);
	assert_int_equal(mf_json_parse(mf_slice_str(cli_out), 0, &doc, NULL), MF_OK);
	mf_json_free(doc);
	assert_out("\"level\":\"fail\",\"code\":\"agent.socket\",\"cause\":\"");
}

/* --- mayfly dev --- */

/* What dev writes is what the daemons read. */
static void
test_dev_files(void **state)
{
	MF_UNUSED(state);
	struct mf_dev_files f = { .dir = "/tmp/with \"quotes\"",
		.trust_domain = "dev.mayfly.test",
		.policy = "/tmp/with \"quotes\"/policy.yaml",
		.ports = { 20001, 20002, 20003 },
		.more_broker = "foreign_bundles: [{trust_domain: a.example, file: /a.json}]\n" };
	char *none[] = { NULL };
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_dev_put_broker(&b, &f, 1000);
	struct mf_problems *p = mf_problems_new("broker.yaml");
	struct mf_broker_conf *bc = NULL;
	if (mf_broker_conf_load(mf_buf_slice(&b), none, none, NULL, p, &bc, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(bc->admin_socket, "/tmp/with \"quotes\"/run/admin.sock");
	assert_string_equal(bc->listen, "127.0.0.1:20001");
	assert_string_equal(bc->trust_domain, "dev.mayfly.test");
	assert_int_equal(bc->admin_uids.n, 1);
	assert_int_equal(bc->admin_uids.v[0], 1000);
	assert_string_equal(bc->admin_group, "");
	assert_int_equal(bc->foreign.n, 1);
	mf_broker_conf_free(bc);
	mf_problems_free(p);

	mf_buf_reset(&b);
	mf_dev_put_agent(&b, &f);
	p = mf_problems_new("agent.yaml");
	struct mf_agent_conf *ac = NULL;
	if (mf_agent_conf_load(mf_buf_slice(&b), none, none, NULL, p, &ac, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_string_equal(ac->socket, "/tmp/with \"quotes\"/run/agent.sock");
	assert_string_equal(ac->broker, "127.0.0.1:20001");
	mf_agent_conf_free(ac);
	mf_problems_free(p);
	mf_buf_fini(&b);
}

static bool
permits(const struct mf_policy *p, const char *const *selectors, size_t n)
{
	struct mf_facts *facts = NULL;
	struct mf_decision d;
	assert_int_equal(mf_facts_new(&facts, NULL), MF_OK);
	for (size_t i = 0; i < n; i++) {
		const char *colon = strchr(selectors[i], ':');
		char name[128];
		(void)snprintf(name, sizeof(name), "%.*s", (int)(colon - selectors[i]), selectors[i]);
		assert_int_equal(
		    mf_facts_add(facts, MF_FACT_ATTESTED, mf_slice_str(name), mf_slice_str(colon + 1), NULL),
		    MF_OK);
	}
	mf_facts_seal(facts);
	struct mf_policy_request req = {
		.profile = MF_SLICE_LIT("dev"), .facts = facts, .wall_s = 1800000000
	};
	mf_policy_decide(p, &req, &d);
	mf_facts_free(facts);
	return d.permit;
}

/* The policy of dev: any job of the user, no mere process, nobody else. */
static void
test_dev_policy(void **state)
{
	MF_UNUSED(state);
	static const char *const run[] = { "unix.uid:1000", "mayfly.run:x", "interactive:true" };
	static const char *const service[] = { "unix.uid:1000", "cgroup.id:7" };
	static const char *const shell[] = { "unix.uid:1000", "cgroup.id:7", "process.exe:/bin/sh" };
	static const char *const other[] = { "unix.uid:1001", "mayfly.run:x" };
	struct mf_policy *p = NULL;
	struct mf_err err = { 0 };
	struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_dev_put_policy(&b, 1000);
	struct mf_problems *problems = mf_problems_new("policy.yaml");
	if (mf_policy_load(mf_buf_slice(&b), problems, &p, &err) != MF_OK)
		fail_msg("%s", err.msg);
	assert_true(permits(p, run, MF_COUNT(run)));
	assert_true(permits(p, service, MF_COUNT(service)));
	assert_false(permits(p, shell, MF_COUNT(shell)));
	assert_false(permits(p, other, MF_COUNT(other)));
	mf_policy_free(p);
	mf_problems_free(problems);
	mf_buf_fini(&b);
}

static void
test_dev_directory(void **state)
{
	MF_UNUSED(state);
	struct mf_dev_files f = { .dirfd = -1, .lock_fd = -1, .trust_domain = "x.test" };
	struct mf_dev_files g = { .dirfd = -1, .lock_fd = -1 };
	struct mf_err err = { 0 };
	char dir[128];
	(void)snprintf(dir, sizeof(dir), "%s/dev", fake_dir);
	assert_int_equal(mf_dev_files_open(&f, dir, &err), MF_OK);
	assert_false(f.throw_away);
	/* one at a time */
	assert_int_equal(mf_dev_files_open(&g, dir, &err), MF_E_EXISTS);
	mf_dev_files_close(&g, true);
	assert_int_equal(mf_dev_files_ports(&f, &err), MF_OK);
	struct mf_dev_ports first = f.ports;
	assert_true(first.agents >= 20000 && first.agents < 32768 && first.agents != first.broker_metrics);
	assert_int_equal(mf_dev_files_write(&f, NULL, &err), MF_OK);
	assert_false(mf_dev_files_joined(&f));
	assert_false(mf_dev_files_made(&f));
	mf_dev_files_close(&f, true); /* not ours to remove */
	/* again: the same ports */
	f = (struct mf_dev_files) { .dirfd = -1, .lock_fd = -1, .trust_domain = "x.test" };
	assert_int_equal(mf_dev_files_open(&f, dir, &err), MF_OK);
	assert_int_equal(mf_dev_files_ports(&f, &err), MF_OK);
	assert_memory_equal(&first, &f.ports, sizeof(first));
	assert_int_equal(mf_dev_files_write(&f, "/nonexistent/policy.yaml", &err), MF_E_NOTFOUND);
	mf_dev_files_close(&f, true);

	/* an operator's state is left alone */
	(void)snprintf(dir, sizeof(dir), "%s/real", fake_dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	(void)snprintf(dir, sizeof(dir), "%s/real/broker", fake_dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	(void)snprintf(dir, sizeof(dir), "%s/real", fake_dir);
	f = (struct mf_dev_files) { .dirfd = -1, .lock_fd = -1 };
	assert_int_equal(mf_dev_files_open(&f, dir, &err), MF_E_EXISTS);
	mf_dev_files_close(&f, true);

	/* a directory of our own goes away */
	(void)setenv("TMPDIR", fake_dir, 1);
	f = (struct mf_dev_files) { .dirfd = -1, .lock_fd = -1 };
	assert_int_equal(mf_dev_files_open(&f, NULL, &err), MF_OK);
	assert_int_equal(access(f.dir, F_OK), 0);
	mf_dev_files_close(&f, true);
	assert_int_not_equal(access(f.dir, F_OK), 0);
	/* and one whose sockets could have no name is refused */
	char deep[200];
	memset(deep, 'x', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	memcpy(deep, "/tmp/mf-", 8);
	f = (struct mf_dev_files) { .dirfd = -1, .lock_fd = -1 };
	assert_int_equal(mf_dev_files_open(&f, deep, &err), MF_E_TOOBIG);
	mf_dev_files_close(&f, false);
	(void)rmdir(deep);
	(void)unsetenv("TMPDIR");
}

static void
test_dev_refuses(void **state)
{
	MF_UNUSED(state);
	char dir[128];
	(void)snprintf(dir, sizeof(dir), "%s/dev2", fake_dir);
	assert_int_equal(cli("dev", "--state", dir, "--quiet", "--broker", "listen=0.0.0.0:1", NULL), 1);
	assert_err("stays on loopback");
	assert_int_equal(cli("dev", "--state", dir, "--quiet", "--broker", "nonsense", NULL), 1);
	assert_err("must be KEY=VALUE");
	assert_int_equal(cli("dev", "--state", dir, "--policy", "/nonexistent", NULL), 1);
	assert_err("/nonexistent");
	assert_string_equal(cli_out, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_socket_path),
		cmocka_unit_test(test_kernel_older),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_docs),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_doctor_alone),
		cmocka_unit_test(test_dev_files),
		cmocka_unit_test(test_dev_policy),
		cmocka_unit_test(test_dev_directory),
		cmocka_unit_test(test_dev_refuses),
	};
	return cmocka_run_group_tests(tests, fake_setup, fake_teardown);
}
