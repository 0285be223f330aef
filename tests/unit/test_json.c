#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/limits.h"
#include "base/suggest.h"
#include "codec/json.h"
#include "codec/json_write.h"

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in;
		size_t n;
		const char *msg;
	} cases[] = {
#define S(lit) lit, sizeof(lit) - 1
		{ S(""), "json: empty input" },
		{ S("1"), "json: line 1, column 1: not JSON" },
		{ S("{"), "json: line 1, column 1: ends too early" },
		{ S("{} x"), "json: line 1, column 4: something follows the document" },
		{ S("{}{}"), "json: line 1, column 3: something follows the document" },
		{ S("{}\0"), "json: line 1, column 3: something follows the document" },
		{ S("{\"a\":1,\"a\":2}"), "json: line 1, column 10: duplicate key in an object" },
		{ S("{\"a\":1,\"\\u0061\":2}"), "json: line 1, column 15: duplicate key in an object" },
		{ S("[\"\\u0000\"]"), "json: line 1, column 9: U+0000 is not allowed in strings" },
		{ S("{\"a\\u0000\":1}"), "json: line 1, column 10: U+0000 is not allowed in strings" },
		{ S("[\"\xc0\x80\"]"), "json: line 1, column 2: not UTF-8" },
		{ S("[\"\xed\xa0\x80\"]"), "json: line 1, column 2: not UTF-8" },
		{ S("[\"\\ud800\"]"), "json: line 1, column 9: not JSON" },
		{ S("[9223372036854775808]"), "json: line 1, column 20: number out of range" },
		{ S("[1e999]"), "json: line 1, column 6: number out of range" },
		{ S("[01]"), "json: line 1, column 2: not JSON" },
		{ S("[1,]"), "json: line 1, column 4: not JSON" },
		{ S("{'a':1}"), "json: line 1, column 2: not JSON" },
		{ S("[nul]"), "json: line 1, column 4: not JSON" },
		{ S("\xef\xbb\xbf{}"), "json: line 1, column 1: not JSON" },
		{ S("[\"a\nb\"]"), "json: line 1, column 3: not JSON" },
#undef S
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { 0 };
		struct mf_json *const untouched = (void *)(uintptr_t)1, *doc = untouched;
		assert_int_equal(
		    mf_json_parse(mf_slice(cases[i].in, cases[i].n), 0, &doc, &err), MF_E_INVALID);
		assert_string_equal(err.msg, cases[i].msg);
		assert_ptr_equal(doc, untouched);
	}
}

