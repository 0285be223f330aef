/*
 * What `mayfly setup` prints, against the files of tests/unit/setup (`unit_test_setup --write` renews them: read what changed), and what it
 * refuses to print.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/policy/setup.h"
#include "codec/json.h"

static const char *const read_actions[] = { "s3:GetObject" };
static const char *const read_resources[] = { "arn:aws:s3:::sets/{dataset}*" };
static const char *const run_actions[] = { "s3:GetObject", "s3:PutObject" };
static const char *const run_resources[] = { "arn:aws:s3:::lab/runs/{run}/*",
	"arn:aws:s3:::lab?prefix=runs/{run}/" };
static const struct mf_scope_statement scope[] = { { read_actions, 1, read_resources, 1 },
	{ run_actions, 2, run_resources, 2 } };
static const char *const api_actions[] = { "metrics:write" };
static const struct mf_scope_statement api[] = { { api_actions, 1, NULL, 0 } };

static struct mf_policy_cloud grant = { .name = "data",
	.target = "store",
	.role = "arn:aws:iam::123456789012:role/train",
	.ttl_ms = 7200000,
	.scope = scope,
	.scope_n = 2 };
static struct mf_policy_cloud bearer = {
	.name = "tracking", .target = "as", .role = "", .ttl_ms = 600000, .scope = api, .scope_n = 1
};

static struct mf_setup
setup_of(enum mf_setup_kind kind)
{
	return (struct mf_setup) { .kind = kind,
		.trust_domain = "example.org",
		.profile = "train",
		.issuer = kind == MF_SETUP_RGW ? "https://broker.example.org:8462/td1/x5c"
					       : "https://oidc.example.org/td1",
		.audience = "sts.amazonaws.com",
		.endpoint =
		    kind == MF_SETUP_OAUTH ? "https://as.example.org/token" : "https://store.example.org",
		.revoker_role = kind == MF_SETUP_RGW ? "arn:aws:iam:::role/mayfly-revoker"
						     : "arn:aws:iam::123456789012:role/mayfly-revoker",
		.client_id = "mayfly-broker",
		.subject = "/{tenant}/job/{job}",
		.grant = kind == MF_SETUP_OAUTH ? &bearer : &grant };
}

static const struct {
	const char *file;
	enum mf_setup_kind kind;
	bool terraform;
} golden[] = {
	{ "tests/unit/setup/aws.txt", MF_SETUP_AWS, false },
	{ "tests/unit/setup/aws.tf", MF_SETUP_AWS, true },
	{ "tests/unit/setup/rgw.txt", MF_SETUP_RGW, false },
	{ "tests/unit/setup/minio.txt", MF_SETUP_MINIO, false },
	{ "tests/unit/setup/oauth.txt", MF_SETUP_OAUTH, false },
};

static void
render(size_t i, struct mf_buf *to)
{
	struct mf_setup s = setup_of(golden[i].kind);
	struct mf_err err = { 0 };
	if ((golden[i].terraform ? mf_setup_terraform(&s, to, &err) : mf_setup_commands(&s, to, &err)) !=
	    MF_OK)
		fail_msg("%s: %s", golden[i].file, err.msg);
}

static void
test_golden(void **state)
{
	MF_UNUSED(state);
	static char want[65536];
	for (size_t i = 0; i < MF_COUNT(golden); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 65536);
		render(i, &b);
		FILE *f = fopen(golden[i].file, "r");
		assert_non_null(f);
		size_t n = fread(want, 1, sizeof(want) - 1, f);
		(void)fclose(f);
		want[n] = '\0';
		assert_string_equal(mf_buf_cstr(&b), want);
	}
}

/* Every line or pair of quotes that begins like one is a whole JSON document. */
static void
test_documents(void **state)
{
	MF_UNUSED(state);
	size_t seen = 0;
	for (size_t i = 0; i < MF_COUNT(golden); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 65536);
		render(i, &b);
		for (const char *p = mf_buf_cstr(&b); (p = strstr(p, "{\"")) != NULL; seen++) {
			MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
			size_t n = strcspn(p, "'\n");
			if (mf_json_parse(mf_slice(p, n), 0, &doc, NULL) != MF_OK)
				fail_msg("%s: %.*s", golden[i].file, (int)n, p);
			p += n;
		}
	}
	assert_int_equal(seen, 4 + 4 + 4 + 1 + 1);
}

static void
refuse(struct mf_setup *s, const char *why)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 65536);
	assert_int_equal(mf_setup_commands(s, &b, &err), MF_E_INVALID);
	if (strstr(err.msg, why) == NULL)
		fail_msg("%s", err.msg);
}

static void
test_refuses(void **state)
{
	MF_UNUSED(state);
	struct mf_setup s = setup_of(MF_SETUP_AWS);
	struct mf_policy_cloud g = grant;
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	s.issuer = "";
	refuse(&s, "oidc:");
	s = setup_of(MF_SETUP_AWS);
	g.role = "";
	s.grant = &g;
	refuse(&s, "has no role");
	g.role = "arn:aws:iam::1:role/x;rm";
	refuse(&s, "shell");
	g = grant;
	const char *const evil[] = { "s3:Get'Object" };
	const struct mf_scope_statement bad[] = { { evil, 1, NULL, 0 } };
	g.scope = bad;
	g.scope_n = 1;
	refuse(&s, "shell");
	s = setup_of(MF_SETUP_OAUTH);
	s.client_id = "";
	refuse(&s, "client_id");
	s = setup_of(MF_SETUP_OAUTH);
	assert_int_equal(mf_setup_terraform(&s, &b, &err), MF_E_INVALID);
}

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && strcmp(argv[1], "--write") == 0 && i < MF_COUNT(golden); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, 65536);
		render(i, &b);
		FILE *f = fopen(golden[i].file, "w");
		if (f == NULL || fwrite(b.p, 1, b.n, f) != b.n || fclose(f) != 0)
			return 1;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
