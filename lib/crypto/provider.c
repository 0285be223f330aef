#include "crypto/provider.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

static struct {
	pthread_once_t once;
	EVP_MD *sha256;
	EVP_MAC *hmac;
} fetched = { .once = PTHREAD_ONCE_INIT };

static void
fetch_all(void)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL) != 1)
		abort();
	fetched.sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	fetched.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (fetched.sha256 == NULL || fetched.hmac == NULL)
		abort();
	ERR_clear_error();
}

void
mf_crypto_init(void)
{
	if (pthread_once(&fetched.once, fetch_all) != 0)
		abort();
}

const EVP_MD *
mf_crypto_sha256(void)
{
	mf_crypto_init();
	return fetched.sha256;
}

EVP_MAC *
mf_crypto_hmac(void)
{
	mf_crypto_init();
	return fetched.hmac;
}

enum mf_status
mf_crypto_fail(struct mf_err *err, enum mf_status code, const char *what)
{
	unsigned long last = 0;
	bool oom = false;
	/* What failed first is queued first; callers above it add their own reasons on top. */
	for (unsigned long e; (e = ERR_get_error()) != 0; last = e)
		oom = oom || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
	const char *reason = oom ? "out of memory" : last == 0 ? NULL : ERR_reason_error_string(last);
	return MF_FAIL(err, oom ? MF_E_NOMEM : code, "%s: %s", what,
	    reason == NULL ? "libcrypto gave no reason" : reason);
}

enum mf_status
mf_crypto_ok(void)
{
	ERR_clear_error();
	return MF_OK;
}
