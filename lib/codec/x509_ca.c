#include "codec/x509_ca.h"

#include <stdlib.h>

#include "codec/x509_peek.h"
#include "crypto/hash.h"

struct mf_ca {
	struct mf_x509_peek peek; /* points into der */
	struct mf_slice point;
	size_t n;
	uint8_t der[];
};

static enum mf_status
check_profile(const struct mf_ca *ca, struct mf_slice trust_domain, struct mf_err *err)
{
	const struct mf_x509_peek *p = &ca->peek;
	/* X509-6: "Signing certificates MUST set the cA field to true" */
	if (!p->ca)
		return MF_FAIL(
		    err, MF_E_INVALID, "CA certificate: cA is not TRUE: this is no signing certificate");
	/* X509-8: "SVID signing certificates MUST set keyCertSign" */
	if ((p->key_usage & MF_X509_KU_KEY_CERT_SIGN) == 0)
		return MF_FAIL(err, MF_E_INVALID, "CA certificate: its key usage lacks keyCertSign");
	if (p->ski.n != MF_X509_KEY_ID_SIZE)
		return MF_FAIL(err, MF_E_INVALID, "CA certificate: no subject key identifier of %d bytes",
		    MF_X509_KEY_ID_SIZE);
	/* ID-15: "The SPIFFE ID of the signing authority SHOULD reside in the trust domain in which it is
	 * authoritative, and SHOULD NOT have a path component": for our own it must. */
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL, *want = NULL;
	MF_TRY(mf_spiffe_id_build(trust_domain, mf_slice(NULL, 0), &want, err));
	if (p->n_uri != 1 || mf_spiffe_id_parse(p->uri, &id, err) != MF_OK || !mf_spiffe_id_eq(id, want))
		return MF_FAIL(
		    err, MF_E_INVALID, "CA certificate: its one URI SAN is not %s", mf_spiffe_id_str(want));
	return MF_OK;
}

static enum mf_status
check_signature(const struct mf_ca *ca, struct mf_err *err)
{
	if (!mf_slice_eq(ca->peek.issuer, ca->peek.subject))
		return MF_FAIL(err, MF_E_INVALID, "CA certificate: it is not self-signed");
	uint8_t digest[MF_SHA256_SIZE];
	mf_sha256(ca->peek.tbs, digest);
	enum mf_status s = mf_p256_verify_digest(ca->point, digest, ca->peek.sig, err);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "CA certificate");
}

static enum mf_status
parse(struct mf_slice der, struct mf_slice trust_domain, bool self_signed, struct mf_ca **ret_ca,
    struct mf_err *err)
{
	if (der.n > MF_LIM_CERT_DER)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "CA certificate: %zu bytes, at most %u", der.n, MF_LIM_CERT_DER);
	MF_AUTO(mf_ca_free) struct mf_ca *ca = calloc(1, sizeof(*ca) + der.n);
	if (ca == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "CA certificate: out of memory");
	ca->n = der.n;
	if (der.n > 0)
		memcpy(ca->der, der.p, der.n);
	MF_TRY(mf_x509_peek(mf_slice(ca->der, ca->n), &ca->peek, err));
	MF_TRY(check_profile(ca, trust_domain, err));
	if (!mf_x509_peek_point(&ca->peek, &ca->point))
		return MF_FAIL(err, MF_E_INVALID, "CA certificate: its key is not on P-256");
	if (self_signed)
		MF_TRY(check_signature(ca, err));
	*ret_ca = MF_TAKE(ca);
	return MF_OK;
}

enum mf_status
mf_ca_parse(struct mf_slice der, struct mf_slice trust_domain, struct mf_ca **ret_ca, struct mf_err *err)
{
	return parse(der, trust_domain, true, ret_ca, err);
}

enum mf_status
mf_ca_parse_issued(
    struct mf_slice der, struct mf_slice trust_domain, struct mf_ca **ret_ca, struct mf_err *err)
{
	return parse(der, trust_domain, false, ret_ca, err);
}

void
mf_ca_free(struct mf_ca *ca)
{
	free(ca);
}

struct mf_slice
mf_ca_der(const struct mf_ca *ca)
{
	return mf_slice(ca->der, ca->n);
}

struct mf_slice
mf_ca_subject(const struct mf_ca *ca)
{
	return ca->peek.subject;
}

struct mf_slice
mf_ca_serial(const struct mf_ca *ca)
{
	return ca->peek.serial;
}

const uint8_t *
mf_ca_key_id(const struct mf_ca *ca)
{
	return ca->peek.ski.p;
}

const uint8_t *
mf_ca_point(const struct mf_ca *ca)
{
	return ca->point.p;
}

int64_t
mf_ca_not_before_s(const struct mf_ca *ca)
{
	return ca->peek.not_before_s;
}

int64_t
mf_ca_not_after_s(const struct mf_ca *ca)
{
	return ca->peek.not_after_s;
}
