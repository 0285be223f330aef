/*
 * broker_keys: the notary's keys and the files they lie in.
 *
 *   keys/ca.key     P-256, PKCS#8, sealed     keys/ca.pem    its certificate (ca_key.h)
 *   keys/log.key    Ed25519, sealed           log/vkey       its verifier key (C2SP), for strangers
 *   keys/inner.key  X25519, sealed            keys/jwt-<set>.<n>.key  P-256 or RSA, sealed (jwt_keys.h)
 * Sealed under the KEK with the broker's id as their id, so that no file serves another broker or purpose.
 * Made once by `mayfly-broker init`, read by the notary at its start; immutable after that, but for the JWT keys, which
 * come and go (broker/notary/key_files.h). Later generations of the CA key are those of ca_key.h; the first one is NULL here
 * when it has gone.
 */
#ifndef MF_BROKER_KEYS_H
#define MF_BROKER_KEYS_H
#include "broker/keys/ca_key.h"
#include "broker/keys/jwt_keys.h"
#include "crypto/ed25519.h"
#include "crypto/kek.h"
#include "crypto/x25519.h"

struct mf_broker_keys {
	struct mf_ca_key *ca; /* the first generation; NULL: gone */
	struct mf_ed25519 *log;
	struct mf_x25519 *inner;
	struct mf_jwt_keys *jwt;
};

struct mf_broker_keys_conf {
	const char *trust_domain, *broker_id;
	int64_t now_s;
	int64_t ca_ttl_s;
	int64_t backdate_s;
	const struct mf_upstream_ca *upstream; /* signs the CA certificate; NULL: it is self-signed */
};

/* New keys and CA certificate; nothing is written. */
MF_NODISCARD enum mf_status mf_broker_keys_make(
    const struct mf_broker_keys_conf *conf, struct mf_broker_keys **ret_k, struct mf_err *err);
/* Write all files into ${keys_dirfd}; MF_E_EXISTS when one is there: keys are never overwritten. */
MF_NODISCARD enum mf_status mf_broker_keys_save(const struct mf_broker_keys *k, const char *broker_id,
    struct mf_kek *kek, int keys_dirfd, struct mf_err *err);
MF_NODISCARD enum mf_status mf_broker_keys_load(const char *trust_domain, const char *broker_id,
    struct mf_kek *kek, int keys_dirfd, struct mf_broker_keys **ret_k, struct mf_err *err);
void mf_broker_keys_free(struct mf_broker_keys *k); /* wipes; NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_broker_keys, mf_broker_keys_free)

/*
 * The log's name: "<trust domain>/mayfly/<broker id>"; after a restore MF_LOG_RESTORED and some letters stand behind that. Append
 * to ${to}.
 */
#define MF_LOG_RESTORED "/r-"
void mf_log_origin(const char *trust_domain, const char *broker_id, struct mf_buf *to);
/*
 * The same as the file vkey in ${log_dirfd} says, which must name ${key} and a log of this broker; without the file it is the
 * first name. MF_E_CORRUPT. Whether the log's records agree is still to be asked.
 */
MF_NODISCARD enum mf_status mf_log_origin_of(int log_dirfd, const char *trust_domain, const char *broker_id,
    const struct mf_ed25519 *key, struct mf_buf *to, struct mf_err *err);
#endif
