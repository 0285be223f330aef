#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/ed25519.h"
#include "lib/hex.h"

/* RFC 8032 7.1, TEST 1 to 3 */
static const struct {
	const char *private_key, *public_key, *message, *sig;
} vectors[] = {
	{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
	    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
	{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
	{ "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
	    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
};

static struct mf_ed25519 *
key_of(const char *hex)
{
	uint8_t raw[32];
	struct mf_ed25519 *k = NULL;
	hex_exact(hex, raw, sizeof(raw));
	assert_int_equal(mf_ed25519_new(mf_slice(raw, sizeof(raw)), &k, NULL), MF_OK);
	return k;
}

static void
test_rfc8032(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(vectors); i++) {
		MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = key_of(vectors[i].private_key);
		MF_AUTO_IN(mf_buf_fini) struct mf_buf msg;
		uint8_t pub[32], sig[64];
		mf_buf_init(&msg, 64);
		hex_buf(vectors[i].message, &msg);
		mf_ed25519_public(k, pub);
		assert_hex(mf_slice(pub, 32), vectors[i].public_key);
		assert_int_equal(mf_ed25519_sign(k, mf_buf_slice(&msg), sig, NULL), MF_OK);
		assert_hex(mf_slice(sig, 64), vectors[i].sig);
		assert_int_equal(
		    mf_ed25519_verify(mf_slice(pub, 32), mf_buf_slice(&msg), mf_slice(sig, 64), NULL), MF_OK);
	}
}

static void
test_every_changed_byte_is_refused(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = key_of(vectors[0].private_key);
	uint8_t all[32 + 64 + 5]; /* key, signature, message */
	mf_ed25519_public(k, all);
	memcpy(all + 96, "hello", 5);
	assert_int_equal(mf_ed25519_sign(k, mf_slice(all + 96, 5), all + 32, NULL), MF_OK);
	for (size_t i = 0; i <= sizeof(all); i++) {
		if (i < sizeof(all))
			all[i] ^= 1;
		enum mf_status st =
		    mf_ed25519_verify(mf_slice(all, 32), mf_slice(all + 96, 5), mf_slice(all + 32, 64), NULL);
		assert_int_equal(st, i < sizeof(all) ? MF_E_UNAUTH : MF_OK);
		assert_int_equal(ERR_peek_error(), 0);
		if (i < sizeof(all))
			all[i] ^= 1;
	}
}

/* RFC 8032 5.1.7: S is in 0 .. L-1; S + L would be a second signature of the same message. */
static void
test_malleable_signature_refused(void **state)
{
	MF_UNUSED(state);
	static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
		0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
	uint8_t pub[32], sig[64];
	hex_exact(vectors[1].public_key, pub, 32);
	hex_exact(vectors[1].sig, sig, 64);
	unsigned carry = 0;
	for (size_t i = 0; i < 32; i++) {
		carry += (unsigned)sig[32 + i] + order[i];
		sig[32 + i] = (uint8_t)carry;
		carry >>= 8;
	}
	assert_int_equal(
	    mf_ed25519_verify(mf_slice(pub, 32), mf_slice("\x72", 1), mf_slice(sig, 64), NULL), MF_E_UNAUTH);
}

static void
test_lengths_and_export(void **state)
{
	MF_UNUSED(state);
	static const uint8_t zero[65];
	struct mf_ed25519 *none = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_ed25519_new(mf_slice(zero, 31), &none, &err), MF_E_INVALID);
	assert_null(none);
	assert_int_equal(
	    mf_ed25519_verify(mf_slice(zero, 31), mf_slice(NULL, 0), mf_slice(zero, 64), &err), MF_E_INVALID);
	assert_int_equal(
	    mf_ed25519_verify(mf_slice(zero, 32), mf_slice(NULL, 0), mf_slice(zero, 65), &err), MF_E_INVALID);

	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = NULL;
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *again = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *priv = NULL;
	uint8_t pub[32], pub2[32];
	assert_int_equal(mf_ed25519_generate(NULL, &k, NULL), MF_OK);
	assert_int_equal(mf_ed25519_private(k, &priv, NULL), MF_OK);
	assert_int_equal(mf_ed25519_new(mf_secret_slice(priv), &again, NULL), MF_OK);
	mf_ed25519_public(k, pub);
	mf_ed25519_public(again, pub2);
	assert_memory_equal(pub, pub2, 32);
	mf_ed25519_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8032),
		cmocka_unit_test(test_every_changed_byte_is_refused),
		cmocka_unit_test(test_malleable_signature_refused),
		cmocka_unit_test(test_lengths_and_export),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
