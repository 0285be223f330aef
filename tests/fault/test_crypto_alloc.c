/*
 * Every allocation of libcrypto fails once: each operation of lib/crypto must then answer an error with
 * a text, write no output, leave no error queued for the next caller, and crash or leak nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "crypto/aead.h"
#include "crypto/ed25519.h"
#include "crypto/inner.h"
#include "crypto/jws_key.h"
#include "crypto/jws_pub.h"
#include "crypto/keyfile.h"
#include "crypto/provider.h"
#include "ossl_fail.h"

#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */

/* SHA-256 and HMAC abort without memory (see hash.h), so leave them theirs. */
static const char *const hashes[] = { "digest", "sha2", "hmac", "mac_" };

typedef enum mf_status (*operation)(struct mf_err *err);

/* Warm first, so that what is fetched once per process is not what fails. */
static void
fail_each(operation op)
{
	assert_int_equal(op(NULL), MF_OK);
	long n = 1;
	for (; n < ROUNDS; n++) {
		struct mf_err err = { 0 };
		mf_ossl_fail(n);
		enum mf_status st = op(&err);
		mf_ossl_fail(0);
		assert_int_equal(ERR_peek_error(), 0);
		if (!mf_ossl_failed()) {
			assert_int_equal(st, MF_OK);
			break;
		}
		if (st != MF_OK)
			assert_true(err.msg[0] != '\0' && err.code == st);
	}
	assert_true(n > 1); /* there was something to fail */
	assert_true(n < ROUNDS);
	assert_int_equal(op(NULL), MF_OK);
}

static const uint8_t raw[32] = "0123456789abcdef0123456789abcde";
static struct mf_x25519 *xkey, *xpeer;
static struct mf_ed25519 *ekey;

static enum mf_status
op_x25519_new(struct mf_err *err)
{
	MF_AUTO(mf_x25519_free) struct mf_x25519 *k = NULL;
	enum mf_status st = mf_x25519_new(mf_slice(raw, sizeof(raw)), &k, err);
	assert_int_equal(k != NULL, st == MF_OK);
	return st;
}

static enum mf_status
op_x25519_dh(struct mf_err *err)
{
	uint8_t pub[32], out[32] = { 0 };
	static const uint8_t zero[32];
	mf_x25519_public(xpeer, pub);
	enum mf_status st = mf_x25519_dh(xkey, pub, out, err);
	assert_int_equal(memcmp(out, zero, 32) != 0, st == MF_OK);
	return st;
}

static enum mf_status
op_x25519_private(struct mf_err *err)
{
	/* One allocation of libcrypto at most; a key made here so that there is at least one to fail. */
	MF_AUTO(mf_x25519_free) struct mf_x25519 *k = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	MF_TRY(mf_x25519_generate(NULL, &k, err));
	enum mf_status st = mf_x25519_private(k, &s, err);
	assert_int_equal(s != NULL, st == MF_OK);
	return st;
}

static enum mf_status
op_ed25519_new(struct mf_err *err)
{
	MF_AUTO(mf_ed25519_free) struct mf_ed25519 *k = NULL;
	enum mf_status st = mf_ed25519_new(mf_slice(raw, sizeof(raw)), &k, err);
	assert_int_equal(k != NULL, st == MF_OK);
	return st;
}

static enum mf_status
op_ed25519_sign(struct mf_err *err)
{
	uint8_t sig[64], pub[32];
	MF_TRY(mf_ed25519_sign(ekey, MF_SLICE_LIT("message"), sig, err));
	bool was = mf_ossl_spare(true);
	mf_ed25519_public(ekey, pub);
	assert_int_equal(
	    mf_ed25519_verify(mf_slice(pub, 32), MF_SLICE_LIT("message"), mf_slice(sig, 64), err), MF_OK);
	(void)mf_ossl_spare(was);
	return MF_OK;
}

static enum mf_status
op_ed25519_verify(struct mf_err *err)
{
	static uint8_t sig[64], pub[32];
	if (sig[0] == 0) {
		assert_int_equal(mf_ed25519_sign(ekey, MF_SLICE_LIT("message"), sig, NULL), MF_OK);
		mf_ed25519_public(ekey, pub);
	}
	return mf_ed25519_verify(mf_slice(pub, 32), MF_SLICE_LIT("message"), mf_slice(sig, 64), err);
}

