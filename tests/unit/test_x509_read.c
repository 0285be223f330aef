#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/rand.h"
#include "codec/bundle.h"
#include "codec/x509_read.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)
#define KU_SIGNATURE 0x01u
#define KU_CERT_SIGN 0x20u
#define KU_CRL 0x40u

/* Two trust domains, each with a root and an intermediate; leaves come from the tests. */
struct world {
	EVP_PKEY *root_key, *mid_key, *leaf_key, *root2_key;
	X509 *root, *mid, *root2;
	struct mf_anchors *td1, *td2;
};

static struct mf_buf
der_of(X509 *x)
{
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_CERT_DER);
	mf_ref_der(x, &b);
	return b;
}

static const struct ref_cert ca_spec = { .org = "Mayfly",
	.cn = "root",
	.not_before_s = NOW - 1000,
	.not_after_s = NOW + 1000000,
	.uri = { "spiffe://td1" },
	.ca = true,
	.pathlen = 1,
	.ku = KU_CERT_SIGN | KU_CRL };

static struct mf_anchors *
anchors_of(const char *td, X509 *ca)
{
	struct mf_buf der = der_of(ca);
	struct mf_anchors *a = NULL;
	assert_int_equal(mf_anchors_new(mf_slice_str(td), mf_buf_slice(&der), &a, NULL), MF_OK);
	mf_buf_fini(&der);
	return a;
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->root_key = mf_ref_key();
	w->mid_key = mf_ref_key();
	w->leaf_key = mf_ref_key();
	w->root2_key = mf_ref_key();
	struct ref_cert c = ca_spec;
	c.key = w->root_key;
	w->root = mf_ref_cert(&c);
	c.key = w->mid_key, c.cn = "mid", c.issuer = w->root, c.issuer_key = w->root_key, c.pathlen = 0;
	w->mid = mf_ref_cert(&c);
	c = ca_spec;
	c.key = w->root2_key, c.cn = "root2", c.uri[0] = "spiffe://td2";
	w->root2 = mf_ref_cert(&c);
	w->td1 = anchors_of("td1", w->root);
	w->td2 = anchors_of("td2", w->root2);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	EVP_PKEY_free(w->root_key);
	EVP_PKEY_free(w->mid_key);
	EVP_PKEY_free(w->leaf_key);
	EVP_PKEY_free(w->root2_key);
	X509_free(w->root);
	X509_free(w->mid);
	X509_free(w->root2);
	mf_anchors_free(w->td1);
	mf_anchors_free(w->td2);
	free(w);
	return 0;
}

static struct ref_cert
leaf_spec(const struct world *w)
{
	static const uint8_t serial[] = { 0x4a, 0, 0xff };
	return (struct ref_cert) { .serial = serial,
		.n_serial = sizeof(serial),
		.issuer = w->root,
		.issuer_key = w->root_key,
		.key = w->leaf_key,
		.org = "Mayfly",
		.not_before_s = NOW - 10,
		.not_after_s = NOW + 1200,
		.uri = { "spiffe://td1/job/a" },
		.dns = { "a.example.org" },
		.pathlen = -1,
		.ku = KU_SIGNATURE,
		.eku = true };
}

/* Certificates that were decoded before are judged alike. */
static void
expect_decoded(const struct world *w, const struct mf_slice *chain, size_t n, int64_t now_s,
    enum mf_status want, const struct mf_svid *svid, const char *text)
{
	const struct mf_anchors *sets[] = { w->td2, w->td1 };
	STACK_OF(X509) *sent = sk_X509_new_null();
	struct mf_svid got = { 0 };
	struct mf_err err = { 0 };
	for (size_t i = 0; i < n; i++) {
		const unsigned char *p = chain[i].p;
		X509 *x = d2i_X509(NULL, &p, (long)chain[i].n);
		if (x != NULL)
			assert_true(sk_X509_push(sent, x) > 0);
		ERR_clear_error();
	}
	if (sk_X509_num(sent) == (int)n) { /* what is no DER comes not so far */
		X509 *leaf = sk_X509_value(sent, 0);
		assert_int_equal(
		    mf_svid_verify_decoded(leaf, sent, sets, MF_COUNT(sets), now_s, &got, &err), want);
		assert_string_equal(err.msg, text);
		if (want == MF_OK) {
			assert_string_equal(got.serial, svid->serial);
			assert_memory_equal(got.sha256, svid->sha256, sizeof(got.sha256));
			mf_svid_fini(&got);
		}
	}
	sk_X509_pop_free(sent, X509_free);
}

