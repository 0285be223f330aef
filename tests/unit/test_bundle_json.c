#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/text.h"
#include "codec/bundle.h"
#include "codec/bundle_json.h"
#include "codec/json.h"
#include "codec/jwks.h"
#include "codec/x509_peek.h"
#include "x509_ref.h"

#define NOW INT64_C(1795000000)

/* Two roots of one trust domain, concatenated, and the spellings that a JWK of the first has. */
struct fixture {
	struct mf_buf der, b64[2], x[2], y[2];
};

static void
add_root(struct fixture *f, size_t i, EVP_PKEY *key)
{
	struct mf_buf one;
	struct mf_x509_peek p;
	struct mf_slice point;
	mf_buf_init(&one, MF_LIM_CERT_DER);
	X509 *x = mf_ref_cert(&(struct ref_cert) { .key = key,
	    .org = "o",
	    .not_before_s = NOW,
	    .not_after_s = NOW + 9,
	    .uri = { "spiffe://td" },
	    .ca = true,
	    .pathlen = 0,
	    .ku = 0x60 });
	mf_ref_der(x, &one);
	X509_free(x);
	mf_buf_put_slice(&f->der, mf_buf_slice(&one));
	mf_buf_init(&f->b64[i], 4096);
	mf_base64_put(&f->b64[i], mf_buf_slice(&one));
	mf_buf_init(&f->x[i], 64);
	mf_buf_init(&f->y[i], 64);
	assert_int_equal(mf_x509_peek(mf_buf_slice(&one), &p, NULL), MF_OK);
	if (mf_x509_peek_point(&p, &point)) {
		mf_base64url_put(&f->x[i], mf_slice_sub(point, 1, 32));
		mf_base64url_put(&f->y[i], mf_slice_sub(point, 33, 32));
	}
	mf_buf_fini(&one);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	mf_buf_init(&f->der, MF_LIM_BUNDLE_DER);
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = mf_ref_key();
		add_root(f, i, key);
		EVP_PKEY_free(key);
	}
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	mf_buf_fini(&f->der);
	for (size_t i = 0; i < 2; i++) {
		mf_buf_fini(&f->b64[i]);
		mf_buf_fini(&f->x[i]);
		mf_buf_fini(&f->y[i]);
	}
	free(f);
	return 0;
}

/* X509-17, BND-2, 3, 4, 6: the exact bytes. W-13; P-22 */
static void
test_put(void **state)
{
	struct fixture *f = *state;
	struct mf_buf out, want;
	mf_buf_init(&out, MF_LIM_BUNDLE_JSON);
	mf_buf_init(&want, MF_LIM_BUNDLE_JSON);
	assert_int_equal(
	    mf_bundle_json_put(mf_buf_slice(&f->der), NULL, UINT64_C(9007199254740993), 300, &out, NULL),
	    MF_OK);
	mf_buf_put_str(&want, "{\"keys\":[");
	for (size_t i = 0; i < 2; i++)
		mf_buf_putf(&want,
		    "%s{\"kty\":\"EC\",\"use\":\"x509-svid\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\","
		    "\"x5c\":[\"%s\"]}",
		    i == 0 ? "" : ",", mf_buf_cstr(&f->x[i]), mf_buf_cstr(&f->y[i]), mf_buf_cstr(&f->b64[i]));
	mf_buf_put_str(&want, "],\"spiffe_sequence\":9007199254740993,\"spiffe_refresh_hint\":300}");
	assert_string_equal(mf_buf_cstr(&out), mf_buf_cstr(&want));
	assert_int_equal(f->x[0].n, 43); /* 32 bytes, never shorter */

	/* and back: 2^53 + 1 survives (BND-2) */
	struct mf_bundle_doc doc = { 0 };
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&out), &doc, NULL), MF_OK);
	assert_true(doc.has_sequence && doc.sequence == UINT64_C(9007199254740993));
	assert_true(doc.has_refresh_hint && doc.refresh_hint_s == 300);
	assert_true(doc.n_x509 == 2 && doc.n_ignored == 0);
	assert_true(mf_slice_eq(mf_buf_slice(&doc.x509_der), mf_buf_slice(&f->der)));
	mf_bundle_doc_fini(&doc);

	mf_buf_reset(&out);
	assert_int_equal(mf_bundle_json_put(mf_slice(NULL, 0), NULL, 1, 5, &out, NULL), MF_OK);
	assert_string_equal(
	    mf_buf_cstr(&out), "{\"keys\":[],\"spiffe_sequence\":1,\"spiffe_refresh_hint\":5}");
	mf_buf_reset(&out);
	assert_int_equal(
	    mf_bundle_json_put(mf_slice(NULL, 0), NULL, UINT64_C(1) << 63, 5, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_bundle_json_put(mf_slice(NULL, 0), NULL, 1, 0, &out, NULL), MF_E_INVALID);
	assert_int_equal(mf_bundle_json_put(MF_SLICE_LIT("\x30\x00"), NULL, 1, 5, &out, NULL), MF_E_INVALID);
	mf_buf_reset(&out);
	out.max = 100;
	assert_int_equal(mf_bundle_json_put(mf_buf_slice(&f->der), NULL, 1, 5, &out, NULL), MF_E_TOOBIG);
	mf_buf_fini(&out);
	mf_buf_fini(&want);
}

