#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "codec/bundle.h"
#include "codec/x509_ca.h"
#include "codec/x509_peek.h"
#include "crypto/p256.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)

static struct mf_buf
make(const struct ref_cert *spec)
{
	struct mf_buf b;
	mf_buf_init(&b, MF_LIM_CERT_DER);
	X509 *x = mf_ref_cert(spec);
	mf_ref_der(x, &b);
	X509_free(x);
	return b;
}

static void
test_fields(void **state)
{
	MF_UNUSED(state);
	static const uint8_t serial[] = { 0x91, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
		19, 20 };
	EVP_PKEY *key = mf_ref_key();
	struct mf_buf der = make(&(struct ref_cert) { .serial = serial,
	    .n_serial = sizeof(serial),
	    .key = key,
	    .org = "o",
	    .cn = "c",
	    .not_before_s = NOW,
	    .not_after_s = INT64_C(2524608000),
	    .uri = { "spiffe://td/a" },
	    .dns = { "x" },
	    .pathlen = -1,
	    .ku = 0x61,
	    .eku = true });
	struct mf_x509_peek p;
	struct mf_slice point;
	assert_int_equal(mf_x509_peek(mf_buf_slice(&der), &p, NULL), MF_OK);
	assert_true(mf_slice_eq(p.serial, mf_slice(serial, sizeof(serial)))); /* the padding zero is gone */
	assert_true(p.not_before_s == NOW && p.not_after_s == INT64_C(2524608000));
	assert_true(mf_slice_eq_str(p.uri, "spiffe://td/a"));
	assert_int_equal(p.n_uri, 1);
	assert_int_equal(p.ski.n, 20);
	assert_int_equal(p.aki.n, 0);
	assert_true(p.has_basic_constraints && !p.ca);
	assert_int_equal(p.key_usage, 0x61);
	assert_true(mf_slice_eq(p.issuer, p.subject));
	assert_true(mf_x509_peek_point(&p, &point));
	assert_int_equal(mf_p256_point_check(point, NULL), MF_OK);

	/* every cut and nearly every changed length is refused; none reads outside (ASan) */
	for (size_t n = 0; n < der.n; n++)
		assert_int_equal(mf_x509_peek(mf_slice(der.p, n), &p, NULL), MF_E_INVALID);
	mf_buf_put_u8(&der, 0);
	assert_int_equal(mf_x509_peek(mf_buf_slice(&der), &p, NULL), MF_E_INVALID);
	mf_buf_fini(&der);

	der = make(&(struct ref_cert) { .key = key,
	    .org = "o",
	    .not_after_s = NOW,
	    .uri = { "a:1", "a:2" },
	    .pathlen = -1,
	    .no_bc = true,
	    .no_ski = true });
	assert_int_equal(mf_x509_peek(mf_buf_slice(&der), &p, NULL), MF_OK);
	assert_int_equal(p.n_uri, 2); /* X509-2: two are as good as none */
	assert_int_equal(p.uri.n, 0);
	assert_true(!p.has_basic_constraints && p.key_usage == 0 && p.ski.n == 0);
	mf_buf_fini(&der);
	der = make(&(struct ref_cert) { .key = key,
	    .org = "o",
	    .not_after_s = NOW,
	    .uri = { "a:1" },
	    .pathlen = -1,
	    .second_san = true });
	assert_int_equal(mf_x509_peek(mf_buf_slice(&der), &p, NULL), MF_E_INVALID);
	mf_buf_fini(&der);
	uint8_t big[MF_LIM_CERT_DER + 1] = { 0x30 };
	assert_int_equal(mf_x509_peek(mf_slice(big, sizeof(big)), &p, NULL), MF_E_TOOBIG);
	struct mf_err err = { 0 };
	assert_int_equal(mf_x509_peek(MF_SLICE_LIT("-----BEGIN CERTIFICATE-----"), &p, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "certificate: bad outer DER (is it PEM?)");
	EVP_PKEY_free(key);
}

static void
test_other_keys(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY *keys[] = { EVP_EC_gen("P-384"), EVP_RSA_gen(2048) };
	for (size_t i = 0; i < MF_COUNT(keys); i++) {
		struct mf_buf der = make(&(struct ref_cert) { .key = keys[i],
		    .org = "o",
		    .not_after_s = NOW,
		    .uri = { "spiffe://td/a" },
		    .pathlen = -1 });
		struct mf_x509_peek p;
		struct mf_slice point;
		assert_int_equal(mf_x509_peek(mf_buf_slice(&der), &p, NULL), MF_OK);
		assert_false(mf_x509_peek_point(&p, &point));
		mf_buf_fini(&der);
		EVP_PKEY_free(keys[i]);
	}
}

/* W-10 */
static void
test_bundle_split(void **state)
{
	MF_UNUSED(state);
	EVP_PKEY *key = mf_ref_key();
	struct mf_buf one =
	    make(&(struct ref_cert) { .key = key, .org = "o", .not_after_s = NOW, .pathlen = -1 });
	struct mf_slice in[3] = { mf_buf_slice(&one), mf_buf_slice(&one), mf_buf_slice(&one) }, out[3];
	struct mf_buf all;
	size_t n = 99;
	mf_buf_init(&all, MF_LIM_BUNDLE_DER);
	assert_int_equal(mf_bundle_join(in, 3, &all, NULL), MF_OK);
	assert_int_equal(all.n, 3 * one.n);
	assert_int_equal(mf_bundle_split(mf_buf_slice(&all), out, 3, &n, NULL), MF_OK);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(mf_slice_eq(out[i], in[i]));
	struct mf_err err = { 0 };
	assert_int_equal(mf_bundle_split(mf_buf_slice(&all), out, 2, &n, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "bundle: more than 2 certificates");
	for (size_t cut = 1; cut < one.n; cut += 7)
		assert_int_equal(
		    mf_bundle_split(mf_slice(all.p, all.n - cut), out, 3, &n, NULL), MF_E_INVALID);
	assert_int_equal(mf_bundle_split(MF_SLICE_LIT("-----BEGIN"), out, 3, &n, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "bundle: no DER certificate at byte 0; this is PEM");
	assert_int_equal(mf_bundle_split(mf_slice(NULL, 0), out, 3, &n, NULL), MF_OK);
	assert_int_equal(n, 0);
	assert_int_equal(mf_bundle_split(MF_SLICE_LIT("\x04\x01x"), out, 3, &n, NULL), MF_E_INVALID);
	in[1] = mf_buf_slice(&all); /* two where one should be */
	size_t before = all.n;
	assert_int_equal(mf_bundle_join(in, 2, &all, NULL), MF_E_INVALID);
	struct mf_buf small;
	mf_buf_init(&small, one.n + 5);
	in[1] = in[0];
	assert_int_equal(mf_bundle_join(in, 2, &small, NULL), MF_E_TOOBIG);
	assert_int_equal(small.n, 0);
	assert_int_equal(all.n, before);
	mf_buf_fini(&small);
	mf_buf_fini(&all);
	mf_buf_fini(&one);
	EVP_PKEY_free(key);
}

/* X509-6, 8, 11, ID-15 for the certificate that we sign with. */
static void
test_ca_parse(void **state)
{
	MF_UNUSED(state);
	const struct mf_slice td = MF_SLICE_LIT("td");
	EVP_PKEY *key = mf_ref_key(), *other = mf_ref_key();
	const struct ref_cert good = { .key = key,
		.org = "o",
		.cn = "ca",
		.not_before_s = NOW,
		.not_after_s = NOW + 9,
		.uri = { "spiffe://td" },
		.ca = true,
		.pathlen = 0,
		.ku = 0x60 };
	struct mf_buf der = make(&good);
	struct mf_ca *ca = NULL;
	assert_int_equal(mf_ca_parse(mf_buf_slice(&der), td, &ca, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_ca_der(ca), mf_buf_slice(&der)));
	assert_true(mf_ca_not_before_s(ca) == NOW && mf_ca_not_after_s(ca) == NOW + 9);
	uint8_t id[MF_X509_KEY_ID_SIZE];
	mf_x509_key_id(mf_ca_point(ca), id);
	assert_memory_equal(mf_ca_key_id(ca), id, sizeof(id));
	assert_int_equal(mf_ca_subject(ca).p[0], 0x30);
	assert_true(mf_slice_eq_str(mf_ca_serial(ca), "\x01"));
	mf_ca_free(ca);
	struct ref_cert bad[8];
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		bad[i] = good;
	X509 *issuer = mf_ref_cert(&good);
	bad[0].ca = false, bad[0].pathlen = -1;
	bad[1].ku = 0x40;
	bad[2].no_ski = true;
	bad[3].uri[0] = "spiffe://td/x";
	bad[4].uri[0] = "spiffe://other";
	bad[5].uri[1] = "spiffe://td";
	bad[6].issuer = issuer, bad[6].issuer_key = key, bad[6].cn = "sub"; /* not self-signed */
	bad[7].issuer = issuer, bad[7].issuer_key = other,
	bad[7].no_aki = true; /* forged: same name, other key */
	static const char *const text[] = { "cA is not TRUE", "keyCertSign", "key identifier",
		"is not spiffe://td", "is not spiffe://td", "is not spiffe://td", "not self-signed",
		"does not verify" };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_buf b = make(&bad[i]);
		struct mf_err err = { 0 };
		ca = NULL;
		assert_int_equal(mf_ca_parse(mf_buf_slice(&b), td, &ca, &err), MF_E_INVALID);
		if (strstr(err.msg, text[i]) == NULL)
			print_error("%zu: %s\n", i, err.msg);
		assert_non_null(strstr(err.msg, text[i]));
		assert_null(ca);
		mf_buf_fini(&b);
	}
	X509_free(issuer);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	mf_buf_fini(&der);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_other_keys),
		cmocka_unit_test(test_bundle_split),
		cmocka_unit_test(test_ca_parse),
	};
	return cmocka_run_group_tests_name("x509_peek", tests, NULL, NULL);
}
