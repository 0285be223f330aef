/* Scopes: what may stand in a template, and that no value of a job, however hostile, gives more than the template says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/defs.h"
#include "broker/core/scope.h"

static const char *const get[] = { "s3:GetObject" };

static struct mf_scope_statement
one(const char *const *resource)
{
	return (struct mf_scope_statement) { get, 1, resource, 1 };
}

static bool
is_template(const char *text)
{
	struct mf_err err = { 0 };
	struct mf_scope_statement s = one(&text);
	return mf_scope_check(&s, 1, NULL, 0, &err) == MF_OK;
}

static bool
is_action(const char *text, const char *model)
{
	struct mf_err err = { 0 };
	const char *resource = "*";
	struct mf_scope_statement s = { &text, 1, &resource, 1 };
	return mf_scope_check(&s, 1, &model, model != NULL, &err) == MF_OK;
}

static void
test_templates(void **state)
{
	MF_UNUSED(state);
	assert_true(is_template("arn:aws:s3:::lab/runs/{run}/*"));
	assert_true(is_template("arn:aws:s3:::lab/{tenant}/{person}/{job}"));
	assert_true(is_template("arn:aws:s3:::{dataset}"));
	assert_true(is_template("arn:aws:s3:::{dataset}*"));
	assert_true(is_template("arn:aws:iam::1:x/{run}:alias"));
	assert_true(is_template("*"));
	/* Siblings: whatever follows a value is its end. */
	static const char *const wrong[] = { "", "runs/{run}*", "runs/{run}-*", "runs/{run}{job}/*", "{run}?",
		"{dataset}/*", "{dataset}**", "{dataset}x", "{nobody}/", "{run", "run}/", "{}", "a b", "a\"b",
		"a\\b", "a%2fb", "${aws:PrincipalTag}/", "a/../b", "a/./b", "a\x01", "a\xc3\xa4" };
	for (size_t i = 0; i < MF_COUNT(wrong); i++)
		if (is_template(wrong[i]))
			fail_msg("taken: %s", wrong[i]);
}

static void
test_model_actions(void **state)
{
	MF_UNUSED(state);
	static const char *const invoking[] = { "bedrock:InvokeModel", "BEDROCK:invokemodel", "bedrock:*",
		"bedrock:Invoke*", "*", "b*", "*:InvokeEndpoint", "sagemaker:?nvokeEndpoint",
		"bedrock:Converse*", "bedrock:InvokeModelWithSomethingNew", "bedrock:InvokeModel*",
		"bedrock:invoke?odel*", "bedrock:*Model*", "?edrock:InvokeFlow", "sagemaker:*",
		"sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync", "sagemaker:InvokeEndpoint*",
		"SageMaker:Invoke*Stream", "*:*", "bedrock-agentcore:InvokeAgentRuntime", "bedrock*",
		"aiplatform.endpoints.predict", "aiplatform.endpoints.*", "aiplatform.*" };
	for (size_t i = 0; i < MF_COUNT(invoking); i++) {
		assert_true(mf_scope_is_model_action(invoking[i]));
		assert_false(is_action(invoking[i], NULL));
		assert_false(is_action(invoking[i], "bedrock:Other"));
		assert_true(is_action(invoking[i], invoking[i]));
	}
	assert_false(mf_scope_is_model_action("s3:*"));
	static const char *const harmless[] = { "bedrock:ListFoundationModels", "bedrock:Get*",
		"bedrock:List*", "sagemaker:Create*", "sagemaker:DescribeEndpoint", "s3:Get*", "s3:*Object",
		"bedroc:Invoke*", "aiplatform.endpoints.get", "?", "" };
	for (size_t i = 0; i < MF_COUNT(harmless); i++)
		if (mf_scope_is_model_action(harmless[i]))
			fail_msg("%s", harmless[i]);
	assert_true(is_action("s3:Get*", NULL));
	assert_false(is_action("s3:Get Object", NULL));
	assert_false(is_action("", NULL));
}

static const struct mf_scope_facts plain = { .job = "j-1",
	.run = "r-1",
	.tenant = "default",
	.person = "ann@example.org",
	.purpose = "training",
	.trust_domain = "example.org" };

static enum mf_status
render(const char *const *resource, const struct mf_scope_facts *f, struct mf_scope *ret)
{
	struct mf_err err = { 0 };
	struct mf_scope_statement s = one(resource);
	assert_int_equal(mf_scope_check(&s, 1, NULL, 0, &err), MF_OK);
	enum mf_status st = mf_scope_render(&s, 1, f, ret, &err);
	assert_true(st == MF_OK || (st == MF_E_DENIED && err.msg[0] != '\0'));
	return st;
}

