/* The manifest: what is taken, as a flat list, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "codec/json_write.h"
#include "codec/manifest.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_whole(void **state)
{
	MF_UNUSED(state);
	static const char in[] =
	    "{\"mayfly_manifest\":1,\"tenant\":\"research\",\"name\":\"ft-support-bot\",\"kind\":"
	    "\"finetune\","
	    "\"env\":\"prod\",\"profile\":\"ft-prod\",\"owner\":\"team nlp\",\"run\":\"r1\","
	    "\"image\":\"registry.example/ft@sha256:" HEX64 "\","
	    "\"code\":{\"repo\":\"git.example/ft\",\"commit\":\"4f2c\"},"
	    "\"dataset\":[{\"uri\":\"s3://a\",\"version\":\"v12\",\"digest\":\"sha256:" HEX64
	    "\",\"class\":\"confidential\"},{\"uri\":\"s3://b\"}],"
	    "\"base_model\":{\"name\":\"m7b\",\"version\":\"2.3\",\"digest\":\"sha512:" HEX64 HEX64 "\"},"
	    "\"config\":\"sha256:cc\",\"prompt_lineage\":\"x\",\"mounts\":[\"s3-fuse:/"
	    "data:ro\",\"b\"],\"egress\":[],"
	    "\"deadline\":\"2026-11-22T06:00:00Z\",\"ticket\":\"CHG-4711\"}";
	static const char want[] =
	    "tenant=research;name=ft-support-bot;kind=finetune;env=prod;profile=ft-prod;owner=team "
	    "nlp;run=r1;"
	    "image=registry.example/ft@sha256:" HEX64 ";code.repo=git.example/ft;code.commit=4f2c;"
	    "dataset.uri=s3://a;dataset.version=v12;dataset.digest=sha256:" HEX64
	    ";dataset.class=confidential;dataset.uri=s3://b;base_model.name=m7b;base_model.version=2.3;"
	    "base_model.digest=sha512:" HEX64 HEX64
	    ";config=sha256:cc;prompt_lineage=x;mounts=s3-fuse:/data:ro;mounts=b;egress!;"
	    "deadline=2026-11-22T06:00:00Z;ticket=CHG-4711;";
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf flat;
	struct mf_err err = { .msg = "" };
	mf_buf_init(&flat, 1 << 16);
	assert_int_equal(mf_manifest_parse(mf_slice_str(in), &m, &err), MF_OK);
	for (size_t i = 0; i < mf_manifest_count(m); i++) {
		struct mf_manifest_attr a = mf_manifest_at(m, i);
		mf_buf_putf(&flat, "%s%s", a.name, a.value.p == NULL ? "!" : "=");
		mf_buf_put_slice(&flat, a.value);
		mf_buf_put_str(&flat, ";");
	}
	assert_string_equal(mf_buf_cstr(&flat), want);
	assert_true(mf_slice_eq_str(mf_manifest_get(m, "dataset.uri"), "s3://a"));
	assert_int_equal(mf_manifest_get(m, "nothing").n, 0);
	int64_t us = 0;
	assert_true(mf_manifest_deadline(m, &us));
	assert_true(us == INT64_C(1795327200) * 1000000);
	assert_string_equal(mf_manifest_at(m, 1000).name, "");
}

/* Elements of a list stay apart, in records too; every attribute is a field that policy may name. */
static void
test_elements(void **state)
{
	MF_UNUSED(state);
	static const char *const want[] = { "kind=eval", "dataset[0].uri=s3://a", "dataset[1].uri=s3://b",
		"dataset[1].class=public", "mounts=/x", "mounts=/y", "egress=" };
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL;
	assert_int_equal(
	    mf_manifest_parse(
		MF_SLICE_LIT("{\"kind\":\"eval\",\"dataset\":[{\"uri\":\"s3://a\"},{\"class\":\"public\","
			     "\"uri\":\"s3://b\"}],\"mounts\":[\"/x\",\"/y\"],\"egress\":[]}"),
		&m, NULL),
	    MF_OK);
	assert_int_equal(mf_manifest_count(m), MF_COUNT(want));
	for (size_t i = 0; i < MF_COUNT(want); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		struct mf_manifest_attr a = mf_manifest_at(m, i);
		mf_buf_init(&b, 256);
		mf_manifest_attr_put(&a, &b);
		assert_string_equal(mf_buf_cstr(&b), want[i]);
		assert_int_not_equal(mf_manifest_field_form(mf_slice_str(a.name), NULL), MF_MANIFEST_NONE);
	}
	enum mf_manifest_form form = MF_MANIFEST_NONE;
	size_t n = 0, at = 0;
	for (const char *name; (name = mf_manifest_field(n, &form)) != NULL; n++) {
		assert_int_equal(mf_manifest_field_form(mf_slice_str(name), &at), form);
		assert_int_equal(at, n);
	}
	assert_int_equal(n, MF_MANIFEST_FIELDS);
	assert_int_equal(mf_manifest_field_form(MF_SLICE_LIT("datasets"), NULL), MF_MANIFEST_NONE);
}

