/*
 * sshsig: signatures that `ssh-keygen -Y sign` makes (OpenSSH PROTOCOL.sshsig), taken apart. Pure; no cryptography:
 * that is crypto/ssh_verify.h.
 *
 * Keys: ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa (signing with rsa-sha2-256 or rsa-sha2-512). Hashes of the
 * message: sha256, sha512. One spelling per value: no bytes behind the end, integers without needless zeros.
 * Slices point into the input.
 */
#ifndef MF_CODEC_SSHSIG_H
#define MF_CODEC_SSHSIG_H
#include "base/buf.h"
#include "base/limits.h"

enum mf_ssh_kind { MF_SSH_ED25519, MF_SSH_P256, MF_SSH_P384, MF_SSH_P521, MF_SSH_RSA };

struct mf_ssh_key {
	enum mf_ssh_kind kind;
	struct mf_slice blob;  /* the whole key as SSH writes it: what is compared */
	struct mf_slice point; /* Ed25519: 32 bytes; ECDSA: uncompressed point */
	struct mf_slice e, n;  /* RSA: big-endian, without leading zeros */
};
/* MF_E_UNSUPPORTED names a kind that is not taken (DSA, FIDO keys); MF_E_INVALID else. */
MF_NODISCARD enum mf_status
mf_ssh_key_parse(struct mf_slice blob, struct mf_ssh_key *ret_key, struct mf_err *err);

struct mf_sshsig {
	struct mf_ssh_key key;
	struct mf_slice name_space;
	bool message_sha512;  /* how the message was hashed, else SHA-256 */
	bool rsa_sha512;      /* RSA only: rsa-sha2-512, else rsa-sha2-256 */
	struct mf_slice sig;  /* Ed25519: 64 bytes; RSA: as long as n */
	struct mf_slice r, s; /* ECDSA: big-endian, without leading zeros */
};
/* ${blob}: not armored; at most MF_LIM_SSHSIG bytes. */
MF_NODISCARD enum mf_status
mf_sshsig_parse(struct mf_slice blob, struct mf_sshsig *ret_sig, struct mf_err *err);
/* "-----BEGIN SSH SIGNATURE-----" and so on, as ssh-keygen writes it: appends the blob to ${to}. */
MF_NODISCARD enum mf_status mf_sshsig_unarmor(struct mf_slice text, struct mf_buf *to, struct mf_err *err);
/* Append what the key signed, for a message of this hash (32 or 64 bytes, as the signature says). */
void mf_sshsig_signed(const struct mf_sshsig *sig, struct mf_slice message_hash, struct mf_buf *to);
#endif