static void
test_caps(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct mf_json *doc = NULL;
	char nest[2 * (MF_LIM_JSON_DEPTH + 1)];
	memset(nest, '[', MF_LIM_JSON_DEPTH);
	memset(nest + MF_LIM_JSON_DEPTH, ']', MF_LIM_JSON_DEPTH);
	assert_int_equal(mf_json_parse(mf_slice(nest, (size_t)2 * MF_LIM_JSON_DEPTH), 0, &doc, &err), MF_OK);
	mf_json_free(doc);
	memset(nest, '[', MF_LIM_JSON_DEPTH + 1);
	memset(nest + MF_LIM_JSON_DEPTH + 1, ']', MF_LIM_JSON_DEPTH + 1);
	assert_int_equal(mf_json_parse(mf_slice(nest, sizeof(nest)), 0, &doc, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "json: nested deeper than 32 levels at byte 32");

	/* Brackets in strings are text. */
	struct mf_slice text = MF_SLICE_LIT("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"]");
	assert_int_equal(mf_json_parse(text, 0, &doc, &err), MF_OK);
	mf_json_free(doc);

	assert_int_equal(mf_json_parse(MF_SLICE_LIT("[1,2]"), 4, &doc, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "json: 5 bytes, the most here is 4");
	assert_int_equal(mf_json_parse(MF_SLICE_LIT("[1,2]"), 5, &doc, &err), MF_OK);
	mf_json_free(doc);
	mf_json_free(NULL);
}

static void
test_access(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	struct mf_slice in =
	    MF_SLICE_LIT(" {\"s\":\"a\\u00e9\", \"i\":-9223372036854775808, \"b\":true,"
			 "\"n\":null, \"r\":1.5, \"l\":[1,\"x\",{}], \"o\":{\"z\":1,\"a\":2}}\n");
	assert_int_equal(mf_json_parse(in, 0, &doc, NULL), MF_OK);
	const struct mf_json_value *root = mf_json_root(doc), *v = NULL;
	struct mf_slice s = { 0 };
	int64_t n = 7;
	bool b = false;
	assert_int_equal(mf_json_type(root), MF_JSON_OBJECT);
	assert_int_equal(mf_json_size(root), 7);
	assert_true(mf_json_string(mf_json_get(root, "s"), &s));
	assert_true(mf_slice_eq_str(s, "a\xc3\xa9"));
	assert_true(mf_json_int(mf_json_get(root, "i"), &n) && n == INT64_MIN);
	assert_true(mf_json_bool(mf_json_get(root, "b"), &b) && b);
	assert_int_equal(mf_json_type(mf_json_get(root, "n")), MF_JSON_NULL);
	assert_int_equal(mf_json_type(mf_json_get(root, "r")), MF_JSON_REAL);
	assert_false(mf_json_int(mf_json_get(root, "r"), &n));
	v = mf_json_get(root, "l");
	assert_int_equal(mf_json_size(v), 3);
	assert_true(mf_json_int(mf_json_at(v, 0), &n) && n == 1);
	assert_int_equal(mf_json_type(mf_json_at(v, 2)), MF_JSON_OBJECT);
	assert_null(mf_json_at(v, 3));
	assert_null(mf_json_at(root, 0));
	assert_null(mf_json_get(v, "x"));

	/* A chain over something absent is absent. */
	assert_null(mf_json_get(mf_json_get(mf_json_get(root, "no"), "such"), "key"));
	assert_int_equal(mf_json_type(NULL), MF_JSON_ABSENT);
	assert_int_equal(mf_json_size(NULL), 0);
	assert_false(mf_json_string(NULL, &s) || mf_json_int(NULL, &n) || mf_json_bool(NULL, &b));
	assert_null(mf_json_root(NULL));

	char seen[8] = "";
	struct mf_json_iter it = mf_json_iter(mf_json_get(root, "o"));
	while (mf_json_next(&it, &s, &v)) {
		assert_true(mf_json_int(v, &n));
		(void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%c%d", s.p[0], (int)n);
	}
	assert_string_equal(seen, "z1a2");
	it = mf_json_iter(mf_json_get(root, "s"));
	assert_false(mf_json_next(&it, &s, &v));
}

static void
test_need(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_json_free) struct mf_json *doc = NULL;
	assert_int_equal(
	    mf_json_parse(MF_SLICE_LIT("{\"alg\":\"x\",\"n\":5,\"ok\":false}"), 0, &doc, NULL), MF_OK);
	const struct mf_json_value *root = mf_json_root(doc), *v = NULL;
	struct mf_err err = { 0 };
	struct mf_slice s;
	int64_t n = 0;
	bool b = true;
	assert_int_equal(mf_json_need_string(root, "alg", &s, &err), MF_OK);
	assert_int_equal(mf_json_need_int(root, "n", &n, &err), MF_OK);
	assert_int_equal(n, 5);
	assert_int_equal(mf_json_need_bool(root, "ok", &b, &err), MF_OK);
	assert_false(b);
	assert_int_equal(mf_json_need_string(root, "n", &s, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "json: \"n\" must be a string, found an integer");
	assert_int_equal(mf_json_need(root, "keys", MF_JSON_ARRAY, &v, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "json: \"keys\" must be an array, found nothing");
	assert_null(v);

	static const char *const all[] = { "alg", "n", "ok" }, *const some[] = { "alg", "num", "of" };
	assert_int_equal(mf_json_only_keys(root, all, 3, &err), MF_OK);
	assert_int_equal(mf_json_only_keys(root, some, 2, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "json: unknown key \"n\"; remove it");
	assert_int_equal(mf_json_only_keys(mf_json_get(root, "n"), all, 3, &err), MF_E_INVALID);
}

static void
test_suggest(void **state)
{
	MF_UNUSED(state);
	static const char *const words[] = { "x509_ttl", "jwt_ttl", NULL, "path", "dns", "cn" };
	static const struct {
		const char *typed, *want;
	} cases[] = { { "x509_tll", "x509_ttl" }, { "x509ttl", "x509_ttl" }, { "jwt_tl", "jwt_ttl" },
		{ "paht", "path" }, { "pth", "path" }, { "cm", "cn" }, { "xy", NULL }, { "", NULL },
		{ "something_else", NULL }, { "dsn", "dns" } };
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		const char *got = mf_suggest(mf_slice_str(cases[i].typed), words, MF_COUNT(words));
		if (cases[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, cases[i].want);
	}
	char longest[MF_SUGGEST_WORD_MAX + 2];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(mf_suggest(mf_slice_str(longest), words, MF_COUNT(words)));
	const char *const self[] = { longest + 1 };
	assert_ptr_equal(mf_suggest(mf_slice_str(longest + 1), self, 1), self[0]);
	assert_false(mf_suggest_printable(mf_slice_str(longest)));
	assert_true(mf_suggest_printable(mf_slice_str("a.b c")));
	assert_false(mf_suggest_printable(MF_SLICE_LIT("a\nb")));
}

static uint64_t rng_state;

static uint64_t
rnd(uint64_t below)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state % below;
}

static size_t
random_text(char *to)
{
	static const char *const bits[] = { "a", "b", "Z", "_", "\"", "\\", "/", "\n", "\t", "\r", "\b", "\f",
		"\x01", "\x1f", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " ", "\xef\xbf\xbf" };
	size_t n = 0;
	for (uint64_t left = rnd(6); left > 0; left--) {
		const char *b = bits[rnd(MF_COUNT(bits))];
		memcpy(to + n, b, strlen(b));
		n += strlen(b);
	}
	to[n] = '\0';
	return n;
}

static json_t *
random_tree(size_t depth)
{
	char text[64];
	switch (rnd(depth == 0 ? 5 : 8)) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(rnd(2));
	case 2:
		return json_integer((json_int_t)(rnd(UINT64_MAX)));
	case 3:
		return json_integer((json_int_t)rnd(100));
	case 4:
		return json_stringn(text, random_text(text));
	case 5: {
		json_t *a = json_array();
		for (uint64_t n = rnd(5); n > 0; n--)
			assert_int_equal(json_array_append_new(a, random_tree(depth - 1)), 0);
		return a;
	}
	default: {
		json_t *o = json_object();
		for (uint64_t n = rnd(6); n > 0; n--) {
			(void)random_text(text);
			assert_int_equal(json_object_set_new(o, text, random_tree(depth - 1)), 0);
		}
		return o;
	}
	}
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
write_tree(struct mf_jw *w, json_t *j)
{
	const char *keys[8];
	size_t n = 0;
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		for (void *it = json_object_iter(j); it != NULL; it = json_object_iter_next(j, it))
			keys[n++] = json_object_iter_key(it);
		qsort(keys, n, sizeof(keys[0]), by_bytes);
		mf_jw_object_begin(w);
		for (size_t i = 0; i < n; i++) {
			mf_jw_key(w, keys[i]);
			write_tree(w, json_object_get(j, keys[i]));
		}
		mf_jw_object_end(w);
		break;
	case JSON_ARRAY:
		mf_jw_array_begin(w);
		for (size_t i = 0; i < json_array_size(j); i++)
			write_tree(w, json_array_get(j, i));
		mf_jw_array_end(w);
		break;
	case JSON_STRING:
		mf_jw_string(w, mf_slice(json_string_value(j), json_string_length(j)));
		break;
	case JSON_INTEGER:
		mf_jw_int(w, json_integer_value(j));
		break;
	case JSON_NULL:
		mf_jw_null(w);
		break;
	default:
		mf_jw_bool(w, json_is_true(j));
		break;
	}
}

static void
test_write_like_jansson(void **state)
{
	MF_UNUSED(state);
	rng_state = 0x6d6179666c79;
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	for (int i = 0; i < 20000; i++) {
		json_t *j = random_tree(4);
		char *want = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
		struct mf_jw w;
		mf_buf_reset(&b);
		mf_jw_init(&w, &b, true);
		write_tree(&w, j);
		assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
		assert_string_equal(mf_buf_cstr(&b), want);

		/* And our reader takes what our writer wrote. */
		struct mf_json *doc = NULL;
		if (json_is_object(j) || json_is_array(j)) {
			assert_int_equal(mf_json_parse(mf_buf_slice(&b), 1 << 20, &doc, NULL), MF_OK);
			mf_json_free(doc);
		}
		free(want);
		json_decref(j);
	}
	mf_buf_fini(&b);
}

/* Strings are looked at eight bytes at a time: every byte at every place of short and longer ones. */
static void
test_write_every_byte(void **state)
{
	MF_UNUSED(state);
	for (size_t n = 1; n <= 19; n++)
		for (size_t at = 0; at < n; at++)
			for (int c = 1; c < 128; c++) {
				char text[20] = { 0 }, *want;
				memset(text, 'x', n);
				text[at] = (char)c;
				json_t *j = json_string(text);
				want = json_dumps(j, JSON_ENCODE_ANY);
				MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
				mf_buf_init(&b, 256);
				struct mf_jw w;
				mf_jw_init(&w, &b, true);
				mf_jw_str(&w, text);
				assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
				assert_string_equal(mf_buf_cstr(&b), want);
				free(want);
				json_decref(j);
			}
}

static void
test_write_helpers(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	struct mf_jw w;
	mf_buf_init(&b, 1000);
	mf_buf_put_str(&b, "before ");
	mf_jw_init(&w, &b, true);
	mf_jw_object_begin(&w);
	mf_jw_kbase64url(&w, "b64", MF_SLICE_LIT("\xff\xfe"));
	mf_jw_kbool(&w, "bool", true);
	mf_jw_khex(&w, "hex", MF_SLICE_LIT("\x01\xab"));
	mf_jw_kint(&w, "int", INT64_MIN);
	mf_jw_kstr(&w, "str", "x");
	mf_jw_kstring(&w, "string", MF_SLICE_LIT("y"));
	mf_jw_ktime_us(&w, "time", 1);
	mf_jw_kuint(&w, "uint", UINT64_MAX);
	mf_jw_object_end(&w);
	assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&b),
	    "before "
	    "{\"b64\":\"__4\",\"bool\":true,\"hex\":\"01ab\",\"int\":-9223372036854775808,\"str\":\"x\","
	    "\"string\":\"y\",\"time\":\"1970-01-01T00:00:00.000001Z\",\"uint\":18446744073709551615}");
	mf_buf_fini(&b);
}

/* Each letter is one call of the writer; the status is that of finish. */
static void
test_write_mistakes(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *calls;
		enum mf_status sorted, unsorted;
	} cases[] = {
		{ "{a1b1}", MF_OK, MF_OK },
		{ "{b1a1}", MF_E_INTERNAL, MF_OK },
		{ "{a1a1}", MF_E_INTERNAL, MF_OK },
		{ "{n1a1}", MF_OK, MF_OK },
		{ "{a1n1}", MF_E_INTERNAL, MF_OK },
		{ "{a{b1}b1}", MF_OK, MF_OK },
		{ "{a{b1}a1}", MF_E_INTERNAL, MF_OK },
		{ "{b{a1}c[1]}", MF_OK, MF_OK },
		{ "1", MF_OK, MF_OK },
		{ "", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "11", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "{1}", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "{a}", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "{ab1}", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "[a1]", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "a1", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "{a1", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "[1}", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "{]", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "]", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "[]]", MF_E_INTERNAL, MF_E_INTERNAL },
		{ "[8]", MF_E_INVALID, MF_E_INVALID },
		{ "[0]", MF_E_INVALID, MF_E_INVALID },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", MF_OK, MF_OK },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", MF_E_INTERNAL,
		    MF_E_INTERNAL },
	};
	for (size_t i = 0; i < 2 * MF_COUNT(cases); i++) {
		struct mf_buf b;
		struct mf_jw w;
		mf_buf_init(&b, 1000);
		mf_jw_init(&w, &b, i % 2 == 0);
		for (const char *c = cases[i / 2].calls; *c != '\0'; c++) {
			if (*c == '{')
				mf_jw_object_begin(&w);
			else if (*c == '}')
				mf_jw_object_end(&w);
			else if (*c == '[')
				mf_jw_array_begin(&w);
			else if (*c == ']')
				mf_jw_array_end(&w);
			else if (*c == '1')
				mf_jw_null(&w);
			else if (*c == '8')
				mf_jw_str(&w, "\xff");
			else if (*c == '0')
				mf_jw_string(&w, MF_SLICE_LIT("\0"));
			else
				mf_jw_key_slice(&w, *c == 'n' ? MF_SLICE_LIT("\n") : mf_slice(c, 1));
		}
		struct mf_err err = { 0 };
		assert_int_equal(
		    mf_jw_finish(&w, &err), i % 2 == 0 ? cases[i / 2].sorted : cases[i / 2].unsorted);
		mf_buf_fini(&b);
	}
}

static void
test_write_cap(void **state)
{
	MF_UNUSED(state);
	struct mf_buf b;
	struct mf_jw w;
	struct mf_err err = { 0 };
	mf_buf_init(&b, 8);
	mf_jw_init(&w, &b, false);
	mf_jw_array_begin(&w);
	mf_jw_str(&w, "longer than that");
	mf_jw_array_end(&w);
	assert_int_equal(mf_jw_finish(&w, &err), MF_E_TOOBIG);
	mf_buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_need),
		cmocka_unit_test(test_suggest),
		cmocka_unit_test(test_write_like_jansson),
		cmocka_unit_test(test_write_every_byte),
		cmocka_unit_test(test_write_helpers),
		cmocka_unit_test(test_write_mistakes),
		cmocka_unit_test(test_write_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
