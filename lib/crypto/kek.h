/*
 * kek: the key-encryption key (KEK) under which keys lie on disk (see keyfile.h).
 *
 * It is 32 raw bytes, or a passphrase from which scrypt (r = 8, p = 1) makes them with a salt per
 * object, kept in every file sealed by it. An object belongs to one thread at a time.
 */
#ifndef MF_CRYPTO_KEK_H
#define MF_CRYPTO_KEK_H
#include "base/rand.h"
#include "base/secret.h"

#define MF_KEK_SIZE 32
#define MF_KEK_SALT 16
/* Cost: 2^15 takes 32 MiB and about 0.1 s. A file may ask for another, within bounds. */
#define MF_KEK_LOG2_N 15u
#define MF_KEK_LOG2_N_MIN 14u
#define MF_KEK_LOG2_N_MAX 18u

struct mf_kek; /* opaque */

MF_NODISCARD enum mf_status mf_kek_raw(struct mf_slice key, struct mf_kek **ret_kek, struct mf_err *err);
/* 12 to 1024 bytes. ${rand} (NULL: the kernel's) draws the salt. Derives at first use. */
MF_NODISCARD enum mf_status mf_kek_passphrase(
    struct mf_slice passphrase, const struct mf_rand *rand, struct mf_kek **ret_kek, struct mf_err *err);
/* Another object with the same key, for another thread: a passphrase is derived there anew, with a salt of its own. */
MF_NODISCARD enum mf_status
mf_kek_copy(const struct mf_kek *kek, struct mf_kek **ret_kek, struct mf_err *err);
enum mf_kek_kind { MF_KEK_RAW = 1, MF_KEK_PASSPHRASE };
/*
 * Read the KEK from ${fd} to its end; the caller closes it. A regular file must belong to root or to
 * this user and give nothing to group and others, else MF_E_DENIED. A raw key is exactly 32 bytes; of
 * a passphrase one newline at the end is dropped. Call it before the role confines itself.
 */
MF_NODISCARD enum mf_status
mf_kek_read_fd(int fd, enum mf_kek_kind kind, struct mf_kek **ret_kek, struct mf_err *err);
void mf_kek_free(struct mf_kek *kek); /* NULL is a no-op; wipes */
MF_DEFINE_CLEANUP(struct mf_kek, mf_kek_free)

/* How a file's key is made; for keyfile. */
struct mf_kek_params {
	bool passphrase;
	unsigned log2_n;	   /* when passphrase */
	uint8_t salt[MF_KEK_SALT]; /* when passphrase */
};
/* What this KEK seals with. */
const struct mf_kek_params *mf_kek_own_params(const struct mf_kek *kek);
/*
 * The 32 bytes for ${p}, valid until the next call or free. The last derivation is kept. MF_E_DENIED:
 * the other kind of KEK; MF_E_INVALID: a cost out of bounds.
 */
MF_NODISCARD enum mf_status
mf_kek_key(struct mf_kek *kek, const struct mf_kek_params *p, struct mf_slice *ret_key, struct mf_err *err);
#endif
