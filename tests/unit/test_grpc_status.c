#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "rpc/grpc_status.h"

/* W-3, E-9 */
static void
test_status_texts(void **state)
{
	MF_UNUSED(state);
	const struct {
		const char *in;
		uint64_t ms;
		bool ok;
	} timeouts[] = { { "1S", 1000, true }, { "99999999H", UINT64_C(99999999) * 3600000, true },
		{ "5m", 5, true }, { "1u", 1, true }, { "1n", 1, true }, { "0m", 0, true },
		{ "1001u", 2, true }, { "2M", 120000, true }, { "", 0, false }, { "S", 0, false },
		{ "1", 0, false }, { "-1S", 0, false }, { "1s", 0, false }, { "123456789S", 0, false },
		{ " 1S", 0, false }, { "1S ", 0, false } };
	for (size_t i = 0; i < MF_COUNT(timeouts); i++) {
		uint64_t ms = 0;
		assert_int_equal(mf_grpc_timeout_get(mf_slice_str(timeouts[i].in), &ms), timeouts[i].ok);
		assert_true(ms == timeouts[i].ms);
	}
	struct mf_buf b;
	mf_buf_init(&b, 8192);
	mf_grpc_text_get(mf_slice_str(""), &b); /* into a buffer that has no memory yet */
	assert_int_equal(b.n, 0);
	const uint64_t back[] = { 0, 1, 999, 99999999, 100000000, 100000001, UINT64_MAX };
	for (size_t i = 0; i < MF_COUNT(back); i++) {
		uint64_t ms = 0;
		mf_buf_reset(&b);
		mf_grpc_timeout_put(&b, back[i]);
		assert_true(mf_grpc_timeout_get(mf_buf_slice(&b), &ms));
		assert_true(ms >= back[i] || i == 6);
	}
	const struct {
		const char *in, *out;
	} texts[] = { { "a%20b", "a b" }, { "%zz%4", "%zz%4" }, { "%00x", "?x" }, { "%c3%A4", "\xc3\xa4" },
		{ "%c3", "?" }, { "%0a", "?" } };
	for (size_t i = 0; i < MF_COUNT(texts); i++) {
		mf_buf_reset(&b);
		mf_grpc_text_get(mf_slice_str(texts[i].in), &b);
		assert_string_equal(mf_buf_cstr(&b), texts[i].out);
	}
	char longtext[2000];
	memset(longtext, 'a', sizeof(longtext) - 1);
	longtext[sizeof(longtext) - 1] = '\0';
	longtext[1023] = (char)0xc3; /* cut before, not inside */
	longtext[1024] = (char)0xa4;
	mf_buf_reset(&b);
	mf_grpc_text_put(&b, longtext);
	assert_int_equal(b.n, 1023);
	mf_buf_reset(&b);
	mf_grpc_text_put(&b, "a%\n\xc3\xa4");
	assert_string_equal(mf_buf_cstr(&b), "a%25%0A%C3%A4");
	mf_buf_reset(&b);
	mf_grpc_text_put(&b, "cut \xc3");
	assert_string_equal(mf_buf_cstr(&b), "cut ?");
	mf_buf_fini(&b);
	for (int s = 0; s < MF_STATUS_COUNT; s++)
		assert_true(s == MF_OK || mf_grpc_code_of((enum mf_status)s) != MF_GRPC_OK);
	for (int c = 1; c < MF_GRPC_CODE_COUNT; c++)
		assert_true(mf_grpc_code_to_status((enum mf_grpc_code)c) != MF_OK);
	assert_string_equal(mf_grpc_code_name((enum mf_grpc_code)99), "UNKNOWN");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