static enum mf_status
op_aead(struct mf_err *err)
{
	static const uint8_t nonce[12];
	MF_AUTO(mf_aead_free) struct mf_aead *a = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sealed;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
	mf_buf_init(&sealed, 100);
	mf_buf_init(&back, 100);
	enum mf_status st = mf_aead_new(raw, &a, err);
	assert_int_equal(a != NULL, st == MF_OK);
	MF_TRY(st);
	st = mf_aead_seal(a, nonce, MF_SLICE_LIT("aad"), MF_SLICE_LIT("text"), &sealed, err);
	assert_int_equal(sealed.n, st == MF_OK ? 20 : 0);
	MF_TRY(st);
	st = mf_aead_open(a, nonce, MF_SLICE_LIT("aad"), mf_buf_slice(&sealed), &back, err);
	assert_int_equal(back.n, st == MF_OK ? 4 : 0);
	return st;
}

/* A whole session: handshake, one message up, one down. A failure anywhere ends that end. */
static enum mf_status
converse(struct mf_noise *init, struct mf_noise *resp, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf m;
	mf_buf_init(&m, 4096);
	MF_TRY(mf_noise_write(init, mf_slice(NULL, 0), &m, err));
	MF_TRY(mf_noise_read(resp, mf_buf_slice(&m), NULL, err));
	mf_buf_reset(&m);
	MF_TRY(mf_noise_write(resp, mf_slice(NULL, 0), &m, err));
	MF_TRY(mf_noise_read(init, mf_buf_slice(&m), NULL, err));
	mf_buf_reset(&m);
	MF_TRY(mf_noise_seal(init, MF_SLICE_LIT("up"), &m, err));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf back;
	mf_buf_init(&back, 4096);
	MF_TRY(mf_noise_open(resp, mf_buf_slice(&m), &back, err));
	assert_true(mf_slice_eq_str(mf_buf_slice(&back), "up"));
	return MF_OK;
}

static enum mf_status
op_noise(struct mf_err *err)
{
	MF_AUTO(mf_noise_free) struct mf_noise *init = NULL;
	MF_AUTO(mf_noise_free) struct mf_noise *resp = NULL;
	uint8_t pub[32];
	mf_x25519_public(xpeer, pub);
	const struct mf_noise_conf ci = { MF_NOISE_INITIATOR, MF_SLICE_LIT("p"), xkey, pub, NULL, 0 };
	const struct mf_noise_conf cr = { MF_NOISE_RESPONDER, MF_SLICE_LIT("p"), xpeer, NULL, NULL, 0 };
	MF_TRY(mf_noise_new(&ci, &init, err));
	MF_TRY(mf_noise_new(&cr, &resp, err));
	enum mf_status st = converse(init, resp, err);
	/* No end goes on in a session that broke. */
	if (st != MF_OK)
		assert_false(mf_noise_ready(init) && mf_noise_ready(resp));
	return st;
}

static enum mf_status
op_keyfile(struct mf_err *err)
{
	MF_AUTO(mf_kek_free) struct mf_kek *k = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf file;
	mf_buf_init(&file, MF_LIM_KEYFILE);
	MF_TRY(mf_kek_raw(mf_slice(raw, sizeof(raw)), &k, err));
	enum mf_status st = mf_keyfile_seal(k, "ca", "x", MF_SLICE_LIT("secret"), NULL, &file, err);
	assert_int_equal(file.n > 0, st == MF_OK);
	MF_TRY(st);
	st = mf_keyfile_open(k, "ca", "x", mf_buf_slice(&file), &s, err);
	assert_int_equal(s != NULL, st == MF_OK);
	return st;
}

static struct mf_secret *jws_der[2]; /* ES256, RS256 */

/* Read a key, sign, and verify as somebody else would. */
static enum mf_status
jws(struct mf_slice der, struct mf_err *err)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *s = NULL;
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	mf_buf_init(&sig, MF_JWS_SIG_MAX);
	enum mf_status st = mf_jws_key_from_pkcs8(der, &k, err);
	assert_int_equal(k != NULL, st == MF_OK);
	MF_TRY(st);
	MF_TRY(mf_jws_signer_new(k, &s, err));
	st = mf_jws_sign(s, MF_SLICE_LIT("a.b"), &sig, err);
	assert_int_equal(sig.n > 0, st == MF_OK);
	MF_TRY(st);
	struct mf_jws_public p = mf_jws_key_public(k);
	st = p.alg == MF_JWS_RS256 ? mf_jws_pub_rsa(p.n, p.e, &pub, err)
				   : mf_jws_pub_ec(MF_JWS_P256, mf_slice_sub(p.point, 1, 32),
					 mf_slice_sub(p.point, 33, 32), &pub, err);
	assert_int_equal(pub != NULL, st == MF_OK);
	MF_TRY(st);
	/* What was signed is good, whatever failed on the way. */
	bool was = mf_ossl_spare(true);
	assert_int_equal(mf_jws_pub_verify(pub, p.alg, MF_SLICE_LIT("a.b"), mf_buf_slice(&sig), err), MF_OK);
	(void)mf_ossl_spare(was);
	return mf_jws_pub_verify(pub, p.alg, MF_SLICE_LIT("a.b"), mf_buf_slice(&sig), err);
}

