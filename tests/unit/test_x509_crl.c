#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "codec/x509_read.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)
#define KU_LEAF 0x01u
#define KU_CA 0x60u /* keyCertSign, cRLSign */

/* td1: root, intermediate, a leaf of each; td2: another root with the very name of td1's. */
static struct {
	EVP_PKEY *root_key, *mid_key, *root2_key, *leaf_key;
	X509 *root, *mid, *root2, *leaf, *leaf_of_mid;
	struct mf_buf root_der, mid_der, leaf_der, leaf_of_mid_der;
	struct mf_anchors *td1;
} w;

static X509 *
make(const char *cn, const char *uri, X509 *issuer, EVP_PKEY *issuer_key, EVP_PKEY *key, unsigned ku,
    uint8_t serial)
{
	struct ref_cert c = { .serial = &serial,
		.n_serial = 1,
		.org = "Mayfly",
		.cn = cn,
		.not_before_s = NOW - 1000,
		.not_after_s = NOW + 1000,
		.uri = { uri },
		.pathlen = -1,
		.ca = ku == KU_CA,
		.ku = ku,
		.key = key,
		.issuer = issuer,
		.issuer_key = issuer_key };
	return mf_ref_cert(&c);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	w.root_key = mf_ref_key();
	w.mid_key = mf_ref_key();
	w.root2_key = mf_ref_key();
	w.leaf_key = mf_ref_key();
	w.root = make("root", "spiffe://td1", NULL, NULL, w.root_key, KU_CA, 1);
	w.root2 = make("root", "spiffe://td2", NULL, NULL, w.root2_key, KU_CA, 1);
	w.mid = make("mid", "spiffe://td1", w.root, w.root_key, w.mid_key, KU_CA, 2);
	w.leaf = make("leaf", "spiffe://td1/a", w.root, w.root_key, w.leaf_key, KU_LEAF, 7);
	w.leaf_of_mid = make("leaf", "spiffe://td1/b", w.mid, w.mid_key, w.leaf_key, KU_LEAF, 7);
	struct mf_buf *const b[] = { &w.root_der, &w.mid_der, &w.leaf_der, &w.leaf_of_mid_der };
	X509 *const x[] = { w.root, w.mid, w.leaf, w.leaf_of_mid };
	for (size_t i = 0; i < MF_COUNT(b); i++) {
		mf_buf_init(b[i], MF_LIM_CERT_DER);
		mf_ref_der(x[i], b[i]);
	}
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td1"), mf_buf_slice(&w.root_der), &w.td1, NULL), MF_OK);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY *const keys[] = { w.root_key, w.mid_key, w.root2_key, w.leaf_key };
	X509 *const certs[] = { w.root, w.mid, w.root2, w.leaf, w.leaf_of_mid };
	struct mf_buf *const bufs[] = { &w.root_der, &w.mid_der, &w.leaf_der, &w.leaf_of_mid_der };
	for (size_t i = 0; i < MF_COUNT(keys); i++)
		EVP_PKEY_free(keys[i]);
	for (size_t i = 0; i < MF_COUNT(certs); i++)
		X509_free(certs[i]);
	for (size_t i = 0; i < MF_COUNT(bufs); i++)
		mf_buf_fini(bufs[i]);
	mf_anchors_free(w.td1);
	return 0;
}

static enum mf_status
verify_with(bool of_mid, const struct ref_crl *crl, bool need, struct mf_err *err)
{
	const struct mf_slice direct[] = { mf_buf_slice(&w.leaf_der) };
	const struct mf_slice longer[] = { mf_buf_slice(&w.leaf_of_mid_der), mf_buf_slice(&w.mid_der) };
	const struct mf_anchors *sets[] = { w.td1 };
	MF_AUTO(mf_crls_free) struct mf_crls *crls = NULL;
	if (crl != NULL) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
		mf_buf_init(&der, MF_LIM_CERT_DER);
		mf_ref_crl(crl, &der);
		assert_int_equal(mf_crls_new(&crls, NULL), MF_OK);
		assert_int_equal(mf_crls_add(crls, mf_buf_slice(&der), NULL), MF_OK);
		assert_int_equal(mf_crls_count(crls), 1);
	}
	const struct mf_svid_rules rules = { .now_s = NOW, .crls = crls, .need_crl = need };
	struct mf_svid svid = { 0 };
	enum mf_status s =
	    mf_svid_verify_by(of_mid ? longer : direct, of_mid ? 2 : 1, sets, 1, &rules, &svid, err);
	mf_svid_fini(&svid);
	assert_int_equal(ERR_peek_error(), 0);
	return s;
}

static struct ref_crl
list(X509 *issuer, EVP_PKEY *key, X509 *revoked)
{
	return (struct ref_crl) { .issuer = issuer,
		.issuer_key = key,
		.this_s = NOW - 10,
		.next_s = NOW + 10,
		.revoked = revoked };
}

