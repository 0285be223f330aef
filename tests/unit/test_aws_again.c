/* A refusal of STS that may be of the moment: asked about once more, and never where a token may have been made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend_kit.h"

static char *
text(const char *s)
{
	return (char *)(uintptr_t)s; /* never changed */
}

/* What is told of a token, when ${replies} come one after another; *ret_asked: how many requests were made. */
static struct mf_cloud_op *
told(const char *endpoint, const struct mf_http_reply *replies, size_t n, unsigned *ret_asked,
    Mayfly__Roles__V1__MintResult *ret_r)
{
	static Mayfly__Roles__V1__CloudTarget t;
	static Mayfly__Roles__V1__MintRequest m;
	struct mf_cloud_op *op = NULL;
	struct mf_http_request req;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf first;
	mf_buf_init(&first, 1 << 16);
	mf_backend_target(&mf_backend_kits[0], &t);
	mf_backend_mint_request(&m);
	t.endpoint = text(endpoint);
	struct mf_cloud_job job = { .target = &t, .mint = &m, .now_s = BACKEND_NOW };
	assert_int_equal(mf_backend_aws_sts.start(MF_CLOUD_MINT, &job, &op, NULL), MF_OK);
	enum mf_cloud_step s = mf_backend_aws_sts.next(op, NULL, &req);
	mf_buf_put_slice(&first, req.body);
	for (*ret_asked = 0; s == MF_CLOUD_SEND; (*ret_asked)++) {
		assert_true(*ret_asked < n);
		assert_true(mf_slice_eq(req.body, mf_buf_slice(&first))); /* the same intent, word for word */
		s = mf_backend_aws_sts.next(op, &replies[*ret_asked], &req);
	}
	mayfly__roles__v1__mint_result__init(ret_r);
	mf_backend_aws_sts.mint_result(op, ret_r);
	return op;
}

/* A whole refusal that may be of the moment is asked about once more; whatever may have made a token never is. */
static void
test_again(void **state)
{
	MF_UNUSED(state);
	static const char rgw[] = "http://127.0.0.1:8000", aws[] = "https://sts.eu-central-1.amazonaws.com/";
#define ERROR_DOC(code) MF_SLICE_LIT("<ErrorResponse><Error><Code>" code "</Code></Error></ErrorResponse>")
	const struct mf_http_reply
	    no = { .status = 403, .sent = true, .body = ERROR_DOC("AccessDenied") },
	    idp = { .status = 400, .sent = true, .body = ERROR_DOC("IDPCommunicationError") },
	    scope = { .status = 400, .sent = true, .body = ERROR_DOC("MalformedPolicyDocument") },
	    good = { .status = 200, .sent = true, .body = mf_slice_str(mf_backend_kits[0].good) },
	    lost = { .status = 0, .sent = true, .transport = "the connection failed" },
	    unsent = { .status = 0, .transport = "no time is left" };
	struct mf_http_reply cut = no, other = no, early = no;
	cut.cut = true;
	other.body = MF_SLICE_LIT("<html>AccessDenied</html>");
	early.date = "Sat, 21 Nov 2026 22:20:00 GMT"; /* its clock is another */
	const struct {
		const char *endpoint;
		struct mf_http_reply replies[2];
		unsigned asked;
		const char *error; /* "": a token */
	} cases[] = {
		{ rgw, { no, good }, 2, "" },
		{ rgw, { no, no }, 2, "trust" },
		{ rgw, { no, idp }, 2, "issuer" },
		{ rgw, { no, lost }, 2, "unknown" }, /* the second one may have made a token */
		{ rgw, { no, unsent }, 2, "trust" },
		{ rgw, { idp, good }, 2, "" },
		{ rgw, { early, good }, 1, "clock" },
		{ rgw, { cut, good }, 1, "denied" },
		{ rgw, { other, good }, 1, "denied" },
		{ rgw, { scope, good }, 1, "scope" },
		{ rgw, { lost, good }, 1, "unknown" },
		{ aws, { no, good }, 1, "trust" }, /* AWS has words of its own for a hiccup */
		{ aws, { idp, good }, 2, "" },
		{ aws, { idp, idp }, 2, "issuer" },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		Mayfly__Roles__V1__MintResult r;
		unsigned asked;
		struct mf_cloud_op *op = told(cases[i].endpoint, cases[i].replies, 2, &asked, &r);
		if (asked != cases[i].asked || strcmp(r.error, cases[i].error) != 0 ||
		    r.minted != (cases[i].error[0] == '\0'))
			fail_msg("case %zu: %u requests, '%s'", i, asked, r.error);
		mf_backend_aws_sts.free(op);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