/* The key of a certificate on any of the three curves, and none of another: coordinates of full length. */
static void
test_put_curves(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *name, *crv;
		size_t letters;
	} t[] = { { "P-256", "P-256", 43 }, { "P-384", "P-384", 64 }, { "P-521", "P-521", 88 },
		{ "secp256k1", NULL, 0 } };
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct fixture f = { 0 };
		MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
		struct mf_err err = { 0 };
		EVP_PKEY *key = EVP_EC_gen(t[i].name);
		mf_buf_init(&f.der, MF_LIM_BUNDLE_DER);
		mf_buf_init(&out, MF_LIM_BUNDLE_JSON);
		add_root(&f, 0, key);
		enum mf_status s = mf_bundle_json_put(mf_buf_slice(&f.der), NULL, 1, 5, &out, &err);
		assert_int_equal(s, t[i].crv == NULL ? MF_E_INVALID : MF_OK);
		if (s == MF_OK) {
			json_t *j = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
			const json_t *k = json_array_get(json_object_get(j, "keys"), 0);
			assert_string_equal(json_string_value(json_object_get(k, "crv")), t[i].crv);
			assert_int_equal(json_string_length(json_object_get(k, "x")), t[i].letters);
			assert_int_equal(json_string_length(json_object_get(k, "y")), t[i].letters);
			json_decref(j);
		}
		mf_buf_fini(&f.der);
		mf_buf_fini(&f.b64[0]);
		mf_buf_fini(&f.x[0]);
		mf_buf_fini(&f.y[0]);
		EVP_PKEY_free(key);
	}
}

/* JWT-12, P-22, BND-6: both kinds in one document, each read back by its own reader; nothing else is in it. */
static void
test_put_both(void **state)
{
	struct fixture *f = *state;
	static const enum mf_jws_alg algs[] = { MF_JWS_ES256, MF_JWS_RS256 };
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL, *back = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf keys, out;
	struct mf_jws_key *key[2];
	struct mf_jw w;
	mf_buf_init(&keys, 8192);
	mf_buf_init(&out, MF_LIM_BUNDLE_JSON);
	mf_buf_put_str(&keys, "{\"keys\":[");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(mf_jws_key_generate(algs[i], &key[i], NULL), MF_OK);
		mf_jw_init(&w, &keys, false);
		mf_jwk_jws_put(&w, key[i], "jwt-svid");
		mf_buf_put_str(&keys, i == 0 ? "," : "]}");
	}
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&keys), MF_JWKS_SPIFFE, &set, NULL), MF_OK);
	assert_int_equal(mf_bundle_json_put(mf_buf_slice(&f->der), set, 7, 300, &out, NULL), MF_OK);

	struct mf_bundle_doc doc = { 0 };
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&out), &doc, NULL), MF_OK);
	assert_true(doc.n_x509 == 2 && doc.n_ignored == 2 && doc.sequence == 7 && doc.refresh_hint_s == 300);
	assert_true(mf_slice_eq(mf_buf_slice(&doc.x509_der), mf_buf_slice(&f->der)));
	mf_bundle_doc_fini(&doc);
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&out), MF_JWKS_SPIFFE, &back, NULL), MF_OK);
	assert_int_equal(mf_jwk_set_count(back), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(mf_jwk_set_find(back, mf_slice_str(mf_jws_key_kid(key[i])), algs[i]));
		mf_jws_key_free(key[i]);
	}
	json_t *j = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL), *k;
	size_t i;
	assert_int_equal(json_object_size(j), 3);
	json_array_foreach(json_object_get(j, "keys"), i, k)
	{
		bool is_rsa = strcmp(json_string_value(json_object_get(k, "kty")), "RSA") == 0;
		const char *use = json_string_value(json_object_get(k, "use"));
		assert_string_equal(use, i < 2 ? "x509-svid" : "jwt-svid");
		assert_true((json_object_get(k, "kid") != NULL) == (i >= 2));
		assert_true((json_object_get(k, "x5c") != NULL) == (i < 2));
		assert_int_equal(
		    json_object_size(k), is_rsa ? 5 : 6); /* kty, use, kid or x5c, and the numbers */
	}
	json_decref(j);
	/* Without a sequence; JWT keys alone. */
	mf_buf_reset(&out);
	assert_int_equal(mf_bundle_json_put(mf_slice(NULL, 0), set, 0, 300, &out, NULL), MF_OK);
	assert_null(strstr(mf_buf_cstr(&out), "spiffe_sequence"));
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&out), &doc, NULL), MF_OK);
	assert_true(doc.n_x509 == 0 && !doc.has_sequence);
	mf_bundle_doc_fini(&doc);
}

