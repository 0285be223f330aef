#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "base/rand.h"
#include "codec/pem.h"

/* Our writing against libcrypto's, and back, for every length around the line ends. */
static void
test_against_reference(void **state)
{
	MF_UNUSED(state);
	uint8_t in[300];
	mf_rand_bytes(in, sizeof(in));
	for (size_t n = 1; n <= sizeof(in); n++) {
		struct mf_buf text, back;
		mf_buf_init(&text, 4096);
		mf_buf_init(&back, 4096);
		mf_pem_put(&text, MF_PEM_CERTIFICATE, mf_slice(in, n));
		BIO *bio = BIO_new(BIO_s_mem());
		assert_true(PEM_write_bio(bio, "CERTIFICATE", "", in, (long)n) > 0);
		char *want = NULL;
		long want_n = BIO_get_mem_data(bio, &want);
		assert_int_equal(text.n, want_n);
		assert_memory_equal(text.p, want, text.n);
		BIO_free(bio);
		struct mf_slice s = mf_buf_slice(&text);
		assert_int_equal(mf_pem_get(&s, MF_PEM_CERTIFICATE, &back, NULL), MF_OK);
		assert_int_equal(s.n, 0);
		assert_true(mf_slice_eq(mf_buf_slice(&back), mf_slice(in, n)));
		for (size_t cut = 0; cut < text.n; cut += 11) {
			mf_buf_reset(&back);
			assert_int_not_equal(
			    mf_pem_get_all(mf_slice(text.p, cut), MF_PEM_CERTIFICATE, &back, NULL), MF_OK);
		}
		mf_buf_fini(&text);
		mf_buf_fini(&back);
	}
}

#define B "-----BEGIN X-----\n"
#define E "-----END X-----\n"
#define L64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void
test_table(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *in;
		enum mf_status want;
		const char *text;
	} t[] = {
		{ B "AAAA\n" E, MF_OK, "" },
		{ B L64 "\n" E, MF_OK, "" },
		{ B L64 "\nAA==\n" E, MF_OK, "" },
		{ B "AAAA\n" E B "AQID\n" E, MF_OK, "" },
		{ "", MF_E_INVALID, "pem: empty" },
		{ "\n" B "AAAA\n" E, MF_E_INVALID, "expected a line -----BEGIN X-----" },
		{ "Subject: x\n" B "AAAA\n" E, MF_E_INVALID, "expected a line -----BEGIN X-----" },
		{ "-----BEGIN Y-----\nAAAA\n-----END Y-----\n", MF_E_INVALID,
		    "expected a line -----BEGIN X-----" },
		{ "-----BEGIN X----- \nAAAA\n" E, MF_E_INVALID, "expected a line -----BEGIN X-----" },
		{ "-----BEGIN X-----\r\nAAAA\r\n-----END X-----\r\n", MF_E_INVALID, "expected a line" },
		{ B "AAAA\n-----END Y-----\n", MF_E_INVALID, "expected a line -----END X-----" },
		{ B "AAAA\n-----END X-----", MF_E_INVALID, "no line feed" },
		{ B "AAAA\n", MF_E_INVALID, "cut off" },
		{ B E, MF_E_INVALID, "line 1 of a block" },
		{ B "\n" E, MF_E_INVALID, "line 1 of a block is not 64 letters" },
		{ B "AAAA\nAAAA\n" E, MF_E_INVALID, "line 2 of a block is not 64 letters" },
		{ B L64 "AAAA\n" E, MF_E_INVALID, "line 1 of a block is not 64 letters" },
		{ B "AA==\nAAAA\n" E, MF_E_INVALID, "line 2 of a block" },
		{ B "AAA\n" E, MF_E_INVALID, "pem: line 1 of a block: base64" },
		{ B "AB==\n" E, MF_E_INVALID,
		    "pem: line 1 of a block: base64" }, /* stray bits: a second spelling */
		{ B "AA A\n" E, MF_E_INVALID, "pem: line 1 of a block: base64" },
		{ B "Proc-Type: 4,ENCRYPTED\n\nAAAA\n" E, MF_E_INVALID, "pem: line 1 of a block" },
		{ B "AAAA\n" E "x", MF_E_INVALID, "expected a line -----BEGIN X-----" },
		{ B "AAAA\n" E "\n", MF_E_INVALID, "expected a line -----BEGIN X-----" },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_buf out;
		struct mf_err err = { 0 };
		mf_buf_init(&out, 4096);
		enum mf_status s = mf_pem_get_all(mf_slice_str(t[i].in), "X", &out, &err);
		if (s != t[i].want || strstr(err.msg, t[i].text) == NULL)
			print_error("%zu: %s\n", i, err.msg);
		assert_int_equal(s, t[i].want);
		assert_non_null(strstr(err.msg, t[i].text));
		mf_buf_fini(&out);
	}
	struct mf_buf out;
	struct mf_slice none = mf_slice(NULL, 0);
	mf_buf_init(&out, 2);
	assert_int_equal(mf_pem_get(&none, "X", &out, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_pem_get_all(MF_SLICE_LIT(B "AAAA\n" E), "X", &out, NULL), MF_E_TOOBIG);
	mf_buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_reference),
		cmocka_unit_test(test_table),
	};
	return cmocka_run_group_tests_name("pem", tests, NULL, NULL);
}
