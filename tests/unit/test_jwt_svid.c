/*
 * The accept and reject matrix of JWT-SVIDs (conformance rows JWT-1 to JWT-16, BND-*, E-3, E-4, E-13, E-14): tokens are
 * made by hand from a header and claims as text, signed with a real key, so that each row breaks one rule only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/text.h"
#include "codec/jwks.h"
#include "codec/jwt_svid.h"

#define NOW 1900000000

static struct mf_jws_key *ec_key, *rsa_key, *other_key;
static struct mf_jwk_set *own, *other_td;

static struct mf_jwk_set *
set_of(const char *use, struct mf_jws_key *const *keys, size_t n)
{
	struct mf_jw w;
	struct mf_jwk_set *set = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_jw_key(&w, "keys");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < n; i++)
		mf_jwk_jws_put(&w, keys[i], use);
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	assert_int_equal(mf_jw_finish(&w, NULL), MF_OK);
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL), MF_OK);
	return set;
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &ec_key, NULL), MF_OK);
	assert_int_equal(mf_jws_key_generate(MF_JWS_ES256, &other_key, NULL), MF_OK);
	assert_int_equal(mf_jws_key_generate(MF_JWS_RS256, &rsa_key, NULL), MF_OK);
	own = set_of("jwt-svid", (struct mf_jws_key *[]) { ec_key, rsa_key }, 2);
	other_td = set_of("jwt-svid", (struct mf_jws_key *[]) { other_key }, 1);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_jws_key_free(ec_key);
	mf_jws_key_free(rsa_key);
	mf_jws_key_free(other_key);
	mf_jwk_set_free(own);
	mf_jwk_set_free(other_td);
	return 0;
}

static const struct mf_jwk_set *
keys_of(void *ctx, struct mf_slice td)
{
	MF_UNUSED(ctx);
	if (mf_slice_eq_str(td, "example.org"))
		return own;
	return mf_slice_eq_str(td, "other.org") ? other_td : NULL;
}

static enum mf_status
validate(struct mf_slice token, const char *audience, struct mf_err *err)
{
	struct mf_jwt_svid *const untouched = (void *)own;
	struct mf_jwt_svid *svid = untouched;
	struct mf_jwt_svid_check c = { mf_slice_str(audience), NOW, 5, keys_of, NULL };
	enum mf_status s = mf_jwt_svid_validate(token, &c, &svid, err);
	if (s == MF_OK)
		mf_jwt_svid_free(svid);
	else
		assert_ptr_equal(svid, untouched);
	return s;
}

/* %K in the header stands for the key's id. */
static void
make(const char *header, const char *claims, const struct mf_jws_key *key, struct mf_buf *to)
{
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf h, sig;
	mf_buf_init(&h, 8192);
	mf_buf_init(&sig, 1024);
	mf_buf_init(to, 2 * MF_LIM_JWT);
	for (const char *p = header; *p != '\0'; p++)
		if (p[0] == '%' && p[1] == 'K') {
			mf_buf_put_str(&h, mf_jws_key_kid(key));
			p++;
		} else {
			mf_buf_put_u8(&h, (uint8_t)*p);
		}
	mf_base64url_put(to, mf_buf_slice(&h));
	mf_buf_put_u8(to, '.');
	mf_base64url_put(to, mf_slice_str(claims));
	assert_int_equal(mf_jws_signer_new(key, &signer, NULL), MF_OK);
	assert_int_equal(mf_jws_sign(signer, mf_buf_slice(to), &sig, NULL), MF_OK);
	mf_buf_put_u8(to, '.');
	mf_base64url_put(to, mf_buf_slice(&sig));
	assert_int_equal(mf_buf_check(to, NULL), MF_OK);
}

#define HEAD "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":\"JWT\"}"
#define SUB "\"sub\":\"spiffe://example.org/job/a\""
#define GOOD "{\"aud\":[\"a\"],\"exp\":1900000100," SUB "}"

