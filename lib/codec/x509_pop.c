#include "codec/x509_pop.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "codec/pem.h"
#include "codec/x509_pop_internal.h"
#include "crypto/provider.h"

#define AUTH_LEVEL 2 /* 112 bits: no SHA-1, no RSA below 2048 */
#define RSA_MIN 2048
#define RSA_MAX 8192
#define SALT 32
#define CONTEXT "mayfly-x509pop-1" /* its NUL is signed, too */
#define TBS (sizeof(CONTEXT) + MF_POP_HASH)

MF_DEFINE_CLEANUP(X509, X509_free)
MF_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
MF_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)
MF_DEFINE_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free)

static void
certs_free(STACK_OF(X509) * certs)
{
	sk_X509_pop_free(certs, X509_free);
}
MF_DEFINE_CLEANUP(STACK_OF(X509), certs_free)

struct mf_pop_anchors {
	X509_STORE *store;
};

/* ---- reading ---- */

static enum mf_status
parse(struct mf_slice der, const char *what, X509 **ret_x, struct mf_err *err)
{
	if (der.n == 0 || der.n > MF_LIM_CERT_DER)
		return MF_FAIL(err, MF_E_TOOBIG, "%s: %zu bytes, at most %u", what, der.n, MF_LIM_CERT_DER);
	mf_crypto_init();
	const uint8_t *p = der.p;
	MF_AUTO(X509_free) X509 *x = d2i_X509(NULL, &p, (long)der.n);
	if (x == NULL)
		return mf_crypto_fail(err, MF_E_INVALID, what);
	if (p != der.p + der.n)
		return MF_FAIL(err, MF_E_INVALID, "%s: bytes behind its end", what);
	if ((X509_get_extension_flags(x) & EXFLAG_INVALID) != 0) {
		ERR_clear_error();
		return MF_FAIL(err, MF_E_INVALID, "%s: an extension is malformed or stands twice", what);
	}
	*ret_x = MF_TAKE(x);
	return MF_OK;
}

/* cA and keyCertSign written, not implied. */
static enum mf_status
check_issuer(X509 *x, enum mf_status code, const char *what, struct mf_err *err)
{
	uint32_t flags = X509_get_extension_flags(x);
	if ((flags & EXFLAG_BCONS) == 0 || (flags & EXFLAG_CA) == 0)
		return MF_FAIL(err, code, "%s: cA is not TRUE: it is no CA certificate", what);
	if ((flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(x) & KU_KEY_CERT_SIGN) == 0)
		return MF_FAIL(err, code, "%s: its key usage lacks keyCertSign", what);
	return MF_OK;
}

