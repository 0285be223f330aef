#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/template.h"

struct value {
	const char *name;
	struct mf_slice v;
};

static bool
get(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	for (const struct value *v = ctx; v->name != NULL; v++)
		if (mf_slice_eq_str(name, v->name)) {
			*ret_value = v->v;
			return true;
		}
	return false;
}

static void
test_check(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum mf_template_kind kind;
		const char *t, *msg;
	} cases[] = {
		{ MF_TEMPLATE_PATH, "/{tenant}/train/{env}/job/{job}", NULL },
		{ MF_TEMPLATE_PATH, "/a_B.c-1/job-{job}", NULL },
		{ MF_TEMPLATE_PATH, "", "must begin with '/'" },
		{ MF_TEMPLATE_PATH, "a/b", "must begin with '/'" },
		{ MF_TEMPLATE_PATH, "/", "an empty part at byte 0: remove the doubled or last '/'" },
		{ MF_TEMPLATE_PATH, "/a/", "an empty part at byte 2: remove the doubled or last '/'" },
		{ MF_TEMPLATE_PATH, "/a//b", "an empty part at byte 2: remove the doubled or last '/'" },
		{ MF_TEMPLATE_PATH, "/a/../b", "a part is \".\" or \"..\"" },
		{ MF_TEMPLATE_PATH, "/a/.", "a part is \".\" or \"..\"" },
		{ MF_TEMPLATE_PATH, "/mayfly", "/mayfly is reserved: begin with another word" },
		{ MF_TEMPLATE_PATH, "/mayfly/{job}", "/mayfly is reserved: begin with another word" },
		{ MF_TEMPLATE_PATH, "/mayflyer", NULL },
		{ MF_TEMPLATE_PATH, "/a b",
		    "a byte that may not stand in a path (allowed: letters, digits, . - _ / and "
		    "{variables})" },
		{ MF_TEMPLATE_PATH, "/a%2e",
		    "a byte that may not stand in a path (allowed: letters, digits, . - _ / and "
		    "{variables})" },
		{ MF_TEMPLATE_PATH, "/{jobb}", "unknown variable; did you mean {job}?" },
		{ MF_TEMPLATE_PATH, "/{}",
		    "unknown variable; known: tenant, job, run, env, kind, name, profile, purpose, node" },
		{ MF_TEMPLATE_PATH, "/{job", "a { without } at byte 1" },
		{ MF_TEMPLATE_PATH, "/job}", "a } without { at byte 4" },
		{ MF_TEMPLATE_PATH, "/{a{b}}", "a { inside a {variable} at byte 3" },
		{ MF_TEMPLATE_CN, "{job}", NULL },
		{ MF_TEMPLATE_CN, "", "empty" },
		{ MF_TEMPLATE_CN, "a/b",
		    "a byte that may not stand in a cn (allowed: letters, digits, . - _ and {variables})" },
		{ MF_TEMPLATE_DNS, "{job}.train.example", NULL },
		{ MF_TEMPLATE_DNS, "A.example",
		    "a byte that may not stand in a DNS name (allowed: a-z, digits, - . and {variables})" },
		{ MF_TEMPLATE_DNS, "*.example",
		    "a byte that may not stand in a DNS name (allowed: a-z, digits, - . and {variables})" },
		{ MF_TEMPLATE_DNS, "a..b", "an empty part at byte 2: remove the doubled or last '.'" },
		{ MF_TEMPLATE_DNS, "-a.b", "a label begins or ends with '-'" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { .msg = "" };
		enum mf_status s = mf_template_check(mf_slice_str(cases[i].t), cases[i].kind, &err);
		assert_int_equal(s, cases[i].msg == NULL ? MF_OK : MF_E_INVALID);
		assert_string_equal(err.msg, cases[i].msg == NULL ? "" : cases[i].msg);
	}
}

