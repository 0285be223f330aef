/*
 * provider: what every user of libcrypto needs once: algorithms fetched once per process (fetching
 * per call takes a lock in the provider store and halves the throughput of two threads), and
 * libcrypto's errors turned into ours.
 *
 * Thread rule: all calls are thread-safe; the fetched objects are immutable and live for ever.
 */
#ifndef MF_CRYPTO_PROVIDER_H
#define MF_CRYPTO_PROVIDER_H
#include <openssl/evp.h>

#include "base/err.h"

/*
 * Load libcrypto's configuration and fetch what this library uses. Called implicitly by first use,
 * but a role must call it before it confines itself: it opens files. Aborts when libcrypto lacks
 * SHA-256, HMAC or P-256, because nothing can run then.
 */
void mf_crypto_init(void);
const EVP_MD *mf_crypto_sha256(void);
EVP_MAC *mf_crypto_hmac(void);

/*
 * Fill ${err} with "${what}: <libcrypto's last reason>", empty this thread's error queue, yield
 * ${code} (MF_E_NOMEM instead when memory is among the reasons). ${what} never holds secret bytes.
 */
enum mf_status mf_crypto_fail(struct mf_err *err, enum mf_status code, const char *what);
/*
 * MF_OK, and empty this thread's error queue: libcrypto may succeed after a failure that it could do
 * without (an allocation, a cache), and what it left would be blamed on the next caller.
 */
MF_NODISCARD enum mf_status mf_crypto_ok(void);
#endif