static void
test_revoked(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct ref_crl c = list(w.root, w.root_key, w.leaf);
	assert_int_equal(verify_with(false, &c, false, &err), MF_E_UNAUTH);
	assert_non_null(strstr(err.msg, "revoked"));
	/* An expired list still revokes; so does one that may be partial. */
	c.this_s = NOW - 500, c.next_s = NOW - 400;
	assert_int_equal(verify_with(false, &c, false, NULL), MF_E_UNAUTH);
	c = list(w.root, w.root_key, w.leaf);
	c.critical_ext = true;
	assert_int_equal(verify_with(false, &c, false, NULL), MF_E_UNAUTH);
	/* An intermediate that its own issuer revoked takes its leaves along. */
	c = list(w.root, w.root_key, w.mid);
	assert_int_equal(verify_with(true, &c, false, &err), MF_E_UNAUTH);
	assert_non_null(strstr(err.msg, "certificate 1"));
}

static void
test_not_revoked(void **state)
{
	MF_UNUSED(state);
	struct ref_crl c = list(w.root, w.root_key, NULL);
	assert_int_equal(verify_with(false, NULL, false, NULL), MF_OK);
	assert_int_equal(verify_with(false, &c, false, NULL), MF_OK);
	c.revoked = w.mid; /* serial 2, not 7 */
	assert_int_equal(verify_with(false, &c, false, NULL), MF_OK);
	/* The same serial under another issuer is another certificate. */
	c = list(w.root, w.root_key, w.leaf);
	assert_int_equal(verify_with(true, &c, false, NULL), MF_OK);
}

/* Whoever does not hold the issuer's key revokes nothing: no name makes it so. */
static void
test_only_by_issuer(void **state)
{
	MF_UNUSED(state);
	struct ref_crl c = list(w.root2, w.root2_key, w.leaf); /* the issuer's name, another key */
	assert_int_equal(verify_with(false, &c, false, NULL), MF_OK);
	assert_int_equal(verify_with(false, &c, true, NULL), MF_E_UNAUTH); /* nor does it count as a list */
	c = list(w.mid, w.mid_key, w.leaf);
	assert_int_equal(verify_with(false, &c, false, NULL), MF_OK);
}

static void
test_needed(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct ref_crl c = list(w.root, w.root_key, NULL);
	assert_int_equal(verify_with(false, &c, true, NULL), MF_OK);
	c.next_s = 0;
	assert_int_equal(verify_with(false, &c, true, NULL), MF_OK);
	assert_int_equal(verify_with(false, NULL, true, &err), MF_E_UNAUTH);
	assert_non_null(strstr(err.msg, "no valid CRL"));
	c.next_s = NOW - 1;
	assert_int_equal(verify_with(false, &c, true, NULL), MF_E_UNAUTH);
	c = list(w.root, w.root_key, NULL);
	c.this_s = NOW + 400;
	assert_int_equal(verify_with(false, &c, true, NULL), MF_E_UNAUTH);
	c = list(w.root, w.root_key, NULL);
	c.critical_ext = true;
	assert_int_equal(verify_with(false, &c, true, NULL), MF_E_UNAUTH);
	/* Only the leaf's issuer must give one. */
	c = list(w.mid, w.mid_key, NULL);
	assert_int_equal(verify_with(true, &c, true, NULL), MF_OK);
}

static void
test_bad_bytes(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_crls_free) struct mf_crls *crls = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_CRL_DER + 1);
	struct ref_crl c = list(w.root, w.root_key, w.leaf);
	mf_ref_crl(&c, &der);
	assert_int_equal(mf_crls_new(&crls, NULL), MF_OK);
	assert_int_equal(mf_crls_add(crls, mf_slice(NULL, 0), NULL), MF_E_INVALID);
	for (size_t n = 1; n < der.n; n++)
		assert_int_equal(mf_crls_add(crls, mf_slice(der.p, n), NULL), MF_E_INVALID);
	mf_buf_put_u8(&der, 0);
	assert_int_equal(mf_crls_add(crls, mf_buf_slice(&der), NULL), MF_E_INVALID);
	assert_int_equal(mf_crls_add(crls, mf_buf_slice(&w.leaf_der), NULL), MF_E_INVALID);
	assert_int_equal(mf_crls_count(crls), 0);
	der.n--;
	for (size_t i = 0; i < MF_LIM_CRLS; i++)
		assert_int_equal(mf_crls_add(crls, mf_buf_slice(&der), NULL), MF_OK);
	assert_int_equal(mf_crls_add(crls, mf_buf_slice(&der), NULL), MF_E_TOOBIG);
	assert_non_null(mf_buf_extend(&der, MF_LIM_CRL_DER + 1 - der.n));
	assert_int_equal(mf_crls_add(crls, mf_buf_slice(&der), NULL), MF_E_TOOBIG);
	assert_int_equal(ERR_peek_error(), 0);
	mf_crls_free(NULL);
	assert_int_equal(mf_crls_count(NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_revoked),
		cmocka_unit_test(test_not_revoked),
		cmocka_unit_test(test_only_by_issuer),
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_bad_bytes),
	};
	return cmocka_run_group_tests_name("x509_crl", tests, setup, teardown);
}