struct expected {
	const char *in; /* %0 .. %3: x, y, x5c of the first, x5c of the second root */
	enum mf_status want;
	size_t n_x509, n_ignored;
	const char *text;
};

static void
run(const struct fixture *f, const struct expected *e)
{
	struct mf_buf in;
	mf_buf_init(&in, MF_LIM_BUNDLE_JSON);
	for (const char *c = e->in; *c != '\0'; c++) {
		if (*c != '%') {
			mf_buf_put_u8(&in, (uint8_t)*c);
			continue;
		}
		const struct mf_buf *v[] = { &f->x[0], &f->y[0], &f->b64[0], &f->b64[1] };
		mf_buf_put_slice(&in, mf_buf_slice(v[*++c - '0']));
	}
	struct mf_bundle_doc doc = { .n_ignored = 99 };
	struct mf_err err = { 0 };
	enum mf_status s = mf_bundle_json_get(mf_buf_slice(&in), &doc, &err);
	if (s != e->want || strstr(err.msg, e->text) == NULL)
		print_error("%s: %s %s\n", e->in, mf_status_name(s), err.msg);
	assert_int_equal(s, e->want);
	assert_non_null(strstr(err.msg, e->text));
	if (s == MF_OK) {
		assert_int_equal(doc.n_x509, e->n_x509);
		assert_int_equal(doc.n_ignored, e->n_ignored);
		mf_bundle_doc_fini(&doc);
	} else {
		assert_int_equal(doc.n_ignored, 99);
	}
	mf_buf_fini(&in);
}

#define KEY(use, x5c) "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%0\",\"y\":\"%1\"," use x5c "}"
#define SVID "\"use\":\"x509-svid\","
#define GOOD KEY(SVID, "\"x5c\":[\"%2\"]")
#define DOC(keys) "{\"keys\":[" keys "]}"