static void
test_empty(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL, *n = NULL;
	int64_t us;
	assert_int_equal(mf_manifest_parse(MF_SLICE_LIT("{}"), &m, NULL), MF_OK);
	assert_int_equal(mf_manifest_count(m), 0);
	assert_false(mf_manifest_deadline(m, &us));
	assert_int_equal(mf_manifest_parse(MF_SLICE_LIT("{\"dataset\":[]}"), &n, NULL), MF_OK);
	assert_int_equal(mf_manifest_count(n), 5);
	assert_null(mf_manifest_at(n, 0).value.p);
	assert_string_equal(mf_manifest_at(n, 0).name, "dataset");
	assert_string_equal(mf_manifest_at(n, 1).name, "dataset.uri");
	mf_manifest_free(NULL);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in;
		enum mf_status want;
		const char *msg;
	} cases[] = {
		{ "", MF_E_INVALID, "manifest: json: empty input" },
		{ "tenant: x\n", MF_E_INVALID, "manifest: json: line 1, column 6: not JSON" },
		{ "[]", MF_E_INVALID, "manifest: json: must be an object, found an array" },
		{ "{\"tennant\":\"x\"}", MF_E_INVALID,
		    "manifest: json: unknown key \"tennant\"; did you mean \"tenant\"?" },
		{ "{\"max_ttl\":1}", MF_E_INVALID, "manifest: json: unknown key \"max_ttl\"; remove it" },
		{ "{\"code\":{\"branch\":\"x\"}}", MF_E_INVALID,
		    "manifest: \"code\": json: unknown key \"branch\"; remove it" },
		{ "{\"mayfly_manifest\":2}", MF_E_UNSUPPORTED,
		    "manifest: \"mayfly_manifest\" must be 1, the only version there is" },
		{ "{\"tenant\":1}", MF_E_INVALID, "manifest: \"tenant\" must be a string, found an integer" },
		{ "{\"tenant\":null}", MF_E_INVALID, "manifest: \"tenant\" must be a string, found null" },
		{ "{\"owner\":\"\"}", MF_E_INVALID,
		    "manifest: \"owner\" must be 1 to 1024 bytes, this is 0: leave it out when there is "
		    "none" },
		{ "{\"owner\":\"a\\u001b[2J\"}", MF_E_INVALID,
		    "manifest: \"owner\" has a control character at byte 1: remove it" },
		{ "{\"owner\":\"a\\u007f\"}", MF_E_INVALID,
		    "manifest: \"owner\" has a control character at byte 1: remove it" },
		{ "{\"env\":\"a/b\"}", MF_E_INVALID,
		    "manifest: \"env\" must be a name: 1 to 64 letters, digits, . - _ beginning with a "
		    "letter, digit or _, "
		    "without .." },
		{ "{\"env\":\"..\"}", MF_E_INVALID,
		    "manifest: \"env\" must be a name: 1 to 64 letters, digits, . - _ beginning with a "
		    "letter, digit or _, "
		    "without .." },
		{ "{\"env\":\"a..b\"}", MF_E_INVALID,
		    "manifest: \"env\" must be a name: 1 to 64 letters, digits, . - _ beginning with a "
		    "letter, digit or _, "
		    "without .." },
		{ "{\"dataset\":{}}", MF_E_INVALID,
		    "manifest: \"dataset\" must be an array, found an object" },
		{ "{\"dataset\":[{\"uri\":\"u\"},{}]}", MF_E_INVALID,
		    "manifest: \"dataset\" has an element that says nothing: remove it" },
		{ "{\"dataset\":[\"x\"]}", MF_E_INVALID,
		    "manifest: \"dataset\" must be an array of objects, found a string" },
		{ "{\"dataset\":[{\"digest\":\"sha256:AA\"}]}", MF_E_INVALID,
		    "manifest: \"dataset.digest\" must be a digest: sha256: and 64 lowercase hex digits (or "
		    "sha384, "
		    "sha512)" },
		{ "{\"base_model\":{\"digest\":\"md5:0123456789abcdef0123456789abcdef\"}}", MF_E_INVALID,
		    "manifest: \"base_model.digest\" must be a digest: sha256: and 64 lowercase hex digits "
		    "(or sha384, "
		    "sha512)" },
		{ "{\"base_model\":[]}", MF_E_INVALID,
		    "manifest: \"base_model\" must be an object, found an array" },
		{ "{\"mounts\":[1]}", MF_E_INVALID,
		    "manifest: \"mounts\" must be a string, found an integer" },
		{ "{\"deadline\":\"tomorrow\"}", MF_E_INVALID,
		    "manifest: \"deadline\" must be a time in UTC like 2026-11-22T06:00:00Z" },
		{ "{\"deadline\":\"2026-11-22T06:00:00+01:00\"}", MF_E_INVALID,
		    "manifest: \"deadline\" must be a time in UTC like 2026-11-22T06:00:00Z" },
		{ "{\"env\":\"a\",\"env\":\"b\"}", MF_E_INVALID,
		    "manifest: json: line 1, column 16: duplicate key in an object" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct mf_err err = { .msg = "" };
		struct mf_manifest *const untouched = (void *)(uintptr_t)1, *m = untouched;
		assert_int_equal(mf_manifest_parse(mf_slice_str(cases[i].in), &m, &err), cases[i].want);
		assert_string_equal(err.msg, cases[i].msg);
		assert_ptr_equal(m, untouched);
	}
}