static __attribute__((noinline)) void
gives(const char *template, const struct mf_scope_facts *f, const char *want)
{
	struct mf_scope s;
	assert_int_equal(render(&template, f, &s), want == NULL ? MF_E_DENIED : MF_OK);
	if (want != NULL) {
		assert_int_equal(s.statements[0].resources_n, 1);
		if (!mf_slice_eq_str(s.statements[0].resources[0], want))
			fail_msg("%s: %.*s", template, (int)s.statements[0].resources[0].n,
			    (const char *)s.statements[0].resources[0].p);
	}
	mf_scope_fini(&s);
}

static void
test_values(void **state)
{
	MF_UNUSED(state);
	gives("lab/runs/{run}/*", &plain, "lab/runs/r-1/*");
	gives("{tenant}/{person}/{purpose}/{td}/{job}", &plain,
	    "default/ann@example.org/training/example.org/j-1");
	struct mf_scope_facts f = plain;
	static const char *const wrong[] = { "", ".", "..", "a..b", "...", "a/b", "a*", "?", "a%2e", "a b",
		"a\n", "\x7f", "\xc3\xa4", "a:b", "${x}", "{run}", "\"", "a\\b", "a,b" };
	for (size_t i = 0; i < MF_COUNT(wrong); i++) {
		f.person = wrong[i];
		gives("lab/{person}/*", &f, NULL);
		gives("lab/{run}/*", &f, "lab/r-1/*"); /* what the template does not name does not matter */
	}
	f.person = NULL;
	gives("lab/{person}/*", &f, NULL);
	char longer[600];
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	f.person = longer;
	gives("lab/{person}/*", &f, NULL);
}

static void
test_datasets(void **state)
{
	MF_UNUSED(state);
	struct mf_scope_facts f = plain;
	struct mf_scope s;
	const char *t = "arn:aws:s3:::{dataset}*";
	const struct mf_slice some[] = { MF_SLICE_LIT("s3://lab/data/x/"), MF_SLICE_LIT("hf://org/set"),
		MF_SLICE_LIT("gs://other/y/") };
	f.datasets = some;
	f.datasets_n = 3;
	assert_int_equal(render(&t, &f, &s), MF_OK);
	assert_int_equal(s.statements[0].resources_n, 2);
	assert_true(mf_slice_eq_str(s.statements[0].resources[0], "arn:aws:s3:::lab/data/x/*"));
	assert_true(mf_slice_eq_str(s.statements[0].resources[1], "arn:aws:s3:::other/y/*"));
	mf_scope_fini(&s);
	f.datasets_n = 0;
	gives(t, &f, NULL);
	static const char *const wrong[] = { "s3://", "s3:///", "s3:///x", "s3://lab//x", "s3://lab/../x",
		"s3://lab/x/..", "s3://lab/*", "s3://*", "s3://lab/x%2f", "s3://lab/x//", "s3://l b",
		"s3://lab/./x", "s3://lab:x/y" };
	for (size_t i = 0; i < MF_COUNT(wrong); i++) {
		struct mf_slice d = mf_slice_str(wrong[i]);
		f.datasets = &d;
		f.datasets_n = 1;
		gives(t, &f, NULL);
	}
	struct mf_slice many[MF_SCOPE_RESOURCES / 2 + 1];
	for (size_t i = 0; i < MF_COUNT(many); i++)
		many[i] = MF_SLICE_LIT("s3://lab/x");
	f.datasets = many;
	f.datasets_n = MF_COUNT(many) - 1;
	assert_int_equal(render(&t, &f, &s), MF_OK);
	mf_scope_fini(&s);
	f.datasets = many;
	f.datasets_n = MF_COUNT(many);
	gives(t, &f, NULL);
}

/* What may be one object can be read, and what is below it; no sibling of it, and no bucket by itself. */
static void
test_objects(void **state)
{
	MF_UNUSED(state);
	struct mf_scope_facts f = plain;
	struct mf_scope s;
	static const struct {
		const char *uri, *template, *want[2];
	} objects[] = {
		{ "s3://lab/data/x.parquet", "arn:aws:s3:::{dataset}*",
		    { "arn:aws:s3:::lab/data/x.parquet/*", "arn:aws:s3:::lab/data/x.parquet" } },
		{ "gs://lab/x", "arn:aws:s3:::{dataset}", { "arn:aws:s3:::lab/x/", "arn:aws:s3:::lab/x" } },
		{ "s3://lab/x/", "arn:aws:s3:::{dataset}*", { "arn:aws:s3:::lab/x/*", NULL } },
		{ "s3://lab", "arn:aws:s3:::{dataset}*", { "arn:aws:s3:::lab/*", NULL } },
		{ "s3://lab/", "arn:aws:s3:::{dataset}*", { "arn:aws:s3:::lab/*", NULL } },
	};
	for (size_t i = 0; i < MF_COUNT(objects); i++) {
		struct mf_slice d = mf_slice_str(objects[i].uri);
		f.datasets = &d;
		f.datasets_n = 1;
		assert_int_equal(render(&objects[i].template, &f, &s), MF_OK);
		assert_int_equal(s.statements[0].resources_n, objects[i].want[1] == NULL ? 1 : 2);
		for (size_t k = 0; k < s.statements[0].resources_n; k++)
			assert_true(mf_slice_eq_str(s.statements[0].resources[k], objects[i].want[k]));
		mf_scope_fini(&s);
	}
}

