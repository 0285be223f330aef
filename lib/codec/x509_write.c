#include "codec/x509_write.h"

#include "base/text.h"
#include "codec/der.h"
#include "crypto/hash.h"

#define ORGANIZATION "Mayfly"
#define CA_CN_TD_MAX 55 /* with a blank and 8 hex digits: MF_X509_CN_MAX */
#define DNS_NAME_MAX 253
#define DNS_LABEL_MAX 63
#define TAG_URI MF_DER_CONTEXT(6)
#define TAG_DNS MF_DER_CONTEXT(2)
#define TAG_KEY_ID MF_DER_CONTEXT(0)

/* [0] { INTEGER 2 }: version 3 */
static const uint8_t version3[] = { 0xa0, 0x03, 0x02, 0x01, 0x02 };
/* SEQUENCE { ecdsa-with-SHA256 }, parameters absent (RFC 5758, 3.2) */
static const uint8_t sig_alg[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
/* SubjectPublicKeyInfo of a P-256 point, up to the point */
static const uint8_t spki_head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
	0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };
static const uint8_t oid_organization[] = { 0x06, 0x03, 0x55, 0x04, 0x0a };
static const uint8_t oid_common_name[] = { 0x06, 0x03, 0x55, 0x04, 0x03 };

/*
 * Whole extensions. X509-5: "leaf certificates MUST set the cA field to false": FALSE is the default of
 * BasicConstraints, so its DER is an empty SEQUENCE; the extension itself is written out because
 * validators reject a leaf without it.
 */
static const uint8_t ext_bc_leaf[] = { 0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02,
	0x30, 0x00 };
/* X509-6: "Signing certificates MUST set the cA field to true"; pathLenConstraint 0: it signs leaves only. */
static const uint8_t ext_bc_ca[] = { 0x30, 0x12, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x08,
	0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00 };
/*
 * X509-7: "The key usage extension MUST be set on all SVIDs, and MUST be marked critical."
 * X509-9: "Leaf SVIDs MUST set digitalSignature", "MUST NOT set keyCertSign or cRLSign".
 */
static const uint8_t ext_ku_leaf[] = { 0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04,
	0x03, 0x02, 0x07, 0x80 };
/* X509-8: "SVID signing certificates MUST set keyCertSign. They MAY set cRLSign." */
static const uint8_t ext_ku_ca[] = { 0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04,
	0x03, 0x02, 0x01, 0x06 };
/* X509-10: "When included, fields id-kp-serverAuth and id-kp-clientAuth MUST be set." */
static const uint8_t ext_eku_leaf[] = { 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x16, 0x30, 0x14,
	0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05,
	0x07, 0x03, 0x02 };
/* Extensions of constant length, up to the key identifier. */
static const uint8_t ext_ski_head[] = { 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04, 0x14 };
static const uint8_t ext_aki_head[] = { 0x30, 0x1f, 0x06, 0x03, 0x55, 0x1d, 0x23, 0x04, 0x18, 0x30, 0x16,
	0x80, 0x14 };
static const uint8_t oid_aki[] = { 0x06, 0x03, 0x55, 0x1d, 0x23 };
static const uint8_t oid_san[] = { 0x06, 0x03, 0x55, 0x1d, 0x11 };

void
mf_x509_serial_from_random(uint8_t serial[MF_X509_SERIAL_SIZE])
{
	serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
}

void
mf_x509_key_id(const uint8_t point[MF_P256_POINT_SIZE], uint8_t ret_id[MF_X509_KEY_ID_SIZE])
{
	uint8_t h[MF_SHA256_SIZE];
	mf_sha256(mf_slice(point, MF_P256_POINT_SIZE), h);
	memcpy(ret_id, h, MF_X509_KEY_ID_SIZE);
}

