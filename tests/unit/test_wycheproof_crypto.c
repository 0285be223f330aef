/*
 * Wycheproof's cases for the primitives of lib/crypto (tests/data/wycheproof_crypto.txt says which files and how). Where we
 * are stricter than "valid", the rule stands beside the check: nothing is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/aead.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/hkdf.h"
#include "crypto/jws_pub.h"
#include "crypto/p256.h"
#include "crypto/x25519.h"
#include "hex.h"

#define VALUES 5

struct one {
	struct mf_buf v[VALUES];
	struct mf_slice key, exponent; /* the second for RSA */
	bool valid, acceptable;	       /* Wycheproof's words; both for the second */
};

static struct mf_slice
at(const struct one *c, size_t i)
{
	return mf_buf_slice(&c->v[i]);
}

/* Each: does ours agree? ${c}->valid is corrected where we are stricter. */

static bool
ecdsa(struct one *c)
{
	uint8_t digest[MF_SHA256_SIZE];
	mf_sha256(at(c, 0), digest);
	return (mf_p256_verify_digest(c->key, digest, at(c, 1), NULL) == MF_OK) == c->valid;
}

/* As JWS has it: r and s of 32 octets each. */
static bool
ecdsa_raw(struct one *c)
{
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
	struct mf_slice x = mf_slice_sub(c->key, 1, 32), y = mf_slice_sub(c->key, 33, 32);
	assert_int_equal(mf_jws_pub_ec(MF_JWS_P256, x, y, &pub, NULL), MF_OK);
	return (mf_jws_pub_verify(pub, MF_JWS_ES256, at(c, 0), at(c, 1), NULL) == MF_OK) == c->valid;
}

static bool
rsa(struct one *c, enum mf_jws_alg alg)
{
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
	assert_int_equal(mf_jws_pub_rsa(c->key, c->exponent, &pub, NULL), MF_OK);
	bool got = mf_jws_pub_verify(pub, alg, at(c, 0), at(c, 1), NULL) == MF_OK;
	/* "acceptable": DigestInfo without its NULL, which PKCS #1 does not write. */
	return got == c->valid || (c->acceptable && !got);
}

static bool
rsa_pkcs1(struct one *c)
{
	return rsa(c, MF_JWS_RS256);
}

static bool
rsa_pss(struct one *c)
{
	return rsa(c, MF_JWS_PS256);
}

static bool
ed25519(struct one *c)
{
	return (mf_ed25519_verify(c->key, at(c, 0), at(c, 1), NULL) == MF_OK) == c->valid;
}

/* "acceptable" are odd public keys: RFC 7748 takes them, but a shared secret of zeros is nobody's. */
static bool
x25519(struct one *c)
{
	MF_AUTO(mf_x25519_free) struct mf_x25519 *k = NULL;
	static const uint8_t zero[MF_X25519_SIZE];
	uint8_t shared[MF_X25519_SIZE];
	if (c->v[1].n != MF_X25519_SIZE || mf_x25519_new(at(c, 0), &k, NULL) != MF_OK)
		return !c->valid;
	bool got = mf_x25519_dh(k, c->v[1].p, shared, NULL) == MF_OK;
	if (mf_slice_eq(at(c, 2), mf_slice(zero, sizeof(zero))))
		return !got;
	return got && mf_slice_eq(at(c, 2), mf_slice(shared, sizeof(shared)));
}

static bool
aes_gcm(struct one *c)
{
	MF_AUTO(mf_aead_free) struct mf_aead *a = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 1u << 20);
	if (c->v[0].n != MF_AEAD_KEY_SIZE || c->v[1].n != MF_AEAD_NONCE_SIZE)
		return false;
	assert_int_equal(mf_aead_new(c->v[0].p, &a, NULL), MF_OK);
	bool opened = mf_aead_open(a, c->v[1].p, at(c, 2), at(c, 4), &out, NULL) == MF_OK;
	if (!c->valid)
		return !opened && out.n == 0;
	bool same = opened && mf_slice_eq(mf_buf_slice(&out), at(c, 3));
	mf_buf_reset(&out);
	return same && mf_aead_seal(a, c->v[1].p, at(c, 2), at(c, 3), &out, NULL) == MF_OK &&
	       mf_slice_eq(mf_buf_slice(&out), at(c, 4));
}

