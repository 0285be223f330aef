#include "codec/x509_read.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/bundle.h"
#include "crypto/provider.h"

#define SERIAL_MAX 20 /* RFC 5280, 4.1.2.2 */
#define AUTH_LEVEL 2  /* keys and signatures of at least 112 bits in the whole path */

MF_DEFINE_CLEANUP(X509, X509_free)
MF_DEFINE_CLEANUP(BIO, BIO_free)
MF_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)
MF_DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)
MF_DEFINE_CLEANUP(ASN1_TIME, ASN1_TIME_free)

static void
x509_stack_free(STACK_OF(X509) * certs)
{
	sk_X509_pop_free(certs, X509_free);
}
MF_DEFINE_CLEANUP(STACK_OF(X509), x509_stack_free)

struct mf_anchors {
	X509_STORE *store;
	size_t n_td;
	uint8_t td[];
};

static enum mf_status
check_extensions(X509 *x, struct mf_err *err)
{
	/* libcrypto reads the extensions once and keeps what it found */
	if ((X509_get_extension_flags(x) & EXFLAG_INVALID) == 0)
		return MF_OK;
	ERR_clear_error();
	return MF_FAIL(err, MF_E_INVALID, "certificate: an extension is malformed or stands twice");
}

static enum mf_status
parse(struct mf_slice der, X509 **ret_x, struct mf_err *err)
{
	if (der.n > MF_LIM_CERT_DER)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "certificate: %zu bytes, at most %u", der.n, MF_LIM_CERT_DER);
	mf_crypto_init();
	const uint8_t *p = der.p;
	MF_AUTO(X509_free) X509 *x = der.n == 0 ? NULL : d2i_X509(NULL, &p, (long)der.n);
	if (x == NULL)
		return mf_crypto_fail(err, MF_E_INVALID, "certificate: not DER");
	if (p != der.p + der.n)
		return MF_FAIL(
		    err, MF_E_INVALID, "certificate: %zu bytes behind its end", der.n - (size_t)(p - der.p));
	MF_TRY(check_extensions(x, err));
	*ret_x = MF_TAKE(x);
	return MF_OK;
}

/* The one URI SAN. */
static enum mf_status
read_id(X509 *x, struct mf_spiffe_id **ret_id, struct mf_err *err)
{
	int crit = -1;
	MF_AUTO(GENERAL_NAMES_free)
	GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, &crit, NULL);
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	if (sans == NULL) {
		ERR_clear_error();
		return MF_FAIL(err, MF_E_INVALID, "svid: %s",
		    crit == -1 ? "no SAN extension" : "its SAN extension is malformed or stands twice");
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(sans, i);
		if (gn->type != GEN_URI)
			continue;
		/* X509-2: "Validators encountering an SVID containing more than one URI SAN MUST reject the SVID." */
		if (id != NULL)
			return MF_FAIL(err, MF_E_INVALID, "svid: more than one URI SAN");
		/* X509-15: "The validator MUST also ensure that the scheme of the SPIFFE ID is set to spiffe". By
		 * length, so that a NUL inside ends nothing. */
		const ASN1_IA5STRING *uri = gn->d.uniformResourceIdentifier;
		MF_TRY(mf_spiffe_id_parse(
		    mf_slice(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri)), &id, err));
	}
	/* X509-1: "An X.509 SVID MUST contain exactly one URI SAN" */
	if (id == NULL)
		return MF_FAIL(err, MF_E_INVALID, "svid: no URI SAN");
	*ret_id = MF_TAKE(id);
	return MF_OK;
}

