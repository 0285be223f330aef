/*
 * keyfile: secrets at rest, sealed under a key-encryption key.
 *
 * A sealed file is text, fields in this order, one spelling each, one newline after each:
 *   mayfly-key 1
 *   purpose <1 to 32 of a-z 0-9 ->
 *   id <1 to 128 of A-Z a-z 0-9 . _ ->
 *   kdf none | kdf scrypt <log2 N> <salt, 32 hex digits>
 *   nonce <24 hex digits>
 *   sealed <base64 of AES-256-GCM(secret)>
 * The additional data is every byte before the line "sealed": a file that was renamed to serve as
 * another, or edited, does not open.
 */
#ifndef MF_CRYPTO_KEYFILE_H
#define MF_CRYPTO_KEYFILE_H
#include "base/buf.h"
#include "base/limits.h"
#include "crypto/kek.h"

#define MF_KEYFILE_PURPOSE 32u
#define MF_KEYFILE_ID 128u

/*
 * Append the file's text to ${out} (at most MF_LIM_KEYFILE bytes). ${secret} is 1 to
 * MF_LIM_KEYFILE_SECRET bytes; ${rand} (NULL: the kernel's) draws the nonce.
 */
MF_NODISCARD enum mf_status mf_keyfile_seal(struct mf_kek *kek, const char *purpose, const char *id,
    struct mf_slice secret, const struct mf_rand *rand, struct mf_buf *out, struct mf_err *err);
/*
 * Open ${file}; the caller frees the secret. MF_E_INVALID: not a key file, or one of another purpose
 * or id; MF_E_DENIED: sealed with the other kind of KEK; MF_E_CORRUPT: this KEK does not open it.
 */
MF_NODISCARD enum mf_status mf_keyfile_open(struct mf_kek *kek, const char *purpose, const char *id,
    struct mf_slice file, struct mf_secret **ret_secret, struct mf_err *err);

/* The fields of a file, unverified, pointing into it: for listing and for the fuzz target. */
struct mf_keyfile_view {
	struct mf_slice purpose, id;
	struct mf_kek_params kek;
	uint8_t nonce[12];
	struct mf_slice authenticated; /* all before the line "sealed" */
	struct mf_slice sealed;	       /* base64, not yet decoded */
};
MF_NODISCARD enum mf_status
mf_keyfile_parse(struct mf_slice file, struct mf_keyfile_view *ret_view, struct mf_err *err);
#endif
