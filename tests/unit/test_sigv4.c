/* SigV4 against the published examples of AWS: the test suite's, and the one of IAM in its documentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "codec/sigv4.h"

#define KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN                                                                                               \
	"AQoDYXdzEPT//////////"                                                                             \
	"wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth"      \
	"Ax7mSEI/qkPpKPi/"                                                                                  \
	"kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAk" \
	"iY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"                                                       \
	"scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static void
test_vectors(void **state)
{
	MF_UNUSED(state);
	int64_t us;
	assert_int_equal(mf_time_get(MF_SLICE_LIT("2015-08-30T12:36:00Z"), &us, NULL), MF_OK);
	static const struct {
		const char *method, *host, *path, *query, *type, *body, *service, *token, *headers,
		    *signature;
	} cases[] = {
		{ "GET", "example.amazonaws.com", "/", "", NULL, "", "service", "", "host;x-amz-date",
		    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "GET", "example.amazonaws.com", "", "Param1=value1&Param2=value2", NULL, "", "service", "",
		    "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
		{ "POST", "example.amazonaws.com", "/", "", "application/x-www-form-urlencoded",
		    "Param1=value1", "service", "", "content-type;host;x-amz-date",
		    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
		{ "POST", "example.amazonaws.com", "/", "", NULL, "", "service", TOKEN,
		    "host;x-amz-date;x-amz-security-token",
		    "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
		{ "GET", "iam.amazonaws.com", "/", "Action=ListUsers&Version=2010-05-08",
		    "application/x-www-form-urlencoded; charset=utf-8", "", "iam", "",
		    "content-type;host;x-amz-date",
		    "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf got, want;
		mf_buf_init(&got, 4096);
		mf_buf_init(&want, 4096);
		struct mf_sigv4 r = { .method = cases[i].method,
			.host = mf_slice_str(cases[i].host),
			.path = mf_slice_str(cases[i].path),
			.query = mf_slice_str(cases[i].query),
			.content_type = cases[i].type,
			.body = mf_slice_str(cases[i].body),
			.region = "us-east-1",
			.service = cases[i].service,
			.access_key = "AKIDEXAMPLE",
			.secret_key = MF_SLICE_LIT(KEY),
			.session_token = cases[i].token,
			.now_s = us / 1000000 };
		assert_int_equal(mf_sigv4_authorize(&r, &got, NULL), MF_OK);
		mf_buf_putf(&want,
		    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/%s/aws4_request, "
		    "SignedHeaders=%s, "
		    "Signature=%s",
		    cases[i].service, cases[i].headers, cases[i].signature);
		assert_string_equal(mf_buf_cstr(&got), mf_buf_cstr(&want));
	}
}

static void
test_limits(void **state)
{
	MF_UNUSED(state);
	char date[MF_SIGV4_DATE];
	mf_sigv4_date(0, date);
	assert_string_equal(date, "19700101T000000Z");
	static char big[8192];
	memset(big, 'a', sizeof(big) - 1);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf got;
	mf_buf_init(&got, 4096);
	struct mf_sigv4 r = { .method = "GET",
		.region = "r",
		.service = "s",
		.access_key = "a",
		.secret_key = mf_slice_str(big),
		.session_token = "" };
	assert_int_not_equal(mf_sigv4_authorize(&r, &got, NULL), MF_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
