/*
 * x509_write: certificates by template. libcrypto 3.0 needs 240 us to build a certificate by its typed
 * API and 20 us to sign it; these writers need one or two. The result is compared byte for byte with
 * what the API builds (tests/unit/test_x509_write.c). Encode only; no state; thread-safe.
 *
 * Profile: X.509-SVID with P-256 keys and ecdsa-with-SHA256 throughout.
 *   leaf  subject O=Mayfly[, CN]; BC critical cA FALSE (written out); KU critical digitalSignature; EKU
 *         serverAuth, clientAuth; SKI; AKI; SAN: one URI, then DNS names
 *   CA    self-signed, or signed by an upstream CA (then with AKI, if that has a key identifier); subject O=Mayfly,
 *         CN=<trust domain> <serial's start>; BC critical cA TRUE pathLen 0; KU critical keyCertSign, cRLSign; SKI;
 *         SAN: URI spiffe://<trust domain>
 */
#ifndef MF_CODEC_X509_WRITE_H
#define MF_CODEC_X509_WRITE_H
#include "base/buf.h"
#include "base/limits.h"
#include "codec/spiffe_id.h"
#include "crypto/p256.h"

#define MF_X509_SERIAL_SIZE 16
#define MF_X509_KEY_ID_SIZE 20
#define MF_X509_CN_MAX 64 /* RFC 5280 ub-common-name */

/*
 * Make 16 random bytes a serial: positive, and with a first byte that is never 0, so that the INTEGER
 * has exactly these bytes and the hex in records is the hex that tools print. 126 random bits remain.
 */
void mf_x509_serial_from_random(uint8_t serial[MF_X509_SERIAL_SIZE]);
/* Key identifier of a point: the leftmost 160 bits of SHA-256 of the BIT STRING's bytes (RFC 7093, method 1). */
void mf_x509_key_id(const uint8_t point[MF_P256_POINT_SIZE], uint8_t ret_id[MF_X509_KEY_ID_SIZE]);

struct mf_x509_leaf {
	uint8_t serial[MF_X509_SERIAL_SIZE];   /* see mf_x509_serial_from_random */
	struct mf_slice issuer;		       /* DER Name: the subject of the signing certificate */
	uint8_t aki[MF_X509_KEY_ID_SIZE];      /* its key identifier */
	struct mf_slice cn;		       /* empty: none; else 1..64 of [A-Za-z0-9._@-] */
	int64_t not_before_s, not_after_s;     /* seconds since 1970, both inclusive */
	uint8_t point[MF_P256_POINT_SIZE];     /* checked by mf_p256_point_check, not here */
	const struct mf_spiffe_id *id;	       /* with a path */
	struct mf_slice dns[MF_LIM_DNS_NAMES]; /* lowercase host names, no wildcards */
	size_t n_dns;
};

/* Who signs a CA certificate that is not self-signed (codec/x509_upstream.h). */
struct mf_x509_issuer {
	struct mf_slice name;	 /* DER Name: the subject of its certificate */
	struct mf_slice key_id;	 /* its subject key identifier; empty: it has none */
	struct mf_slice sig_alg; /* DER AlgorithmIdentifier of its signatures */
};

struct mf_x509_ca {
	uint8_t serial[MF_X509_SERIAL_SIZE];
	struct mf_slice trust_domain; /* must pass mf_trust_domain_check_strict */
	int64_t not_before_s, not_after_s;
	uint8_t point[MF_P256_POINT_SIZE];
	const struct mf_x509_issuer *by; /* NULL: self-signed */
};

/* Append the TBSCertificate, the bytes to be signed. MF_E_INVALID names the field that breaks the profile. */
MF_NODISCARD enum mf_status
mf_x509_tbs_leaf(const struct mf_x509_leaf *leaf, struct mf_buf *tbs, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_x509_tbs_ca(const struct mf_x509_ca *ca, struct mf_buf *tbs, struct mf_err *err);
/* Append the Certificate: ${tbs} with its ecdsa-with-SHA256 signature in DER. */
MF_NODISCARD enum mf_status
mf_x509_assemble(struct mf_slice tbs, struct mf_slice der_sig, struct mf_buf *cert, struct mf_err *err);
/* The same with another signature algorithm, as in struct mf_x509_issuer. */
MF_NODISCARD enum mf_status mf_x509_assemble_by(struct mf_slice tbs, struct mf_slice sig_alg,
    struct mf_slice sig, struct mf_buf *cert, struct mf_err *err);
/* SHA-256, sign, assemble. */
MF_NODISCARD enum mf_status
mf_x509_sign(struct mf_slice tbs, struct mf_p256_signer *signer, struct mf_buf *cert, struct mf_err *err);
#endif
