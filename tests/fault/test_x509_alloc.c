/*
 * Each allocation of libcrypto fails once under the P-256 and X.509 operations: an error with a text (or
 * success, where libcrypto can do without), nothing queued for the next caller, nothing leaked (ASan), and
 * above all never a good verdict on a bad chain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <pthread.h>

#include "codec/x509_peek.h"
#include "codec/x509_read.h"
#include "codec/x509_write.h"
#include "crypto/hash.h"
#include "crypto/p256.h"
#include "ossl_fail.h"

#define NOW INT64_C(1795000000)
#define ROUNDS 5000 /* more allocations than any operation makes: a hang limit */

/* mf_sha256 aborts without memory (hash.h): its one allocation, and verification's like it, is spared. */
static const char *const hash[] = { "sha2_prov" };

/* What the operations work on, made before anything fails. */
static struct {
	struct mf_p256_key *key, *other;
	struct mf_p256_signer *signer;
	struct mf_secret *pkcs8;
	struct mf_buf ca, leaf, forged, sig, tbs;
	struct mf_anchors *anchors;
	uint8_t point[MF_P256_POINT_SIZE], digest[MF_SHA256_SIZE];
} w;

static enum mf_status
op_generate(struct mf_err *err)
{
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	return mf_p256_generate(&k, err);
}

static enum mf_status
op_pkcs8(struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *der = NULL;
	MF_AUTO(mf_p256_key_free) struct mf_p256_key *k = NULL;
	MF_TRY(mf_p256_from_pkcs8(mf_secret_slice(w.pkcs8), &k, err));
	return mf_p256_to_pkcs8(k, &der, err);
}

static enum mf_status
op_sign(struct mf_err *err)
{
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *s = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	mf_buf_init(&sig, MF_P256_SIG_MAX);
	MF_TRY(mf_p256_signer_new(w.key, &s, err));
	enum mf_status st = mf_p256_sign_digest(s, w.digest, &sig, err);
	assert_int_equal(sig.n > 0, st == MF_OK);
	MF_TRY(st);
	/* What was signed is good, whatever failed on the way. */
	bool was = mf_ossl_spare(true);
	assert_int_equal(
	    mf_p256_verify_digest(mf_slice(w.point, sizeof(w.point)), w.digest, mf_buf_slice(&sig), err),
	    MF_OK);
	(void)mf_ossl_spare(was);
	return MF_OK;
}

static enum mf_status
op_verify_digest(struct mf_err *err)
{
	return mf_p256_verify_digest(mf_slice(w.point, sizeof(w.point)), w.digest, mf_buf_slice(&w.sig), err);
}

static enum mf_status
op_anchors(struct mf_err *err)
{
	MF_AUTO(mf_anchors_free) struct mf_anchors *a = NULL;
	return mf_anchors_new(MF_SLICE_LIT("td"), mf_buf_slice(&w.ca), &a, err);
}

static enum mf_status
verify(struct mf_slice leaf, struct mf_err *err)
{
	const struct mf_anchors *sets[] = { w.anchors };
	struct mf_svid svid = { 0 };
	enum mf_status s = mf_svid_verify(&leaf, 1, sets, 1, NOW, &svid, err);
	if (s != MF_OK)
		assert_null(svid.id);
	mf_svid_fini(&svid);
	return s;
}

static enum mf_status
op_svid_verify(struct mf_err *err)
{
	return verify(mf_buf_slice(&w.leaf), err);
}

static enum mf_status
op_forged_verify(struct mf_err *err)
{
	return verify(mf_buf_slice(&w.forged), err);
}

/* An SVID, issued: it is there whole and verifies, or it is not there. */
static enum mf_status
op_issue(struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cert;
	mf_buf_init(&cert, MF_LIM_CERT_DER);
	enum mf_status s = mf_x509_sign(mf_buf_slice(&w.tbs), w.signer, &cert, err);
	assert_int_equal(cert.n > 0, s == MF_OK);
	MF_TRY(s);
	bool was = mf_ossl_spare(true);
	assert_int_equal(verify(mf_buf_slice(&cert), err), MF_OK);
	(void)mf_ossl_spare(was);
	return MF_OK;
}

/* What a thread does first: its random generator is made then. */
struct first {
	enum mf_status (*op)(struct mf_err *err);
	struct mf_err *err;
	enum mf_status s;
};

static void *
first_of_thread(void *arg)
{
	struct first *f = arg;
	f->s = f->op(f->err);
	ERR_clear_error();
	return NULL;
}

static enum mf_status
in_thread(enum mf_status (*op)(struct mf_err *err), struct mf_err *err)
{
	struct first f = { .op = op, .err = err };
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, first_of_thread, &f), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	return f.s;
}

static enum mf_status
op_thread_generate(struct mf_err *err)
{
	return in_thread(op_generate, err);
}

static enum mf_status
op_thread_sign(struct mf_err *err)
{
	return in_thread(op_sign, err);
}

