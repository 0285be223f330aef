#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/rand.h"
#include "base/text.h"
#include "codec/x509_peek.h"
#include "codec/x509_write.h"
#include "crypto/hash.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)

/* A CA of ours and, for the slow reference, libcrypto's view of it. */
struct fixture {
	struct mf_p256_key *key;
	struct mf_p256_signer *signer;
	struct mf_buf ca_der;
	struct mf_x509_peek ca;
	X509 *ca_x;
};

static X509 *
to_x509(struct mf_slice der)
{
	const uint8_t *p = der.p;
	X509 *x = d2i_X509(NULL, &p, (long)der.n);
	assert_non_null(x);
	assert_ptr_equal(p, der.p + der.n);
	return x;
}

static void
make_ca(struct fixture *f, const char *td)
{
	struct mf_x509_ca ca = {
		.trust_domain = mf_slice_str(td), .not_before_s = NOW - 60, .not_after_s = NOW + 365 * 86400
	};
	assert_int_equal(mf_p256_generate(&f->key, NULL), MF_OK);
	assert_int_equal(mf_p256_signer_new(f->key, &f->signer, NULL), MF_OK);
	mf_p256_public(f->key, ca.point);
	mf_rand_bytes(ca.serial, sizeof(ca.serial));
	mf_x509_serial_from_random(ca.serial);
	struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&f->ca_der, MF_LIM_CERT_DER);
	assert_int_equal(mf_x509_tbs_ca(&ca, &tbs, NULL), MF_OK);
	assert_int_equal(mf_x509_sign(mf_buf_slice(&tbs), f->signer, &f->ca_der, NULL), MF_OK);
	assert_int_equal(mf_x509_peek(mf_buf_slice(&f->ca_der), &f->ca, NULL), MF_OK);
	f->ca_x = to_x509(mf_buf_slice(&f->ca_der));
	mf_buf_fini(&tbs);
}

static void
drop_ca(struct fixture *f)
{
	mf_p256_key_free(f->key);
	mf_p256_signer_free(f->signer);
	mf_buf_fini(&f->ca_der);
	X509_free(f->ca_x);
}

/* The reference's TBS must be ours; its own signature in our frame must be its certificate. */
static void
assert_same(X509 *ref, struct mf_slice tbs)
{
	uint8_t *want = NULL;
	int n = i2d_re_X509_tbs(ref, &want);
	assert_int_equal(n, tbs.n);
	assert_memory_equal(want, tbs.p, tbs.n);
	OPENSSL_free(want);
	const ASN1_BIT_STRING *sig;
	X509_get0_signature(&sig, NULL, ref);
	struct mf_buf cert, whole;
	mf_buf_init(&cert, MF_LIM_CERT_DER);
	mf_buf_init(&whole, MF_LIM_CERT_DER);
	assert_int_equal(
	    mf_x509_assemble(
		tbs, mf_slice(ASN1_STRING_get0_data(sig), (size_t)ASN1_STRING_length(sig)), &cert, NULL),
	    MF_OK);
	mf_ref_der(ref, &whole);
	assert_true(mf_slice_eq(mf_buf_slice(&cert), mf_buf_slice(&whole)));
	mf_buf_fini(&cert);
	mf_buf_fini(&whole);
}

static uint64_t
draw(uint64_t below)
{
	uint64_t v;
	mf_rand_bytes(&v, sizeof(v));
	return v % below;
}

static void
draw_text(char *to, size_t n, const char *alphabet)
{
	for (size_t i = 0; i < n; i++)
		to[i] = alphabet[draw(strlen(alphabet))];
	to[n] = '\0';
}

/* X509-1, 3, 4, 5, 7, 9, 10 by the reference that sets them: 600 random leaves, byte for byte.
 * ID-10, W-15, E-14 */