static const struct {
	const char *row, *header, *claims, *audience;
	bool ok;
	const char *why; /* part of the text */
} matrix[] = {
	{ "JWT-1..9", HEAD, GOOD, "a", true, "" },
	/* JWT-3: alg, before anything else */
	{ "JWT-3", "{\"alg\":\"none\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"None\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"HS256\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"HS512\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"EdDSA\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"ES256K\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":\"es256\",\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"alg\":[\"ES256\"],\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	{ "JWT-3", "{\"kid\":\"%K\"}", GOOD, "a", false, "alg" },
	/* JWT-4: typ */
	{ "JWT-4", "{\"alg\":\"ES256\",\"kid\":\"%K\"}", GOOD, "a", true, "" },
	{ "JWT-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":\"JOSE\"}", GOOD, "a", true, "" },
	{ "JWT-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":\"jwt\"}", GOOD, "a", false, "typ" },
	{ "JWT-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":\"at+jwt\"}", GOOD, "a", false, "typ" },
	{ "JWT-4 WIT-20", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":\"wit+jwt\"}", GOOD, "a", false, "typ" },
	{ "JWT-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"typ\":null}", GOOD, "a", false, "typ" },
	/* JWT-5: kid */
	{ "JWT-5", "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", GOOD, "a", false, "no kid" },
	{ "JWT-5", "{\"alg\":\"ES256\",\"kid\":\"\"}", GOOD, "a", false, "no kid" },
	{ "JWT-5", "{\"alg\":\"ES256\",\"kid\":7}", GOOD, "a", false, "no kid" },
	{ "JWT-5", "{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}", GOOD, "a", false,
	    "no key of that kid" },
	{ "JWT-5", "{\"alg\":\"ES256\",\"kid\":\"' or 1=1--\"}", GOOD, "a", false, "no key of that kid" },
	{ "E-2", "{\"alg\":\"ES256\",\"kid\":\"%K\\u0000\"}", GOOD, "a", false, "U+0000" },
	/* RFC 8725: the token does not say which key to believe; nothing critical is understood */
	{ "E-4",
	    "{\"alg\":\"ES256\",\"kid\":\"%K\",\"jku\":\"http://e/\",\"x5u\":\"http://e/\",\"x5c\":[\"AA\"]}",
	    GOOD, "a", true, "" },
	{ "E-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"jwk\":{\"kty\":\"EC\"}}", GOOD, "a", true, "" },
	{ "E-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"crit\":[\"exp\"]}", GOOD, "a", false, "crit" },
	{ "E-4", "{\"alg\":\"ES256\",\"kid\":\"%K\",\"b64\":false}", GOOD, "a", false, "b64" },
	{ "E-4", "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"%K\"}", GOOD, "a", false, "duplicate" },
	{ "E-4", "[]", GOOD, "a", false, "not an object" },
	{ "E-4", "{\"alg\":\"ES256\",\"kid\":\"%K\"} x", GOOD, "a", false, "something follows" },
	/* JWT-6: sub */
	{ "JWT-6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100}", "a", false, "no sub" },
	{ "JWT-6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"alice\"}", "a", false, "sub" },
	{ "JWT-6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"https://example.org/a\"}", "a", false,
	    "sub" },
	{ "JWT-6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":[\"spiffe://example.org/a\"]}", "a",
	    false, "no sub" },
	{ "JWT-6 ID-8", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"spiffe://example.org/a/../b\"}",
	    "a", false, "sub" },
	{ "E-4", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100," SUB "," SUB "}", "a", false, "duplicate" },
	{ "JWT-6", HEAD, "\"claims\"", "a", false, "claims" },
	/* JWT-7, JWT-8: aud */
	{ "JWT-7", HEAD, "{\"exp\":1900000100," SUB "}", "a", false, "aud is missing" },
	{ "JWT-7", HEAD, "{\"aud\":[],\"exp\":1900000100," SUB "}", "a", false, "aud is missing" },
	{ "JWT-7", HEAD, "{\"aud\":\"\",\"exp\":1900000100," SUB "}", "a", false, "aud is missing" },
	{ "JWT-7", HEAD, "{\"aud\":{\"a\":1},\"exp\":1900000100," SUB "}", "a", false, "aud is missing" },
	{ "JWT-8", HEAD, "{\"aud\":\"a\",\"exp\":1900000100," SUB "}", "a", true, "" },
	{ "JWT-8", HEAD, "{\"aud\":[\"x\",\"a\"],\"exp\":1900000100," SUB "}", "a", true, "" },
	{ "JWT-8", HEAD, GOOD, "b", false, "another audience" },
	{ "JWT-8", HEAD, GOOD, "A", false, "another audience" },
	{ "JWT-8", HEAD, "{\"aud\":[\"a\",1],\"exp\":1900000100," SUB "}", "a", false, "not an audience" },
	{ "E-2", HEAD, "{\"aud\":[\"a\\u0000evil\"],\"exp\":1900000100," SUB "}", "a", false, "U+0000" },
	{ "E-5", HEAD, GOOD, "", false, "no audience to look for" },
	/* JWT-9, E-13: exp, with the leeway of 5 s to the second */
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"]," SUB "}", "a", false, "no exp" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":1899999400," SUB "}", "a", false, "expired" },
	{ "E-13", HEAD, "{\"aud\":[\"a\"],\"exp\":1899999995," SUB "}", "a", false, "expired" },
	{ "E-13", HEAD, "{\"aud\":[\"a\"],\"exp\":1899999996," SUB "}", "a", true, "" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":\"1900000100\"," SUB "}", "a", false, "whole seconds" },
	{ "P-14", HEAD, "{\"aud\":[\"a\"],\"exp\":1.9000001e9," SUB "}", "a", false, "whole seconds" },
	{ "P-14", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100.5," SUB "}", "a", false, "whole seconds" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":null," SUB "}", "a", false, "whole seconds" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":-1," SUB "}", "a", false, "whole seconds" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":9223372036854775807," SUB "}", "a", false,
	    "whole seconds" },
	{ "JWT-9", HEAD, "{\"aud\":[\"a\"],\"exp\":99999999999999999999999," SUB "}", "a", false, "" },
	{ "RFC 7519 4.1.5", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"nbf\":1900000006," SUB "}", "a",
	    false, "not valid yet" },
	{ "RFC 7519 4.1.5", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"nbf\":1900000005," SUB "}", "a",
	    true, "" },
	{ "RFC 7519 4.1.6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"iat\":1900000050," SUB "}", "a",
	    true, "" },
	{ "RFC 7519 4.1.6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"iat\":\"x\"," SUB "}", "a", false,
	    "whole seconds" },
	/* JWT-11: the key of the subject's trust domain, and only that; the key's type fits */
	{ "JWT-11 BND-8", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"spiffe://other.org/a\"}", "a",
	    false, "no key of that kid" },
	{ "JWT-11", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"spiffe://unknown.org/a\"}", "a",
	    false, "not known here" },
	{ "JWT-11", "{\"alg\":\"RS256\",\"kid\":\"%K\"}", GOOD, "a", false, "no key of that kid for RS256" },
	{ "JWT-11", "{\"alg\":\"ES384\",\"kid\":\"%K\"}", GOOD, "a", false, "no key of that kid for ES384" },
	/* JWT-15: more claims, and the same token twice */
	{ "JWT-15", HEAD,
	    "{\"aud\":[\"a\"],\"exp\":1900000100,\"jti\":\"x\",\"iss\":\"y\",\"z\":{\"f\":1.5}," SUB "}", "a",
	    true, "" },
	/* ID-6: the trust domain is folded before its keys are looked for */
	{ "ID-6", HEAD, "{\"aud\":[\"a\"],\"exp\":1900000100,\"sub\":\"SPIFFE://Example.ORG/job/a\"}", "a",
	    true, "" },
};