/* Verify leaf and, unless NULL, one intermediate with both bundles held. */
static enum mf_status
verify(const struct world *w, X509 *leaf, X509 *mid, int64_t now_s, struct mf_svid *ret, struct mf_err *err)
{
	const struct mf_anchors *sets[] = { w->td2, w->td1 };
	struct mf_buf a = der_of(leaf), b;
	mf_buf_init(&b, MF_LIM_CERT_DER);
	if (mid != NULL)
		mf_ref_der(mid, &b);
	struct mf_slice chain[] = { mf_buf_slice(&a), mf_buf_slice(&b) };
	enum mf_status s = mf_svid_verify(chain, mid != NULL ? 2 : 1, sets, MF_COUNT(sets), now_s, ret, err);
	expect_decoded(
	    w, chain, mid != NULL ? 2 : 1, now_s, s, ret, s == MF_OK || err == NULL ? "" : err->msg);
	mf_buf_fini(&a);
	mf_buf_fini(&b);
	assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next user of this thread's queue */
	return s;
}

static void
expect(const struct world *w, const struct ref_cert *spec, X509 *mid, int64_t now_s, enum mf_status want,
    const char *text)
{
	X509 *leaf = mf_ref_cert(spec);
	struct mf_svid svid = { .not_after_s = 77 };
	struct mf_err err = { 0 };
	enum mf_status s = verify(w, leaf, mid, now_s, &svid, &err);
	if (s != want || strstr(err.msg, text) == NULL)
		print_error(
		    "want %s (%s), got %s: %s\n", mf_status_name(want), text, mf_status_name(s), err.msg);
	assert_int_equal(s, want);
	assert_non_null(strstr(err.msg, text));
	if (s == MF_OK)
		mf_svid_fini(&svid);
	else
		assert_true(svid.not_after_s == 77 && svid.id == NULL); /* written on MF_OK only */
	X509_free(leaf);
}

static void
test_good(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	X509 *x = mf_ref_cert(&c);
	struct mf_svid svid = { 0 }, alone = { 0 };
	struct mf_err err = { 0 };
	assert_int_equal(verify(w, x, NULL, NOW, &svid, &err), MF_OK);
	assert_string_equal(mf_spiffe_id_str(svid.id), "spiffe://td1/job/a");
	assert_string_equal(svid.serial, "4a00ff");
	assert_true(svid.not_before_s == NOW - 10 && svid.not_after_s == NOW + 1200);
	assert_true(svid.p256);
	assert_int_equal(mf_p256_point_check(mf_slice(svid.point, sizeof(svid.point)), NULL), MF_OK);
	struct mf_buf der = der_of(x);
	uint8_t h[MF_SHA256_SIZE];
	mf_sha256(mf_buf_slice(&der), h);
	assert_memory_equal(svid.sha256, h, sizeof(h));
	assert_int_equal(mf_svid_read(mf_buf_slice(&der), &alone, NULL), MF_OK);
	assert_string_equal(alone.serial, svid.serial);
	mf_svid_fini(&alone);
	mf_svid_fini(&svid);
	mf_svid_fini(&svid);
	mf_buf_put_u8(&der, 0);
	assert_int_equal(mf_svid_read(mf_buf_slice(&der), &alone, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "certificate: 1 bytes behind its end");
	mf_buf_fini(&der);
	X509_free(x);

	/* through an intermediate, and an intermediate as the bundle's anchor */
	c.issuer = w->mid, c.issuer_key = w->mid_key;
	expect(w, &c, w->mid, NOW, MF_OK, "");
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "unable to get local issuer certificate");
	struct world only_mid = *w;
	only_mid.td1 = anchors_of("td1", w->mid);
	expect(&only_mid, &c, NULL, NOW, MF_OK, "");
	mf_anchors_free(only_mid.td1);

	/* the time's edges */
	c = leaf_spec(w);
	expect(w, &c, NULL, NOW - 10, MF_OK, "");
	expect(w, &c, NULL, NOW + 1199, MF_OK, "");
	expect(w, &c, NULL, NOW + 1200, MF_E_UNAUTH, "expired"); /* libcrypto: notAfter is its first second */
}

