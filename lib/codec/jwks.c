#include "codec/jwks.h"

#include "base/limits.h"
#include "base/text.h"
#include "codec/der.h"

#define COORD 32

/* What stands in an object, in its order. */
struct jwk {
	const char *kty, *use, *crv; /* use, crv: NULL is left out */
	struct mf_slice kid;	     /* empty: left out */
	const char *names[2];	     /* "x" and "y", or "n" and "e" */
	struct mf_slice values[2];   /* raw */
	struct mf_slice x5c;	     /* one DER certificate; empty: left out */
};

static void
jwk_put(struct mf_jw *w, const struct jwk *k)
{
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "kty", k->kty); /* BND-6: "The kty parameter MUST be set" */
	if (k->use != NULL)
		mf_jw_kstr(w, "use", k->use);
	if (k->kid.n > 0)
		mf_jw_kstring(w, "kid", k->kid);
	if (k->crv != NULL)
		mf_jw_kstr(w, "crv", k->crv);
	/* RFC 7518, 6.2.1.2: "The length of this octet string MUST be the full size of a coordinate" */
	for (size_t i = 0; i < 2; i++)
		mf_jw_kbase64url(w, k->names[i], k->values[i]);
	if (k->x5c.n > 0) {
		/* RFC 7517, 4.7: base64, not base64url. X509-17: "exactly one CA certificate" */
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b64;
		mf_buf_init(&b64, 2 * MF_LIM_CERT_DER);
		mf_base64_put(&b64, k->x5c);
		mf_jw_key(w, "x5c");
		mf_jw_array_begin(w);
		if (mf_buf_check(&b64, NULL) == MF_OK)
			mf_jw_string(w, mf_buf_slice(&b64));
		else if (w->to->failed == MF_OK)
			w->to->failed = b64.failed;
		mf_jw_array_end(w);
	}
	mf_jw_object_end(w);
}

static struct jwk
ec(const char *crv, struct mf_slice xy)
{
	size_t n = xy.n / 2;
	return (struct jwk) { .kty = "EC",
		.crv = crv,
		.names = { "x", "y" },
		.values = { mf_slice_sub(xy, 0, n), mf_slice_sub(xy, n, n) } };
}

static struct jwk
rsa(struct mf_slice n, struct mf_slice e)
{
	return (struct jwk) { .kty = "RSA", .names = { "n", "e" }, .values = { n, e } };
}

void
mf_jwk_ec_put(struct mf_jw *w, const struct mf_jwk_ec *key)
{
	struct jwk k = ec("P-256", mf_slice(key->point + 1, 2 * COORD));
	k.use = key->use;
	k.kid = key->kid;
	k.x5c = key->x5c;
	jwk_put(w, &k);
}

void
mf_jwk_jws_put(struct mf_jw *w, const struct mf_jws_key *key, const char *use)
{
	struct mf_jws_public p = mf_jws_key_public(key);
	struct jwk k =
	    p.alg == MF_JWS_ES256 ? ec("P-256", mf_slice_sub(p.point, 1, 2 * COORD)) : rsa(p.n, p.e);
	k.use = use;
	k.kid = mf_slice_str(mf_jws_key_kid(key));
	jwk_put(w, &k);
}

/* ---- a certificate's key ---- */

/* Contents of an OBJECT IDENTIFIER. */
static const struct mf_slice rsa_encryption = { (const uint8_t *)"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9 };
static const struct mf_slice ec_public_key = { (const uint8_t *)"\x2a\x86\x48\xce\x3d\x02\x01", 7 };
static const struct {
	const char *crv;
	struct mf_slice oid;
	size_t coord;
} curves[] = {
	{ "P-256", { (const uint8_t *)"\x2a\x86\x48\xce\x3d\x03\x01\x07", 8 }, 32 },
	{ "P-384", { (const uint8_t *)"\x2b\x81\x04\x00\x22", 5 }, 48 },
	{ "P-521", { (const uint8_t *)"\x2b\x81\x04\x00\x23", 5 }, 66 },
};

static bool
read_rsa(struct mf_slice bits, struct jwk *k)
{
	struct mf_slice key, n, e;
	if (!mf_der_only(bits, MF_DER_SEQUENCE, &key))
		return false;
	struct mf_reader in = mf_reader(key);
	if (!mf_der_expect(&in, MF_DER_INTEGER, &n) || !mf_der_expect(&in, MF_DER_INTEGER, &e) ||
	    !mf_reader_end(&in) || !mf_der_get_positive(n, &n) || !mf_der_get_positive(e, &e))
		return false;
	*k = rsa(n, e);
	return true;
}

static bool
read_ec(struct mf_slice curve, struct mf_slice bits, struct jwk *k)
{
	for (size_t i = 0; i < MF_COUNT(curves); i++) {
		if (!mf_slice_eq(curve, curves[i].oid))
			continue;
		if (bits.n != 1 + 2 * curves[i].coord || bits.p[0] != 4) /* uncompressed */
			return false;
		*k = ec(curves[i].crv, mf_slice_sub(bits, 1, bits.n));
		return true;
	}
	return false;
}

static bool
read_spki(struct mf_slice spki, struct jwk *k)
{
	struct mf_slice whole, alg, oid, curve, bits;
	uint8_t unused;
	if (!mf_der_only(spki, MF_DER_SEQUENCE, &whole))
		return false;
	struct mf_reader in = mf_reader(whole);
	if (!mf_der_expect(&in, MF_DER_SEQUENCE, &alg) || !mf_der_expect(&in, MF_DER_BIT_STRING, &bits) ||
	    !mf_reader_end(&in))
		return false;
	struct mf_reader b = mf_reader(bits), a = mf_reader(alg);
	if (!mf_read_u8(&b, &unused) || unused != 0 || !mf_der_expect(&a, MF_DER_OID, &oid))
		return false;
	bits = mf_slice(b.p, b.n);
	if (mf_slice_eq(oid, rsa_encryption))
		return read_rsa(bits, k);
	return mf_slice_eq(oid, ec_public_key) && mf_der_expect(&a, MF_DER_OID, &curve) &&
	       read_ec(curve, bits, k);
}

bool
mf_jwk_cert_put(struct mf_jw *w, struct mf_slice spki, const char *use, struct mf_slice x5c)
{
	struct jwk k;
	if (!read_spki(spki, &k))
		return false;
	k.use = use;
	k.x5c = x5c;
	jwk_put(w, &k);
	return true;
}