static void
test_leaf_against_reference(void **state)
{
	MF_UNUSED(state);
	struct fixture f = { 0 };
	make_ca(&f, "example.org");
	struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	for (int i = 0; i < 600; i++) {
		MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
		MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
		struct mf_x509_leaf leaf = { .issuer = f.ca.subject };
		char uri[2100] = "spiffe://example.org/", cn[MF_X509_CN_MAX + 1], dns[MF_LIM_DNS_NAMES][64];
		size_t path = i % 50 == 0 ? 2048 - 21 : 1 + draw(i % 2 == 0 ? 20 : 400);
		draw_text(uri + 21, path, "abcXYZ019._-");
		uri[21] = 'p'; /* not "." or ".." */
		assert_int_equal(mf_spiffe_id_parse(mf_slice_str(uri), &id, NULL), MF_OK);
		assert_int_equal(mf_p256_generate(&key, NULL), MF_OK);
		mf_p256_public(key, leaf.point);
		mf_rand_bytes(leaf.serial, sizeof(leaf.serial));
		mf_x509_serial_from_random(leaf.serial);
		memcpy(leaf.aki, f.ca.ski.p, sizeof(leaf.aki));
		draw_text(cn, draw(sizeof(cn)), "abcXYZ019._-@");
		leaf.cn = mf_slice_str(cn);
		leaf.id = id;
		leaf.not_before_s = (int64_t)draw(UINT64_C(5000000000));
		leaf.not_after_s = leaf.not_before_s + (int64_t)draw(3000000000);
		leaf.n_dns = draw(MF_LIM_DNS_NAMES + 1);
		struct ref_cert rc = { .serial = leaf.serial,
			.n_serial = sizeof(leaf.serial),
			.issuer = f.ca_x,
			.issuer_key = mf_p256_evp(f.key),
			.key = mf_p256_evp(key),
			.org = "Mayfly",
			.cn = cn[0] == '\0' ? NULL : cn,
			.not_before_s = leaf.not_before_s,
			.not_after_s = leaf.not_after_s,
			.uri = { uri },
			.pathlen = -1,
			.ku = MF_X509_KU_DIGITAL_SIGNATURE,
			.eku = true };
		for (size_t d = 0; d < leaf.n_dns; d++) {
			draw_text(dns[d], 1 + draw(60), "abcxyz019");
			leaf.dns[d] = mf_slice_str(dns[d]);
			rc.dns[d] = dns[d];
		}
		mf_buf_reset(&tbs);
		assert_int_equal(mf_x509_tbs_leaf(&leaf, &tbs, NULL), MF_OK);
		X509 *ref = mf_ref_cert(&rc);
		assert_same(ref, mf_buf_slice(&tbs));
		X509_free(ref);
	}
	mf_buf_fini(&tbs);
	drop_ca(&f);
}

/* X509-6, 8, 11, ID-15; X509-7, X509-16, W-16 */
static void
test_ca_against_reference(void **state)
{
	MF_UNUSED(state);
	static const char *const tds[] = { "a", "example.org",
		"a-very-long.trust-domain.name-that-does-not.fit-into-a.common-name.example.org" };
	for (int i = 0; i < 150; i++) {
		const char *td = tds[(size_t)i % MF_COUNT(tds)];
		MF_AUTO(mf_p256_key_free) struct mf_p256_key *key = NULL;
		struct mf_x509_ca ca = { .trust_domain = mf_slice_str(td) };
		assert_int_equal(mf_p256_generate(&key, NULL), MF_OK);
		mf_p256_public(key, ca.point);
		mf_rand_bytes(ca.serial, sizeof(ca.serial));
		mf_x509_serial_from_random(ca.serial);
		ca.not_before_s = (int64_t)draw(UINT64_C(5000000000));
		ca.not_after_s = ca.not_before_s + (int64_t)draw(3000000000);
		struct mf_buf tbs;
		mf_buf_init(&tbs, MF_LIM_CERT_DER);
		assert_int_equal(mf_x509_tbs_ca(&ca, &tbs, NULL), MF_OK);
		char cn[128], uri[300];
		(void)snprintf(cn, sizeof(cn), "%.55s %02x%02x%02x%02x", td, ca.serial[0], ca.serial[1],
		    ca.serial[2], ca.serial[3]);
		(void)snprintf(uri, sizeof(uri), "spiffe://%s", td);
		X509 *ref = mf_ref_cert(&(struct ref_cert) { .serial = ca.serial,
		    .n_serial = sizeof(ca.serial),
		    .key = mf_p256_evp(key),
		    .org = "Mayfly",
		    .cn = cn,
		    .not_before_s = ca.not_before_s,
		    .not_after_s = ca.not_after_s,
		    .uri = { uri },
		    .ca = true,
		    .pathlen = 0,
		    .ku = MF_X509_KU_KEY_CERT_SIGN | MF_X509_KU_CRL_SIGN });
		assert_same(ref, mf_buf_slice(&tbs));
		X509_free(ref);
		mf_buf_fini(&tbs);
	}
}

