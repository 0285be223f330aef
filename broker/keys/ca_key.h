/*
 * ca_key: one generation of the CA key: the key, its certificate, and its file.
 *
 *   keys/ca-<id>.key   P-256, PKCS#8, sealed under the KEK with "<broker id>.<id>" as its id; <id> is the hex of the
 *                      certificate's subject key identifier. Written whole and synced before the record that names it;
 *                      never overwritten. The certificate itself stands in that record.
 *   keys/ca.key, .pem  the first generation, of `mayfly-broker init`; its certificate, then its intermediates
 *   keys/ca-roots.pem  under an upstream CA: the first generation's anchors
 * An object is immutable. The functions keep no state; a KEK may be used by one thread at a time.
 */
#ifndef MF_BROKER_CA_KEY_H
#define MF_BROKER_CA_KEY_H
#include "codec/x509_ca.h"
#include "codec/x509_upstream.h"
#include "crypto/kek.h"

#define MF_CA_KEY_ID (2 * MF_X509_KEY_ID_SIZE) /* letters */

struct mf_ca_key {
	char id[MF_CA_KEY_ID + 1];
	struct mf_p256_key *key;
	struct mf_buf certificate; /* DER: the signing certificate, then its intermediates */
	struct mf_buf
	    anchor; /* DER: what the bundle holds for it, the root of its path first; empty: the certificate */
	int64_t not_before_s, not_after_s;
};
void mf_ca_key_free(struct mf_ca_key *k); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_ca_key, mf_ca_key_free)

struct mf_ca_key_conf {
	const char *trust_domain, *broker_id;
	struct mf_kek *kek;
	int keys_dirfd;
};

/* A new key with a self-signed certificate; nothing is written. */
MF_NODISCARD enum mf_status mf_ca_key_make(const char *trust_domain, int64_t not_before_s,
    int64_t not_after_s, struct mf_ca_key **ret_k, struct mf_err *err);
/* The same with a certificate that ${up} signs; it ends with the upstream's path at the latest. */
MF_NODISCARD enum mf_status mf_ca_key_make_under(const struct mf_upstream_ca *up, const char *trust_domain,
    int64_t not_before_s, int64_t not_after_s, struct mf_ca_key **ret_k, struct mf_err *err);
/* DER of the one certificate that verifiers trust it by: what join tokens pin. Lives as long as ${k}. */
struct mf_slice mf_ca_key_root(const struct mf_ca_key *k);
/* Write its file. MF_E_EXISTS when there is one. */
MF_NODISCARD enum mf_status
mf_ca_key_save(const struct mf_ca_key_conf *conf, const struct mf_ca_key *k, struct mf_err *err);
/*
 * The key of the certificate ${certificate} (as in the struct). MF_E_NOTFOUND: no file; MF_E_CORRUPT: it is the key of
 * another certificate, or this KEK does not open it.
 */
MF_NODISCARD enum mf_status mf_ca_key_load(const struct mf_ca_key_conf *conf, struct mf_slice certificate,
    struct mf_slice anchor, struct mf_ca_key **ret_k, struct mf_err *err);
/* Write it as the first generation. MF_E_EXISTS when there is one. */
MF_NODISCARD enum mf_status
mf_ca_key_save_first(const struct mf_ca_key_conf *conf, const struct mf_ca_key *k, struct mf_err *err);
/* The generation that init made, whatever the log says of it. MF_E_NOTFOUND when it is gone. */
MF_NODISCARD enum mf_status
mf_ca_key_first(const struct mf_ca_key_conf *conf, struct mf_ca_key **ret_k, struct mf_err *err);
/* Each generation's file that is there, the first one's too: ${file} its name, ${id} the key's. */
MF_NODISCARD enum mf_status mf_ca_key_each_file(const struct mf_ca_key_conf *conf,
    void (*f)(void *ctx, const char *file, const char *id), void *ctx, struct mf_err *err);
/* Remove the file of ${id}, and sync. None there: MF_OK. */
MF_NODISCARD enum mf_status
mf_ca_key_remove(const struct mf_ca_key_conf *conf, const char *id, struct mf_err *err);
#endif
