/* mayfly-policy as people run it: files in, exit codes and texts out; rules printed and read back mean the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/policy/policy_load.h"
#include "cli/policy/tool.h"
#include "log/io.h"

#define ARGS 12

static char dir[64];
static struct mf_buf out, errs;

static void
put(const char *name, const char *text)
{
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	assert_int_equal(fclose(f), 0);
}

static void
slurp(const char *name, struct mf_buf *to)
{
	mf_buf_reset(to);
	assert_int_equal(mf_log_io_load(mf_log_io_system(), AT_FDCWD, name, to, NULL), MF_OK);
	assert_non_null(mf_buf_cstr(to));
}

/* The program in a child, in the scratch directory: its exit code. */
static int
run(const char *first, ...)
{
	static char word[ARGS][256];
	char *argv[ARGS + 1], name[] = "mayfly-policy";
	int argc = 1, status = 0;
	va_list ap;
	va_start(ap, first);
	argv[0] = name;
	for (const char *a = first; a != NULL && argc < ARGS; a = va_arg(ap, const char *)) {
		(void)snprintf(word[argc], sizeof(word[0]), "%s", a);
		argv[argc] = word[argc];
		argc++;
	}
	va_end(ap);
	argv[argc] = NULL;
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (chdir(dir) != 0 || freopen("out", "w", stdout) == NULL ||
		    freopen("err", "w", stderr) == NULL)
			_exit(99);
		(void)unsetenv("MAYFLY_STATE");
		(void)unsetenv("MAYFLY_POLICY");
		int rc = mf_tool_main(argc, argv);
		(void)fflush(NULL);
		_exit(rc);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/out", dir);
	slurp(path, &out);
	(void)snprintf(path, sizeof(path), "%s/err", dir);
	slurp(path, &errs);
	return WEXITSTATUS(status);
}