static void
test_matrix(void **state)
{
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(matrix); i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
		struct mf_err err = { 0 };
		make(matrix[i].header, matrix[i].claims, ec_key, &token);
		for (int twice = 0; twice < 2; twice++) {
			enum mf_status s = validate(mf_buf_slice(&token), matrix[i].audience, &err);
			if ((s == MF_OK) != matrix[i].ok || strstr(err.msg, matrix[i].why) == NULL)
				fail_msg("row %zu (%s) %s: status %d \"%s\"", i, matrix[i].row,
				    matrix[i].claims, (int)s, err.msg);
			if (s != MF_OK)
				assert_int_equal(s, MF_E_INVALID);
		}
	}
}

/* JWT-1, E-4: one spelling. */
static void
test_spellings(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf good, bad;
	make(HEAD, GOOD, ec_key, &good);
	mf_buf_init(&bad, 2 * MF_LIM_JWT);
	struct mf_slice t = mf_buf_slice(&good);
	assert_int_equal(validate(t, "a", NULL), MF_OK);
	static const char *const around[][2] = { { " ", "" }, { "", " " }, { "", "\n" }, { "", "=" },
		{ "", "." }, { ".", "" }, { "", ".AA" }, { "\"", "\"" }, { "{\"payload\":\"", "\"}" } };
	for (size_t i = 0; i < MF_COUNT(around); i++) {
		mf_buf_reset(&bad);
		mf_buf_put_str(&bad, around[i][0]);
		mf_buf_put_slice(&bad, t);
		mf_buf_put_str(&bad, around[i][1]);
		assert_int_equal(validate(mf_buf_slice(&bad), "a", NULL), MF_E_INVALID);
	}
	/* A NUL at the end or anywhere, and every other last letter: all 63 of them (a 64-byte signature leaves 2 bits). */
	mf_buf_reset(&bad);
	mf_buf_put_slice(&bad, t);
	mf_buf_put_u8(&bad, 0);
	assert_int_equal(validate(mf_buf_slice(&bad), "a", NULL), MF_E_INVALID);
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t last = good.p[good.n - 1];
	for (size_t i = 0; i < sizeof(letters) - 1; i++) {
		good.p[good.n - 1] = (uint8_t)letters[i];
		assert_int_equal(validate(t, "a", NULL), (uint8_t)letters[i] == last ? MF_OK : MF_E_INVALID);
	}
	good.p[good.n - 1] = last;
	for (size_t i = 0; i < good.n; i++) { /* every cut, and every byte changed (ID-14) */
		assert_int_equal(validate(mf_slice_sub(t, 0, i), "a", NULL), MF_E_INVALID);
		good.p[i] ^= 1;
		assert_int_equal(validate(t, "a", NULL), MF_E_INVALID);
		good.p[i] ^= 1;
	}
	mf_buf_reset(&bad);
	while (bad.n <= MF_LIM_JWT)
		mf_buf_put_slice(&bad, t);
	assert_int_equal(validate(mf_buf_slice(&bad), "a", NULL), MF_E_TOOBIG);
	assert_int_equal(validate(mf_slice(NULL, 0), "a", NULL), MF_E_INVALID);
}

