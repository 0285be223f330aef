/*
 * svid_key: the private key of an X.509-SVID as an agent delivers it: unencrypted PKCS#8 of any kind that TLS
 * uses. (crypto/p256.h knows only the one kind that we make.)
 *
 * Thread rule: immutable once made; threads may share it.
 */
#ifndef MF_CODEC_SVID_KEY_H
#define MF_CODEC_SVID_KEY_H
#include "base/limits.h"
#include "base/secret.h"

struct mf_svid_key; /* opaque */
struct evp_pkey_st; /* libcrypto's EVP_PKEY */

/*
 * Read ${pkcs8}: EC on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519. MF_E_INVALID: not DER, bytes
 * behind it, an EC scalar that is not the public point's; MF_E_UNSUPPORTED: another kind. Errors never show bytes.
 */
MF_NODISCARD enum mf_status
mf_svid_key_new(struct mf_slice pkcs8, struct mf_svid_key **ret_key, struct mf_err *err);
void mf_svid_key_free(struct mf_svid_key *key); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_svid_key, mf_svid_key_free)

/* MF_OK when ${cert_der} is one certificate of this key; MF_E_INVALID when not. */
MF_NODISCARD enum mf_status
mf_svid_key_fits(const struct mf_svid_key *key, struct mf_slice cert_der, struct mf_err *err);
/* As it came; lives as long as ${key}. All zero in a forked child (base/secret.h). */
struct mf_slice mf_svid_key_pkcs8(const struct mf_svid_key *key);
/* For TLS contexts: borrowed. */
struct evp_pkey_st *mf_svid_key_evp(const struct mf_svid_key *key);
#endif