static enum mf_status
check_common(const uint8_t *serial, const uint8_t *point, int64_t not_before_s, int64_t not_after_s,
    struct mf_err *err)
{
	if (serial[0] == 0 || serial[0] >= 0x80)
		return MF_FAIL(
		    err, MF_E_INVALID, "certificate: the serial is not made by serial_from_random");
	if (point[0] != 4)
		return MF_FAIL(err, MF_E_INVALID, "certificate: the public key is not an uncompressed point");
	if (not_before_s < 0 || not_after_s < not_before_s)
		return MF_FAIL(err, MF_E_INVALID, "certificate: it would end before it begins");
	return MF_OK;
}

static bool
cn_ok(struct mf_slice cn)
{
	for (size_t i = 0; i < cn.n; i++) {
		uint8_t c = cn.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '_' && c != '-' && c != '@')
			return false;
	}
	return cn.n <= MF_X509_CN_MAX;
}

/* RFC 5280, 4.2.1.6 "preferred name syntax": letters, digits, hyphens inside; no wildcard, no trailing dot. */
static bool
dns_ok(struct mf_slice name)
{
	size_t start = 0;
	if (name.n == 0 || name.n > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '.') {
			uint8_t c = name.p[i];
			if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
				return false;
			continue;
		}
		if (i == start || i - start > DNS_LABEL_MAX || name.p[start] == '-' || name.p[i - 1] == '-')
			return false;
		start = i + 1;
	}
	return true;
}

static void
put_rdn(struct mf_buf *b, struct mf_slice oid, struct mf_slice text)
{
	size_t set = mf_der_open(b, MF_DER_SET), seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put_slice(b, oid);
	mf_der_put(b, MF_DER_UTF8_STRING, text);
	mf_der_close(b, seq);
	mf_der_close(b, set);
}

static void
put_name(struct mf_buf *b, struct mf_slice cn)
{
	size_t seq = mf_der_open(b, MF_DER_SEQUENCE);
	put_rdn(b, mf_slice(oid_organization, sizeof(oid_organization)), MF_SLICE_LIT(ORGANIZATION));
	if (cn.n > 0)
		put_rdn(b, mf_slice(oid_common_name, sizeof(oid_common_name)), cn);
	mf_der_close(b, seq);
}

static void
put_validity(struct mf_buf *b, int64_t not_before_s, int64_t not_after_s)
{
	size_t seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_der_put_time(b, not_before_s);
	mf_der_put_time(b, not_after_s);
	mf_der_close(b, seq);
}

static void
put_spki(struct mf_buf *b, const uint8_t *point)
{
	mf_buf_put(b, spki_head, sizeof(spki_head));
	mf_buf_put(b, point, MF_P256_POINT_SIZE);
}

static void
put_ski(struct mf_buf *b, const uint8_t *point)
{
	uint8_t id[MF_X509_KEY_ID_SIZE];
	mf_x509_key_id(point, id);
	mf_buf_put(b, ext_ski_head, sizeof(ext_ski_head));
	mf_buf_put(b, id, sizeof(id));
}

/* Another CA's identifier, of any length. */
static void
put_aki(struct mf_buf *b, struct mf_slice key_id)
{
	size_t ext = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put(b, oid_aki, sizeof(oid_aki));
	size_t value = mf_der_open(b, MF_DER_OCTET_STRING), seq = mf_der_open(b, MF_DER_SEQUENCE);
	mf_der_put(b, TAG_KEY_ID, key_id);
	mf_der_close(b, seq);
	mf_der_close(b, value);
	mf_der_close(b, ext);
}

/*
 * X509-1: "An X.509 SVID MUST contain exactly one URI SAN". X509-4 ("the URI SAN extension MUST be marked
 * as critical if Subject is omitted") does not apply: our subject is never empty.
 */