/* What we issue: exact, and in one form (JWT-2, 5, 6, 7, 9, 15, WAPI-17). W-14, P-14 */
static void
test_writer(void **state)
{
	MF_UNUSED(state);
	struct mf_jws_key *const keys[] = { ec_key, rsa_key };
	for (size_t k = 0; k < 2; k++) {
		MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
		MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
		MF_AUTO_IN(mf_buf_fini) struct mf_buf token, header;
		char want[256];
		struct mf_slice aud[2] = { MF_SLICE_LIT("b"), MF_SLICE_LIT("a") };
		struct mf_jwt_svid_fields f = { mf_jws_key_alg(keys[k]),
			mf_slice_str(mf_jws_key_kid(keys[k])), MF_SLICE_LIT("spiffe://example.org/job/a"),
			aud, 2, NOW - 30, NOW + 300, MF_SLICE_LIT("id-1") };
		mf_buf_init(&token, MF_LIM_JWT);
		mf_buf_init(&header, 1024);
		assert_int_equal(mf_jws_signer_new(keys[k], &signer, NULL), MF_OK);
		assert_int_equal(mf_jwt_svid_put(&f, signer, &token, NULL), MF_OK);
		assert_int_equal(validate(mf_buf_slice(&token), "a", NULL), MF_OK);
		assert_int_equal(validate(mf_buf_slice(&token), "b", NULL), MF_OK);
		assert_int_equal(mf_jws_parse(mf_buf_slice(&token), &jws, NULL), MF_OK);
		struct mf_slice p = mf_jws_payload(jws);
		assert_true(mf_slice_eq_str(p,
		    "{\"aud\":[\"b\",\"a\"],\"exp\":1900000300,\"iat\":1899999970,\"jti\":\"id-1\","
		    "\"sub\":\"spiffe://example.org/job/a\"}"));
		const uint8_t *dot = memchr(token.p, '.', token.n);
		assert_int_equal(
		    mf_base64url_get(mf_slice(token.p, (size_t)(dot - token.p)), &header, NULL), MF_OK);
		(void)snprintf(want, sizeof(want), "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
		    k == 0 ? "ES256" : "RS256", mf_jws_key_kid(keys[k]));
		assert_true(mf_slice_eq_str(mf_buf_slice(&header), want));
	}
}