/* Values come from jobs: none may leave its segment. */
static void
test_values(void **state)
{
	MF_UNUSED(state);
	static const struct {
		enum mf_template_kind kind;
		const char *t;
		struct mf_slice v;
		const char *want, *msg;
	} cases[] = {
#define V(lit) { (const uint8_t *)("" lit), sizeof(lit) - 1 }
		{ MF_TEMPLATE_PATH, "/t/{name}/x", V("ft-bot_1.2"), "/t/ft-bot_1.2/x", NULL },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("a/b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("*"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("a+b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("a,b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V(".."), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("a..b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("{job}"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("a\0b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V("."), NULL, "a part is \".\" or \"..\"" },
		{ MF_TEMPLATE_PATH, "/t/.{name}", V("."), NULL, "a part is \".\" or \"..\"" },
		{ MF_TEMPLATE_PATH, "/t/{name}", V(""), NULL, "{name} has no value for this job" },
		{ MF_TEMPLATE_PATH, "/t/{env}", V("x"), NULL, "{env} has no value for this job" },
		{ MF_TEMPLATE_PATH, "/{name}/x", V("mayfly"), NULL,
		    "/mayfly is reserved: begin with another word" },
		{ MF_TEMPLATE_PATH, "/{name}", V("mayfly"), NULL,
		    "/mayfly is reserved: begin with another word" },
		{ MF_TEMPLATE_CN, "{name}",
		    V("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
		{ MF_TEMPLATE_CN, "x{name}",
		    V("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), NULL,
		    "65 bytes, the most is 64" },
		{ MF_TEMPLATE_DNS, "{name}.x", V("j-ab2"), "j-ab2.x", NULL },
		{ MF_TEMPLATE_DNS, "{name}.x", V("a.b"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_DNS, "{name}.x", V("Ab"), NULL,
		    "the value of {name} has a byte that may not stand in a name" },
		{ MF_TEMPLATE_DNS, "{name}.x", V("a-"), NULL, "a label begins or ends with '-'" },
#undef V
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { .msg = "" };
		struct value values[] = { { "name", cases[i].v }, { NULL, { 0 } } };
		struct mf_buf b;
		mf_buf_init(&b, 4096);
		mf_buf_put_str(&b, "kept:");
		enum mf_status s =
		    mf_template_expand(mf_slice_str(cases[i].t), cases[i].kind, get, values, &b, &err);
		assert_string_equal(err.msg, cases[i].msg == NULL ? "" : cases[i].msg);
		assert_int_equal(s, cases[i].msg == NULL ? MF_OK : MF_E_INVALID);
		if (s == MF_OK)
			assert_string_equal(mf_buf_cstr(&b) + 5, cases[i].want);
		mf_buf_fini(&b);
	}
}

static void
test_uses(void **state)
{
	MF_UNUSED(state);
	assert_true(mf_template_uses(mf_slice_str("/a/{job}"), "job"));
	assert_false(mf_template_uses(mf_slice_str("/a/job"), "job"));
	assert_false(mf_template_uses(mf_slice_str("/a/{jobs}"), "job"));
	assert_false(mf_template_uses(mf_slice_str("/a/{job"), "job"));
}

static void
test_arena(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_arena_free) struct mf_arena *a = mf_arena_new(100000);
	uint8_t *last = NULL;
	for (size_t i = 0; i < 1000; i++) {
		uint8_t *p = mf_arena_alloc(a, i % 40, 1);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % sizeof(max_align_t) % 16, 0);
		for (size_t k = 0; k < i % 40; k++) {
			assert_int_equal(p[k], 0);
			p[k] = 0xff;
		}
		assert_ptr_not_equal(p, last);
		last = p;
	}
	assert_non_null(mf_arena_alloc(a, 20000, 1)); /* larger than a chunk */
	assert_string_equal(mf_arena_str(a, mf_slice_str("abc")), "abc");
	assert_string_equal(mf_arena_str(a, mf_slice(NULL, 0)), "");
	assert_null(mf_arena_alloc(a, 100000, 1));
	assert_null(mf_arena_alloc(a, SIZE_MAX / 2, 3));
	assert_null(mf_arena_alloc(a, SIZE_MAX, 1));
	mf_arena_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