/* X509-1, 2, 3, 4, 7, 9, 12, 15: one leaf per broken rule, all well signed. */
static void
test_leaf_rules(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	c.uri[0] = NULL;
	expect(w, &c, NULL, NOW, MF_E_INVALID, "no URI SAN"); /* X509-1 */
	c.dns[0] = NULL;
	expect(w, &c, NULL, NOW, MF_E_INVALID, "no SAN extension");
	c = leaf_spec(w), c.uri[1] = "https://x"; /* X509-2: any scheme */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "more than one URI SAN");
	c = leaf_spec(w), c.uri[0] = "https://x", c.uri[1] = "spiffe://td1/job/a";
	expect(w, &c, NULL, NOW, MF_E_INVALID, "does not start with spiffe://");
	c = leaf_spec(w), c.uri[1] = "spiffe://td1/job/a";
	expect(w, &c, NULL, NOW, MF_E_INVALID, "more than one URI SAN");
	c = leaf_spec(w), c.second_san = true;
	expect(w, &c, NULL, NOW, MF_E_INVALID, "twice");
	c = leaf_spec(w), c.uri[0] = "spiffe://td1"; /* X509-3 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "has no path");
	c = leaf_spec(w), c.uri[0] = "https://td1/job/a"; /* X509-15 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "does not start with spiffe://");
	c = leaf_spec(w), c.uri[0] = "spiffe://td1/job/a\0.evil", c.uri_len = 24; /* P-25 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "path: bad byte at 18");
	c = leaf_spec(w), c.org = NULL; /* X509-4 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "SAN extension is not critical");
	c.san_critical = true;
	expect(w, &c, NULL, NOW, MF_OK, "");
	c = leaf_spec(w), c.no_bc = true; /* X509-5 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "no basic constraints");
	c = leaf_spec(w), c.ca = true; /* X509-15 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "cA is TRUE");
	c = leaf_spec(w), c.ku = 0; /* X509-7 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "no key usage");
	c = leaf_spec(w), c.ku = KU_SIGNATURE | KU_CERT_SIGN; /* X509-15 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "keyCertSign or cRLSign");
	c = leaf_spec(w), c.ku = KU_SIGNATURE | KU_CRL;
	expect(w, &c, NULL, NOW, MF_E_INVALID, "keyCertSign or cRLSign");
	c = leaf_spec(w), c.ku = 0x04; /* X509-9 */
	expect(w, &c, NULL, NOW, MF_E_INVALID, "lacks digitalSignature");
	c = leaf_spec(w), c.ku = KU_SIGNATURE | 0x04; /* keyEncipherment: allowed */
	expect(w, &c, NULL, NOW, MF_OK, "");
	static const uint8_t zero = 0, long_serial[21] = { 1 };
	c = leaf_spec(w), c.serial = &zero, c.n_serial = 1;
	expect(w, &c, NULL, NOW, MF_E_INVALID, "serial");
	c.serial = long_serial, c.n_serial = sizeof(long_serial);
	expect(w, &c, NULL, NOW, MF_E_INVALID, "serial");

	/* X509-12: the root itself as a leaf */
	struct mf_svid svid;
	struct mf_err err = { 0 };
	assert_int_equal(verify(w, w->root, NULL, NOW, &svid, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "signing certificates never authenticate"));
}