/* Whatever a data set is called: only its own name and what is below that, by the template's wildcard alone. */
static void
test_no_dataset_widens(void **state)
{
	MF_UNUSED(state);
	static const char bytes[] = "ab1.-_=@+//*?%:\\ {}$\"\n\x80";
	uint64_t seed = 1;
	size_t taken = 0;
	for (unsigned n = 0; n < 100000; n++) {
		char uri[24] = "s3://b/";
		size_t len = 7;
		for (; len < sizeof(uri) - 1; len++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			if (seed >> 61 == 0)
				break;
			uri[len] = bytes[(seed >> 33) % (sizeof(bytes) - 1 - (n % 3 == 0 ? 12 : 0))];
		}
		uri[len] = '\0';
		struct mf_scope_facts f = plain;
		struct mf_slice d = mf_slice_str(uri);
		struct mf_scope s;
		const char *t = "arn:aws:s3:::{dataset}*";
		f.datasets = &d;
		f.datasets_n = 1;
		if (render(&t, &f, &s) == MF_OK) {
			bool slash = uri[len - 1] == '/';
			char want[2][48];
			taken++;
			(void)snprintf(
			    want[0], sizeof(want[0]), "arn:aws:s3:::%s%s*", uri + 5, slash ? "" : "/");
			(void)snprintf(want[1], sizeof(want[1]), "arn:aws:s3:::%s", uri + 5);
			assert_int_equal(s.statements[0].resources_n, slash ? 1 : 2);
			for (size_t k = 0; k < s.statements[0].resources_n; k++)
				assert_true(mf_slice_eq_str(s.statements[0].resources[k], want[k]));
			assert_null(strpbrk(uri + 5, "*?%\\{}$\"\n \x80"));
			assert_true(strstr(uri + 5, "..") == NULL && strstr(uri + 5, "//") == NULL);
		}
		mf_scope_fini(&s);
	}
	assert_in_range(taken, 1000, 90000);
}

/* Hostile texts: what is taken has the template's own shape, byte for byte around one plain segment. */
static void
test_nothing_widens(void **state)
{
	MF_UNUSED(state);
	static const char bytes[] = "ab1.-_=@+/*?%:\\ {}$\"\n\x80";
	uint64_t seed = 1;
	size_t taken = 0;
	for (unsigned n = 0; n < 200000; n++) {
		char v[12];
		size_t len = 0;
		for (; len < sizeof(v) - 1; len++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			if (seed >> 61 == 0)
				break;
			v[len] = bytes[(seed >> 33) % (sizeof(bytes) - 1 - (n % 3 == 0 ? 13 : 0))];
		}
		v[len] = '\0';
		struct mf_scope_facts f = plain;
		struct mf_scope s;
		f.run = v;
		const char *t = "arn:aws:s3:::lab/runs/{run}/ckpt/*";
		static const char before[] = "arn:aws:s3:::lab/runs/", after[] = "/ckpt/*";
		if (render(&t, &f, &s) == MF_OK) {
			struct mf_slice r = s.statements[0].resources[0];
			size_t mid = r.n - (sizeof(before) - 1) - (sizeof(after) - 1);
			taken++;
			assert_true(mf_slice_starts(r, mf_slice_str(before)));
			assert_true(mf_slice_eq_str(mf_slice_sub(r, sizeof(before) - 1 + mid, r.n), after));
			assert_true(mid > 0);
			for (size_t i = 0; i < mid; i++) {
				char c = (char)r.p[sizeof(before) - 1 + i];
				assert_true(strchr("ab1.-_=@+", c) != NULL);
				assert_false(c == '.' && i > 0 && r.p[sizeof(before) - 2 + i] == '.');
			}
		}
		mf_scope_fini(&s);
	}
	assert_in_range(taken, 1000, 199000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_model_actions),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_datasets),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_no_dataset_widens),
		cmocka_unit_test(test_nothing_widens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