/* ID-10: a name of 2048 bytes is signed, and read again; one of 2049 is refused. */
static void
test_longest_id(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO(mf_jwt_svid_free) struct mf_jwt_svid *svid = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	char id[2050] = "spiffe://example.org/";
	struct mf_slice aud = MF_SLICE_LIT("a");
	memset(id + 21, 'x', sizeof(id) - 22);
	struct mf_jwt_svid_fields f = { MF_JWS_ES256, mf_slice_str(mf_jws_key_kid(ec_key)),
		mf_slice(id, 2048), &aud, 1, NOW, NOW + 300, MF_SLICE_LIT("x") };
	mf_buf_init(&token, MF_LIM_JWT);
	assert_int_equal(mf_jws_signer_new(ec_key, &signer, NULL), MF_OK);
	assert_int_equal(mf_jwt_svid_put(&f, signer, &token, NULL), MF_OK);
	struct mf_jwt_svid_check c = { aud, NOW, 0, keys_of, NULL };
	assert_int_equal(mf_jwt_svid_validate(mf_buf_slice(&token), &c, &svid, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_spiffe_id_uri(mf_jwt_svid_id(svid)), f.spiffe_id));
	f.spiffe_id.n = 2049;
	assert_int_not_equal(mf_jwt_svid_put(&f, signer, &token, NULL), MF_OK);
}