/* X509-13: RFC 5280 path validation, a test per reason. */
static void
test_path_rules(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	expect(w, &c, NULL, NOW + 1201, MF_E_UNAUTH, "certificate has expired");
	expect(w, &c, NULL, NOW - 11, MF_E_UNAUTH, "certificate is not yet valid");
	c.issuer_key = w->mid_key; /* right issuer's name, wrong key */
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "certificate signature failure");
	c = leaf_spec(w), c.unknown_critical = true;
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "unhandled critical extension");
	c = leaf_spec(w), c.md = EVP_sha1();
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "CA signature digest algorithm too weak");
	c = leaf_spec(w), c.issuer = NULL; /* self-signed by nobody */
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "self-signed certificate");

	/* pathLen: the intermediate may sign leaves only */
	EVP_PKEY *key = mf_ref_key();
	struct ref_cert sub = ca_spec;
	sub.key = key, sub.cn = "sub", sub.issuer = w->mid, sub.issuer_key = w->mid_key, sub.pathlen = -1;
	X509 *subca = mf_ref_cert(&sub);
	c = leaf_spec(w), c.issuer = subca, c.issuer_key = key;
	X509 *leaf = mf_ref_cert(&c);
	struct mf_buf d[3] = { der_of(leaf), der_of(subca), der_of(w->mid) };
	struct mf_slice chain[3] = { mf_buf_slice(&d[0]), mf_buf_slice(&d[1]), mf_buf_slice(&d[2]) };
	const struct mf_anchors *sets[] = { w->td1 };
	struct mf_svid svid;
	struct mf_err err = { 0 };
	assert_int_equal(mf_svid_verify(chain, 3, sets, 1, NOW, &svid, &err), MF_E_UNAUTH);
	assert_non_null(strstr(err.msg, "path length constraint exceeded"));
	for (size_t i = 0; i < 3; i++)
		mf_buf_fini(&d[i]);
	X509_free(leaf);
	X509_free(subca);

	/* issuers that may not sign: cA FALSE, no keyCertSign, expired, no basic constraints, no key usage (X509-6, 7, 8) */
	struct ref_cert issuer = ca_spec;
	issuer.key = key, issuer.cn = "sub", issuer.issuer = w->root, issuer.issuer_key = w->root_key;
	struct ref_cert bad[5] = { issuer, issuer, issuer, issuer, issuer };
	bad[0].ca = false, bad[0].pathlen = -1;
	bad[1].ku = KU_CRL;
	bad[2].not_after_s = NOW - 1;
	bad[3].no_bc = true;
	bad[4].ku = 0; /* libcrypto would take it */
	static const char *const why[] = { "invalid CA certificate", "invalid CA certificate",
		"expired (certificate 1)", "certificate 1", "an issuer: its key usage lacks keyCertSign" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		X509 *mid = mf_ref_cert(&bad[i]);
		c = leaf_spec(w), c.issuer = mid, c.issuer_key = key;
		expect(w, &c, mid, NOW, MF_E_UNAUTH, why[i]);
		X509_free(mid);
	}
	EVP_PKEY_free(key);
}

/* X509-14, BND-7, BND-8; P-26 */
static void
test_trust_domains(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	c.issuer = w->root2, c.issuer_key = w->root2_key; /* td2's authority vouches for td1's name */
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "unable to get local issuer certificate");
	c.uri[0] = "spiffe://td2/job/a";
	expect(w, &c, NULL, NOW, MF_OK, "");
	c.uri[0] = "spiffe://td3/job/a";
	expect(w, &c, NULL, NOW, MF_E_UNAUTH, "no bundle for its trust domain");
	c = leaf_spec(w), c.uri[0] = "SPIFFE://TD1/job/a"; /* ID-6: the folded name chooses */
	expect(w, &c, NULL, NOW, MF_OK, "");
	struct world empty = *w; /* the bundle is there and holds nothing */
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td1"), mf_slice(NULL, 0), &empty.td1, NULL), MF_OK);
	c = leaf_spec(w);
	expect(&empty, &c, NULL, NOW, MF_E_UNAUTH, "unable to get local issuer certificate");
	mf_anchors_free(empty.td1);
}

