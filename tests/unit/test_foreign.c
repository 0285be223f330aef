/* Foreign bundles: from the supervisor's frames to the document that agents get (BND-8, BND-10, FED-17, FED-18). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "broker/notary/foreign.h"

static void
put(struct mf_buf *to, const char *td, const char *text)
{
	mf_buf_put_u32be(to, (uint32_t)strlen(td));
	mf_buf_put_str(to, td);
	mf_buf_put_u32be(to, (uint32_t)strlen(text));
	mf_buf_put_str(to, text);
}

static void
test_document(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf in, out;
	mf_buf_init(&in, 65536);
	mf_buf_init(&out, MF_LIM_DOCUMENT);
	/* None is said as well: what was removed from the configuration is gone at the agents. */
	assert_int_equal(mf_foreign_document(mf_slice(NULL, 0), "example.org", &out, NULL), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&out), "{\"trust_domains\":{}}"));
	mf_buf_reset(&out);
	put(&in, "a.org", "{\"keys\":[], \"spiffe_sequence\": 7}");
	put(&in, "b.org", "{\"keys\":[]}");
	assert_int_equal(mf_foreign_document(mf_buf_slice(&in), "example.org", &out, NULL), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&out),
	    "{\"trust_domains\":{\"a.org\":{\"keys\":[],\"spiffe_sequence\":7},\"b.org\":{\"keys\":[]}}}"));
	/* Every cut of the frames is refused. */
	for (size_t n = 1; n < in.n; n++) {
		mf_buf_reset(&out);
		bool whole = n == 4 + 5 + 4 + strlen("{\"keys\":[], \"spiffe_sequence\": 7}");
		assert_int_equal(mf_foreign_document(mf_slice_sub(mf_buf_slice(&in), 0, n), "example.org",
				     &out, NULL) == MF_OK,
		    whole);
	}
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *td, *text, *why;
	} bad[] = {
		{ "example.org", "{\"keys\":[]}", "our own" },
		{ "a.org", "{}", "a.org" },
		/* A file that tries to speak for somebody else. */
		{ "a.org", "{\"keys\":[]},\"evil.org\":{\"keys\":[]}", "a.org" },
		{ "a.org", "{\"trust_domains\":{\"evil.org\":{\"keys\":[]}}}", "a.org" },
		{ "A.org", "{\"keys\":[]}", "A.org" },
		{ "a.org\",\"evil.org", "{\"keys\":[]}", "bundle of" },
		{ "a.org", "", "a.org" },
		{ "a.org", "{\"keys\":[{\"kty\":\"EC\",\"use\":\"jwt-svid\",\"crv\":\"P-256\"}]}", "no kid" },
	};
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf in, out;
		struct mf_err err = { 0 };
		mf_buf_init(&in, 65536);
		mf_buf_init(&out, MF_LIM_DOCUMENT);
		put(&in, "first.org", "{\"keys\":[]}");
		put(&in, bad[i].td, bad[i].text);
		assert_int_equal(
		    mf_foreign_document(mf_buf_slice(&in), "example.org", &out, &err), MF_E_INVALID);
		if (strstr(err.msg, bad[i].why) == NULL)
			fail_msg("%zu: %s", i, err.msg);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