static bool
hkdf(struct one *c)
{
	uint8_t out[MF_HKDF_MAX];
	size_t n = (size_t)c->v[3].p[0] << 8 | c->v[3].p[1];
	c->valid = c->valid && n <= MF_HKDF_MAX; /* ours derives no more than it needs */
	bool got = mf_hkdf_sha256(at(c, 1), at(c, 0), at(c, 2), out, n, NULL) == MF_OK;
	return got == c->valid && (!got || mf_slice_eq(mf_slice(out, n), at(c, 4)));
}

static bool
hmac(struct one *c)
{
	uint8_t out[MF_SHA256_SIZE];
	mf_hmac_sha256(at(c, 0), at(c, 1), out);
	return mf_slice_eq(mf_slice(out, sizeof(out)), at(c, 2)) == c->valid;
}

static const struct {
	const char *file;
	bool (*agrees)(struct one *c);
	unsigned cases;
} sections[] = {
	{ "ecdsa_secp256r1_sha256_test.json", ecdsa, 484 },
	{ "ecdsa_secp256r1_sha256_p1363_test.json", ecdsa_raw, 262 },
	{ "rsa_signature_2048_sha256_test.json", rsa_pkcs1, 259 },
	{ "rsa_pss_2048_sha256_mgf1_32_test.json", rsa_pss, 108 },
	{ "ed25519_test.json", ed25519, 151 },
	{ "x25519_test.json", x25519, 518 },
	{ "aes_gcm_test.json", aes_gcm, 66 },
	{ "hkdf_sha256_test.json", hkdf, 86 },
	{ "hmac_sha256_test.json", hmac, 87 },
};

/* "T 12 valid VALUE..." */
static bool
one_case(bool (*agrees)(struct one *c), struct mf_slice key, struct mf_slice exponent, char *line)
{
	struct one c = { .key = key, .exponent = exponent };
	char *save = NULL, *word = strtok_r(line, " ", &save), *id = strtok_r(NULL, " ", &save);
	assert_string_equal(word, "T");
	word = strtok_r(NULL, " ", &save);
	c.acceptable = strcmp(word, "acceptable") == 0;
	c.valid = c.acceptable || strcmp(word, "valid") == 0;
	for (size_t i = 0; i < VALUES; i++) {
		mf_buf_init(&c.v[i], 1u << 20);
		word = strtok_r(NULL, " ", &save);
		if (word != NULL && strcmp(word, "-") != 0)
			hex_buf(word, &c.v[i]);
	}
	bool good = agrees(&c);
	if (!good)
		print_error("tcId %s: wycheproof says %s\n", id, c.valid ? "valid" : "invalid");
	for (size_t i = 0; i < VALUES; i++)
		mf_buf_fini(&c.v[i]);
	return good;
}

static void
test_cases(void **state)
{
	MF_UNUSED(state);
	char *line = NULL;
	size_t cap = 0, s = MF_COUNT(sections);
	unsigned bad = 0, n[MF_COUNT(sections)] = { 0 };
	struct mf_buf key, exponent;
	FILE *f = fopen("tests/data/wycheproof_crypto.txt", "re");
	assert_non_null(f);
	mf_buf_init(&key, 1024);
	mf_buf_init(&exponent, 1024);
	for (ssize_t len; (len = getline(&line, &cap, f)) > 0;) {
		line[len - 1] = '\0';
		if (line[0] == 'S') {
			for (s = 0; s < MF_COUNT(sections) && strcmp(sections[s].file, line + 2) != 0;)
				s++;
			assert_true(s < MF_COUNT(sections));
		} else if (line[0] == 'K') {
			char *second = strchr(line + 2, ' ');
			mf_buf_reset(&key);
			mf_buf_reset(&exponent);
			if (second != NULL) {
				*second = '\0';
				hex_buf(second + 1, &exponent);
			}
			hex_buf(line + 2, &key);
		} else if (line[0] == 'T') {
			n[s]++;
			bad +=
			    !one_case(sections[s].agrees, mf_buf_slice(&key), mf_buf_slice(&exponent), line);
		}
	}
	free(line);
	(void)fclose(f);
	mf_buf_fini(&key);
	mf_buf_fini(&exponent);
	assert_int_equal(bad, 0);
	for (s = 0; s < MF_COUNT(sections); s++)
		assert_int_equal(n[s], sections[s].cases);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