/* E-3: escaped exactly, or refused; never able to reach sub. jansson is the other opinion. */
static void
test_hostile_audiences(void **state)
{
	MF_UNUSED(state);
	static const char *const texts[] = { "\"", "\\", "a\",\"sub\":\"spiffe://example.org/admin",
		"\x01\x1f\n\t\x7f", "\xe2\x80\xa8\xe2\x80\xa9", "<script>", "\xf0\x9f\x98\x80", "a/b?c#d e",
		"\\u0041" };
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	assert_int_equal(mf_jws_signer_new(ec_key, &signer, NULL), MF_OK);
	char *big = malloc(MF_LIM_JWT_AUDIENCE + 2);
	assert_non_null(big);
	memset(big, '"', MF_LIM_JWT_AUDIENCE + 1);
	for (size_t i = 0; i <= MF_COUNT(texts); i++) {
		struct mf_slice aud =
		    i < MF_COUNT(texts) ? mf_slice_str(texts[i]) : mf_slice(big, MF_LIM_JWT_AUDIENCE);
		struct mf_jwt_svid_fields f = { MF_JWS_ES256, mf_slice_str(mf_jws_key_kid(ec_key)),
			MF_SLICE_LIT("spiffe://example.org/job/a"), &aud, 1, NOW, NOW + 300,
			MF_SLICE_LIT("x") };
		MF_AUTO(mf_jws_free) struct mf_jws *jws = NULL;
		MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
		mf_buf_init(&token, MF_LIM_JWT);
		assert_int_equal(mf_jwt_svid_put(&f, signer, &token, NULL), MF_OK);
		assert_int_equal(mf_jws_parse(mf_buf_slice(&token), &jws, NULL), MF_OK);
		json_t *j = json_loadb(
		    (const char *)mf_jws_payload(jws).p, mf_jws_payload(jws).n, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(j);
		json_t *a = json_array_get(json_object_get(j, "aud"), 0);
		assert_int_equal(json_array_size(json_object_get(j, "aud")), 1);
		assert_true(mf_slice_eq(mf_slice(json_string_value(a), json_string_length(a)), aud));
		assert_string_equal(
		    json_string_value(json_object_get(j, "sub")), "spiffe://example.org/job/a");
		assert_int_equal(json_object_size(j), 5);
		json_decref(j);
	}
	struct mf_err err = { 0 };
	assert_int_equal(mf_jwt_audience_check(mf_slice(big, MF_LIM_JWT_AUDIENCE + 1), &err), MF_E_TOOBIG);
	assert_int_equal(mf_jwt_audience_check(mf_slice(NULL, 0), &err), MF_E_INVALID);
	assert_int_equal(mf_jwt_audience_check(mf_slice("aud\0evil", 8), &err), MF_E_INVALID);
	assert_int_equal(mf_jwt_audience_check(MF_SLICE_LIT("\xff"), &err), MF_E_INVALID);
	assert_int_equal(
	    mf_jwt_audience_check(MF_SLICE_LIT("\xed\xa0\x80"), &err), MF_E_INVALID); /* a surrogate */
	free(big);
}

/* JWT-7 */
static void
test_writer_refuses(void **state)
{
	MF_UNUSED(state);
	MF_AUTO(mf_jws_signer_free) struct mf_jws_signer *signer = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	struct mf_slice aud[MF_LIM_JWT_AUDIENCES + 1];
	for (size_t i = 0; i < MF_COUNT(aud); i++)
		aud[i] = MF_SLICE_LIT("a");
	mf_buf_init(&token, MF_LIM_JWT);
	assert_int_equal(mf_jws_signer_new(ec_key, &signer, NULL), MF_OK);
	const struct mf_jwt_svid_fields good = { MF_JWS_ES256, MF_SLICE_LIT("k"),
		MF_SLICE_LIT("spiffe://example.org/a"), aud, 1, NOW, NOW + 1, MF_SLICE_LIT("x") };
	assert_int_equal(mf_jwt_svid_put(&good, signer, &token, NULL), MF_OK);
	mf_buf_reset(&token);
	struct mf_jwt_svid_fields f[9];
	for (size_t i = 0; i < MF_COUNT(f); i++)
		f[i] = good;
	f[0].aud_n = 0;
	f[1].aud_n = MF_LIM_JWT_AUDIENCES + 1;
	f[2].kid.n = 0;
	f[3].jti.n = 0;
	f[4].exp_s = NOW;
	f[5].exp_s = INT64_MAX;
	f[6].spiffe_id = MF_SLICE_LIT("example.org/a");
	f[7].spiffe_id = MF_SLICE_LIT("spiffe://Example.org/a");
	f[8].iat_s = -1;
	for (size_t i = 0; i < MF_COUNT(f); i++)
		assert_int_equal(mf_jwt_svid_put(&f[i], signer, &token, NULL), MF_E_INVALID);
	assert_int_equal(token.n, 0);
}

static enum mf_status
read_set(const char *text, enum mf_jwk_set_kind kind, size_t *ret_n, struct mf_err *err)
{
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	enum mf_status s = mf_jwk_set_read(mf_slice_str(text), kind, &set, err);
	*ret_n = s == MF_OK ? mf_jwk_set_count(set) : 99;
	return s;
}

#define XY                                                                              \
	"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_" \
	"tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\"," XY
#define JWT_EC "{\"use\":\"jwt-svid\",\"kid\":\"k\"," EC "}"

static void
test_jwks_rows(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *row, *text;
		enum mf_status want;
		size_t spiffe, workload; /* keys */
	} rows[] = {
		{ "BND-4", "{}", MF_E_INVALID, 99, 99 },
		{ "BND-4", "{\"keys\":{}}", MF_E_INVALID, 99, 99 },
		{ "BND-4 BND-7", "{\"keys\":[]}", MF_OK, 0, 0 },
		{ "BND-1", "{\"keys\":[" JWT_EC "],\"x\":1,\"spiffe_sequence\":1}", MF_OK, 1, 1 },
		{ "JWT-13", "{\"keys\":[{\"use\":\"JWT-SVID\",\"kid\":\"k\"," EC "}]}", MF_OK, 0, 0 },
		{ "JWT-13 WIT-20", "{\"keys\":[{\"use\":\"wit-svid\",\"kid\":\"k\"," EC "}]}", MF_OK, 0, 0 },
		{ "JWT-13 WAPI-21", "{\"keys\":[{\"use\":\"x509-svid\"," EC "}]}", MF_OK, 0, 0 },
		{ "BND-5", "{\"keys\":[{\"kid\":\"k\"," EC "}]}", MF_OK, 0, 1 },
		{ "BND-5",
		    "{\"keys\":[{\"kty\":\"AKP\",\"use\":\"jwt-svid\"},{\"use\":\"foo\",\"kid\":\"k\"," EC
		    "}," JWT_EC "]}",
		    MF_OK, 1, 1 },
		{ "BND-5", "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"kty\":\"oct\",\"k\":\"AA\"}]}",
		    MF_OK, 0, 0 },
		{ "BND-5",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"secp256k1\"," XY
		    "}]}",
		    MF_OK, 0, 0 },
		{ "BND-5", "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"alg\":\"ES256K\"," EC "}]}",
		    MF_OK, 0, 0 },
		{ "RFC 7517 4.3",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"key_ops\":[\"encrypt\"]," EC "}]}",
		    MF_OK, 0, 0 },
		{ "RFC 7517 4.3",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"key_ops\":[\"verify\"]," EC "}]}",
		    MF_OK, 1, 1 },
		{ "JWT-12 P-16", "{\"keys\":[{\"use\":\"jwt-svid\"," EC "}]}", MF_E_INVALID, 99, 99 },
		{ "JWT-12", "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"\"," EC "}]}", MF_E_INVALID, 99, 99 },
		{ "WIT-18", "{\"keys\":[" JWT_EC "," JWT_EC "]}", MF_E_INVALID, 99, 99 },
		{ "E-14", "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"d\":\"AA\"," EC "}]}",
		    MF_E_INVALID, 99, 99 },
		{ "P-21",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		    "\"AA\",\"y\":\"AA\"}]}",
		    MF_E_INVALID, 99, 99 },
		{ "P-21",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-384\"," XY
		    "}]}",
		    MF_E_INVALID, 99, 99 },
		{ "RFC 7518 6.3.1",
		    "{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"k\",\"kty\":\"RSA\",\"e\":\"AQAB\"}]}",
		    MF_E_INVALID, 99, 99 },
		{ "BND-10", "{\"keys\":[],\"keys\":[]}", MF_E_INVALID, 99, 99 },
		{ "BND-1", "{\"keys\":[7]}", MF_E_INVALID, 99, 99 },
		{ "BND-1", "[]", MF_E_INVALID, 99, 99 },
	};
	for (size_t i = 0; i < MF_COUNT(rows); i++) {
		struct mf_err err = { 0 };
		size_t spiffe, workload;
		enum mf_status a = read_set(rows[i].text, MF_JWKS_SPIFFE, &spiffe, &err);
		/* A plain set is read the same but for use: what is refused there for want of it is ignored here. */
		enum mf_status b = read_set(rows[i].text, MF_JWKS_WORKLOAD, &workload, &err);
		if (a != rows[i].want || spiffe != rows[i].spiffe || workload != rows[i].workload ||
		    b != rows[i].want)
			fail_msg("%s: %s: %d %zu, %d %zu: %s", rows[i].row, rows[i].text, (int)a, spiffe,
			    (int)b, workload, err.msg);
	}
}

