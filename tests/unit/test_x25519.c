#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/x25519.h"
#include "lib/hex.h"

/* RFC 7748 6.1 */
#define A_PRIVATE "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
#define A_PUBLIC "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define B_PRIVATE "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
#define B_PUBLIC "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define SHARED "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

static struct mf_x25519 *
key_of(const char *hex)
{
	uint8_t raw[32];
	struct mf_x25519 *k = NULL;
	hex_exact(hex, raw, sizeof(raw));
	assert_int_equal(mf_x25519_new(mf_slice(raw, sizeof(raw)), &k, NULL), MF_OK);
	return k;
}

static void
test_rfc7748(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_x25519_free) struct mf_x25519 *a = key_of(A_PRIVATE);
	MF_AUTO(mf_x25519_free) struct mf_x25519 *b = key_of(B_PRIVATE);
	uint8_t pa[32], pb[32], s[32];
	mf_x25519_public(a, pa);
	mf_x25519_public(b, pb);
	assert_hex(mf_slice(pa, 32), A_PUBLIC);
	assert_hex(mf_slice(pb, 32), B_PUBLIC);
	assert_int_equal(mf_x25519_dh(a, pb, s, NULL), MF_OK);
	assert_hex(mf_slice(s, 32), SHARED);
	assert_int_equal(mf_x25519_dh(b, pa, s, NULL), MF_OK);
	assert_hex(mf_slice(s, 32), SHARED);
}

/* RFC 7748 6.1: "check, without leaking extra information about the value of K, whether K is the all-zero
 * value and abort if so". These are the points of order 1, 2, 4 and 8, and spellings above the prime. */
static void
test_small_order_refused(void **state)
{
	MF_UNUSED(state);
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	MF_AUTO(mf_x25519_free) struct mf_x25519 *a = key_of(A_PRIVATE);
	for (size_t i = 0; i < MF_COUNT(points); i++) {
		uint8_t p[32], s[32];
		struct mf_err err = { 0 };
		memset(s, 0xaa, sizeof(s));
		hex_exact(points[i], p, sizeof(p));
		assert_int_equal(mf_x25519_dh(a, p, s, &err), MF_E_INVALID);
		assert_true(err.msg[0] != '\0');
		for (size_t k = 0; k < sizeof(s); k++)
			assert_int_equal(s[k], 0xaa); /* written on MF_OK only */
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void
count_up(void *ctx, void *to, size_t n)
{
	uint8_t *v = ctx, *p = to;
	for (size_t i = 0; i < n; i++)
		p[i] = (*v)++;
}

static void
test_generate_and_export(void **state)
{
	MF_UNUSED(state);
	uint8_t v = 1, want[32], pub[32], pub2[32];
	const struct mf_rand rand = { count_up, &v };
	MF_AUTO(mf_x25519_free) struct mf_x25519 *k = NULL;
	MF_AUTO(mf_x25519_free) struct mf_x25519 *again = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *priv = NULL;
	assert_int_equal(mf_x25519_generate(&rand, &k, NULL), MF_OK);
	assert_int_equal(mf_x25519_private(k, &priv, NULL), MF_OK);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i + 1);
	assert_true(mf_slice_eq(mf_secret_slice(priv), mf_slice(want, sizeof(want))));
	assert_int_equal(mf_x25519_new(mf_secret_slice(priv), &again, NULL), MF_OK);
	mf_x25519_public(k, pub);
	mf_x25519_public(again, pub2);
	assert_memory_equal(pub, pub2, 32);

	MF_AUTO(mf_x25519_free) struct mf_x25519 *r1 = NULL;
	MF_AUTO(mf_x25519_free) struct mf_x25519 *r2 = NULL;
	assert_int_equal(mf_x25519_generate(NULL, &r1, NULL), MF_OK);
	assert_int_equal(mf_x25519_generate(NULL, &r2, NULL), MF_OK);
	mf_x25519_public(r1, pub);
	mf_x25519_public(r2, pub2);
	assert_memory_not_equal(pub, pub2, 32);
}

static void
test_bad_length(void **state)
{
	MF_UNUSED(state);
	static const uint8_t zero[33];
	struct mf_x25519 *k = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_x25519_new(mf_slice(zero, 31), &k, &err), MF_E_INVALID);
	assert_int_equal(mf_x25519_new(mf_slice(zero, 33), &k, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "x25519: a private key has 32 bytes, not 33");
	assert_null(k);
	mf_x25519_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7748),
		cmocka_unit_test(test_small_order_refused),
		cmocka_unit_test(test_generate_and_export),
		cmocka_unit_test(test_bad_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