static void
fill_leaf(struct mf_x509_leaf *leaf, const struct fixture *f, const struct mf_spiffe_id *id)
{
	*leaf = (struct mf_x509_leaf) { .issuer = f->ca.subject,
		.id = id,
		.cn = MF_SLICE_LIT("j-abc"),
		.not_before_s = NOW - 30,
		.not_after_s = NOW + 1200,
		.dns = { MF_SLICE_LIT("a.example.org") },
		.n_dns = 1 };
	memcpy(leaf->aki, f->ca.ski.p, sizeof(leaf->aki));
	mf_p256_public(f->key, leaf->point);
	mf_rand_bytes(leaf->serial, sizeof(leaf->serial));
	mf_x509_serial_from_random(leaf->serial);
}

/* Signed by us, accepted by libcrypto's path validation, strict and for both TLS purposes, and printed. */
static void
test_accepted_by_libcrypto(void **state)
{
	MF_UNUSED(state);
	struct fixture f = { 0 };
	make_ca(&f, "example.org");
	assert_int_equal(X509_self_signed(f.ca_x, 1), 1);
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	assert_int_equal(
	    mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://example.org/job/j-abc"), &id, NULL), MF_OK);
	struct mf_x509_leaf leaf;
	fill_leaf(&leaf, &f, id);
	struct mf_buf tbs, cert;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	mf_buf_init(&cert, MF_LIM_CERT_DER);
	assert_int_equal(mf_x509_tbs_leaf(&leaf, &tbs, NULL), MF_OK);
	assert_int_equal(mf_x509_sign(mf_buf_slice(&tbs), f.signer, &cert, NULL), MF_OK);
	X509 *x = to_x509(mf_buf_slice(&cert));
	static const int purposes[] = { X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER };
	for (size_t i = 0; i < MF_COUNT(purposes); i++) {
		X509_STORE *store = X509_STORE_new();
		X509_STORE_CTX *ctx = X509_STORE_CTX_new();
		assert_int_equal(X509_STORE_add_cert(store, f.ca_x), 1);
		assert_int_equal(X509_STORE_CTX_init(ctx, store, x, NULL), 1);
		X509_STORE_CTX_set_purpose(ctx, purposes[i]);
		X509_STORE_CTX_set_time(ctx, 0, (time_t)NOW);
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
		assert_int_equal(X509_verify_cert(ctx), 1);
		X509_STORE_CTX_free(ctx);
		X509_STORE_free(store);
	}
	char line[256];
	BIO *out = BIO_new(BIO_s_mem());
	assert_int_equal(X509_print(out, x), 1);
	bool uri = false, bc = false;
	while (BIO_gets(out, line, sizeof(line)) > 0) {
		uri = uri || strstr(line, "URI:spiffe://example.org/job/j-abc, DNS:a.example.org") != NULL;
		bc = bc || strstr(line, "Basic Constraints: critical") != NULL;
	}
	assert_true(uri && bc);
	BIO_free(out);
	X509_free(x);

	/* ID-14: a changed byte anywhere in what is signed breaks the signature */
	uint8_t pt[MF_P256_POINT_SIZE], digest[32];
	mf_p256_public(f.key, pt);
	struct mf_x509_peek p;
	assert_int_equal(mf_x509_peek(mf_buf_slice(&cert), &p, NULL), MF_OK);
	size_t at = (size_t)(p.uri.p - cert.p) + p.uri.n - 1;
	struct mf_slice point = mf_slice(pt, sizeof(pt));
	mf_sha256(p.tbs, digest);
	assert_int_equal(mf_p256_verify_digest(point, digest, p.sig, NULL), MF_OK);
	cert.p[at] ^= 1;
	mf_sha256(p.tbs, digest);
	assert_int_equal(mf_p256_verify_digest(point, digest, p.sig, NULL), MF_E_INVALID);
	mf_buf_fini(&tbs);
	mf_buf_fini(&cert);
	drop_ca(&f);
}

/* The serial in records is the serial that tools print. W-17 */
static void
test_serial(void **state)
{
	MF_UNUSED(state);
	for (int first = 0; first < 256; first++) {
		uint8_t s[MF_X509_SERIAL_SIZE] = { (uint8_t)first };
		mf_x509_serial_from_random(s);
		assert_true(s[0] >= 0x40 && s[0] < 0x80);
	}
}

static void
expect_refused(const struct mf_x509_leaf *leaf, enum mf_status want, const char *text)
{
	struct mf_buf tbs;
	struct mf_err err = { 0 };
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	assert_int_equal(mf_x509_tbs_leaf(leaf, &tbs, &err), want);
	if (strstr(err.msg, text) == NULL)
		print_error("%s\n", err.msg);
	assert_non_null(strstr(err.msg, text));
	mf_buf_fini(&tbs);
}

static void
test_leaf_refused(void **state)
{
	MF_UNUSED(state);
	struct fixture f = { 0 };
	make_ca(&f, "example.org");
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL, *root = NULL;
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://example.org/job/a"), &id, NULL), MF_OK);
	assert_int_equal(mf_spiffe_id_parse(MF_SLICE_LIT("spiffe://example.org"), &root, NULL), MF_OK);
	struct mf_x509_leaf good, l;
	fill_leaf(&good, &f, id);
	l = good, l.id = root; /* X509-3 */
	expect_refused(&l, MF_E_INVALID, "needs a path");
	l = good, l.serial[0] = 0;
	expect_refused(&l, MF_E_INVALID, "serial");
	l = good, l.serial[0] = 0x80;
	expect_refused(&l, MF_E_INVALID, "serial");
	l = good, l.point[0] = 2;
	expect_refused(&l, MF_E_INVALID, "uncompressed point");
	l = good, l.not_after_s = l.not_before_s - 1;
	expect_refused(&l, MF_E_INVALID, "end before it begins");
	l = good, l.not_before_s = -1;
	expect_refused(&l, MF_E_INVALID, "end before it begins");
	l = good, l.not_after_s = INT64_C(253402300800);
	expect_refused(&l, MF_E_INVALID, "buffer: invalid");
	l = good, l.issuer = mf_slice(NULL, 0);
	expect_refused(&l, MF_E_INVALID, "issuer");
	l = good, l.n_dns = MF_LIM_DNS_NAMES + 1;
	expect_refused(&l, MF_E_TOOBIG, "DNS names");
	static const char *const bad_dns[] = { "", "*.example.org", "a..b", ".a", "a.", "-a", "a-", "A",
		"a_b", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	for (size_t i = 0; i < MF_COUNT(bad_dns); i++) {
		l = good, l.dns[0] = mf_slice_str(bad_dns[i]);
		expect_refused(&l, MF_E_INVALID, "DNS name 0");
	}
	for (int c = 0; c < 256; c++) { /* the CN reaches other people's parsers of subject strings */
		uint8_t cn[3] = { 'a', (uint8_t)c, 'b' };
		struct mf_buf tbs;
		mf_buf_init(&tbs, MF_LIM_CERT_DER);
		l = good, l.cn = mf_slice(cn, 3);
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '.' || c == '_' || c == '-' || c == '@';
		assert_int_equal(mf_x509_tbs_leaf(&l, &tbs, NULL), ok ? MF_OK : MF_E_INVALID);
		mf_buf_fini(&tbs);
	}
	char cn[MF_X509_CN_MAX + 2];
	memset(cn, 'x', sizeof(cn));
	l = good, l.cn = mf_slice(cn, MF_X509_CN_MAX + 1);
	expect_refused(&l, MF_E_INVALID, "common name");
	struct mf_buf small;
	mf_buf_init(&small, 100);
	assert_int_equal(mf_x509_tbs_leaf(&good, &small, NULL), MF_E_TOOBIG);
	mf_buf_fini(&small);
	struct mf_x509_ca ca = { .serial = { 1 }, .point = { 4 }, .trust_domain = MF_SLICE_LIT("a..b") };
	mf_buf_init(&small, 1000); /* P-20 */
	assert_int_equal(mf_x509_tbs_ca(&ca, &small, NULL), MF_E_INVALID);
	mf_buf_fini(&small);
	drop_ca(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_against_reference),
		cmocka_unit_test(test_ca_against_reference),
		cmocka_unit_test(test_accepted_by_libcrypto),
		cmocka_unit_test(test_serial),
		cmocka_unit_test(test_leaf_refused),
	};
	return cmocka_run_group_tests_name("x509_write", tests, NULL, NULL);
}
