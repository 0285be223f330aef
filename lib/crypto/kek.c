#include "crypto/kek.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/provider.h"

#define PASS_MIN 12u
#define PASS_MAX 1024u
#define SCRYPT_R 8u
#define SCRYPT_P 1u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_KDF *scrypt;

MF_DEFINE_CLEANUP(EVP_KDF_CTX, EVP_KDF_CTX_free)

struct mf_kek {
	struct mf_secret *key;	/* raw, or derived for ${params}; NULL: not derived yet */
	struct mf_secret *pass; /* NULL: a raw key */
	struct mf_kek_params own, params;
};

static void
fetch(void)
{
	mf_crypto_init();
	scrypt = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	ERR_clear_error(); /* a FIPS libcrypto has none: derive says so */
}

static enum mf_status
secret_copy(struct mf_slice from, struct mf_secret **ret_s, struct mf_err *err)
{
	MF_TRY(mf_secret_new(from.n, ret_s, err));
	memcpy(mf_secret_bytes(*ret_s), from.p, from.n);
	return MF_OK;
}

enum mf_status
mf_kek_raw(struct mf_slice key, struct mf_kek **ret_kek, struct mf_err *err)
{
	if (key.n != MF_KEK_SIZE)
		return MF_FAIL(err, MF_E_INVALID,
		    "key-encryption key: %zu bytes, not 32 (make one with: head -c 32 /dev/urandom)", key.n);
	MF_AUTO(mf_kek_free) struct mf_kek *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "key-encryption key: out of memory");
	MF_TRY(secret_copy(key, &k->key, err));
	*ret_kek = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_kek_passphrase(
    struct mf_slice passphrase, const struct mf_rand *rand, struct mf_kek **ret_kek, struct mf_err *err)
{
	if (passphrase.n < PASS_MIN || passphrase.n > PASS_MAX)
		return MF_FAIL(err, MF_E_INVALID, "passphrase: %zu bytes, not %u to %u", passphrase.n,
		    PASS_MIN, PASS_MAX);
	if (pthread_once(&once, fetch) != 0)
		abort();
	const struct mf_rand from = rand == NULL ? mf_rand_system() : *rand;
	MF_AUTO(mf_kek_free) struct mf_kek *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "key-encryption key: out of memory");
	MF_TRY(secret_copy(passphrase, &k->pass, err));
	k->own.passphrase = true;
	k->own.log2_n = MF_KEK_LOG2_N;
	from.fill(from.ctx, k->own.salt, sizeof(k->own.salt));
	*ret_kek = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_kek_copy(const struct mf_kek *kek, struct mf_kek **ret_kek, struct mf_err *err)
{
	return kek->pass != NULL ? mf_kek_passphrase(mf_secret_slice(kek->pass), NULL, ret_kek, err)
				 : mf_kek_raw(mf_secret_slice(kek->key), ret_kek, err);
}

void
mf_kek_free(struct mf_kek *kek)
{
	if (kek == NULL)
		return;
	mf_secret_free(kek->key);
	mf_secret_free(kek->pass);
	free(kek);
}

const struct mf_kek_params *
mf_kek_own_params(const struct mf_kek *kek)
{
	return &kek->own;
}

static enum mf_status
derive(struct mf_kek *k, const struct mf_kek_params *p, struct mf_err *err)
{
	uint64_t n = UINT64_C(1) << p->log2_n;
	uint32_t r = SCRYPT_R, par = SCRYPT_P;
	uint64_t room = n * SCRYPT_R * 128 * 2; /* what it needs, twice */
	uint8_t salt[sizeof(p->salt)];
	memcpy(salt, p->salt, sizeof(salt));
	if (scrypt == NULL)
		return MF_FAIL(
		    err, MF_E_UNSUPPORTED, "passphrase: this libcrypto has no scrypt; use a raw key");
	MF_AUTO(mf_secret_free) struct mf_secret *key = NULL;
	MF_TRY(mf_secret_new(MF_KEK_SIZE, &key, err));
	MF_AUTO(EVP_KDF_CTX_free) EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(scrypt);
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
		    OSSL_KDF_PARAM_PASSWORD, mf_secret_bytes(k->pass), mf_secret_size(k->pass)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &par),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &room),
		OSSL_PARAM_construct_end(),
	};
	if (ctx == NULL || EVP_KDF_derive(ctx, mf_secret_bytes(key), MF_KEK_SIZE, params) != 1)
		return mf_crypto_fail(err, MF_E_NOMEM, "scrypt");
	ERR_clear_error();
	mf_secret_free(k->key);
	k->key = MF_TAKE(key);
	k->params = *p;
	return MF_OK;
}

enum mf_status
mf_kek_key(struct mf_kek *kek, const struct mf_kek_params *p, struct mf_slice *ret_key, struct mf_err *err)
{
	if (p->passphrase != (kek->pass != NULL))
		return MF_FAIL(err, MF_E_DENIED, "key file: sealed with a %s, but a %s was given",
		    p->passphrase ? "passphrase" : "raw key", p->passphrase ? "raw key" : "passphrase");
	if (p->passphrase) {
		if (p->log2_n < MF_KEK_LOG2_N_MIN || p->log2_n > MF_KEK_LOG2_N_MAX)
			return MF_FAIL(err, MF_E_INVALID, "key file: scrypt cost 2^%u", p->log2_n);
		if (kek->key == NULL || kek->params.log2_n != p->log2_n ||
		    memcmp(kek->params.salt, p->salt, sizeof(p->salt)) != 0)
			MF_TRY(derive(kek, p, err));
	}
	*ret_key = mf_secret_slice(kek->key);
	return MF_OK;
}

/* A file that others may read or change is no secret. Pipes and sockets have no such rights. */
static enum mf_status
check_rights(int fd, struct mf_err *err)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "key-encryption key: fstat: errno %d", errno);
	if (!S_ISREG(st.st_mode))
		return MF_OK;
	if ((st.st_mode & 077) != 0)
		return MF_FAIL(err, MF_E_DENIED,
		    "key-encryption key: mode %03o lets others at it; run: chmod 600 on the file, and make a "
		    "new key",
		    (unsigned)(st.st_mode & 0777));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return MF_FAIL(err, MF_E_DENIED,
		    "key-encryption key: the file belongs to uid %u; run: chown root", (unsigned)st.st_uid);
	return MF_OK;
}

enum mf_status
mf_kek_read_fd(int fd, enum mf_kek_kind kind, struct mf_kek **ret_kek, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *s = NULL;
	MF_TRY(check_rights(fd, err));
	MF_TRY(mf_secret_new(PASS_MAX + 2, &s, err)); /* room to see that there is too much */
	size_t n = 0;
	for (;;) {
		ssize_t got = read(fd, mf_secret_bytes(s) + n, mf_secret_size(s) - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return MF_FAIL(err, MF_E_IO, "key-encryption key: read: errno %d", errno);
		n += (size_t)got;
		if (got == 0 || n == mf_secret_size(s))
			break;
	}
	struct mf_slice in = mf_slice_sub(mf_secret_slice(s), 0, n);
	if (kind == MF_KEK_RAW)
		return mf_kek_raw(in, ret_kek, err);
	if (in.n > 0 && in.p[in.n - 1] == '\n')
		in.n--;
	return mf_kek_passphrase(in, NULL, ret_kek, err);
}
