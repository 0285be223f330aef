/*
 * The operators that came with the whole language: truth tables with what is not known, every and some against a
 * reference, obligations and their laws, what removing and adding rules may do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/policy_kit.h"

struct row {
	const char *when, *known;
	char want;
};

static void
check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (truth(rows[i].when, rows[i].known) != rows[i].want)
			fail_msg("%s with %s is %c", rows[i].when, rows[i].known,
			    truth(rows[i].when, rows[i].known));
}

static void
test_numbers_and_times(void **state)
{
	MF_UNUSED(state);
	static const struct row rows[] = {
		{ "(le node.gpus 8)", "node.gpus=8", 'T' },
		{ "(le node.gpus 8)", "node.gpus=9", 'F' },
		{ "(le node.gpus 8)", "node.gpus=-1", 'T' },
		{ "(le node.gpus 8)", "node.gpus=10", 'F' }, /* by value, not by letters */
		{ "(ge node.gpus 8)", "node.gpus=10", 'T' },
		{ "(ge node.gpus -5)", "node.gpus=-6", 'F' },
		{ "(ge node.gpus 8)", "node.gpus=many", 'U' },
		{ "(ge node.gpus 8)", "node.gpus=08", 'U' },
		{ "(ge node.gpus 8)", "node.gpus=8.0", 'U' },
		{ "(ge node.gpus 8)", "node.gpus=-0", 'U' },
		{ "(ge node.gpus 8)", "node.gpus=99999999999999999999", 'U' },
		{ "(ge node.gpus 8)", "", 'U' },
		{ "(ge node.gpus 8)", "node.gpus", 'U' },
		{ "(ge node.gpus 8)", "node.gpus=8 node.gpus=9", 'U' },
		{ "(le manifest.deadline 2027-01-01T00:00:00Z)", "manifest.deadline=2026-12-31T23:59:59Z",
		    'T' },
		{ "(le manifest.deadline 2027-01-01T00:00:00Z)", "manifest.deadline=2027-01-01T00:00:01Z",
		    'F' },
		{ "(ge manifest.deadline 2027-01-01T00:00:00Z)", "manifest.deadline=2027-01-01T00:00:00Z",
		    'T' },
		{ "(le manifest.deadline 2027-01-01T00:00:00Z)", "manifest.deadline=5", 'U' },
		{ "(le manifest.deadline 5)", "manifest.deadline=2027-01-01T00:00:00Z", 'U' },
		{ "(not (le node.gpus 8))", "node.gpus=x", 'U' },
	};
	check(rows, MF_COUNT(rows));
}

