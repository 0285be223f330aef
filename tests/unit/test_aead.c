#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/aead.h"
#include "lib/hex.h"

#define KEY_0 "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY_1 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define PLAIN_15                                                           \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define SEALED_15                                                          \
	"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" \
	"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"

/* The GCM paper's test cases 13 to 16 (AES-256, 96-bit nonces). */
static const struct {
	const char *key, *nonce, *aad, *plain, *sealed;
} vectors[] = {
	{ KEY_0, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ KEY_0, "000000000000000000000000", "", "00000000000000000000000000000000",
	    "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919" },
	{ KEY_1, "cafebabefacedbaddecaf888", "", PLAIN_15 "1aafd255",
	    SEALED_15 "898015adb094dac5d93471bdec1a502270e3cc6c" },
	{ KEY_1, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_15,
	    SEALED_15 "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static struct mf_aead *
aead_of(const char *hex)
{
	uint8_t key[32];
	struct mf_aead *a = NULL;
	hex_exact(hex, key, sizeof(key));
	assert_int_equal(mf_aead_new(key, &a, NULL), MF_OK);
	return a;
}

static void
test_vectors(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(vectors); i++) {
		MF_AUTO(mf_aead_free) struct mf_aead *a = aead_of(vectors[i].key);
		uint8_t nonce[12];
		struct mf_buf aad, plain, out;
		mf_buf_init(&aad, 4096);
		mf_buf_init(&plain, 4096);
		mf_buf_init(&out, 4096);
		hex_exact(vectors[i].nonce, nonce, sizeof(nonce));
		hex_buf(vectors[i].aad, &aad);
		hex_buf(vectors[i].plain, &plain);
		/* The same object seals and opens, several times. */
		for (int round = 0; round < 3; round++) {
			mf_buf_reset(&out);
			assert_int_equal(
			    mf_aead_seal(a, nonce, mf_buf_slice(&aad), mf_buf_slice(&plain), &out, NULL),
			    MF_OK);
			assert_hex(mf_buf_slice(&out), vectors[i].sealed);
			MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
			mf_buf_init(&back, 4096);
			assert_int_equal(
			    mf_aead_open(a, nonce, mf_buf_slice(&aad), mf_buf_slice(&out), &back, NULL),
			    MF_OK);
			assert_true(mf_slice_eq(mf_buf_slice(&back), mf_buf_slice(&plain)));
		}
		mf_buf_fini(&aad);
		mf_buf_fini(&plain);
		mf_buf_fini(&out);
	}
}

static void
test_tampering(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_aead_free) struct mf_aead *a = aead_of(KEY_1);
	uint8_t nonce[12] = { 1 };
	struct mf_slice aad = MF_SLICE_LIT("aad");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sealed;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
	mf_buf_init(&sealed, 4096);
	mf_buf_init(&back, 4096);
	mf_buf_put_str(&back, "keep");
	assert_int_equal(mf_aead_seal(a, nonce, aad, MF_SLICE_LIT("plaintext"), &sealed, NULL), MF_OK);
	for (size_t i = 0; i < sealed.n; i++) {
		struct mf_err err = { 0 };
		sealed.p[i] ^= 0x80;
		assert_int_equal(
		    mf_aead_open(a, nonce, aad, mf_buf_slice(&sealed), &back, &err), MF_E_UNAUTH);
		assert_true(mf_slice_eq_str(mf_buf_slice(&back), "keep"));
		/* What was decrypted before the tag was seen is gone. */
		for (size_t k = 4; k < 4 + sealed.n - MF_AEAD_TAG_SIZE; k++)
			assert_int_equal(back.p[k], 0);
		assert_int_equal(ERR_peek_error(), 0);
		sealed.p[i] ^= 0x80;
	}
	for (size_t n = 0; n < sealed.n; n++)
		assert_int_equal(
		    mf_aead_open(a, nonce, aad, mf_slice(sealed.p, n), &back, NULL), MF_E_UNAUTH);
	assert_int_equal(
	    mf_aead_open(a, nonce, MF_SLICE_LIT("aae"), mf_buf_slice(&sealed), &back, NULL), MF_E_UNAUTH);
	nonce[11] = 1;
	assert_int_equal(mf_aead_open(a, nonce, aad, mf_buf_slice(&sealed), &back, NULL), MF_E_UNAUTH);
	nonce[11] = 0;
	/* After all these failures the object still works. */
	assert_int_equal(mf_aead_open(a, nonce, aad, mf_buf_slice(&sealed), &back, NULL), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&back), "keepplaintext"));
}

static void
test_caps(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_aead_free) struct mf_aead *a = aead_of(KEY_0);
	static const uint8_t nonce[12], big[1];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 20);
	assert_int_equal(
	    mf_aead_seal(a, nonce, mf_slice(NULL, 0), MF_SLICE_LIT("12345"), &out, NULL), MF_E_TOOBIG);
	assert_int_equal(out.n, 0);
	mf_buf_reset(&out);
	assert_int_equal(mf_aead_seal(a, nonce, mf_slice(NULL, 0), MF_SLICE_LIT("1234"), &out, NULL), MF_OK);
	/* Refused by its length alone: the bytes are never looked at. */
	struct mf_slice huge = mf_slice(big, MF_AEAD_MAX + 1u);
	assert_int_equal(mf_aead_seal(a, nonce, huge, mf_slice(NULL, 0), &out, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_aead_seal(a, nonce, mf_slice(NULL, 0), huge, &out, NULL), MF_E_TOOBIG);
	mf_aead_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