static void
test_get_table(void **state)
{
	static const struct expected t[] = {
		{ DOC(GOOD), MF_OK, 1, 0, "" },
		/* BND-1: other members */
		{ "{\"keys\":[" GOOD "],\"x\":{\"y\":[1.5,null]}}", MF_OK, 1, 0, "" },
		/* BND-4 */
		{ "{}", MF_E_INVALID, 0, 0, "no array of keys" },
		{ "[]", MF_E_INVALID, 0, 0, "no array of keys" },
		{ "{\"keys\":{}}", MF_E_INVALID, 0, 0, "no array of keys" },
		{ DOC(""), MF_OK, 0, 0, "" },
		{ DOC("1"), MF_E_INVALID, 0, 0, "keys[0] is not an object" },
		/* BND-5: one good among kinds we do not know */
		{ DOC("{\"kty\":\"AKP\",\"use\":\"x509-svid\",\"x5c\":[\"%2\"]}," GOOD
		      "," KEY("\"use\":\"foo\",", "\"x5c\":[\"%2\"]") "," KEY("", "\"x5c\":[\"%2\"]") "," KEY(
			  "\"use\":\"X509-SVID\",",
			  "\"x5c\":[\"%2\"]") ",{\"use\":\"x509-svid\",\"x5c\":[\"%2\"]}"
					      "," KEY("\"use\":7,", "\"x5c\":[\"%2\"]") "," KEY(
						  "\"use\":\"jwt-svid\",", "\"kid\":\"k\"")),
		    MF_OK, 1, 7, "" },
		/* X509-18 */
		{ DOC(KEY(SVID, "\"x5c\":[]") "," KEY(SVID, "\"kid\":\"a\"") "," GOOD), MF_OK, 1, 2, "" },
		{ DOC(KEY(SVID, "\"x5c\":[\"%2\",\"%3\"]")), MF_OK, 1, 0, "" },
		{ DOC(KEY(SVID, "\"x5c\":[\"%2\",7]")), MF_OK, 1, 0, "" },
		{ DOC(KEY(SVID, "\"x5c\":[7]")), MF_E_INVALID, 0, 0,
		    "keys[0]: x5c is not an array of strings" },
		{ DOC(KEY(SVID, "\"x5c\":\"%2\"")), MF_E_INVALID, 0, 0,
		    "keys[0]: x5c is not an array of strings" },
		{ DOC(KEY(SVID, "\"x5c\":[\"*\"]")), MF_E_INVALID, 0, 0, "keys[0]: x5c: base64" },
		{ DOC(KEY(SVID, "\"x5c\":[\"\"]")), MF_E_INVALID, 0, 0, "keys[0]: bundle: certificate 0" },
		{ DOC(KEY(SVID, "\"x5c\":[\"%2%3\"]")), MF_E_INVALID, 0, 0, "keys[0]: " },
		/* P-21 */
		{ DOC(KEY(SVID, "\"x5c\":[\"%3\"]")), MF_E_INVALID, 0, 0,
		    "keys[0]: x is not that of its certificate" },
		{ DOC("{\"kty\":\"EC\"," SVID "\"crv\":\"P-384\",\"x5c\":[\"%2\"]}"), MF_E_INVALID, 0, 0,
		    "keys[0]: crv is not" },
		/* BND-2, BND-3 */
		{ "{\"keys\":[],\"spiffe_sequence\":9223372036854775807}", MF_OK, 0, 0, "" },
		{ "{\"keys\":[],\"spiffe_sequence\":-1}", MF_E_INVALID, 0, 0, "spiffe_sequence is not" },
		{ "{\"keys\":[],\"spiffe_sequence\":1.0}", MF_E_INVALID, 0, 0, "spiffe_sequence is not" },
		{ "{\"keys\":[],\"spiffe_sequence\":\"1\"}", MF_E_INVALID, 0, 0, "spiffe_sequence is not" },
		{ "{\"keys\":[],\"spiffe_refresh_hint\":1e3}", MF_E_INVALID, 0, 0,
		    "spiffe_refresh_hint is not" },
		{ "{\"keys\":[],\"spiffe_refresh_hint\":0}", MF_OK, 0, 0, "" },
		/* BND-10 in spirit: duplicates are refused everywhere */
		{ "{\"keys\":[],\"keys\":[" GOOD "]}", MF_E_INVALID, 0, 0, "" },
		{ "", MF_E_INVALID, 0, 0, "" },
	};
	for (size_t i = 0; i < MF_COUNT(t); i++)
		run(*state, &t[i]);
}

static void
test_caps(void **state)
{
	struct fixture *f = *state;
	struct mf_buf in;
	mf_buf_init(&in, 4 * MF_LIM_BUNDLE_JSON);
	mf_buf_put_str(&in, "{\"keys\":[{}");
	for (unsigned i = 1; i < MF_LIM_BUNDLE_KEYS; i++)
		mf_buf_put_str(&in, ",{}");
	size_t at = in.n;
	mf_buf_put_str(&in, "]}");
	struct mf_bundle_doc doc = { 0 };
	struct mf_err err = { 0 };
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&in), &doc, &err), MF_OK);
	assert_int_equal(doc.n_ignored, MF_LIM_BUNDLE_KEYS);
	assert_false(doc.has_sequence);
	mf_bundle_doc_fini(&doc);
	in.n = at;
	mf_buf_put_str(&in, ",{}]}");
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&in), &doc, &err), MF_E_TOOBIG);
	mf_buf_reset(&in);
	mf_buf_put_str(&in, "{\"keys\":[");
	for (unsigned i = 0; i <= MF_LIM_BUNDLE_CERTS; i++)
		mf_buf_putf(&in,
		    "%s{\"kty\":\"EC\",\"use\":\"x509-svid\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\","
		    "\"x5c\":[\"%s\"]}",
		    i == 0 ? "" : ",", mf_buf_cstr(&f->x[0]), mf_buf_cstr(&f->y[0]), mf_buf_cstr(&f->b64[0]));
	mf_buf_put_str(&in, "]}");
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&in), &doc, &err), MF_E_TOOBIG);
	assert_string_equal(err.msg, "bundle: more than 32 certificates");
	mf_buf_reset(&in);
	memset(mf_buf_extend(&in, MF_LIM_BUNDLE_JSON + 1), ' ', MF_LIM_BUNDLE_JSON + 1);
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&in), &doc, &err), MF_E_TOOBIG);
	mf_buf_fini(&in);
}