static void
test_under(void **state)
{
	MF_UNUSED(state);
	static const struct row rows[] = {
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a", 'T' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/", 'T' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/b/c", 'T' },
		{ "(under manifest.image s3://data/a/)", "manifest.image=s3://data/a/b", 'T' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data", 'F' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/ab", 'F' },
		{ "(under manifest.image s3://data)", "manifest.image=s3://data-x/a", 'F' },
		{ "(under manifest.image s3://data)", "manifest.image=gs://data/a", 'F' },
		{ "(under manifest.image /)", "manifest.image=/data", 'T' },
		{ "(under manifest.image registry.example/ft)",
		    "manifest.image=registry.example/ft/x@sha256:ab", 'T' },
		/* Spellings that could mean another path decide nothing. */
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/../b", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/./b", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/..", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a%2e%2e/b", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data//a", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a/*", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://data/a?x", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=S3://data/a", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://Data/a", 'U' },
		{ "(under manifest.image https://h/a)", "manifest.image=https://u@h/a", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3://", 'U' },
		{ "(under manifest.image s3://data/a)", "manifest.image=s3:///a", 'U' },
		{ "(under manifest.image s3://data/a)", "", 'U' },
		{ "(not (under manifest.image s3://secret))", "manifest.image=s3://x/../secret", 'U' },
	};
	check(rows, MF_COUNT(rows));
}

static void
test_glob_and_subset(void **state)
{
	MF_UNUSED(state);
	static const struct row rows[] = {
		{ "(glob node.dc eu-*)", "node.dc=eu-west", 'T' },
		{ "(glob node.dc eu-*)", "node.dc=eu-", 'T' },
		{ "(glob node.dc eu-*)", "node.dc=us-west", 'F' },
		{ "(glob node.dc *-west)", "node.dc=eu-west", 'T' },
		{ "(glob node.dc e*t)", "node.dc=et", 'T' },
		{ "(glob node.dc e*e)", "node.dc=e", 'F' }, /* both ends of it do not fit */
		{ "(glob node.dc *)", "node.dc=x", 'T' },
		{ "(glob node.dc eu-*)", "node.dc=eu-a/b", 'U' },
		{ "(glob node.dc a/*/c)", "node.dc=a/b/c", 'T' },
		{ "(glob node.dc a/*/c)", "node.dc=a/b/b/c", 'U' },
		{ "(not (glob node.dc eu-*))", "node.dc=eu-a/b", 'U' },
		{ "(glob node.dc eu-*)", "", 'U' },
		{ "(subset manifest.egress a b)", "manifest.egress=a", 'T' },
		{ "(subset manifest.egress a b)", "manifest.egress=a manifest.egress=b", 'T' },
		{ "(subset manifest.egress a b)", "manifest.egress=a manifest.egress=c", 'F' },
		{ "(subset manifest.egress a b)", "manifest.egress=", 'T' },
		{ "(subset manifest.egress a b)", "", 'U' },
		{ "(subset manifest.egress)", "manifest.egress=", 'T' },
		{ "(subset manifest.egress)", "manifest.egress=a", 'F' },
		{ "(subset manifest.egress)", "", 'U' },
		{ "(subset attested.unix.group a b)", "attested.unix.group=a", 'T' },
	};
	check(rows, MF_COUNT(rows));
}

#define D0(k, v) "manifest.dataset[0]." k "=" v " "
#define D1(k, v) "manifest.dataset[1]." k "=" v " "

static void
test_every_and_some(void **state)
{
	MF_UNUSED(state);
	static const struct row rows[] = {
		{ "(every manifest.dataset (in class public internal))", D0("class", "public"), 'T' },
		{ "(every manifest.dataset (in class public internal))",
		    D0("class", "public") D1("class", "internal"), 'T' },
		{ "(every manifest.dataset (in class public internal))",
		    D0("class", "public") D1("class", "secret"), 'F' },
		{ "(every manifest.dataset (in class public internal))",
		    D0("class", "public") D1("uri", "s3://b"), 'U' },
		{ "(every manifest.dataset (in class public internal))",
		    D0("uri", "s3://b") D1("class", "secret"), 'F' },
		{ "(every manifest.dataset (in class public internal))", "manifest.dataset=", 'T' },
		{ "(every manifest.dataset (in class public internal))", "", 'U' },
		/* As records of 0.1 have it: nobody knows which key belongs to which element. */
		{ "(every manifest.dataset (in class public))", "manifest.dataset.class=public", 'U' },
		{ "(some manifest.dataset (eq class secret))", D0("class", "public") D1("class", "secret"),
		    'T' },
		{ "(some manifest.dataset (eq class secret))", D0("class", "public"), 'F' },
		{ "(some manifest.dataset (eq class secret))", D0("class", "public") D1("uri", "s3://b"),
		    'U' },
		{ "(some manifest.dataset (eq class secret))", "manifest.dataset=", 'F' },
		{ "(some manifest.dataset (eq class secret))", "", 'U' },
		{ "(some manifest.dataset (all (has class) (eq class secret)))", D0("uri", "s3://b"), 'F' },
		/* Both conditions must hold of one and the same element. */
		{ "(some manifest.dataset (all (eq class secret) (under uri s3://a)))",
		    D0("class", "secret") D0("uri", "s3://b") D1("class", "public") D1("uri", "s3://a/x"),
		    'F' },
		{ "(every manifest.dataset (any (eq class public) (under uri s3://a)))",
		    D0("class", "public") D0("uri", "s3://b") D1("class", "secret") D1("uri", "s3://a/x"),
		    'T' },
		{ "(not (some manifest.dataset (not (has digest))))", D0("uri", "s3://a"), 'F' },
		{ "(every manifest.egress (glob value *.example))", "manifest.egress=a.example", 'T' },
		{ "(every manifest.egress (glob value *.example))",
		    "manifest.egress=a.example manifest.egress=evil", 'F' },
		{ "(some attested.unix.gid (ge value 1000))", "attested.unix.gid=5 attested.unix.gid=2000",
		    'T' },
		{ "(some attested.unix.gid (ge value 1000))", "attested.unix.gid=5", 'F' },
		{ "(every manifest.mounts (has value))", "manifest.mounts=/a", 'T' },
		/* The keys as sets; where an element lacks one there may be values that nobody knows. */
		{ "(has manifest.dataset)", D0("uri", "s3://a"), 'T' },
		{ "(has manifest.dataset.class)", D0("uri", "s3://a"), 'F' },
		{ "(contains manifest.dataset.class secret)", D0("class", "secret") D1("uri", "s3://a"),
		    'T' },
		{ "(contains manifest.dataset.class secret)", D0("class", "public") D1("uri", "s3://a"),
		    'U' },
		{ "(contains manifest.dataset.class secret)", D0("class", "public"), 'F' },
		{ "(subset manifest.dataset.class public)", D0("class", "public") D1("uri", "s3://a"), 'U' },
		{ "(subset manifest.dataset.class public)", D0("class", "secret") D1("uri", "s3://a"), 'F' },
		{ "(subset manifest.dataset.class public)", D0("class", "public") D1("class", "public"),
		    'T' },
		{ "(eq manifest.dataset.class public)", D0("class", "public") D1("class", "public"), 'T' },
		{ "(eq manifest.dataset.class public)", D0("class", "public") D1("uri", "s3://a"), 'U' },
		{ "(every manifest.dataset.class (eq value public))",
		    D0("class", "public") D1("uri", "s3://a"), 'U' },
		{ "(some manifest.dataset.class (eq value public))",
		    D0("class", "public") D1("uri", "s3://a"), 'T' },
	};
	check(rows, MF_COUNT(rows));
}

/* ---- every and some against a reference of the test's own ---- */

static uint64_t rng_state;

static size_t
rnd(size_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (size_t)(rng_state % below);
}

/* classes[i]: of element i; '-' has none. */
static int
body(const char *classes, size_t i, char want, bool guard)
{
	if (classes[i] == '-')
		return guard ? -1 : 0;
	return classes[i] == want ? 1 : -1;
}

static void
test_quantifiers_against_reference(void **state)
{
	MF_UNUSED(state);
	rng_state = 0x9e3779b97f4a7c15u;
	for (unsigned round = 0; round < 3000; round++) {
		char classes[6], known[512] = "", when[160];
		size_t n = rnd(5);
		bool given = rnd(8) != 0, every = rnd(2) == 0, guard = rnd(2) == 0, negate = rnd(2) == 0;
		char want = "ab"[rnd(2)];
		size_t at = 0;
		for (size_t i = 0; i < n; i++) {
			classes[i] = "ab-"[rnd(3)];
			at += (size_t)snprintf(
			    known + at, sizeof(known) - at, "manifest.dataset[%zu].uri=u ", i);
			if (classes[i] != '-')
				at += (size_t)snprintf(known + at, sizeof(known) - at,
				    "manifest.dataset[%zu].class=%c ", i, classes[i]);
		}
		if (n == 0)
			(void)snprintf(known, sizeof(known), "manifest.dataset=");
		(void)snprintf(when, sizeof(when), "%s(%s manifest.dataset %s(eq class %c)%s)%s",
		    negate ? "(not " : "", every ? "every" : "some", guard ? "(all (has class) " : "", want,
		    guard ? ")" : "", negate ? ")" : "");
		int out = every ? 1 : -1;
		for (size_t i = 0; i < n; i++) {
			int b = body(classes, i, want, guard);
			out = every ? (b < out ? b : out) : (b > out ? b : out);
		}
		if (!given)
			out = 0;
		out = negate ? -out : out;
		char got = truth(when, given ? known : "");
		if (got != (out < 0 ? 'F' : out == 0 ? 'U' : 'T'))
			fail_msg("%s with %s is %c", when, given ? known : "", got);
	}
}

/* ---- obligations ---- */

static uint64_t
some_limit(void)
{
	return rnd(3) == 0 ? 0 : 1000 + rnd(1000);
}

static struct mf_obligations
some_obligations(void)
{
	return (struct mf_obligations) { some_limit(), some_limit(), (uint32_t)rnd(1u << 24) };
}

static void
assert_same(struct mf_obligations a, struct mf_obligations b)
{
	assert_true(a.max_ttl_ms == b.max_ttl_ms && a.max_job_ms == b.max_job_ms && a.fields == b.fields);
}

static bool
no_looser(uint64_t merged, uint64_t of)
{
	return of == 0 || (merged != 0 && merged <= of);
}

static void
test_merge_laws(void **state)
{
	MF_UNUSED(state);
	const struct mf_obligations none = { 0 };
	rng_state = 42;
	for (unsigned i = 0; i < 20000; i++) {
		struct mf_obligations a = some_obligations(), b = some_obligations(), c = some_obligations();
		struct mf_obligations ab = mf_obligations_merge(a, b);
		assert_same(ab, mf_obligations_merge(b, a));
		assert_same(mf_obligations_merge(ab, c), mf_obligations_merge(a, mf_obligations_merge(b, c)));
		assert_same(mf_obligations_merge(a, a), a);
		assert_same(mf_obligations_merge(a, none), a);
		assert_true(no_looser(ab.max_ttl_ms, a.max_ttl_ms) && no_looser(ab.max_job_ms, b.max_job_ms));
		assert_int_equal(ab.fields & a.fields, a.fields);
	}
}

static uint32_t
field(const char *name)
{
	size_t i = 0;
	assert_int_not_equal(mf_manifest_field_form(mf_slice_str(name), &i), MF_MANIFEST_NONE);
	return UINT32_C(1) << i;
}

static void
test_obligations_limit(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	const struct mf_obligations ttl = { .max_ttl_ms = 600000 }, job = { .max_job_ms = 1800000 },
				    wide = { .max_ttl_ms = 7200000, .max_job_ms = 86400000 };
	assert_int_equal(add_rule_must(p, "r1", false, "a", "any", "(has node.x)", ttl, NULL), MF_OK);
	assert_int_equal(add_rule_must(p, "r2", false, "a", "any", "(has node.y)", job, NULL), MF_OK);
	assert_int_equal(add_rule_must(p, "r3", false, "a", "any", "(has node.z)", wide, NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	struct mf_decision d = decide(p, "a", "node.z=1", BEFORE);
	assert_true(d.permit);
	assert_int_equal(d.given.identities[0].x509_ttl_ms, 1200000); /* the profile's own are less */
	d = decide(p, "a", "node.x=1", BEFORE);
	assert_int_equal(d.given.identities[0].x509_ttl_ms, 600000);
	assert_int_equal(d.given.identities[0].jwt_ttl_ms, 300000);
	assert_int_equal(d.given.max_job_ms, 3600000);
	d = decide(p, "a", "node.x=1 node.y=1 node.z=1", BEFORE);
	assert_string_equal(d.rule, "r1");
	assert_int_equal(d.given.identities[0].x509_ttl_ms, 600000);
	assert_int_equal(d.given.max_job_ms, 1800000);
	/* The policy itself is as it was. */
	assert_int_equal(mf_policy_profile(p, MF_SLICE_LIT("a"))->max_job_ms, 3600000);

	MF_AUTO(mf_facts_free) struct mf_facts *f = facts("node.x=1");
	const struct mf_policy_request req = { MF_SLICE_LIT("a"), f, BEFORE };
	mf_policy_decide(p, &req, &d);
	assert_ptr_equal(d.profile, &d.given);
}

static void
test_obligations_fields(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *fields, *known, *missing; /* NULL: permitted */
	} cases[] = {
		{ "ticket", "manifest.ticket=CHG-1", NULL },
		{ "ticket", "manifest.env=dev", "manifest.ticket" },
		{ "config", "", "manifest.config" },
		{ "dataset.digest", D0("digest", "d"), NULL },
		{ "dataset.digest", D0("digest", "d") D1("uri", "u"), "manifest.dataset.digest" },
		{ "dataset.digest", "manifest.dataset=", "manifest.dataset.digest" },
		{ "dataset", "manifest.dataset=", "manifest.dataset" },
		{ "dataset", D0("uri", "u"), NULL },
		{ "egress", "manifest.egress=", NULL }, /* none at all is a statement */
		{ "egress", "", "manifest.egress" },
		{ "base_model.digest", "manifest.base_model.name=m", "manifest.base_model.digest" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		const struct mf_obligations must = { .fields = field(cases[i].fields) };
		assert_int_equal(add_rule_must(p, "must", false, "a", "any", "always", must, NULL), MF_OK);
		assert_int_equal(add_rule(p, "bare", false, "a", "any", "always", NULL), MF_OK);
		assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
		struct mf_decision d = decide(p, "a", cases[i].known, BEFORE), any;
		any = decide(p, "", cases[i].known, BEFORE);
		assert_int_equal(d.permit, cases[i].missing == NULL);
		assert_int_equal(any.permit, d.permit);
		if (d.permit)
			continue;
		assert_string_equal(d.attribute, cases[i].missing);
		assert_string_equal(d.rule, "must");
		assert_non_null(strstr(d.told, cases[i].missing));
		assert_non_null(strstr(d.cure, "add it to the manifest"));
	}
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	const struct mf_obligations bad = { .max_ttl_ms = 1 }, ok = { .fields = 1 };
	assert_int_equal(add_rule_must(p, "x", false, "a", "any", "always", bad, NULL), MF_E_INVALID);
	assert_int_equal(add_rule_must(p, "x", true, "a", "any", "always", ok, NULL), MF_E_INVALID);
	const struct mf_obligations none_such = { .fields = UINT32_C(1) << MF_MANIFEST_FIELDS };
	assert_int_equal(add_rule_must(p, "x", false, "a", "any", "always", none_such, NULL), MF_E_INVALID);
}

/* ---- what people are told ---- */

static void
test_told_is_less(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *nodes, *when, *known, *attribute, *reason, *told;
	} cases[] = {
		{ "any", "(eq manifest.env dev)", "manifest.env=prod", "manifest.env",
		    "manifest.env is prod, must be dev", "manifest.env is prod, must be dev" },
		{ "any", "(contains attested.unix.user alice)", "attested.unix.user=bob",
		    "attested.unix.user", "attested.unix.user is bob, must contain alice",
		    "attested.unix.user is bob (run it as" },
		{ "(in node.pool gpu-a gpu-b)", "always", "node.pool=cpu", "node.pool",
		    "node.pool is cpu, must be one of gpu-a, gpu-b", "node.pool does not fit (run it on" },
		{ "any", "(every manifest.dataset (in class public))",
		    D0("class", "public") D1("class", "secret"), "manifest.dataset[1].class",
		    "manifest.dataset[1].class is secret, must be one of public",
		    "manifest.dataset[1].class is secret, must be one of public" },
		{ "any", "(every manifest.dataset (in class public))", D0("uri", "u"),
		    "manifest.dataset[0].class", "manifest.dataset[0].class is not known",
		    "manifest.dataset[0].class is not known" },
		{ "any", "(every manifest.dataset (in class public))", "", "manifest.dataset",
		    "manifest.dataset is not known", "manifest.dataset is not known" },
		{ "any", "(some manifest.dataset (eq class x))", "manifest.dataset=", "manifest.dataset",
		    "manifest.dataset is empty, must have an element", "manifest.dataset is empty" },
		{ "any", "(contains manifest.dataset.class x)", D0("class", "y") D1("uri", "u"),
		    "manifest.dataset.class", "manifest.dataset.class is not known of each",
		    "manifest.dataset.class is not known of each" },
		{ "any", "(subset manifest.egress)", "manifest.egress=a", "manifest.egress",
		    "manifest.egress is a, must be given, and empty", "must be given, and empty" },
		{ "any", "(glob manifest.image a*)", "manifest.image=b", "manifest.image", "like a*",
		    "like a*" },
		{ "any", "(has attested.mayfly.run)", "attested.u=x", "attested.mayfly.run",
		    "must be known (start it with 'mayfly run', or ask team-nlp)",
		    "start it with 'mayfly run'" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
		assert_int_equal(add_rule(p, "r", false, "a", cases[i].nodes, cases[i].when, NULL), MF_OK);
		assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
		struct mf_decision d = decide(p, "a", cases[i].known, BEFORE);
		assert_false(d.permit);
		assert_string_equal(d.attribute, cases[i].attribute);
		if (strstr(d.reason, cases[i].reason) == NULL || strstr(d.told, cases[i].told) == NULL)
			fail_msg("%zu: %s\n%s", i, d.reason, d.told);
		assert_null(strstr(d.told, "alice"));
		assert_null(strstr(d.told, "gpu-"));
		assert_null(strstr(d.told, "cpu"));
		assert_non_null(strstr(d.cure, "ask team-nlp"));
	}
	/* A forbid does not tell either. */
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "ok", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "no", true, "a", "(eq node.zone blue)", "always", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	struct mf_decision d = decide(p, "a", "node.zone=blue", BEFORE);
	assert_non_null(strstr(d.reason, "blue"));
	assert_null(strstr(d.told, "blue"));
	assert_string_equal(d.rule, "no");
	assert_string_equal(d.attribute, "node.zone");
}

/* ---- monotonicity ---- */

#define RULES 8

struct drawn {
	bool forbid;
	const char *when;
	struct mf_obligations must;
};

static bool
permits(const struct drawn *rules, size_t n, size_t without, const char *known, struct mf_decision *ret_d)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	for (size_t i = 0; i < n; i++) {
		char id[8];
		(void)snprintf(id, sizeof(id), "r%zu", i);
		if (i != without)
			assert_int_equal(add_rule_must(p, id, rules[i].forbid, "a", "any", rules[i].when,
					     rules[i].must, NULL),
			    MF_OK);
	}
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	*ret_d = decide(p, "a", known, BEFORE);
	return ret_d->permit;
}

/*
 * Removing a permit never grants, unless what it asked for beside the others was the hindrance; removing an obligation-free
 * permit never does. Adding a forbid never grants. More obligations never give more.
 */
static void
test_monotone(void **state)
{
	MF_UNUSED(state);
	static const char *const whens[] = { "always", "(eq manifest.env dev)", "(not (eq manifest.env dev))",
		"(has node.x)", "(any (le node.x 3) (eq manifest.kind eval))",
		"(every manifest.dataset (eq class public))", "(subset manifest.egress a)" };
	static const char *const worlds[] = { "", "manifest.env=dev", "manifest.env=prod node.x=2",
		"manifest.kind=eval manifest.egress=a", "node.x=9 " D0("class", "public"),
		D0("class", "secret") "manifest.env=dev manifest.egress=" };
	struct mf_decision before, after;
	rng_state = 7;
	for (unsigned round = 0; round < 1500; round++) {
		struct drawn rules[RULES + 1];
		size_t n = 1 + rnd(RULES);
		for (size_t i = 0; i <= n; i++)
			rules[i] =
			    (struct drawn) { .forbid = rnd(4) == 0, .when = whens[rnd(MF_COUNT(whens))] };
		const char *known = worlds[rnd(MF_COUNT(worlds))];
		bool was = permits(rules, n, SIZE_MAX, known, &before);
		size_t gone = rnd(n);
		bool then = permits(rules, n, gone, known, &after);
		if (!rules[gone].forbid)
			assert_false(then && !was);
		else
			assert_false(was && !then);
		rules[n].forbid = true;
		assert_false(permits(rules, n + 1, SIZE_MAX, known, &after) && !was);
		rules[n].forbid = false;
		rules[n].must = (struct mf_obligations) { .max_ttl_ms = 2000 + rnd(1000) };
		then = permits(rules, n + 1, SIZE_MAX, known, &after);
		assert_false(was && !then); /* a limit alone refuses nobody */
		if (was)
			assert_true(after.must.max_ttl_ms == 0 || after.must.max_ttl_ms >= 2000);
		if (was && before.must.max_ttl_ms != 0)
			assert_true(after.must.max_ttl_ms <= before.must.max_ttl_ms);
	}
}

/* ---- reviews ---- */

static void
test_review(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_policy_free) struct mf_policy *p = policy_abc();
	assert_int_equal(add_rule(p, "r", false, "a", "any", "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "f", true, "b", NULL, "always", NULL), MF_OK);
	assert_int_equal(add_rule(p, "q", false, "b", "any", "always", NULL), MF_OK);
	assert_int_equal(mf_policy_seal(p, NULL), MF_OK);
	const int64_t end = REVIEW + DAY; /* the day itself still counts */
	static const struct {
		int64_t left;
		enum mf_policy_review want;
	} cases[] = { { 30 * DAY, MF_REVIEW_FAR }, { 14 * DAY + 1, MF_REVIEW_FAR },
		{ 14 * DAY, MF_REVIEW_14_DAYS }, { 7 * DAY + 1, MF_REVIEW_14_DAYS },
		{ 7 * DAY, MF_REVIEW_7_DAYS }, { DAY + 1, MF_REVIEW_7_DAYS }, { DAY, MF_REVIEW_1_DAY },
		{ 1, MF_REVIEW_1_DAY }, { 0, MF_REVIEW_PAST }, { -DAY, MF_REVIEW_PAST } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		assert_int_equal(mf_policy_review(p, 0, end - cases[i].left), cases[i].want);
		assert_int_equal(
		    decide(p, "a", "", end - cases[i].left).permit, cases[i].want != MF_REVIEW_PAST);
		assert_false(decide(p, "b", "", end - cases[i].left).permit); /* forbids stay in force */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_and_times),
		cmocka_unit_test(test_under),
		cmocka_unit_test(test_glob_and_subset),
		cmocka_unit_test(test_every_and_some),
		cmocka_unit_test(test_quantifiers_against_reference),
		cmocka_unit_test(test_merge_laws),
		cmocka_unit_test(test_obligations_limit),
		cmocka_unit_test(test_obligations_fields),
		cmocka_unit_test(test_told_is_less),
		cmocka_unit_test(test_monotone),
		cmocka_unit_test(test_review),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
