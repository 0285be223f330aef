#include "codec/x509_upstream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "codec/bundle.h"
#include "codec/pem.h"
#include "codec/x509_peek.h"
#include "crypto/provider.h"

#define AUTH_LEVEL 2 /* as verifiers ask (codec/x509_read.c): 112 bits in the whole path */
#define CERT "upstream_ca.cert"
#define KEY "upstream_ca.key"
#define BUNDLE "upstream_ca.bundle"

MF_DEFINE_CLEANUP(X509, X509_free)
MF_DEFINE_CLEANUP(BIO, BIO_free)
MF_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
MF_DEFINE_CLEANUP(X509_STORE, X509_STORE_free)
MF_DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)
MF_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free)
MF_DEFINE_CLEANUP(ASN1_TIME, ASN1_TIME_free)

static void
x509_stack_free(STACK_OF(X509) * certs)
{
	sk_X509_pop_free(certs, X509_free);
}
MF_DEFINE_CLEANUP(STACK_OF(X509), x509_stack_free)

/* How it signs: by its kind of key. The OIDs are RFC 5758, 3.2, and RFC 4055, 5. */
struct algorithm {
	int kind;
	int bits; /* of an EC key's field; 0: any */
	const EVP_MD *(*md)(void);
	struct mf_slice id;
};
static const uint8_t rsa256[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
	0x0b, 0x05, 0x00 };
static const uint8_t ec256[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t ec384[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03 };
static const uint8_t ec512[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04 };
static const struct algorithm algorithms[] = {
	{ EVP_PKEY_RSA, 0, EVP_sha256, { rsa256, sizeof(rsa256) } },
	{ EVP_PKEY_EC, 256, EVP_sha256, { ec256, sizeof(ec256) } },
	{ EVP_PKEY_EC, 384, EVP_sha384, { ec384, sizeof(ec384) } },
	{ EVP_PKEY_EC, 521, EVP_sha512, { ec512, sizeof(ec512) } },
};
#define RSA_BITS_MIN 2048

struct mf_upstream_ca {
	EVP_PKEY *key;
	const struct algorithm *alg;
	struct mf_x509_issuer issuer; /* points into ${cert} */
	struct mf_buf cert, between, roots;
	int64_t not_before_s, not_after_s;
};

void
mf_upstream_ca_free(struct mf_upstream_ca *u)
{
	if (u == NULL)
		return;
	EVP_PKEY_free(u->key);
	mf_buf_fini(&u->cert);
	mf_buf_fini(&u->between);
	mf_buf_fini(&u->roots);
	free(u);
}

/* ---- certificates of a file ---- */

static enum mf_status
parse(struct mf_slice der, X509 **ret_x, struct mf_err *err)
{
	const uint8_t *p = der.p;
	MF_AUTO(X509_free) X509 *x = d2i_X509(NULL, &p, (long)der.n);
	if (x == NULL || p != der.p + der.n || (X509_get_extension_flags(x) & EXFLAG_INVALID) != 0)
		return mf_crypto_fail(err, MF_E_INVALID, "a certificate is malformed");
	*ret_x = MF_TAKE(x);
	return MF_OK;
}

/* Concatenated DER as a stack. */
static enum mf_status
stack_of(struct mf_slice der, size_t max, STACK_OF(X509) * *ret_s, struct mf_err *err)
{
	struct mf_slice cut[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_TRY(mf_bundle_split(der, cut, max, &n, err));
	MF_AUTO(x509_stack_free) STACK_OF(X509) *all = sk_X509_new_null();
	for (size_t i = 0; all != NULL && i < n; i++) {
		MF_AUTO(X509_free) X509 *x = NULL;
		MF_TRY(parse(cut[i], &x, err));
		if (sk_X509_push(all, x) == 0)
			return mf_crypto_fail(err, MF_E_NOMEM, "certificates");
		x = NULL;
	}
	if (all == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "certificates");
	*ret_s = MF_TAKE(all);
	return MF_OK;
}

static enum mf_status
read_certs(const char *where, struct mf_slice pem, size_t max, STACK_OF(X509) * *ret_s, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_BUNDLE_DER);
	enum mf_status s = mf_pem_get_all(pem, MF_PEM_CERTIFICATE, &der, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s,
		    "%s: not certificates in PEM and nothing else (each as 'openssl x509 -in FILE' writes "
		    "it)",
		    where);
	s = stack_of(mf_buf_slice(&der), max, ret_s, err);
	if (s == MF_E_TOOBIG)
		return mf_err_wrap(err, s, "%s: too many certificates: at most %zu", where, max);
	return s == MF_OK ? s : mf_err_wrap(err, s, "%s", where);
}

static void
name_of(const X509 *x, char *to, int cap)
{
	if (X509_NAME_oneline(X509_get_subject_name(x), to, cap) == NULL)
		to[0] = '\0';
}

/* Unreadable: 1970, which is over for every rule. */
static int64_t
seconds(const ASN1_TIME *t)
{
	int days = 0, secs = 0;
	MF_AUTO(ASN1_TIME_free) ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	return epoch != NULL && ASN1_TIME_diff(&days, &secs, epoch, t) == 1 ? (int64_t)days * 86400 + secs
									    : 0;
}

/* ---- what a signing certificate above ours must be ---- */

/* X509-11: "the SPIFFE ID of a signing certificate ... MUST NOT have a path component", and ours is the trust domain. */
static enum mf_status
check_id(X509 *x, const char *name, struct mf_slice trust_domain, struct mf_err *err)
{
	MF_AUTO(GENERAL_NAMES_free)
	GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; sans != NULL && i < sk_GENERAL_NAME_num(sans); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(sans, i);
		if (gn->type != GEN_URI)
			continue;
		MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
		struct mf_slice uri = mf_slice(ASN1_STRING_get0_data(gn->d.uniformResourceIdentifier),
		    (size_t)ASN1_STRING_length(gn->d.uniformResourceIdentifier));
		if (!mf_slice_starts(uri, MF_SLICE_LIT("spiffe:")))
			continue;
		if (mf_spiffe_id_parse(uri, &id, NULL) != MF_OK || mf_spiffe_id_path(id).n > 0 ||
		    !mf_slice_eq(mf_spiffe_id_trust_domain(id), trust_domain))
			return MF_FAIL(err, MF_E_INVALID,
			    "the upstream CA %s is for another trust domain: its URI SAN is not "
			    "spiffe://%.*s; "
			    "take the CA of this trust domain, or one without a SPIFFE ID",
			    name, (int)trust_domain.n, (const char *)trust_domain.p);
	}
	ERR_clear_error();
	return MF_OK;
}

