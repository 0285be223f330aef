/*
 * pop_kit: somebody else's node CA, by libcrypto's own API: chains that are right, and chains that break one rule each.
 * Aborts on any failure.
 */
#ifndef MF_TESTS_POP_KIT_H
#define MF_TESTS_POP_KIT_H
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"

struct pop_cert {
	X509 *issuer; /* NULL: self-signed */
	EVP_PKEY *issuer_key;
	EVP_PKEY *key;
	const char *cn, *ou[3];
	int64_t not_before_s, not_after_s;
	const char *bc, *ku, *eku, *san; /* as in openssl's configuration; NULL: left out */
	const char *oid, *oid_text;	 /* an extension of that OID, a UTF8String */
	const EVP_MD *md;		 /* NULL: SHA-256, or none for Ed25519 */
};

/* "P-256", "P-384", "P-521", "ED25519", "ED448", "RSA-1024", "RSA-2048". */
EVP_PKEY *mf_pop_key(const char *kind);
X509 *mf_pop_cert(const struct pop_cert *c);
void mf_pop_der(X509 *x, struct mf_buf *to);
void mf_pop_pem(X509 *x, struct mf_buf *to);
void mf_pop_key_pem(EVP_PKEY *k, struct mf_buf *to);
#endif
