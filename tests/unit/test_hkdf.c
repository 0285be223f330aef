#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/hash.h"
#include "crypto/hkdf.h"
#include "lib/hex.h"

#define IKM "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"

/* RFC 5869 A.1 and A.3 */
static const struct {
	const char *salt, *info, *okm;
} vectors[] = {
	{ "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
	{ "", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
};

static void
test_rfc5869(void **state)
{
	MF_UNUSED(state);
	uint8_t ikm[22], okm[42];
	hex_exact(IKM, ikm, sizeof(ikm));
	for (size_t i = 0; i < MF_COUNT(vectors); i++) {
		struct mf_buf salt, info;
		mf_buf_init(&salt, 64);
		mf_buf_init(&info, 64);
		hex_buf(vectors[i].salt, &salt);
		hex_buf(vectors[i].info, &info);
		assert_int_equal(mf_hkdf_sha256(mf_buf_slice(&salt), mf_slice(ikm, sizeof(ikm)),
				     mf_buf_slice(&info), okm, sizeof(okm), NULL),
		    MF_OK);
		assert_hex(mf_slice(okm, sizeof(okm)), vectors[i].okm);
		mf_buf_fini(&salt);
		mf_buf_fini(&info);
	}
}

/* Noise's HKDF is RFC 5869 with the chaining key as salt and an empty info; outputs may overwrite it. */
static void
test_noise(void **state)
{
	MF_UNUSED(state);
	uint8_t ck[32], want[64], second[32];
	for (size_t i = 0; i < sizeof(ck); i++)
		ck[i] = (uint8_t)i;
	for (size_t n = 0; n <= 32; n += 32) {
		struct mf_slice ikm = mf_slice("0123456789abcdef0123456789abcdef", n);
		struct mf_slice salt = mf_slice(ck, sizeof(ck)), none = mf_slice(NULL, 0);
		assert_int_equal(mf_hkdf_sha256(salt, ikm, none, want, sizeof(want), NULL), MF_OK);
		mf_noise_hkdf2(ck, ikm, ck, second);
		assert_memory_equal(ck, want, 32);
		assert_memory_equal(second, want + 32, 32);
	}
}

static void
test_limits(void **state)
{
	MF_UNUSED(state);
	static uint8_t out[MF_HKDF_MAX + 1];
	static const uint8_t info[1025];
	struct mf_slice s = MF_SLICE_LIT("s");
	struct mf_err err = { 0 };
	assert_int_equal(mf_hkdf_sha256(s, s, s, out, MF_HKDF_MAX, NULL), MF_OK);
	assert_int_equal(mf_hkdf_sha256(s, s, s, out, MF_HKDF_MAX + 1, &err), MF_E_INVALID);
	assert_int_equal(mf_hkdf_sha256(s, s, s, out, 0, &err), MF_E_INVALID);
	assert_int_equal(mf_hkdf_sha256(s, s, mf_slice(info, 1025), out, 1, &err), MF_E_INVALID);
	assert_int_equal(mf_hkdf_sha256(s, s, mf_slice(info, 1024), out, 1, &err), MF_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc5869),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
