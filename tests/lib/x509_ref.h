/*
 * x509_ref: certificates built slowly, by libcrypto's typed X509 API: what the template writers are
 * compared with, and the source of certificates that break one rule each. Aborts on any failure.
 */
#ifndef MF_TESTS_X509_REF_H
#define MF_TESTS_X509_REF_H
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct ref_cert {
	const uint8_t *serial; /* big-endian; NULL: 1 */
	int n_serial;
	X509 *issuer; /* NULL: self-signed */
	EVP_PKEY *issuer_key;
	EVP_PKEY *key;	      /* public half is enough; self-signed: both */
	const char *org, *cn; /* NULL: left out */
	int64_t not_before_s, not_after_s;
	const char *uri[3]; /* up to the first NULL */
	const char *dns[9];
	int uri_len; /* length of uri[0] when it holds a NUL, else 0 */
	bool no_bc, ca;
	int pathlen; /* < 0: none */
	unsigned ku; /* mask, bit i = RFC 5280 bit i; 0: no extension */
	bool eku, no_ski, no_aki, san_critical, unknown_critical, second_san;
	const EVP_MD *md; /* NULL: SHA-256 */
};

EVP_PKEY *mf_ref_key(void);
X509 *mf_ref_cert(const struct ref_cert *c);
struct ref_crl {
	X509 *issuer;
	EVP_PKEY *issuer_key;
	int64_t this_s, next_s; /* next_s 0: none */
	X509 *revoked;		/* NULL: an empty list */
	bool critical_ext;	/* an unknown critical extension: a partial list, for all we know */
};
/* Append the DER of a version 2 CRL. */
void mf_ref_crl(const struct ref_crl *c, struct mf_buf *to);
/* Append the DER. */
void mf_ref_der(X509 *x, struct mf_buf *to);
#endif