static void
put_san(struct mf_buf *b, struct mf_slice uri, const struct mf_slice *dns, size_t n_dns)
{
	size_t ext = mf_der_open(b, MF_DER_SEQUENCE);
	mf_buf_put(b, oid_san, sizeof(oid_san));
	size_t value = mf_der_open(b, MF_DER_OCTET_STRING), names = mf_der_open(b, MF_DER_SEQUENCE);
	mf_der_put(b, TAG_URI, uri);
	for (size_t i = 0; i < n_dns; i++)
		mf_der_put(b, TAG_DNS, dns[i]);
	mf_der_close(b, names);
	mf_der_close(b, value);
	mf_der_close(b, ext);
}

static enum mf_status
check_leaf(const struct mf_x509_leaf *leaf, struct mf_err *err)
{
	MF_TRY(check_common(leaf->serial, leaf->point, leaf->not_before_s, leaf->not_after_s, err));
	/* X509-3: "Leaf certificate SPIFFE IDs MUST have a non-root path component." */
	if (mf_spiffe_id_path(leaf->id).n == 0)
		return MF_FAIL(err, MF_E_INVALID, "certificate: the SPIFFE ID of a leaf needs a path");
	if (!cn_ok(leaf->cn))
		return MF_FAIL(err, MF_E_INVALID,
		    "certificate: the common name is not 1 to %d of A-Z a-z 0-9 . _ - @", MF_X509_CN_MAX);
	if (leaf->n_dns > MF_LIM_DNS_NAMES)
		return MF_FAIL(err, MF_E_TOOBIG, "certificate: %zu DNS names, at most %u", leaf->n_dns,
		    MF_LIM_DNS_NAMES);
	for (size_t i = 0; i < leaf->n_dns; i++)
		if (!dns_ok(leaf->dns[i]))
			return MF_FAIL(
			    err, MF_E_INVALID, "certificate: DNS name %zu is not a lowercase host name", i);
	struct mf_slice name;
	if (!mf_der_only(leaf->issuer, MF_DER_SEQUENCE, &name))
		return MF_FAIL(err, MF_E_INVALID, "certificate: the issuer is not a DER name");
	return MF_OK;
}

enum mf_status
mf_x509_tbs_leaf(const struct mf_x509_leaf *leaf, struct mf_buf *tbs, struct mf_err *err)
{
	MF_TRY(check_leaf(leaf, err));
	size_t seq = mf_der_open(tbs, MF_DER_SEQUENCE);
	mf_buf_put(tbs, version3, sizeof(version3));
	mf_der_put_uint(tbs, mf_slice(leaf->serial, sizeof(leaf->serial)));
	mf_buf_put(tbs, sig_alg, sizeof(sig_alg));
	mf_buf_put_slice(tbs, leaf->issuer);
	put_validity(tbs, leaf->not_before_s, leaf->not_after_s);
	put_name(tbs, leaf->cn);
	put_spki(tbs, leaf->point);

	size_t tagged = mf_der_open(tbs, MF_DER_EXPLICIT(3)), exts = mf_der_open(tbs, MF_DER_SEQUENCE);
	mf_buf_put(tbs, ext_bc_leaf, sizeof(ext_bc_leaf));
	mf_buf_put(tbs, ext_ku_leaf, sizeof(ext_ku_leaf));
	mf_buf_put(tbs, ext_eku_leaf, sizeof(ext_eku_leaf));
	put_ski(tbs, leaf->point);
	mf_buf_put(tbs, ext_aki_head, sizeof(ext_aki_head));
	mf_buf_put(tbs, leaf->aki, sizeof(leaf->aki));
	/* ID-14: "The SPIFFE ID and the public key (if present) MUST be included in a portion of the
	 * payload which is signed": both are in this TBSCertificate. */
	put_san(tbs, mf_spiffe_id_uri(leaf->id), leaf->dns, leaf->n_dns);
	mf_der_close(tbs, exts);
	mf_der_close(tbs, tagged);
	mf_der_close(tbs, seq);
	return mf_buf_check(tbs, err);
}

