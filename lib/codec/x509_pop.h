/*
 * x509_pop: proof of possession of a certificate from a CA that somebody else runs (a company's node CA): reading the
 * chain, verifying it, and the signature over the hash of one handshake. Meant for a process that may crash: it is
 * what reads foreign certificates (broker/verifier).
 *
 * Stricter than RFC 5280: the leaf is no CA and may sign; where it names extended usages, client authentication is
 * among them; every certificate of the path has a key and a signature of at least 112 bits (no SHA-1, no RSA
 * below 2048) and issuers say cA and keyCertSign. Keys that may sign: P-256 with SHA-256, P-384 with SHA-384, Ed25519,
 * RSA from 2048 to 8192 bits with PSS, SHA-256 and a salt of 32 bytes; the key alone decides, nothing is negotiated.
 *
 * What is signed: "mayfly-x509pop-1", a zero byte, the 32 bytes of the handshake hash. Any thread.
 */
#ifndef MF_CODEC_X509_POP_H
#define MF_CODEC_X509_POP_H
#include "base/buf.h"
#include "base/limits.h"

#define MF_POP_HASH 32u

struct mf_pop_anchors; /* opaque */
/* ${pem}: one or more CA certificates, PEM as openssl writes it. MF_E_INVALID names what is wrong with which. */
MF_NODISCARD enum mf_status
mf_pop_anchors_new(struct mf_slice pem, struct mf_pop_anchors **ret_a, struct mf_err *err);
void mf_pop_anchors_free(struct mf_pop_anchors *a);
MF_DEFINE_CLEANUP(struct mf_pop_anchors, mf_pop_anchors_free)

/*
 * A mapping "NAME=SOURCE" from a certificate to a node attribute. SOURCE: subject.CN, subject.O, subject.OU, san.dns,
 * san.uri, or extension.<OID> (its value one DER string of ASCII). NULL when good, else what it must be.
 */
const char *mf_pop_rule_check(struct mf_slice rule);

struct mf_pop_evidence {
	const struct mf_slice *chain; /* DER, leaf first */
	size_t n_chain;
	struct mf_slice signature;
	uint8_t hash[MF_POP_HASH]; /* of the handshake that it is for */
};

/*
 * MF_OK: the evidence is good at ${now_s}; to ${to} is appended, for each of ${rules} whose source the leaf has, a line
 * "NAME=VALUE\n" with a value that is one (base/attribute.h). A source that is there twice, or holds
 * another value, refuses the evidence: an attribute is never guessed. MF_E_UNAUTH, MF_E_INVALID, MF_E_TOOBIG, MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_pop_verify(const struct mf_pop_anchors *a, const struct mf_pop_evidence *e,
    int64_t now_s, const struct mf_slice *rules, size_t n_rules, struct mf_buf *to, struct mf_err *err);

/* Append the signature of ${hash} by ${key_pem} (PKCS#8, not encrypted). The text never holds bytes of the key. */
MF_NODISCARD enum mf_status
mf_pop_sign(struct mf_slice key_pem, const uint8_t hash[MF_POP_HASH], struct mf_buf *to, struct mf_err *err);
/* The key fits the certificate. */
MF_NODISCARD enum mf_status
mf_pop_fits(struct mf_slice key_pem, struct mf_slice leaf_der, struct mf_err *err);
#endif