/* ${below}: CA certificates between it and a leaf, ours counted. */
static enum mf_status
check_signing(X509 *x, int below, struct mf_slice trust_domain, struct mf_err *err)
{
	char name[256];
	uint32_t flags = X509_get_extension_flags(x);
	long pathlen = X509_get_pathlen(x);
	name_of(x, name, sizeof(name));
	if ((flags & EXFLAG_BCONS) == 0 || (flags & EXFLAG_CA) == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "%s is not a CA: its basic constraints lack cA; have it issued as a subordinate CA",
		    name);
	if ((flags & EXFLAG_KUSAGE) == 0 || (X509_get_key_usage(x) & KU_KEY_CERT_SIGN) == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "the upstream CA %s may not sign certificates: its key usage lacks keyCertSign; have it "
		    "issued "
		    "with it",
		    name);
	if (pathlen >= 0 && pathlen < below)
		return MF_FAIL(err, MF_E_INVALID,
		    "the upstream CA %s has pathLen %ld, and %d signing certificate%s must stand under it: "
		    "have it "
		    "issued with pathLen %d or more, or none",
		    name, pathlen, below, below == 1 ? "" : "s", below);
	return check_id(x, name, trust_domain, err);
}

static enum mf_status
check_dates(struct mf_upstream_ca *u, X509 *x, int64_t now_s, struct mf_err *err)
{
	char name[256];
	int64_t from = seconds(X509_get0_notBefore(x)), to = seconds(X509_get0_notAfter(x));
	name_of(x, name, sizeof(name));
	if (from > now_s)
		return MF_FAIL(err, MF_E_INVALID,
		    "the upstream CA %s is not valid yet: it begins in %lld s; wait, or look at this "
		    "machine's "
		    "clock",
		    name, (long long)(from - now_s));
	if (to <= now_s)
		return MF_FAIL(err, MF_E_INVALID,
		    "the upstream CA %s expired %lld s ago: put its renewed certificate into the file, and "
		    "reload (SIGHUP)",
		    name, (long long)(now_s - to));
	u->not_before_s = from > u->not_before_s ? from : u->not_before_s;
	u->not_after_s = to < u->not_after_s ? to : u->not_after_s;
	return MF_OK;
}