static enum mf_status
check_leaf(X509 *x, struct mf_err *err)
{
	uint32_t flags = X509_get_extension_flags(x);
	if ((flags & EXFLAG_CA) != 0)
		return MF_FAIL(err, MF_E_UNAUTH, "node certificate: it is a CA's: give the node's own");
	if ((flags & EXFLAG_KUSAGE) != 0) {
		uint32_t ku = X509_get_key_usage(x);
		if ((ku & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0)
			return MF_FAIL(err, MF_E_UNAUTH, "node certificate: it may sign certificates");
		if ((ku & KU_DIGITAL_SIGNATURE) == 0)
			return MF_FAIL(
			    err, MF_E_UNAUTH, "node certificate: its key usage lacks digitalSignature");
	}
	if ((flags & EXFLAG_XKUSAGE) != 0 &&
	    (X509_get_extended_key_usage(x) & (XKU_SSL_CLIENT | XKU_ANYEKU)) == 0)
		return MF_FAIL(err, MF_E_UNAUTH, "node certificate: its extended key usage lacks clientAuth");
	return MF_OK;
}

enum mf_status
mf_pop_anchors_new(struct mf_slice pem, struct mf_pop_anchors **ret_a, struct mf_err *err)
{
	MF_AUTO(mf_pop_anchors_free) struct mf_pop_anchors *a = calloc(1, sizeof(*a));
	mf_crypto_init();
	if (a == NULL || (a->store = X509_STORE_new()) == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "node CA: out of memory");
	for (size_t n = 0;; n++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
		MF_AUTO(X509_free) X509 *x = NULL;
		mf_buf_init(&der, MF_LIM_CERT_DER);
		enum mf_status s = mf_pem_get(&pem, MF_PEM_CERTIFICATE, &der, err);
		if (s == MF_E_NOTFOUND && n > 0)
			break;
		if (s == MF_E_NOTFOUND)
			return MF_FAIL(err, MF_E_INVALID, "node CA: the file holds no certificate");
		if (s == MF_OK && n == MF_LIM_BUNDLE_CERTS)
			s = MF_FAIL(
			    err, MF_E_TOOBIG, "node CA: more than %u certificates", MF_LIM_BUNDLE_CERTS);
		MF_TRY(s);
		MF_TRY(parse(mf_buf_slice(&der), "node CA", &x, err));
		MF_TRY(check_issuer(x, MF_E_INVALID, "node CA", err));
		if (X509_STORE_add_cert(a->store, x) != 1)
			return mf_crypto_fail(err, MF_E_INTERNAL, "node CA");
	}
	*ret_a = MF_TAKE(a);
	return mf_crypto_ok();
}

void
mf_pop_anchors_free(struct mf_pop_anchors *a)
{
	if (a == NULL)
		return;
	X509_STORE_free(a->store);
	free(a);
}

/* ---- the signature ---- */

enum key_kind { KEY_NONE, KEY_P256, KEY_P384, KEY_ED25519, KEY_RSA };

static enum key_kind
kind_of(const EVP_PKEY *k)
{
	char group[32] = "";
	if (EVP_PKEY_is_a(k, "ED25519") == 1)
		return KEY_ED25519;
	if (EVP_PKEY_is_a(k, "RSA") == 1)
		return EVP_PKEY_get_bits(k) >= RSA_MIN && EVP_PKEY_get_bits(k) <= RSA_MAX ? KEY_RSA
											  : KEY_NONE;
	if (EVP_PKEY_is_a(k, "EC") != 1 ||
	    EVP_PKEY_get_utf8_string_param(k, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1)
		return KEY_NONE;
	if (strcmp(group, "prime256v1") == 0)
		return KEY_P256;
	return strcmp(group, "secp384r1") == 0 ? KEY_P384 : KEY_NONE;
}

#define KEYS "use P-256, P-384, Ed25519, or RSA of 2048 to 8192 bits"

static void
to_be_signed(const uint8_t hash[MF_POP_HASH], uint8_t to[TBS])
{
	memcpy(to, CONTEXT, sizeof(CONTEXT));
	memcpy(to + sizeof(CONTEXT), hash, MF_POP_HASH);
}

/* The algorithm is the key's; ${sign} or verify. */
static bool
begin(EVP_MD_CTX *ctx, EVP_PKEY *k, enum key_kind kind, bool sign)
{
	EVP_PKEY_CTX *pctx = NULL;
	const char *md = kind == KEY_ED25519 ? NULL : kind == KEY_P384 ? "SHA384" : "SHA256";
	int ok = sign ? EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, k, NULL)
		      : EVP_DigestVerifyInit_ex(ctx, &pctx, md, NULL, NULL, k, NULL);
	if (ok == 1 && kind == KEY_RSA)
		ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, SALT) == 1;
	return ok == 1;
}

static enum mf_status
check_signature(X509 *leaf, const struct mf_pop_evidence *e, struct mf_err *err)
{
	uint8_t tbs[TBS];
	EVP_PKEY *k = X509_get0_pubkey(leaf);
	enum key_kind kind = k == NULL ? KEY_NONE : kind_of(k);
	if (kind == KEY_NONE) {
		ERR_clear_error();
		return MF_FAIL(
		    err, MF_E_UNAUTH, "node certificate: a key of this kind proves nothing; " KEYS);
	}
	if (e->signature.n == 0 || e->signature.n > MF_LIM_POP_SIGNATURE)
		return MF_FAIL(err, MF_E_TOOBIG, "proof of possession: a signature of %zu bytes, at most %u",
		    e->signature.n, MF_LIM_POP_SIGNATURE);
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	to_be_signed(e->hash, tbs);
	if (ctx == NULL || !begin(ctx, k, kind, false))
		return mf_crypto_fail(err, MF_E_UNAUTH, "proof of possession");
	int ok = EVP_DigestVerify(ctx, e->signature.p, e->signature.n, tbs, sizeof(tbs));
	ERR_clear_error();
	if (ok != 1)
		return MF_FAIL(err, MF_E_UNAUTH,
		    "proof of possession: the signature is not of this certificate's key over this session");
	return MF_OK;
}