/* A set written again is the same set, only JWT keys, each with a kid, and use only where it is asked for (WAPI-19).
 * W-12, P-16, E-14 */
static void
test_jwks_round_trip(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, again;
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *set = NULL;
	mf_buf_init(&text, 65536);
	mf_buf_init(&again, 65536);
	assert_int_equal(mf_jwk_set_put_workload(own, &text, NULL), MF_OK);
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&text), MF_JWKS_WORKLOAD, &set, NULL), MF_OK);
	assert_int_equal(mf_jwk_set_count(set), 2);
	assert_non_null(mf_jwk_set_find(set, mf_slice_str(mf_jws_key_kid(ec_key)), MF_JWS_ES256));
	assert_non_null(mf_jwk_set_find(set, mf_slice_str(mf_jws_key_kid(rsa_key)), MF_JWS_PS512));
	assert_null(mf_jwk_set_find(set, mf_slice_str(mf_jws_key_kid(ec_key)), MF_JWS_RS256));
	assert_true(mf_slice_eq_str(mf_jwk_set_kid(set, 0), mf_jws_key_kid(ec_key)));
	assert_int_equal(mf_jwk_set_kid(set, 2).n, 0);
	assert_int_equal(mf_jwk_set_put_workload(set, &again, NULL), MF_OK);
	assert_true(mf_slice_eq(mf_buf_slice(&text), mf_buf_slice(&again)));
	json_t *j = json_loadb((const char *)text.p, text.n, 0, NULL);
	size_t i;
	json_t *k;
	json_array_foreach(json_object_get(j, "keys"), i, k)
	{
		assert_null(json_object_get(k, "use"));
		assert_null(json_object_get(k, "d"));
		assert_null(json_object_get(k, "x5c"));
		assert_true(json_string_length(json_object_get(k, "kid")) == 43);
	}
	json_decref(j);
	/* RFC 7638 3.1: our kid is the thumbprint that anyone computes from the published key. */
	struct mf_jwk_set *mine = mf_jwk_set_ref(set);
	mf_jwk_set_free(mine);
	/* An alg beside the key narrows it. */
	MF_AUTO(mf_jwk_set_free) struct mf_jwk_set *narrow = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf n;
	struct mf_jws_public p = mf_jws_key_public(rsa_key);
	mf_buf_init(&n, 8192);
	mf_buf_put_str(
	    &n, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"alg\":\"RS256\",\"e\":\"AQAB\",\"n\":\"");
	mf_base64url_put(&n, p.n);
	mf_buf_put_str(&n, "\"}]}");
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&n), MF_JWKS_WORKLOAD, &narrow, NULL), MF_OK);
	assert_non_null(mf_jwk_set_find(narrow, MF_SLICE_LIT("r"), MF_JWS_RS256));
	assert_null(mf_jwk_set_find(narrow, MF_SLICE_LIT("r"), MF_JWS_PS256));
}

static void
test_jwks_caps(void **state)
{
	MF_UNUSED(state);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_jwk_set *set = NULL;
	mf_buf_init(&b, 4 * MF_LIM_BUNDLE_JSON);
	mf_buf_put_str(&b, "{\"keys\":[0");
	for (unsigned i = 0; i < MF_LIM_BUNDLE_KEYS; i++)
		mf_buf_put_str(&b, ",0");
	mf_buf_put_str(&b, "]}");
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL), MF_E_TOOBIG);
	while (b.n <= MF_LIM_BUNDLE_JSON)
		mf_buf_put_str(&b, "        ");
	assert_int_equal(mf_jwk_set_read(mf_buf_slice(&b), MF_JWKS_SPIFFE, &set, NULL), MF_E_TOOBIG);
	assert_null(set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_longest_id),
		cmocka_unit_test(test_hostile_audiences),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_jwks_rows),
		cmocka_unit_test(test_jwks_round_trip),
		cmocka_unit_test(test_jwks_caps),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