static enum mf_status
check_leaf(X509 *x, const struct mf_spiffe_id *id, struct mf_err *err)
{
	uint32_t flags = X509_get_extension_flags(x), ku = X509_get_key_usage(x);
	/* X509-3, X509-15: "MUST ensure that the SPIFFE ID has a non-root path component" */
	if (mf_spiffe_id_path(id).n == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "svid: its SPIFFE ID has no path: signing certificates never authenticate");
	/* X509-15: "the validator MUST ensure that the cA field in the basic constraints extension is set to
	 * false"; X509-12: "Signing certificates MUST NOT be used for authentication purposes" */
	if ((flags & EXFLAG_BCONS) == 0)
		return MF_FAIL(err, MF_E_INVALID, "svid: no basic constraints");
	if ((flags & EXFLAG_CA) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "svid: cA is TRUE: signing certificates never authenticate");
	/* X509-7: "The key usage extension MUST be set on all SVIDs" */
	if ((flags & EXFLAG_KUSAGE) == 0)
		return MF_FAIL(err, MF_E_INVALID, "svid: no key usage");
	/* X509-15: "and that keyCertSign and cRLSign are not set in the key usage extension" */
	if ((ku & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0)
		return MF_FAIL(err, MF_E_INVALID, "svid: its key usage has keyCertSign or cRLSign");
	/* X509-9: "Leaf SVIDs MUST set digitalSignature" */
	if ((ku & KU_DIGITAL_SIGNATURE) == 0)
		return MF_FAIL(err, MF_E_INVALID, "svid: its key usage lacks digitalSignature");
	/* X509-4: "the URI SAN extension MUST be marked as critical if Subject is omitted" */
	int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
	if (X509_NAME_entry_count(X509_get_subject_name(x)) == 0 &&
	    !X509_EXTENSION_get_critical(X509_get_ext(x, at)))
		return MF_FAIL(err, MF_E_INVALID, "svid: no subject, and the SAN extension is not critical");
	return MF_OK;
}

static bool
read_time(const ASN1_TIME *t, int64_t *ret_s)
{
	MF_AUTO(ASN1_TIME_free) ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days, secs;
	if (epoch == NULL || ASN1_TIME_diff(&days, &secs, epoch, t) != 1)
		return false;
	*ret_s = (int64_t)days * 86400 + secs;
	return true;
}

static enum mf_status
read_serial(const X509 *x, struct mf_svid *svid, struct mf_err *err)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	struct mf_slice bytes = mf_slice(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
	if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER || bytes.n == 0 || bytes.n > SERIAL_MAX ||
	    (bytes.n == 1 && bytes.p[0] == 0))
		return MF_FAIL(err, MF_E_INVALID,
		    "svid: its serial is not a positive number of at most %d bytes", SERIAL_MAX);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, sizeof(svid->serial));
	mf_hex_put(&hex, bytes);
	MF_TRY(mf_buf_check(&hex, err));
	memcpy(svid->serial, hex.p, hex.n);
	svid->serial[hex.n] = '\0';
	return MF_OK;
}

static void
read_point(X509 *x, struct mf_svid *svid)
{
	char group[32];
	EVP_PKEY *key = X509_get0_pubkey(x);
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(x);
	if (key != NULL && EVP_PKEY_is_a(key, "EC") == 1 &&
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) ==
		1 &&
	    strcmp(group, "prime256v1") == 0 && ASN1_STRING_length(bits) == MF_P256_POINT_SIZE) {
		memcpy(svid->point, ASN1_STRING_get0_data(bits), MF_P256_POINT_SIZE);
		svid->p256 = svid->point[0] == POINT_CONVERSION_UNCOMPRESSED;
	}
	ERR_clear_error();
}

static enum mf_status
read_svid(X509 *x, struct mf_slice der, struct mf_svid *ret_svid, struct mf_err *err)
{
	struct mf_svid s = { 0 };
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	MF_TRY(read_id(x, &id, err));
	MF_TRY(check_leaf(x, id, err));
	MF_TRY(read_serial(x, &s, err));
	if (!read_time(X509_get0_notBefore(x), &s.not_before_s) ||
	    !read_time(X509_get0_notAfter(x), &s.not_after_s))
		return mf_crypto_fail(err, MF_E_INVALID, "svid: validity");
	read_point(x, &s);
	mf_sha256(der, s.sha256);
	s.id = MF_TAKE(id);
	*ret_svid = s;
	return MF_OK;
}