/* ---- paths ---- */

/* ${now_s} < 0: dates are not looked at. *ret_path may be NULL. */
static enum mf_status
find_path(X509 *first, STACK_OF(X509) * rest, STACK_OF(X509) * roots, int64_t now_s,
    STACK_OF(X509) * *ret_path, struct mf_err *err)
{
	MF_AUTO(X509_STORE_free) X509_STORE *store = X509_STORE_new();
	for (int i = 0; store != NULL && i < sk_X509_num(roots); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1)
			return mf_crypto_fail(err, MF_E_NOMEM, "roots");
	MF_AUTO(X509_STORE_CTX_free) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	if (store == NULL || ctx == NULL || X509_STORE_CTX_init(ctx, store, first, rest) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "path");
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_depth(param, (int)MF_LIM_CHAIN);
	if (now_s < 0)
		(void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
	else
		X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
	if (X509_verify_cert(ctx) != 1) {
		int why = X509_STORE_CTX_get_error(ctx);
		ERR_clear_error();
		return MF_FAIL(err, why == X509_V_ERR_OUT_OF_MEM ? MF_E_NOMEM : MF_E_INVALID, "%s",
		    X509_verify_cert_error_string(why));
	}
	if (ret_path != NULL && (*ret_path = X509_STORE_CTX_get1_chain(ctx)) == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, "path");
	return MF_OK;
}

enum mf_status
mf_upstream_ca_check_path(struct mf_slice chain_der, struct mf_slice roots_der, struct mf_err *err)
{
	MF_AUTO(x509_stack_free) STACK_OF(X509) *chain = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *roots = NULL;
	mf_crypto_init();
	MF_TRY(stack_of(chain_der, MF_LIM_CHAIN, &chain, err));
	MF_TRY(stack_of(roots_der, MF_LIM_BUNDLE_CERTS, &roots, err));
	if (sk_X509_num(chain) == 0)
		return MF_FAIL(err, MF_E_INVALID, "an empty chain");
	enum mf_status s = find_path(sk_X509_value(chain, 0), chain, roots, -1, NULL, err);
	return s == MF_OK
		   ? mf_crypto_ok()
		   : mf_err_wrap(err, s, "our signing certificate does not verify under the upstream CA");
}

/* ---- the three files ---- */

/* A key that is sealed by a passphrase is not asked for one: nobody sits there. */
static int
no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
	MF_UNUSED(buf);
	MF_UNUSED(size);
	MF_UNUSED(rwflag);
	MF_UNUSED(ctx);
	return -1;
}

static bool
has_text(struct mf_slice in, const char *what)
{
	return in.n > 0 && memmem(in.p, in.n, what, strlen(what)) != NULL;
}

