/*
 * sign_kit: persons who sign admin acts with Ed25519 SSH keys, as ssh-keygen -Y sign does. Aborts on any failure.
 */
#ifndef MF_TEST_SIGN_KIT_H
#define MF_TEST_SIGN_KIT_H
#include "base/buf.h"
#include "crypto/ed25519.h"

struct sign_key {
	struct mf_ed25519 *key;
	struct mf_buf blob; /* public, as SSH writes it */
};
void mf_sign_key_init(struct sign_key *k);
void mf_sign_key_fini(struct sign_key *k);
/* Append the line of ${person}'s key to an allowed signers file. */
void mf_sign_key_line(const struct sign_key *k, const char *person, struct mf_buf *to);
/* Append an SSHSIG (not armored) over ${text}. */
void mf_sign_text(const struct sign_key *k, const char *name_space, struct mf_slice text, struct mf_buf *to);
#endif