static void
test_anchors(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	X509 *leaf = mf_ref_cert(&c);
	struct mf_buf both = der_of(w->root), bad = der_of(leaf);
	struct mf_anchors *a = NULL;
	struct mf_err err = { 0 };
	/* a leaf in the bundle must not become its own anchor */
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td1"), mf_buf_slice(&bad), &a, &err), MF_E_INVALID);
	assert_non_null(strstr(err.msg, "no signing certificate"));
	/* rotation: the old and the new authority side by side, and one of them twice */
	struct mf_buf all;
	mf_buf_init(&all, MF_LIM_BUNDLE_DER);
	mf_ref_der(w->root2, &all);
	mf_ref_der(w->root, &all);
	mf_ref_der(w->root, &all);
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td1"), mf_buf_slice(&all), &a, &err), MF_OK);
	struct world rotated = *w;
	rotated.td1 = a;
	expect(&rotated, &c, NULL, NOW, MF_OK, "");
	mf_anchors_free(a);
	a = NULL;
	mf_buf_put_u8(&all, 0x30);
	assert_int_equal(mf_anchors_new(MF_SLICE_LIT("td1"), mf_buf_slice(&all), &a, &err), MF_E_INVALID);
	assert_int_equal(
	    mf_anchors_new(MF_SLICE_LIT("td1"), MF_SLICE_LIT("\x30\x00"), &a, &err), MF_E_INVALID);
	assert_null(a);
	mf_buf_fini(&all);
	mf_buf_fini(&both);
	mf_buf_fini(&bad);
	X509_free(leaf);
}

/* ID-14, and robustness: no changed byte of a leaf verifies; no cut reads outside. */
static void
test_every_byte(void **state)
{
	const struct world *w = *state;
	struct ref_cert c = leaf_spec(w);
	X509 *x = mf_ref_cert(&c);
	struct mf_buf der = der_of(x);
	const struct mf_anchors *sets[] = { w->td1 };
	struct mf_svid svid;
	for (size_t i = 0; i < der.n; i++) {
		struct mf_slice s = mf_buf_slice(&der);
		der.p[i] ^= 0x01;
		assert_int_not_equal(mf_svid_verify(&s, 1, sets, 1, NOW, &svid, NULL), MF_OK);
		der.p[i] ^= 0x01;
		s = mf_slice(der.p, i);
		assert_int_equal(mf_svid_verify(&s, 1, sets, 1, NOW, &svid, NULL), MF_E_INVALID);
	}
	struct mf_slice five[MF_LIM_CHAIN + 1];
	for (size_t i = 0; i < MF_COUNT(five); i++)
		five[i] = mf_buf_slice(&der);
	assert_int_equal(mf_svid_verify(five, MF_COUNT(five), sets, 1, NOW, &svid, NULL), MF_E_TOOBIG);
	assert_int_equal(mf_svid_verify(five, 0, sets, 1, NOW, &svid, NULL), MF_E_INVALID);
	STACK_OF(X509) *sent = sk_X509_new_null();
	for (size_t i = 0; i < MF_COUNT(five); i++)
		assert_true(sk_X509_push(sent, x) > 0);
	assert_int_equal(mf_svid_verify_decoded(x, sent, sets, 1, NOW, &svid, NULL), MF_E_TOOBIG);
	sk_X509_free(sent);
	mf_buf_fini(&der);
	X509_free(x);
}

/* Keys of other authorities: RSA and P-384 leaves verify too; only P-256 has a point here. */
static void
test_foreign_keys(void **state)
{
	const struct world *w = *state;
	EVP_PKEY *keys[] = { EVP_RSA_gen(2048), EVP_EC_gen("P-384"), EVP_RSA_gen(1024) };
	for (size_t i = 0; i < MF_COUNT(keys); i++) {
		struct ref_cert c = leaf_spec(w);
		c.key = keys[i];
		X509 *x = mf_ref_cert(&c);
		struct mf_svid svid;
		struct mf_err err = { 0 };
		enum mf_status s = verify(w, x, NULL, NOW, &svid, &err);
		assert_int_equal(s, i == 2 ? MF_E_UNAUTH : MF_OK); /* 1024 bits: too weak */
		if (s == MF_OK) {
			assert_false(svid.p256);
			mf_svid_fini(&svid);
		} else {
			assert_non_null(strstr(err.msg, "EE certificate key too weak"));
		}
		X509_free(x);
		EVP_PKEY_free(keys[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_leaf_rules),
		cmocka_unit_test(test_path_rules),
		cmocka_unit_test(test_trust_domains),
		cmocka_unit_test(test_anchors),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_foreign_keys),
	};
	return cmocka_run_group_tests_name("x509_read", tests, setup, teardown);
}