void
mf_svid_fini(struct mf_svid *svid)
{
	mf_spiffe_id_free(svid->id);
	*svid = (struct mf_svid) { 0 };
}

enum mf_status
mf_svid_read(struct mf_slice der, struct mf_svid *ret_svid, struct mf_err *err)
{
	MF_AUTO(X509_free) X509 *x = NULL;
	MF_TRY(parse(der, &x, err));
	MF_TRY(read_svid(x, der, ret_svid, err));
	return mf_crypto_ok();
}

/* X509-6, X509-8, for anchors and for what stands between: cA and keyCertSign written, not implied. */
static enum mf_status
check_signing(X509 *x, enum mf_status code, const char *what, struct mf_err *err)
{
	uint32_t flags = X509_get_extension_flags(x);
	if ((flags & EXFLAG_BCONS) == 0 || (flags & EXFLAG_CA) == 0)
		return MF_FAIL(err, code, "%s: cA is not TRUE: it is no signing certificate", what);
	if ((flags & EXFLAG_KUSAGE) == 0 || (X509_get_key_usage(x) & KU_KEY_CERT_SIGN) == 0)
		return MF_FAIL(err, code, "%s: its key usage lacks keyCertSign", what);
	return MF_OK;
}

enum mf_status
mf_anchors_new(struct mf_slice trust_domain, struct mf_slice bundle_der, struct mf_anchors **ret_anchors,
    struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(bundle_der, certs, MF_COUNT(certs), &n, err));
	if (trust_domain.n > MF_LIM_TRUST_DOMAIN)
		return MF_FAIL(err, MF_E_TOOBIG, "trust domain: %zu bytes, at most %u", trust_domain.n,
		    MF_LIM_TRUST_DOMAIN);
	MF_AUTO(mf_anchors_free) struct mf_anchors *a = calloc(1, sizeof(*a) + trust_domain.n);
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "bundle: out of memory");
	a->n_td = trust_domain.n;
	if (trust_domain.n > 0)
		memcpy(a->td, trust_domain.p, trust_domain.n);
	a->store = X509_STORE_new();
	if (a->store == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "bundle");
	for (size_t i = 0; i < n; i++) {
		MF_AUTO(X509_free) X509 *x = NULL;
		MF_TRY(parse(certs[i], &x, err));
		MF_TRY(check_signing(x, MF_E_INVALID, "bundle", err));
		if (X509_STORE_add_cert(a->store, x) != 1)
			return mf_crypto_fail(err, MF_E_INTERNAL, "bundle");
	}
	*ret_anchors = MF_TAKE(a);
	return mf_crypto_ok();
}

void
mf_anchors_free(struct mf_anchors *anchors)
{
	if (anchors == NULL)
		return;
	X509_STORE_free(anchors->store);
	free(anchors);
}

/*
 * X509-14: the leaf's own trust domain chooses the anchors, before anything is verified, so that an
 * authority never vouches for another domain's names.
 */
static const struct mf_anchors *
pick(const struct mf_anchors *const *sets, size_t n_sets, const struct mf_spiffe_id *id)
{
	for (size_t i = 0; i < n_sets; i++)
		if (mf_slice_eq(mf_slice(sets[i]->td, sets[i]->n_td), mf_spiffe_id_trust_domain(id)))
			return sets[i];
	return NULL;
}

/* X509-13: "MUST follow RFC 5280 path validation semantics": dates, signatures, names, unknown critical
 * extensions, path lengths and key usage of issuers are libcrypto's work. */