static enum mf_status
read_key(struct mf_upstream_ca *u, struct mf_slice pem, X509 *cert, struct mf_err *err)
{
	if (pem.n == 0 || pem.n > MF_UPSTREAM_KEY_MAX)
		return MF_FAIL(
		    err, MF_E_TOOBIG, KEY ": %zu bytes, 1 to %u may be", pem.n, MF_UPSTREAM_KEY_MAX);
	if (has_text(pem, "ENCRYPTED"))
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    KEY ": the key is encrypted, and there is nobody to ask for its passphrase: give it "
			"unencrypted in a file that only its owner may read ('openssl pkey -in FILE')");
	MF_AUTO(BIO_free) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (in == NULL)
		return mf_crypto_fail(err, MF_E_NOMEM, KEY);
	u->key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	ERR_clear_error(); /* its words may quote the file */
	if (u->key == NULL)
		return MF_FAIL(
		    err, MF_E_INVALID, KEY ": no private key in PEM ('openssl pkey -in FILE' writes one)");
	if (X509_check_private_key(cert, u->key) != 1) {
		ERR_clear_error();
		return MF_FAIL(err, MF_E_INVALID,
		    KEY ": it is not the key of the first certificate of " CERT ": put the upstream CA's own "
			"certificate first");
	}
	for (size_t i = 0; i < MF_COUNT(algorithms); i++) {
		const struct algorithm *a = &algorithms[i];
		int bits = EVP_PKEY_get_bits(u->key);
		if (EVP_PKEY_get_base_id(u->key) == a->kind &&
		    (a->bits == 0 ? bits >= RSA_BITS_MIN : bits == a->bits))
			u->alg = a;
	}
	return u->alg != NULL ? MF_OK
			      : MF_FAIL(err, MF_E_UNSUPPORTED,
				    KEY ": neither RSA of %d bits or more nor EC on P-256, P-384 or P-521",
				    RSA_BITS_MIN);
}

static enum mf_status
put_cert(struct mf_buf *to, X509 *x, struct mf_err *err)
{
	uint8_t *der = NULL;
	int n = i2d_X509(x, &der);
	if (n <= 0)
		return mf_crypto_fail(err, MF_E_NOMEM, "certificate");
	mf_buf_put(to, der, (size_t)n);
	OPENSSL_free(der);
	return mf_buf_check(to, err);
}

static enum mf_status
read_roots(const struct mf_upstream_ca_files *files, STACK_OF(X509) * certs, STACK_OF(X509) * *ret_roots,
    struct mf_err *err)
{
	X509 *first = sk_X509_value(certs, 0);
	if (files->bundle.n == 0) {
		if (X509_NAME_cmp(X509_get_subject_name(first), X509_get_issuer_name(first)) != 0)
			return MF_FAIL(err, MF_E_INVALID,
			    BUNDLE " is missing: " CERT
				   " is not self-signed, so the root that verifiers trust must "
				   "be named");
		*ret_roots = X509_chain_up_ref(certs);
		while (*ret_roots != NULL && sk_X509_num(*ret_roots) > 1)
			X509_free(sk_X509_pop(*ret_roots));
		return *ret_roots == NULL ? mf_crypto_fail(err, MF_E_NOMEM, BUNDLE) : MF_OK;
	}
	MF_TRY(read_certs(BUNDLE, files->bundle, MF_UPSTREAM_ROOTS, ret_roots, err));
	for (int i = 0; i < sk_X509_num(*ret_roots); i++) {
		X509 *x = sk_X509_value(*ret_roots, i);
		if (X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0)
			continue;
		char name[256];
		name_of(x, name, sizeof(name));
		return MF_FAIL(err, MF_E_INVALID,
		    BUNDLE
		    ": %s is not a root: it holds self-signed certificates only, what is between goes behind "
		    "the first certificate of " CERT,
		    name);
	}
	return MF_OK;
}

/* The path from the upstream CA to its root, each certificate judged; then the parts of chains and bundle. */
static enum mf_status
take_path(struct mf_upstream_ca *u, STACK_OF(X509) * path, STACK_OF(X509) * roots,
    struct mf_slice trust_domain, struct mf_err *err)
{
	int n = sk_X509_num(path);
	X509 *root = sk_X509_value(path, n - 1);
	for (int i = 0; i < n; i++)
		MF_TRY(check_signing(sk_X509_value(path, i), i + 1, trust_domain, err));
	if (n - 1 > (int)MF_UPSTREAM_BETWEEN)
		return MF_FAIL(err, MF_E_TOOBIG,
		    CERT ": %d certificates between ours and the root, at most %u: take the key of a CA "
			 "nearer to the "
			 "root",
		    n - 1, MF_UPSTREAM_BETWEEN);
	for (int i = 0; i < n - 1; i++)
		MF_TRY(put_cert(&u->between, sk_X509_value(path, i), err));
	MF_TRY(put_cert(&u->roots, root, err));
	for (int i = 0; i < sk_X509_num(roots); i++)
		if (X509_cmp(sk_X509_value(roots, i), root) != 0)
			MF_TRY(put_cert(&u->roots, sk_X509_value(roots, i), err));
	if (u->between.n + u->roots.n > MF_UPSTREAM_DER_MAX)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "the upstream CA's certificates have %zu bytes in all, at most %u: take fewer roots "
		    "into " BUNDLE,
		    u->between.n + u->roots.n, MF_UPSTREAM_DER_MAX);
	return MF_OK;
}

