#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/spiffe_id.h"

#define S(lit)                                          \
	{                                               \
		(const uint8_t *)(lit), sizeof(lit) - 1 \
	}

static const struct {
	const char *row; /* of the conformance list in docs */
	struct mf_slice in;
	enum mf_status want;
	const char *td, *path, *msg;
} cases[] = {
	{ "ID-1", S(""), MF_E_INVALID, NULL, NULL, "spiffe id: does not start with spiffe://" },
	{ "ID-1", S("s"), MF_E_INVALID, NULL, NULL, "spiffe id: does not start with spiffe://" },
	{ "ID-1", S("spiffe:/x"), MF_E_INVALID, NULL, NULL, "spiffe id: does not start with spiffe://" },
	{ "ID-1", S("http://td/a"), MF_E_INVALID, NULL, NULL, "spiffe id: does not start with spiffe://" },
	{ "ID-1", S(" spiffe://td/a"), MF_E_INVALID, NULL, NULL, "spiffe id: does not start with spiffe://" },
	{ "ID-2", S("spiffe://"), MF_E_INVALID, NULL, NULL, "trust domain: empty" },
	{ "ID-2", S("spiffe:///p"), MF_E_INVALID, NULL, NULL, "trust domain: empty" },
	{ "ID-3", S("spiffe://td/a?x=1"), MF_E_INVALID, NULL, NULL, "path: bad byte at 13" },
	{ "ID-3", S("spiffe://td/a#f"), MF_E_INVALID, NULL, NULL, "path: bad byte at 13" },
	{ "ID-3", S("spiffe://td?x"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 11" },
	{ "ID-4", S("spiffe://u@td/a"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 10" },
	{ "ID-4", S("spiffe://@td/a"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 9" },
	{ "ID-4", S("spiffe://td:80/a"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 11" },
	{ "ID-4", S("spiffe://td:/a"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 11" },
	{ "ID-5", S("spiffe://%62ad/p"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 9" },
	{ "ID-5", S("spiffe://a.b\0.evil/x"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 12" },
	{ "ID-6", S("SPIFFE://TD/a"), MF_OK, "td", "/a", "" },
	{ "ID-6", S("sPiFFe://a.B-c_D9/X.y"), MF_OK, "a.b-c_d9", "/X.y", "" },
	{ "ID-7", S("spiffe://td/%61"), MF_E_INVALID, NULL, NULL, "path: bad byte at 12" },
	{ "ID-7", S("spiffe://td/a b"), MF_E_INVALID, NULL, NULL, "path: bad byte at 13" },
	{ "ID-7", S("spiffe://td/a:b"), MF_E_INVALID, NULL, NULL, "path: bad byte at 13" },
	{ "ID-7", S("spiffe://td/\xc3\xa4"), MF_E_INVALID, NULL, NULL, "path: bad byte at 12" },
	{ "ID-7", S("spiffe://td/a\0"), MF_E_INVALID, NULL, NULL, "path: bad byte at 13" },
	{ "ID-8", S("spiffe://td//p"), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 12" },
	{ "ID-8", S("spiffe://td/a//b"), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 14" },
	{ "ID-8", S("spiffe://td/."), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 12" },
	{ "ID-8", S("spiffe://td/a/../b"), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 14" },
	{ "ID-8", S("spiffe://td/a/.."), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 14" },
	{ "ID-8", S("spiffe://td/.a"), MF_OK, "td", "/.a", "" },
	{ "ID-8", S("spiffe://td/..a"), MF_OK, "td", "/..a", "" },
	{ "ID-8", S("spiffe://td/.../b"), MF_OK, "td", "/.../b", "" },
	{ "ID-9", S("spiffe://td/"), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 12" },
	{ "ID-9", S("spiffe://td/a/"), MF_E_INVALID, NULL, NULL, "path: empty or dot segment at 14" },
	{ "ID-9", S("spiffe://td"), MF_OK, "td", "", "" },
	{ "ID-12", S("spiffe://10.0.0.1/a"), MF_OK, "10.0.0.1", "/a", "" },
	{ "ID-12", S("spiffe://my_td/a"), MF_OK, "my_td", "/a", "" },
	{ "ID-12", S("spiffe://a..b/c"), MF_OK, "a..b", "/c",
	    "" }, /* the grammar allows it; setup does not */
	{ "ID-12", S("spiffe://[::1]/a"), MF_E_INVALID, NULL, NULL, "trust domain: bad byte at 9" },
};

static void
test_parse_table(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { 0 };
		struct mf_spiffe_id *const untouched = (void *)(uintptr_t)1, *id = untouched;
		enum mf_status s = mf_spiffe_id_parse(cases[i].in, &id, &err);
		if (s != cases[i].want || strcmp(err.msg, cases[i].msg) != 0)
			print_error("%s case %zu: %s\n", cases[i].row, i, err.msg);
		assert_int_equal(s, cases[i].want);
		assert_string_equal(err.msg, cases[i].msg);
		if (s != MF_OK) {
			assert_ptr_equal(id, untouched); /* the header's promise */
			continue;
		}
		assert_true(mf_slice_eq_str(mf_spiffe_id_trust_domain(id), cases[i].td));
		assert_true(mf_slice_eq_str(mf_spiffe_id_path(id), cases[i].path));
		assert_true(mf_slice_eq_str(mf_spiffe_id_uri(id), mf_spiffe_id_str(id)));
		mf_spiffe_id_free(id);
	}
}

static bool
parses(struct mf_slice in)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	return mf_spiffe_id_parse(in, &id, NULL) == MF_OK;
}

/* ID-5, ID-6, ID-7: every byte in every place. */
static void
test_byte_loops(void **state)
{
	MF_UNUSED(state);
	int td_lower = 0, td_upper = 0, seg = 0;
	for (int c = 0; c < 256; c++) {
		uint8_t td[] = "spiffe://trustdomain?/p", path[] = "spiffe://td/seg?x/y";
		td[20] = (uint8_t)c;
		path[15] = (uint8_t)c;
		bool lower =
		    (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
		bool upper = c >= 'A' && c <= 'Z';
		bool ok = parses(mf_slice(td, sizeof(td) - 1));
		if (c == '/') {
			assert_false(ok); /* "//": an empty segment */
		} else {
			assert_int_equal(ok, lower || upper);
		}
		td_lower += ok && !upper;
		td_upper += ok && upper;
		ok = parses(mf_slice(path, sizeof(path) - 1));
		assert_int_equal(ok, lower || upper || c == '/');
		seg += ok && c != '/';
		uint8_t one = (uint8_t)c;
		assert_int_equal(mf_spiffe_segment_ok(mf_slice(&one, 1)), (lower || upper) && c != '.');
		if (upper) { /* accepted, but only its folded form exists afterwards */
			MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
			assert_int_equal(mf_spiffe_id_parse(mf_slice(td, sizeof(td) - 1), &id, NULL), MF_OK);
			assert_int_equal(mf_spiffe_id_trust_domain(id).p[11], c - 'A' + 'a');
		}
	}
	assert_int_equal(td_lower, 39);
	assert_int_equal(td_upper, 26);
	assert_int_equal(seg, 65);
}

/* ID-10, ID-11 */
static void
test_lengths(void **state)
{
	MF_UNUSED(state);
	uint8_t text[2100];
	for (size_t n = 254; n <= 257; n++) {
		memcpy(text, "spiffe://", 9);
		memset(text + 9, 'a', n);
		memcpy(text + 9 + n, "/p", 2);
		assert_int_equal(parses(mf_slice(text, 9 + n + 2)), n <= 255);
		assert_int_equal(parses(mf_slice(text, 9 + n)), n <= 255);
	}
	memcpy(text, "spiffe://td/", 12);
	memset(text + 12, 'x', sizeof(text) - 12);
	struct mf_spiffe_id *id = NULL;
	struct mf_err err = { 0 };
	assert_true(parses(mf_slice(text, 2048)));
	assert_int_equal(mf_spiffe_id_parse(mf_slice(text, 2049), &id, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "spiffe id: 2049 bytes, at most 2048");
	assert_int_equal(
	    mf_spiffe_id_build(MF_SLICE_LIT("td"), mf_slice(text + 11, 2048 - 11), &id, NULL), MF_OK);
	assert_int_equal(mf_spiffe_id_uri(id).n, 2048);
	mf_spiffe_id_free(id);
	id = NULL;
	assert_int_equal(
	    mf_spiffe_id_build(MF_SLICE_LIT("td"), mf_slice(text + 11, 2049 - 11), &id, NULL), MF_E_TOOBIG);
	assert_null(id);
}

/* ID-6, ID-13 */
static void
test_compare(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *a = NULL, *b = NULL, *c = NULL;
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("SPIFFE://TD/job/a"), &a, NULL), MF_OK);
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://td/job/a"), &b, NULL), MF_OK);
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://td/job/A"), &c, NULL), MF_OK);
	assert_true(mf_spiffe_id_eq(a, b));
	assert_string_equal(mf_spiffe_id_str(a), "spiffe://td/job/a");
	assert_false(mf_spiffe_id_eq(b, c));
}

static void
test_build(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *td, *path, *want;
	} t[] = {
		{ "example.org", "", "spiffe://example.org" },
		{ "example.org", "/a/b", "spiffe://example.org/a/b" },
		{ "Example.org", "/A", "spiffe://example.org/A" },
		{ "example.org", "a", NULL },
		{ "example.org", "/", NULL },
		{ "example.org", "/a/../b", NULL },
		{ "td/x", "/a", NULL }, /* the name must not reach into the path */
		{ "td/x", "", NULL },
		{ "", "/a", NULL },
		{ "td?", "/a", NULL },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
		enum mf_status s =
		    mf_spiffe_id_build(mf_slice_str(t[i].td), mf_slice_str(t[i].path), &id, NULL);
		assert_int_equal(s, t[i].want != NULL ? MF_OK : MF_E_INVALID);
		if (t[i].want != NULL)
			assert_string_equal(mf_spiffe_id_str(id), t[i].want);
	}
}

/* P-20: what Go's x509 refuses in a URI host is refused when a trust domain is set up. */
static void
test_trust_domain_strict(void **state)
{
	MF_UNUSED(state);
	char label63[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org";
	char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org";
	static const char *const bad[] = { "", ".", "a..b", ".a", "a.", "A", "a/b", "a:1", "a b", "*.a",
		"%61", "spiffe://a" };
	static const char *const good[] = { "a", "example.org", "10.0.0.1", "my_td-1.x" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_trust_domain_check_strict(mf_slice_str(bad[i]), NULL), MF_E_INVALID);
	for (size_t i = 0; i < MF_COUNT(good); i++)
		assert_int_equal(mf_trust_domain_check_strict(mf_slice_str(good[i]), NULL), MF_OK);
	assert_int_equal(mf_trust_domain_check_strict(mf_slice_str(label63), NULL), MF_OK);
	assert_int_equal(mf_trust_domain_check_strict(mf_slice_str(label64), NULL), MF_E_INVALID);
	uint8_t name[254];
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 == 0 ? 'a' : '.';
	assert_int_equal(mf_trust_domain_check_strict(mf_slice(name, 253), NULL), MF_OK);
	name[253] = 'a';
	name[252] = 'a';
	assert_int_equal(mf_trust_domain_check_strict(mf_slice(name, 254), NULL), MF_E_INVALID);
}

struct value {
	const char *name;
	struct mf_slice v;
};

static bool
lookup(void *ctx, struct mf_slice name, struct mf_slice *ret_value)
{
	const struct value *v = ctx;
	for (; v->name != NULL; v++)
		if (mf_slice_eq_str(name, v->name)) {
			*ret_value = v->v;
			return true;
		}
	return false;
}

static void
test_render(void **state)
{
	MF_UNUSED(state);
	static struct value values[] = { { "tenant", S("default") }, { "env", S("dev") },
		{ "job", S("j-abc") }, { "dot", S(".") }, { "dots", S("..") }, { "empty", S("") },
		{ "slash", S("a/b") }, { "star", S("*") }, { "brace", S("{job}") }, { "nul", S("a\0b") },
		{ "node.pool", S("gpu") }, { NULL, S("") } };
	static const struct {
		const char *tmpl, *path, *msg; /* path NULL: refused with this text */
		enum mf_status want;
	} t[] = {
		{ "/{tenant}/train/{env}/job/{job}", "/default/train/dev/job/j-abc", "", MF_OK },
		{ "/static", "/static", "", MF_OK },
		{ "/job-{job}.{env}", "/job-j-abc.dev", "", MF_OK },
		{ "/{node.pool}/{job}/{job}", "/gpu/j-abc/j-abc", "", MF_OK },
		{ "/{dots}", NULL, "template: the value of {dots} is not one path segment", MF_E_INVALID },
		{ "/{dot}", NULL, "template: the value of {dot} is not one path segment", MF_E_INVALID },
		{ "/x{dot}", NULL, "template: the value of {dot} is not one path segment", MF_E_INVALID },
		{ "/{empty}", NULL, "template: the value of {empty} is not one path segment", MF_E_INVALID },
		{ "/a{empty}", NULL, "template: the value of {empty} is not one path segment", MF_E_INVALID },
		{ "/{slash}", NULL, "template: the value of {slash} is not one path segment", MF_E_INVALID },
		{ "/{star}", NULL, "template: the value of {star} is not one path segment", MF_E_INVALID },
		{ "/{brace}", NULL, "template: the value of {brace} is not one path segment", MF_E_INVALID },
		{ "/{nul}", NULL, "template: the value of {nul} is not one path segment", MF_E_INVALID },
		{ "/{nobody}", NULL, "template: {nobody} has no value here", MF_E_NOTFOUND },
		{ "/{job", NULL, "template: broken placeholder at 1", MF_E_INVALID },
		{ "/{}", NULL, "template: broken placeholder at 1", MF_E_INVALID },
		{ "/{JOB}", NULL, "template: broken placeholder at 1", MF_E_INVALID },
		{ "/{job}}", NULL, "template: path: bad byte at 6", MF_E_INVALID },
		{ "/a/*", NULL, "template: path: bad byte at 3", MF_E_INVALID },
		{ "/a//{job}", NULL, "template: path: empty or dot segment at 3", MF_E_INVALID },
		{ "/{job}/", NULL, "template: path: empty or dot segment at 7", MF_E_INVALID },
		{ "/{job}/..", NULL, "template: path: empty or dot segment at 7", MF_E_INVALID },
		{ "{job}", NULL, "template: a path starts with a slash and has a segment", MF_E_INVALID },
		{ "", NULL, "template: a path starts with a slash and has a segment", MF_E_INVALID },
		{ "/", NULL, "template: a path starts with a slash and has a segment", MF_E_INVALID },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_buf out;
		struct mf_err err = { 0 };
		mf_buf_init(&out, 4096);
		mf_buf_put_str(&out, "=");
		enum mf_status s = mf_spiffe_path_render(mf_slice_str(t[i].tmpl), lookup, values, &out, &err);
		if (s != t[i].want || strncmp(err.msg, t[i].msg, strlen(t[i].msg)) != 0)
			print_error("%s: %s\n", t[i].tmpl, err.msg);
		assert_int_equal(s, t[i].want);
		assert_int_equal(strncmp(err.msg, t[i].msg, strlen(t[i].msg)), 0);
		assert_string_equal(mf_buf_cstr(&out) + 1, t[i].path == NULL ? "" : t[i].path);
		mf_buf_fini(&out);
	}
	static const struct {
		const char *tmpl, *want;
	} seg[] = { { "{job}", "j-abc" }, { "run-{job}", "run-j-abc" }, { "x", "x" }, { "", NULL },
		{ "{dots}", NULL }, { "a/{job}", NULL }, { "a b", NULL }, { "..", NULL } };
	for (size_t i = 0; i < MF_COUNT(seg); i++) {
		struct mf_buf out;
		mf_buf_init(&out, 4096);
		enum mf_status s =
		    mf_spiffe_segment_render(mf_slice_str(seg[i].tmpl), lookup, values, &out, NULL);
		assert_int_equal(s, seg[i].want != NULL ? MF_OK : MF_E_INVALID);
		assert_string_equal(mf_buf_cstr(&out), seg[i].want == NULL ? "" : seg[i].want);
		mf_buf_fini(&out);
	}
}

/* ID-10 for what we make: a value that blows a template up is refused. */
static void
test_render_caps(void **state)
{
	MF_UNUSED(state);
	uint8_t big[2000];
	memset(big, 'x', sizeof(big));
	struct value values[] = { { "v", mf_slice(big, sizeof(big)) }, { NULL, mf_slice(NULL, 0) } };
	struct mf_buf out;
	mf_buf_init(&out, 8192);
	assert_int_equal(mf_spiffe_path_render(MF_SLICE_LIT("/{v}"), lookup, values, &out, NULL), MF_OK);
	mf_buf_reset(&out);
	assert_int_equal(
	    mf_spiffe_path_render(MF_SLICE_LIT("/{v}/{v}"), lookup, values, &out, NULL), MF_E_TOOBIG);
	assert_int_equal(out.n, 0);
	uint8_t tmpl[2049];
	memset(tmpl, 'y', sizeof(tmpl));
	tmpl[0] = '/';
	assert_int_equal(
	    mf_spiffe_path_render(mf_slice(tmpl, sizeof(tmpl)), lookup, values, &out, NULL), MF_E_TOOBIG);
	mf_buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_table),
		cmocka_unit_test(test_byte_loops),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_trust_domain_strict),
		cmocka_unit_test(test_render),
		cmocka_unit_test(test_render_caps),
	};
	return cmocka_run_group_tests_name("spiffe_id", tests, NULL, NULL);
}