/* Every list and text at its cap, and one over it. */
static void
test_caps(void **state)
{
	MF_UNUSED(state);
	for (size_t extra = 0; extra < 2; extra++) {
		struct mf_buf b;
		struct mf_jw w;
		struct mf_err err = { .msg = "" };
		MF_AUTO(mf_manifest_free) struct mf_manifest *m = NULL;
		mf_buf_init(&b, 1 << 20);
		mf_jw_init(&w, &b, false);
		mf_jw_object_begin(&w);
		mf_jw_key(&w, "dataset");
		mf_jw_array_begin(&w);
		for (size_t i = 0; i < 64; i++) {
			mf_jw_object_begin(&w);
			mf_jw_kstr(&w, "uri", "u");
			mf_jw_kstr(&w, "version", "v");
			mf_jw_kstr(&w, "digest", "sha256:" HEX64);
			mf_jw_kstr(&w, "class", "c");
			mf_jw_object_end(&w);
		}
		mf_jw_array_end(&w);
		mf_jw_key(&w, "mounts");
		mf_jw_array_begin(&w);
		for (size_t i = 0; i < 64 + extra; i++)
			mf_jw_str(&w, "m");
		mf_jw_array_end(&w);
		mf_jw_object_end(&w);
		assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
		assert_int_equal(
		    mf_manifest_parse(mf_buf_slice(&b), &m, &err), extra == 0 ? MF_OK : MF_E_TOOBIG);
		if (extra == 1)
			assert_string_equal(err.msg, "manifest: \"mounts\" has 65 elements, the most is 64");
		mf_buf_reset(&b);
		mf_buf_put_str(&b, "{\"owner\":\"x\"}");
		while (b.n < MF_LIM_MANIFEST + extra)
			mf_buf_put_u8(&b, ' ');
		mf_manifest_free(MF_TAKE(m));
		assert_int_equal(
		    mf_manifest_parse(mf_buf_slice(&b), &m, &err), extra == 0 ? MF_OK : MF_E_TOOBIG);
		mf_buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