/* ${good}: the operation succeeds when nothing fails; otherwise it must never succeed. */
static void
fail_each(enum mf_status (*op)(struct mf_err *err), bool good)
{
	struct mf_err err = { 0 };
	mf_ossl_spare_files(hash, MF_COUNT(hash));
	assert_int_equal(op(&err) == MF_OK, good); /* warm: what is fetched once is not what fails */
	long n = 1;
	do {
		err = (struct mf_err) { 0 };
		mf_ossl_fail(n);
		enum mf_status s = op(&err);
		mf_ossl_fail(0);
		assert_int_equal(ERR_peek_error(), 0);
		if (s == MF_OK)
			assert_true(good);
		else
			assert_true(err.msg[0] != '\0' && (mf_ossl_failed() || !good));
	} while (mf_ossl_failed() && n++ < ROUNDS);
	assert_true(n > 1 && n < ROUNDS);
}

static void
make_leaf(struct mf_p256_signer *signer, const struct mf_x509_peek *ca, struct mf_buf *to)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	mf_buf_fini(&w.tbs);
	mf_buf_init(&w.tbs, MF_LIM_CERT_DER);
	mf_buf_init(to, MF_LIM_CERT_DER);
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://td/a"), &id, NULL), MF_OK);
	struct mf_x509_leaf leaf = { .serial = { 0x42 },
		.issuer = ca->subject,
		.not_before_s = NOW - 9,
		.not_after_s = NOW + 9,
		.id = id };
	memcpy(leaf.point, w.point, sizeof(leaf.point));
	memcpy(leaf.aki, ca->ski.p, sizeof(leaf.aki));
	assert_int_equal(mf_x509_tbs_leaf(&leaf, &w.tbs, NULL), MF_OK);
	assert_int_equal(mf_x509_sign(mf_buf_slice(&w.tbs), signer, to, NULL), MF_OK);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	struct mf_x509_ca ca = { .serial = { 0x41 },
		.trust_domain = MF_SLICE_LIT("td"),
		.not_before_s = NOW - 9,
		.not_after_s = NOW + 99 };
	struct mf_buf tbs;
	struct mf_x509_peek peek;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&w.ca, MF_LIM_CERT_DER);
	mf_buf_init(&w.sig, MF_P256_SIG_MAX);
	assert_int_equal(mf_p256_generate(&w.key, NULL), MF_OK);
	assert_int_equal(mf_p256_generate(&w.other, NULL), MF_OK);
	assert_int_equal(mf_p256_to_pkcs8(w.key, &w.pkcs8, NULL), MF_OK);
	assert_int_equal(mf_p256_signer_new(w.key, &w.signer, NULL), MF_OK);
	mf_p256_public(w.key, w.point);
	memcpy(ca.point, w.point, sizeof(ca.point));
	assert_int_equal(mf_x509_tbs_ca(&ca, &tbs, NULL), MF_OK);
	assert_int_equal(mf_x509_sign(mf_buf_slice(&tbs), w.signer, &w.ca, NULL), MF_OK);
	assert_int_equal(mf_x509_peek(mf_buf_slice(&w.ca), &peek, NULL), MF_OK);
	assert_int_equal(mf_p256_sign_digest(w.signer, w.digest, &w.sig, NULL), MF_OK);
	make_leaf(w.signer, &peek, &w.leaf);
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *stranger = NULL;
	assert_int_equal(mf_p256_signer_new(w.other, &stranger, NULL), MF_OK);
	make_leaf(stranger, &peek, &w.forged);
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td"), mf_buf_slice(&w.ca), &w.anchors, NULL), MF_OK);
	mf_buf_fini(&tbs);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_p256_key_free(w.key);
	mf_p256_key_free(w.other);
	mf_p256_signer_free(w.signer);
	mf_secret_free(w.pkcs8);
	mf_buf_fini(&w.ca);
	mf_buf_fini(&w.leaf);
	mf_buf_fini(&w.forged);
	mf_buf_fini(&w.sig);
	mf_buf_fini(&w.tbs);
	mf_anchors_free(w.anchors);
	return 0;
}

static void
test_keys(void **state)
{
	MF_UNUSED(state);
	fail_each(op_generate, true);
	fail_each(op_pkcs8, true);
	fail_each(op_sign, true);
	fail_each(op_verify_digest, true);
}

static void
test_issue(void **state)
{
	MF_UNUSED(state);
	fail_each(op_issue, true);
}

static void
test_new_threads(void **state)
{
	MF_UNUSED(state);
	fail_each(op_thread_generate, true);
	fail_each(op_thread_sign, true);
}

static void
test_verdicts(void **state)
{
	MF_UNUSED(state);
	fail_each(op_anchors, true);
	fail_each(op_svid_verify, true);
	fail_each(op_forged_verify, false);
}

int
main(void)
{
	if (!mf_ossl_fail_init())
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_new_threads),
		cmocka_unit_test(test_verdicts),
	};
	return cmocka_run_group_tests_name("x509_alloc", tests, setup, teardown);
}