static enum mf_status
put_ca_name(struct mf_buf *to, const struct mf_x509_ca *ca, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cn;
	mf_buf_init(&cn, MF_X509_CN_MAX + 1);
	mf_buf_put_slice(&cn, mf_slice_sub(ca->trust_domain, 0, CA_CN_TD_MAX));
	mf_buf_put_u8(&cn, ' ');
	mf_hex_put(&cn, mf_slice(ca->serial, 4));
	MF_TRY(mf_buf_check(&cn, err));
	put_name(to, mf_buf_slice(&cn));
	return MF_OK;
}

enum mf_status
mf_x509_tbs_ca(const struct mf_x509_ca *ca, struct mf_buf *tbs, struct mf_err *err)
{
	MF_TRY(check_common(ca->serial, ca->point, ca->not_before_s, ca->not_after_s, err));
	MF_TRY(mf_trust_domain_check_strict(ca->trust_domain, err));
	/* ID-15, X509-11: "the SPIFFE ID of a signing certificate MUST NOT have a path component" */
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(mf_spiffe_id_build(ca->trust_domain, mf_slice(NULL, 0), &id, err));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf name;
	mf_buf_init(&name, 256);
	MF_TRY(put_ca_name(&name, ca, err));
	MF_TRY(mf_buf_check(&name, err));

	size_t seq = mf_der_open(tbs, MF_DER_SEQUENCE);
	mf_buf_put(tbs, version3, sizeof(version3));
	mf_der_put_uint(tbs, mf_slice(ca->serial, sizeof(ca->serial)));
	mf_buf_put_slice(tbs, ca->by == NULL ? mf_slice(sig_alg, sizeof(sig_alg)) : ca->by->sig_alg);
	mf_buf_put_slice(tbs, ca->by == NULL ? mf_buf_slice(&name) : ca->by->name);
	put_validity(tbs, ca->not_before_s, ca->not_after_s);
	mf_buf_put_slice(tbs, mf_buf_slice(&name));
	put_spki(tbs, ca->point);

	size_t tagged = mf_der_open(tbs, MF_DER_EXPLICIT(3)), exts = mf_der_open(tbs, MF_DER_SEQUENCE);
	mf_buf_put(tbs, ext_bc_ca, sizeof(ext_bc_ca));
	mf_buf_put(tbs, ext_ku_ca, sizeof(ext_ku_ca));
	put_ski(tbs, ca->point);
	if (ca->by != NULL && ca->by->key_id.n > 0)
		put_aki(tbs, ca->by->key_id);
	put_san(tbs, mf_spiffe_id_uri(id), NULL, 0);
	mf_der_close(tbs, exts);
	mf_der_close(tbs, tagged);
	mf_der_close(tbs, seq);
	return mf_buf_check(tbs, err);
}

enum mf_status
mf_x509_assemble_by(
    struct mf_slice tbs, struct mf_slice alg, struct mf_slice sig, struct mf_buf *cert, struct mf_err *err)
{
	size_t seq = mf_der_open(cert, MF_DER_SEQUENCE);
	mf_buf_put_slice(cert, tbs);
	mf_buf_put_slice(cert, alg);
	mf_der_put_bits(cert, sig);
	mf_der_close(cert, seq);
	return mf_buf_check(cert, err);
}

enum mf_status
mf_x509_assemble(struct mf_slice tbs, struct mf_slice der_sig, struct mf_buf *cert, struct mf_err *err)
{
	return mf_x509_assemble_by(tbs, mf_slice(sig_alg, sizeof(sig_alg)), der_sig, cert, err);
}

enum mf_status
mf_x509_sign(struct mf_slice tbs, struct mf_p256_signer *signer, struct mf_buf *cert, struct mf_err *err)
{
	uint8_t digest[MF_SHA256_SIZE];
	mf_sha256(tbs, digest);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sig;
	mf_buf_init(&sig, MF_P256_SIG_MAX);
	MF_TRY(mf_p256_sign_digest(signer, digest, &sig, err));
	return mf_x509_assemble(tbs, mf_buf_slice(&sig), cert, err);
}