static void
says(const struct mf_buf *where, const char *text)
{
	if (strstr((const char *)where->p, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, (const char *)where->p);
}

#define PROFILES                                                                                             \
	"mayfly_policy: 1\nprofiles:\n  dev: {purpose: p, owner: o, identities: [{path: \"/d/{job}\"}]}\n  " \
	"prod: {purpose: "                                                                                   \
	"p, owner: o, identities: [{path: \"/p/{job}\"}]}\nrules:\n"
#define RULE(id, profile, pool, when)                      \
	"- {id: " id ", effect: permit, profile: " profile \
	", owner: o, review_by: 2099-01-01, nodes: {in: [node.pool, [" pool "]]}, when: " when "}\n"

static const char good[] = PROFILES RULE("d", "dev", "a, b", "{eq: [manifest.env, dev]}") RULE("p", "prod",
    "b", "{all: [{eq: [manifest.env, prod]}, {every: [manifest.dataset, {under: [uri, s3://r]}]}]}");

static void
test_lint(void **state)
{
	MF_UNUSED(state);
	put("good.yaml", good);
	assert_int_equal(run("lint", "good.yaml", NULL), TOOL_OK);
	says(&out, "2 profiles, 2 rules");
	put("bad.yaml", PROFILES RULE("d", "dve", "a", "{eqq: [manifest.env, dev]}"));
	assert_int_equal(run("lint", "bad.yaml", NULL), TOOL_USAGE);
	says(&errs, "bad.yaml:6:");
	says(&errs, "no such profile; did you mean `dev`?");
	says(&errs, "unknown operator `eqq`; did you mean `eq`?");
	put("never.yaml",
	    PROFILES RULE("d", "dev", "a", "{all: [{eq: [manifest.env, x]}, {eq: [manifest.env, y]}]}"));
	assert_int_equal(run("lint", "never.yaml", NULL), TOOL_FAILED);
	says(&out, "error: rule d can never hold");
	assert_int_equal(run("lint", "never.yaml", "-o", "json", NULL), TOOL_FAILED);
	says(&out, "\"kind\":\"PolicyFindingList\"");
	says(&out, "\"level\":\"error\"");
	assert_int_equal(run("lint", "none.yaml", NULL), TOOL_USAGE);
	assert_int_equal(run("lint", "good.yaml", "--live", NULL), TOOL_USAGE);
	assert_int_equal(run("lint", "good.yaml", "more", NULL), TOOL_USAGE);
	assert_int_equal(run("polish", NULL), TOOL_USAGE);
	assert_int_equal(run("--help", NULL), TOOL_OK);
}

static void
test_cases(void **state)
{
	MF_UNUSED(state);
	put("good.yaml", good);
	put("cases.yaml",
	    "mayfly_cases: 1\ncases:\n"
	    "- {name: one, profile: dev, node: {pool: a}, manifest: {env: dev}, expect: permit, rule: d}\n"
	    "- {name: two, profile: dev, node: {pool: [a, b]}, manifest: {env: dev}, expect: deny, "
	    "attribute: node.pool}\n"
	    "- {name: only one fits, node: {pool: b}, manifest: {env: prod, dataset: [{uri: s3://r/x}]}, "
	    "expect: permit}\n"
	    "- {name: after its review, profile: dev, at: 2100-01-01T00:00:00Z, node: {pool: a}, manifest: "
	    "{env: dev}, "
	    "expect: deny}\n"
	    "- {name: empty list, profile: prod, node: {pool: b}, manifest: {mayfly_manifest: 1, env: prod, "
	    "dataset: []}, "
	    "expect: permit}\n");
	assert_int_equal(run("test", "cases.yaml", "--policy", "good.yaml", NULL), TOOL_OK);
	says(&out, "ok    two");
	says(&out, "5 cases, 0 failed");
	put("wrong.yaml",
	    "mayfly_cases: 1\ncases:\n"
	    "- {name: effect, profile: dev, node: {pool: c}, expect: permit}\n"
	    "- {name: rule, profile: dev, node: {pool: a}, manifest: {env: dev}, expect: permit, rule: x}\n"
	    "- {name: attribute, profile: dev, node: {pool: a}, expect: deny, attribute: node.pool}\n");
	assert_int_equal(run("test", "wrong.yaml", "--policy", "good.yaml", NULL), TOOL_FAILED);
	says(&out, "wrong.yaml:3: must be permitted, and is denied: no rule permits profile dev");
	says(&out, "wrong.yaml:4: another rule decides");
	says(&out, "wrong.yaml:5: it fails at another attribute");
	assert_int_equal(run("test", "wrong.yaml", "--policy", "good.yaml", "-o", "json", NULL), TOOL_FAILED);
	says(&out, "\"ok\":false");
	put("broken.yaml",
	    "mayfly_cases: 1\ncases:\n- {expect: no, manifest: {evn: x}, node: x, attested: {a: {b: c}}}\n");
	assert_int_equal(run("test", "broken.yaml", "--policy", "good.yaml", NULL), TOOL_USAGE);
	says(&errs, "`name` is missing");
	says(&errs, "`expect` must be");
	says(&errs, "must be a map of attributes");
	says(&errs, "unknown key \"evn\"; did you mean \"env\"?");
	assert_int_equal(run("test", NULL), TOOL_USAGE);
	assert_int_equal(run("test", "cases.yaml", "--live", NULL), TOOL_USAGE);
	assert_int_equal(
	    run("test", "--live", "--policy", "good.yaml", "--log", "nowhere", NULL), TOOL_UNREACHABLE);
}

static void
test_diff(void **state)
{
	MF_UNUSED(state);
	put("good.yaml", good);
	/* Another order and spelling of the same. */
	put("same.yaml", PROFILES RULE("p", "prod", "b",
			     "{all: [{eq: [manifest.env, \"prod\"]}, {every: [manifest.dataset, {under: "
			     "[uri, s3://r]}]}]}") RULE("d", "dev", "b, a", "{eq: [manifest.env, dev]}"));
	assert_int_equal(run("diff", "good.yaml", "same.yaml", NULL), TOOL_OK);
	says(&out, "no profile and no rule means anything else");
	put("other.yaml",
	    PROFILES RULE("d", "dev", "a", "{eq: [manifest.env, dev]}") RULE("n", "prod", "b", "always"));
	assert_int_equal(run("diff", "good.yaml", "other.yaml", NULL), TOOL_OK);
	says(&out, "rule d changed\n  - {id: d,");
	says(&out, "rule n added\n  + {id: n,");
	says(&out, "rule p removed\n  - {id: p,");
	assert_int_equal(run("diff", "good.yaml", "other.yaml", "-o", "json", NULL), TOOL_OK);
	says(&out, "\"change\":\"removed\"");
	assert_int_equal(run("diff", "good.yaml", NULL), TOOL_USAGE);
	assert_int_equal(run("diff", "good.yaml", "other.yaml", "--against-log", "--log", "nowhere", NULL),
	    TOOL_UNREACHABLE);
	assert_int_equal(run("diff", "good.yaml", "other.yaml", "--last", "0", NULL), TOOL_USAGE);
}

/* What is printed of a rule is a rule, and prints the same again. */
static void
test_print_round_trip(void **state)
{
	MF_UNUSED(state);
	static const char *const rules[] = {
		"{id: r, effect: permit, profile: dev, owner: \"team x\", review_by: 2027-02-01, nodes: any, "
		"when: always}",
		"{id: r, effect: forbid, profile: \"*\", owner: o, review_by: 2027-02-01, when: {not: {any: "
		"[{has: "
		"[manifest.env]}, {all: [{ne: [node.id, \"a \\\"b\\\\ \"]}, {le: [node.n, -5]}]}]}}}",
		"{id: r, effect: permit, profile: dev, owner: o, review_by: 2027-02-01, nodes: {all: [{in: "
		"[node.pool, [a, "
		"b]]}, {glob: [node.dc, \"eu-*\"]}]}, when: {all: [{every: [manifest.dataset, {any: [{not: "
		"{under: [uri, "
		"s3://x]}}, {subset: [class, []]}]}]}, {some: [attested.unix.gid, {ge: [value, 1000]}]}]}, "
		"require: {max_ttl: "
		"90s, max_job: 2d, evidence: [config, ticket]}}",
	};
	for (size_t i = 0; i < MF_COUNT(rules); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf before, after;
		mf_buf_init(&before, 65536);
		mf_buf_init(&after, 65536);
		mf_buf_putf(&before, "%s", rules[i]);
		for (unsigned round = 0; round < 2; round++) {
			MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
			MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new("p");
			MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
			struct mf_err err = { 0 };
			mf_buf_init(&text, 65536);
			mf_buf_putf(&text, "%s- %s\n", PROFILES, mf_buf_cstr(&before));
			if (mf_policy_load(mf_buf_slice(&text), problems, &p, &err) != MF_OK)
				fail_msg("%s\n%s", err.msg, mf_buf_cstr(&text));
			mf_buf_reset(&after);
			mf_policy_rule_put(p, 0, &after);
			if (round == 1)
				assert_string_equal(mf_buf_cstr(&after), mf_buf_cstr(&before));
			mf_buf_reset(&before);
			mf_buf_putf(&before, "%s", mf_buf_cstr(&after));
		}
	}
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	(void)snprintf(dir, sizeof(dir), "/tmp/test_policy_tool.XXXXXX");
	mf_buf_init(&out, 1 << 20);
	mf_buf_init(&errs, 1 << 20);
	return mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "out", "err", "good.yaml", "bad.yaml", "never.yaml",
		"cases.yaml", "wrong.yaml", "broken.yaml", "same.yaml", "other.yaml" };
	char path[128];
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	mf_buf_fini(&out);
	mf_buf_fini(&errs);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lint),
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_print_round_trip),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