/* X509-17 for other keys: we publish P-256 only, but read RSA authorities of others. */
static void
test_rsa(void **state)
{
	MF_UNUSED(state);
	struct fixture f = { 0 };
	mf_buf_init(&f.der, MF_LIM_BUNDLE_DER);
	EVP_PKEY *key = EVP_RSA_gen(2048);
	add_root(&f, 0, key);
	struct mf_buf out;
	struct mf_err err = { 0 };
	mf_buf_init(&out, MF_LIM_BUNDLE_JSON);
	/* Published with its numbers, which a reader of JWKs takes for what they are (P-21). */
	assert_int_equal(mf_bundle_json_put(mf_buf_slice(&f.der), NULL, 1, 5, &out, &err), MF_OK);
	json_t *j = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *k = json_array_get(json_object_get(j, "keys"), 0);
	MF_AUTO(mf_jws_pub_free) struct mf_jws_pub *pub = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf n, e;
	mf_buf_init(&n, 512);
	mf_buf_init(&e, 8);
	assert_string_equal(json_string_value(json_object_get(k, "kty")), "RSA");
	assert_int_equal(
	    mf_base64url_get(mf_slice_str(json_string_value(json_object_get(k, "n"))), &n, NULL), MF_OK);
	assert_int_equal(
	    mf_base64url_get(mf_slice_str(json_string_value(json_object_get(k, "e"))), &e, NULL), MF_OK);
	assert_int_equal(mf_jws_pub_rsa(mf_buf_slice(&n), mf_buf_slice(&e), &pub, NULL), MF_OK);
	assert_int_equal(n.n, 256);
	json_decref(j);
	mf_buf_reset(&out);
	mf_buf_putf(&out,
	    "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"x509-svid\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"x5c\":[\"%s\"]"
	    "}]}",
	    mf_buf_cstr(&f.b64[0]));
	struct mf_bundle_doc doc = { 0 };
	assert_int_equal(mf_bundle_json_get(mf_buf_slice(&out), &doc, &err), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&doc.x509_der), mf_buf_slice(&f.der)));
	mf_bundle_doc_fini(&doc);
	mf_buf_fini(&out);
	mf_buf_fini(&f.der);
	mf_buf_fini(&f.b64[0]);
	EVP_PKEY_free(key);
}

static void
test_jwk_members(void **state)
{
	MF_UNUSED(state);
	uint8_t point[MF_P256_POINT_SIZE] = { 4 }; /* leading zeros stay: 43 letters each */
	struct mf_buf out;
	struct mf_jw w;
	mf_buf_init(&out, 1024);
	mf_jw_init(&w, &out, false);
	mf_jwk_ec_put(&w, &(struct mf_jwk_ec) { .point = point, .kid = MF_SLICE_LIT("k\"1") });
	assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
	assert_string_equal(mf_buf_cstr(&out), "{\"kty\":\"EC\",\"kid\":\"k\\\"1\",\"crv\":\"P-256\",\"x\":"
					       "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
					       "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}");
	mf_buf_reset(&out);
	mf_jw_init(&w, &out, false);
	static const uint8_t big[2 * MF_LIM_CERT_DER];
	mf_jwk_ec_put(&w, &(struct mf_jwk_ec) { .point = point, .x5c = mf_slice(big, sizeof(big)) });
	assert_int_equal(mf_jw_finish(&w, NULL), MF_E_TOOBIG);
	mf_buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_get_table),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_put_curves),
		cmocka_unit_test(test_put_both),
		cmocka_unit_test(test_jwk_members),
	};
	return cmocka_run_group_tests_name("bundle_json", tests, setup, teardown);
}