static enum mf_status
verify_path(const struct mf_anchors *a, X509 *leaf, STACK_OF(X509) * rest, bool client,
    const struct mf_svid_rules *rules, struct mf_err *err)
{
	const char *what = client ? "client certificate" : "svid";
	MF_AUTO(X509_STORE_CTX_free) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	if (ctx == NULL || X509_STORE_CTX_init(ctx, a->store, leaf, rest) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "verify");
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	/* An anchor of the bundle ends the path even if it is not self-signed ("SHOULD be", X509-17). */
	(void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_time(param, (time_t)rules->now_s);
	X509_VERIFY_PARAM_set_depth(param, (int)MF_LIM_CHAIN);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	if (client && X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "verify");
	if (X509_verify_cert(ctx) != 1) {
		int why = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
		ERR_clear_error();
		return MF_FAIL(err, why == X509_V_ERR_OUT_OF_MEM ? MF_E_NOMEM : MF_E_UNAUTH,
		    "%s: %s (certificate %d)", what, X509_verify_cert_error_string(why), depth);
	}
	STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
	if (sk_X509_num(path) < 2)
		return MF_FAIL(err, MF_E_UNAUTH, "%s: it is itself among the authorities", what);
	/* libcrypto takes an absent key usage for any usage; X509-7 and X509-8 want it written. */
	for (int i = 1; i < sk_X509_num(path); i++)
		MF_TRY(check_signing(sk_X509_value(path, i), MF_E_UNAUTH, "an issuer", err));
	return mf_crls_check(rules->crls, path, rules->now_s, rules->need_crl, err);
}

/* The leaf, and what follows it pushed to ${rest} (NULL: no memory for it). */
static enum mf_status
read_chain(
    const struct mf_slice *chain, size_t n_chain, X509 **ret_leaf, STACK_OF(X509) * rest, struct mf_err *err)
{
	if (n_chain == 0)
		return MF_FAIL(err, MF_E_INVALID, "svid: no certificate");
	if (n_chain > MF_LIM_CHAIN)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "svid: a chain of %zu certificates, at most %u", n_chain, MF_LIM_CHAIN);
	MF_AUTO(X509_free) X509 *leaf = NULL;
	MF_TRY(parse(chain[0], &leaf, err));
	for (size_t i = 1; i < n_chain; i++) {
		MF_AUTO(X509_free) X509 *x = NULL;
		MF_TRY(parse(chain[i], &x, err));
		if (rest == NULL || sk_X509_push(rest, x) <= 0)
			return MF_FAIL(err, MF_E_NOMEM, "svid: out of memory");
		(void)MF_TAKE(x);
	}
	*ret_leaf = MF_TAKE(leaf);
	return MF_OK;
}

enum mf_status
mf_svid_verify(const struct mf_slice *chain, size_t n_chain, const struct mf_anchors *const *sets,
    size_t n_sets, int64_t now_s, struct mf_svid *ret_svid, struct mf_err *err)
{
	const struct mf_svid_rules rules = { .now_s = now_s };
	return mf_svid_verify_by(chain, n_chain, sets, n_sets, &rules, ret_svid, err);
}

static enum mf_status
verify_svid(X509 *leaf, struct mf_slice der, STACK_OF(X509) * rest, const struct mf_anchors *const *sets,
    size_t n_sets, const struct mf_svid_rules *rules, struct mf_svid *ret_svid, struct mf_err *err)
{
	struct mf_svid svid = { 0 };
	MF_TRY(read_svid(leaf, der, &svid, err));
	const struct mf_anchors *a = pick(sets, n_sets, svid.id);
	enum mf_status s;
	if (a == NULL)
		s = MF_FAIL(err, MF_E_UNAUTH, "svid: no bundle for its trust domain");
	else
		s = verify_path(a, leaf, rest, false, rules, err);
	ERR_clear_error();
	if (s == MF_OK)
		*ret_svid = svid;
	else
		mf_svid_fini(&svid);
	return s;
}

enum mf_status
mf_svid_verify_by(const struct mf_slice *chain, size_t n_chain, const struct mf_anchors *const *sets,
    size_t n_sets, const struct mf_svid_rules *rules, struct mf_svid *ret_svid, struct mf_err *err)
{
	MF_AUTO(X509_free) X509 *leaf = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *rest = sk_X509_new_null();
	MF_TRY(read_chain(chain, n_chain, &leaf, rest, err));
	return verify_svid(leaf, chain[0], rest, sets, n_sets, rules, ret_svid, err);
}