static enum mf_status
op_jws_ec(struct mf_err *err)
{
	return jws(mf_secret_slice(jws_der[0]), err);
}

static enum mf_status
op_jws_rsa(struct mf_err *err)
{
	return jws(mf_secret_slice(jws_der[1]), err);
}

static bool
make_jws(enum mf_jws_alg alg, struct mf_secret **ret_der)
{
	MF_AUTO(mf_jws_key_free) struct mf_jws_key *k = NULL;
	return mf_jws_key_generate(alg, &k, NULL) == MF_OK && mf_jws_key_to_pkcs8(k, ret_der, NULL) == MF_OK;
}

static void
run(void **state)
{
	operation *op = *state;
	bool spare = *op == op_noise || *op == op_jws_ec || *op == op_jws_rsa;
	mf_ossl_spare_files(hashes, spare ? MF_COUNT(hashes) : 0);
	fail_each(*op);
}

/* scrypt costs a tenth of a second: fail only its own few allocations. */
static void
test_scrypt(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_kek_free) struct mf_kek *k = NULL;
	struct mf_slice key;
	struct mf_err err = { 0 };
	bool failed = false;
	mf_ossl_spare_files(hashes, MF_COUNT(hashes)); /* its PBKDF2 is not ours to test */
	assert_int_equal(mf_kek_passphrase(MF_SLICE_LIT("correct horse"), NULL, &k, NULL), MF_OK);
	for (long n = 1; n <= 3; n++) {
		mf_ossl_fail(n);
		enum mf_status st = mf_kek_key(k, mf_kek_own_params(k), &key, &err);
		mf_ossl_fail(0);
		assert_int_equal(ERR_peek_error(), 0);
		failed = failed || (mf_ossl_failed() && st != MF_OK && err.msg[0] != '\0');
		if (st == MF_OK)
			break;
	}
	assert_true(failed);
	assert_int_equal(mf_kek_key(k, mf_kek_own_params(k), &key, NULL), MF_OK);
}

int
main(void)
{
	if (!mf_ossl_fail_init()) {
		print_message("skipped: libcrypto allocated before its hooks could be set\n");
		return 77;
	}
	mf_crypto_init();
	if (mf_x25519_generate(NULL, &xkey, NULL) != MF_OK ||
	    mf_x25519_generate(NULL, &xpeer, NULL) != MF_OK ||
	    mf_ed25519_generate(NULL, &ekey, NULL) != MF_OK || !make_jws(MF_JWS_ES256, &jws_der[0]) ||
	    !make_jws(MF_JWS_RS256, &jws_der[1]))
		return 1;
	static operation ops[] = { op_x25519_new, op_x25519_dh, op_x25519_private, op_ed25519_new,
		op_ed25519_sign, op_ed25519_verify, op_aead, op_noise, op_keyfile, op_jws_ec, op_jws_rsa };
	const struct CMUnitTest tests[] = {
		{ "x25519_new", run, NULL, NULL, &ops[0] },
		{ "x25519_dh", run, NULL, NULL, &ops[1] },
		{ "x25519_private", run, NULL, NULL, &ops[2] },
		{ "ed25519_new", run, NULL, NULL, &ops[3] },
		{ "ed25519_sign", run, NULL, NULL, &ops[4] },
		{ "ed25519_verify", run, NULL, NULL, &ops[5] },
		{ "aead", run, NULL, NULL, &ops[6] },
		{ "noise", run, NULL, NULL, &ops[7] },
		{ "keyfile", run, NULL, NULL, &ops[8] },
		{ "jws_ec", run, NULL, NULL, &ops[9] },
		{ "jws_rsa", run, NULL, NULL, &ops[10] },
		cmocka_unit_test(test_scrypt),
	};
	int bad = cmocka_run_group_tests(tests, NULL, NULL);
	mf_x25519_free(xkey);
	mf_x25519_free(xpeer);
	mf_ed25519_free(ekey);
	mf_secret_free(jws_der[0]);
	mf_secret_free(jws_der[1]);
	return bad;
}