static enum mf_status
read_key(struct mf_slice pem, EVP_PKEY **ret_k, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf der;
	mf_buf_init(&der, MF_LIM_POP_KEY);
	mf_crypto_init();
	if (mf_pem_get_all(pem, MF_PEM_PRIVATE_KEY, &der, NULL) != MF_OK)
		return MF_FAIL(err, MF_E_INVALID,
		    "node key: not one PKCS#8 key in PEM (convert it: openssl pkcs8 -topk8 -nocrypt)");
	const uint8_t *p = der.p;
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *k = d2i_AutoPrivateKey(NULL, &p, (long)der.n);
	ERR_clear_error(); /* nothing of the key into texts */
	if (k == NULL || p != der.p + der.n || kind_of(k) == KEY_NONE)
		return MF_FAIL(err, MF_E_INVALID, "node key: not a key that can prove anything; " KEYS);
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_pop_sign(struct mf_slice key_pem, const uint8_t hash[MF_POP_HASH], struct mf_buf *to, struct mf_err *err)
{
	uint8_t tbs[TBS], sig[MF_LIM_POP_SIGNATURE];
	size_t n = sizeof(sig);
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *k = NULL;
	MF_TRY(read_key(key_pem, &k, err));
	MF_AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	to_be_signed(hash, tbs);
	if (ctx == NULL || !begin(ctx, k, kind_of(k), true) ||
	    EVP_DigestSign(ctx, sig, &n, tbs, sizeof(tbs)) != 1)
		return mf_crypto_fail(err, MF_E_INTERNAL, "node key");
	mf_buf_put(to, sig, n);
	MF_TRY(mf_crypto_ok());
	return mf_buf_check(to, err);
}

enum mf_status
mf_pop_fits(struct mf_slice key_pem, struct mf_slice leaf_der, struct mf_err *err)
{
	MF_AUTO(EVP_PKEY_free) EVP_PKEY *k = NULL;
	MF_AUTO(X509_free) X509 *x = NULL;
	MF_TRY(read_key(key_pem, &k, err));
	MF_TRY(parse(leaf_der, "node certificate", &x, err));
	bool same = X509_get0_pubkey(x) != NULL && EVP_PKEY_eq(X509_get0_pubkey(x), k) == 1;
	ERR_clear_error();
	return same ? MF_OK : MF_FAIL(err, MF_E_INVALID, "the key is not that of the certificate");
}

/* ---- all of it ---- */

static enum mf_status
verify_path(
    const struct mf_pop_anchors *a, X509 *leaf, STACK_OF(X509) * rest, int64_t now_s, struct mf_err *err)
{
	MF_AUTO(X509_STORE_CTX_free) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	if (ctx == NULL || X509_STORE_CTX_init(ctx, a->store, leaf, rest) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "node certificate");
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	/* An intermediate in the file ends the path: a company need not trust all that its root does. */
	(void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
	X509_VERIFY_PARAM_set_depth(param, (int)MF_LIM_CHAIN);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	if (X509_verify_cert(ctx) != 1) {
		int why = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
		ERR_clear_error();
		return MF_FAIL(err, why == X509_V_ERR_OUT_OF_MEM ? MF_E_NOMEM : MF_E_UNAUTH,
		    "node certificate: %s (certificate %d)", X509_verify_cert_error_string(why), depth);
	}
	STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
	if (sk_X509_num(path) < 2)
		return MF_FAIL(err, MF_E_UNAUTH, "node certificate: it is itself in the CA file");
	for (int i = 1; i < sk_X509_num(path); i++)
		MF_TRY(check_issuer(sk_X509_value(path, i), MF_E_UNAUTH, "node certificate: an issuer", err));
	return MF_OK;
}

enum mf_status
mf_pop_verify(const struct mf_pop_anchors *a, const struct mf_pop_evidence *e, int64_t now_s,
    const struct mf_slice *rules, size_t n_rules, struct mf_buf *to, struct mf_err *err)
{
	if (e->n_chain == 0 || e->n_chain > MF_LIM_CHAIN)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "node certificate: a chain of %zu certificates; 1 to %u, the node's own first",
		    e->n_chain, MF_LIM_CHAIN);
	MF_AUTO(X509_free) X509 *leaf = NULL;
	MF_TRY(parse(e->chain[0], "node certificate", &leaf, err));
	MF_AUTO(certs_free) STACK_OF(X509) *rest = sk_X509_new_null();
	for (size_t i = 1; i < e->n_chain; i++) {
		MF_AUTO(X509_free) X509 *x = NULL;
		MF_TRY(parse(e->chain[i], "an intermediate of the node certificate", &x, err));
		if (rest == NULL || sk_X509_push(rest, x) <= 0)
			return MF_FAIL(err, MF_E_NOMEM, "node certificate: out of memory");
		(void)MF_TAKE(x);
	}
	MF_TRY(check_leaf(leaf, err));
	MF_TRY(verify_path(a, leaf, rest, now_s, err));
	MF_TRY(check_signature(leaf, e, err));
	for (size_t i = 0; i < n_rules; i++)
		MF_TRY(mf_pop_attribute(leaf, rules[i], to, err));
	MF_TRY(mf_buf_check(to, err));
	return mf_crypto_ok();
}