static enum mf_status
name_issuer(struct mf_upstream_ca *u, X509 *first, struct mf_err *err)
{
	struct mf_x509_peek p;
	MF_TRY(put_cert(&u->cert, first, err));
	enum mf_status s = mf_x509_peek(mf_buf_slice(&u->cert), &p, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, CERT);
	u->issuer = (struct mf_x509_issuer) { .name = p.subject, .key_id = p.ski, .sig_alg = u->alg->id };
	return MF_OK;
}

enum mf_status
mf_upstream_ca_new(const struct mf_upstream_ca_files *files, struct mf_slice trust_domain, int64_t now_s,
    struct mf_upstream_ca **ret_u, struct mf_err *err)
{
	MF_AUTO(x509_stack_free) STACK_OF(X509) *certs = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *roots = NULL;
	MF_AUTO(x509_stack_free) STACK_OF(X509) *path = NULL;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *u = calloc(1, sizeof(*u));
	if (u == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "upstream CA: out of memory");
	mf_crypto_init();
	mf_buf_init(&u->cert, MF_LIM_CERT_DER);
	mf_buf_init(&u->between, MF_LIM_BUNDLE_DER);
	mf_buf_init(&u->roots, MF_LIM_BUNDLE_DER);
	u->not_after_s = INT64_MAX;
	MF_TRY(read_certs(CERT, files->cert, MF_LIM_CHAIN, &certs, err));
	X509 *first = sk_X509_value(certs, 0);
	MF_TRY(read_roots(files, certs, &roots, err));
	/* Before the path, which would only say that something is wrong somewhere. */
	for (int i = 0; i < sk_X509_num(certs); i++)
		MF_TRY(check_dates(u, sk_X509_value(certs, i), now_s, err));
	MF_TRY(check_signing(first, 1, trust_domain, err));
	MF_TRY(read_key(u, files->key, first, err));
	enum mf_status s = find_path(first, certs, roots, now_s, &path, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s,
		    CERT ": no path to a root of " BUNDLE
			 ": give every certificate between them, and the root that it "
			 "ends in");
	MF_TRY(check_dates(u, sk_X509_value(path, sk_X509_num(path) - 1), now_s, err));
	MF_TRY(take_path(u, path, roots, trust_domain, err));
	MF_TRY(name_issuer(u, first, err));
	*ret_u = MF_TAKE(u);
	return mf_crypto_ok();
}

/* ---- use ---- */

const struct mf_x509_issuer *
mf_upstream_ca_issuer(const struct mf_upstream_ca *u)
{
	return &u->issuer;
}

struct mf_slice
mf_upstream_ca_between(const struct mf_upstream_ca *u)
{
	return mf_buf_slice(&u->between);
}

struct mf_slice
mf_upstream_ca_roots(const struct mf_upstream_ca *u)
{
	return mf_buf_slice(&u->roots);
}

int64_t
mf_upstream_ca_not_before_s(const struct mf_upstream_ca *u)
{
	return u->not_before_s;
}

int64_t
mf_upstream_ca_not_after_s(const struct mf_upstream_ca *u)
{
	return u->not_after_s;
}

enum mf_status
mf_upstream_ca_sign(
    const struct mf_upstream_ca *u, struct mf_slice tbs, struct mf_buf *cert, struct mf_err *err)
{
	uint8_t sig[1024]; /* RSA of 8192 bits */
	size_t n = sizeof(sig);
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, u->alg->md(), NULL, u->key) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, tbs.p, tbs.n) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "the upstream CA's key does not sign");
	MF_TRY(mf_x509_assemble_by(tbs, u->alg->id, mf_slice(sig, n), cert, err));
	return mf_crypto_ok();
}
