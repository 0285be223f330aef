#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>

#include "base/rand.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/provider.h"

static void
assert_hex(const uint8_t *p, size_t n, const char *want)
{
	struct mf_buf b;
	mf_buf_init(&b, 1024);
	mf_hex_put(&b, mf_slice(p, n));
	assert_string_equal(mf_buf_cstr(&b), want);
	mf_buf_fini(&b);
}

/* FIPS 180-4 examples. */
static void
test_sha256_vectors(void **state)
{
	MF_UNUSED(state);
	uint8_t h[MF_SHA256_SIZE];
	mf_sha256(mf_slice(NULL, 0), h);
	assert_hex(h, sizeof(h), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	mf_sha256(MF_SLICE_LIT("abc"), h);
	assert_hex(h, sizeof(h), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	mf_sha256(MF_SLICE_LIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), h);
	assert_hex(h, sizeof(h), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void
test_sha256_incremental(void **state)
{
	MF_UNUSED(state);
	uint8_t in[1000], a[MF_SHA256_SIZE], b[MF_SHA256_SIZE];
	mf_rand_bytes(in, sizeof(in));
	MF_AUTO(mf_sha256_ctx_free) struct mf_sha256_ctx *c = NULL;
	assert_int_equal(mf_sha256_ctx_new(&c, NULL), MF_OK);
	for (size_t step = 1; step < 200; step += 13) {
		for (size_t at = 0; at < sizeof(in); at += step)
			mf_sha256_update(c, mf_slice_sub(mf_slice(in, sizeof(in)), at, step));
		mf_sha256_final(c, a); /* and is ready for the next round */
		mf_sha256(mf_slice(in, sizeof(in)), b);
		assert_memory_equal(a, b, sizeof(a));
	}
	mf_sha256_final(c, a);
	mf_sha256(mf_slice(NULL, 0), b);
	assert_memory_equal(a, b, sizeof(a));
}

/* RFC 4231 cases 1, 2 and 6; then lengths around the block size against libcrypto's own one-shot. */
static void
test_hmac(void **state)
{
	MF_UNUSED(state);
	uint8_t key[200], in[300], h[MF_SHA256_SIZE], want[MF_SHA256_SIZE];
	memset(key, 0x0b, 20);
	mf_hmac_sha256(mf_slice(key, 20), MF_SLICE_LIT("Hi There"), h);
	assert_hex(h, sizeof(h), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	mf_hmac_sha256(MF_SLICE_LIT("Jefe"), MF_SLICE_LIT("what do ya want for nothing?"), h);
	assert_hex(h, sizeof(h), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, 131);
	mf_hmac_sha256(
	    mf_slice(key, 131), MF_SLICE_LIT("Test Using Larger Than Block-Size Key - Hash Key First"), h);
	assert_hex(h, sizeof(h), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	mf_rand_bytes(key, sizeof(key));
	mf_rand_bytes(in, sizeof(in));
	for (size_t k = 0; k <= sizeof(key); k++) {
		size_t n = (k * 7) % sizeof(in);
		mf_hmac_sha256(mf_slice(key, k), mf_slice(in, n), h);
		assert_non_null(HMAC(EVP_sha256(), key, (int)k, in, n, want, NULL));
		assert_memory_equal(h, want, sizeof(h));
	}
}

static void *
hash_thread(void *arg)
{
	struct mf_slice in = *(const struct mf_slice *)arg;
	uint8_t want[MF_SHA256_SIZE], got[MF_SHA256_SIZE], mac[MF_SHA256_SIZE], mac0[MF_SHA256_SIZE];
	SHA256(in.p, in.n, want);
	mf_hmac_sha256(in, in, mac0);
	for (int i = 0; i < 2000; i++) {
		mf_sha256(in, got);
		mf_hmac_sha256(in, in, mac);
		if (memcmp(got, want, sizeof(got)) != 0 || memcmp(mac, mac0, sizeof(mac)) != 0)
			return arg;
	}
	return NULL;
}

static void
test_threads(void **state)
{
	MF_UNUSED(state);
	static const char *const text[4] = { "a", "bb", "ccc", "dddd" };
	struct mf_slice in[4];
	pthread_t t[4];
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		in[i] = mf_slice_str(text[i]);
		assert_int_equal(pthread_create(&t[i], NULL, hash_thread, &in[i]), 0);
	}
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		void *bad = NULL;
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
}

static void
test_fail_drains_queue(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	ERR_raise(ERR_LIB_EVP, EVP_R_UNSUPPORTED_ALGORITHM);
	assert_int_equal(mf_crypto_fail(&err, MF_E_INVALID, "key"), MF_E_INVALID);
	assert_string_equal(err.msg, "key: unsupported algorithm");
	assert_int_equal(ERR_peek_error(), 0);
	assert_int_equal(mf_crypto_fail(&err, MF_E_INTERNAL, "key"), MF_E_INTERNAL);
	assert_string_equal(err.msg, "key: libcrypto gave no reason");
	ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
	assert_int_equal(mf_crypto_fail(&err, MF_E_INVALID, "key"), MF_E_NOMEM);
	/* What ran out of memory is below what its callers make of it. */
	ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
	ERR_raise(ERR_LIB_EVP, EVP_R_UNSUPPORTED_ALGORITHM);
	assert_int_equal(mf_crypto_fail(&err, MF_E_INVALID, "key"), MF_E_NOMEM);
	assert_string_equal(err.msg, "key: out of memory");
	assert_int_equal(ERR_peek_error(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256_vectors),
		cmocka_unit_test(test_sha256_incremental),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fail_drains_queue),
	};
	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