enum mf_status
mf_svid_verify_decoded(X509 *leaf, STACK_OF(X509) * sent, const struct mf_anchors *const *sets, size_t n_sets,
    int64_t now_s, struct mf_svid *ret_svid, struct mf_err *err)
{
	const struct mf_svid_rules rules = { .now_s = now_s };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_CERT_DER);
	if (sk_X509_num(sent) > (int)MF_LIM_CHAIN)
		return MF_FAIL(err, MF_E_TOOBIG, "peer sent %d certificates: at most %u", sk_X509_num(sent),
		    MF_LIM_CHAIN);
	for (int i = 0; i < sk_X509_num(sent); i++) {
		X509 *x = sk_X509_value(sent, i);
		int n = i2d_X509(x, NULL); /* of what came: libcrypto keeps it */
		if (n <= 0 || (unsigned)n > MF_LIM_CERT_DER)
			return MF_FAIL(
			    err, MF_E_TOOBIG, "peer certificate of %d bytes: at most %u", n, MF_LIM_CERT_DER);
		MF_TRY(check_extensions(x, err));
	}
	MF_TRY(check_extensions(leaf, err));
	int n = i2d_X509(leaf, NULL);
	unsigned char *at = n <= 0 ? NULL : mf_buf_extend(&der, (size_t)n);
	if (at == NULL || i2d_X509(leaf, &at) != n)
		return mf_crypto_fail(err, MF_E_TOOBIG, "certificate: too long, or no memory for it");
	return verify_svid(leaf, mf_buf_slice(&der), sent, sets, n_sets, &rules, ret_svid, err);
}

static enum mf_status
read_subject(X509 *x, char to[MF_LIM_CERT_SUBJECT + 1], struct mf_err *err)
{
	char *text = NULL;
	MF_AUTO(BIO_free) BIO *bio = BIO_new(BIO_s_mem());
	/* RFC 2253 with UTF-8 as it is; what is not printable stays escaped. */
	unsigned long how = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
	if (bio == NULL || X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, how) < 0)
		return mf_crypto_fail(err, MF_E_INVALID, "client certificate: subject");
	long n = BIO_get_mem_data(bio, &text);
	if (n < 0 || (size_t)n > MF_LIM_CERT_SUBJECT)
		return MF_FAIL(err, MF_E_TOOBIG, "client certificate: a subject of %ld bytes, at most %u", n,
		    MF_LIM_CERT_SUBJECT);
	if (!mf_utf8_ok(mf_slice(text, (size_t)n)))
		return MF_FAIL(err, MF_E_INVALID, "client certificate: its subject is not UTF-8");
	if (n > 0)
		memcpy(to, text, (size_t)n);
	to[n] = '\0';
	return MF_OK;
}

enum mf_status
mf_client_cert_verify(const struct mf_slice *chain, size_t n_chain, const struct mf_anchors *ca,
    int64_t now_s, struct mf_client_cert *ret_cert, struct mf_err *err)
{
	const struct mf_svid_rules rules = { .now_s = now_s };
	struct mf_client_cert c;
	MF_AUTO(X509_free) X509 *leaf = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *rest = sk_X509_new_null();
	MF_TRY(read_chain(chain, n_chain, &leaf, rest, err));
	if ((X509_get_extension_flags(leaf) & EXFLAG_CA) != 0)
		return MF_FAIL(err, MF_E_INVALID, "client certificate: cA is TRUE: a CA is no client");
	MF_TRY(verify_path(ca, leaf, rest, true, &rules, err));
	MF_TRY(read_subject(leaf, c.subject, err));
	if (!read_time(X509_get0_notAfter(leaf), &c.not_after_s))
		return mf_crypto_fail(err, MF_E_INVALID, "client certificate: validity");
	mf_sha256(chain[0], c.sha256);
	*ret_cert = c;
	return mf_crypto_ok();
}
