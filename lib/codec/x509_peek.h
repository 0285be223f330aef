/*
 * x509_peek: what a certificate says, by a minimal DER walk. It verifies nothing: for showing (the
 * CLI), for publishing certificates of our own, and for finding a bundle before verification. Whoever
 * decides on a foreign certificate uses codec/x509_read.h.
 *
 * Needs no libcrypto, so a program that links only this loads none. Pure; nothing is allocated; the
 * slices point into the input.
 */
#ifndef MF_CODEC_X509_PEEK_H
#define MF_CODEC_X509_PEEK_H
#include "base/buf.h"
#include "base/limits.h"

/* Bits of key_usage as RFC 5280, 4.2.1.3 numbers them. */
#define MF_X509_KU_DIGITAL_SIGNATURE (1u << 0)
#define MF_X509_KU_KEY_CERT_SIGN (1u << 5)
#define MF_X509_KU_CRL_SIGN (1u << 6)

struct mf_x509_peek {
	struct mf_slice tbs;	 /* TBSCertificate, whole element: what is signed */
	struct mf_slice sig;	 /* signature, contents of the BIT STRING */
	struct mf_slice serial;	 /* its bytes without the leading zero: hex of it is the serial's spelling */
	struct mf_slice issuer;	 /* DER Name, whole element */
	struct mf_slice subject; /* DER Name, whole element */
	struct mf_slice spki;	 /* SubjectPublicKeyInfo, whole element */
	int64_t not_before_s, not_after_s;
	struct mf_slice uri; /* the URI SAN when there is exactly one, else empty */
	unsigned n_uri;
	struct mf_slice ski; /* key identifiers; empty when absent */
	struct mf_slice aki;
	bool has_basic_constraints;
	bool ca;	    /* cA of the basic constraints */
	unsigned key_usage; /* 0 when absent */
};

/* ${der} is one certificate and nothing more, version 3, at most MF_LIM_CERT_DER bytes. MF_E_INVALID, MF_E_TOOBIG. */
MF_NODISCARD enum mf_status
mf_x509_peek(struct mf_slice der, struct mf_x509_peek *ret_peek, struct mf_err *err);
/* The uncompressed P-256 point in ${spki} (65 bytes); false for any other key. Not checked to be on the curve. */
MF_NODISCARD bool mf_x509_peek_point(const struct mf_x509_peek *peek, struct mf_slice *ret_point);
#endif
