/*
 * x509_upstream: an upstream CA from files: a company's CA that signs our own signing certificate, so that verifiers
 * hold the company's root and nothing of ours. The files are judged whole before anything is signed; what is wrong is said with
 * the file's place in the configuration (`cert`, `key`, `bundle`) and the cure.
 *
 * The key is in libcrypto's memory while the object lives: make it, sign, free it. One thread at a time.
 */
#ifndef MF_CODEC_X509_UPSTREAM_H
#define MF_CODEC_X509_UPSTREAM_H
#include "codec/x509_write.h"

/*
 * Between our signing certificate and the root: a server shows leaf, ours, these and the root, MF_LIM_CHAIN in all.
 */
#define MF_UPSTREAM_BETWEEN (MF_LIM_CHAIN - 3u)
#define MF_UPSTREAM_ROOTS 4u	   /* in the bundle file: each record of a key repeats them */
#define MF_UPSTREAM_DER_MAX 16384u /* bytes of chain and roots together: they fit one record */
#define MF_UPSTREAM_KEY_MAX 16384u /* bytes of the key file */

struct mf_upstream_ca; /* opaque */

struct mf_upstream_ca_files {
	struct mf_slice cert; /* PEM: the upstream CA's certificate, then what is between it and the root */
	struct mf_slice
	    key; /* PEM, unencrypted: its key, RSA of 2048 bits or more or EC on P-256, P-384, P-521 */
	struct mf_slice bundle; /* PEM: the roots; empty: ${cert} is self-signed and itself the root */
};

/* MF_E_INVALID, MF_E_TOOBIG and MF_E_UNSUPPORTED say what to change. */
MF_NODISCARD enum mf_status mf_upstream_ca_new(const struct mf_upstream_ca_files *files,
    struct mf_slice trust_domain, int64_t now_s, struct mf_upstream_ca **ret_u, struct mf_err *err);
void mf_upstream_ca_free(struct mf_upstream_ca *u); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_upstream_ca, mf_upstream_ca_free)

/* Slices live as long as ${u}. */
const struct mf_x509_issuer *mf_upstream_ca_issuer(const struct mf_upstream_ca *u);
struct mf_slice
mf_upstream_ca_between(const struct mf_upstream_ca *u); /* DER: what follows ours in chains; no root */
struct mf_slice
mf_upstream_ca_roots(const struct mf_upstream_ca *u); /* DER: that of the path first, then the others */
int64_t
mf_upstream_ca_not_before_s(const struct mf_upstream_ca *u); /* the latest of the path, root included */
int64_t
mf_upstream_ca_not_after_s(const struct mf_upstream_ca *u); /* the earliest: nothing under it lives longer */
/* Append the Certificate: ${tbs}, signed by the upstream key. */
MF_NODISCARD enum mf_status mf_upstream_ca_sign(
    const struct mf_upstream_ca *u, struct mf_slice tbs, struct mf_buf *cert, struct mf_err *err);

/*
 * Does ${chain_der} (our signing certificate first) lead to one of ${roots_der}, as RFC 5280 says, dates aside? MF_E_INVALID
 * says why not: name constraints, a path length, a signature.
 */
MF_NODISCARD enum mf_status
mf_upstream_ca_check_path(struct mf_slice chain_der, struct mf_slice roots_der, struct mf_err *err);
#endif
