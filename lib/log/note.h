/*
 * note: signed notes (C2SP signed-note v1.0.0) with Ed25519 keys, and the vkey text that names such a key.
 *
 *   note = text (ends in a newline) | empty line | lines "— <name> <base64(key id u32be | signature)>"
 *   vkey = <name>+<8 hex letters of the key id>+<base64(0x01 | public key)>
 *
 * Pure: no I/O. Input is hostile bytes, at most MF_LIM_NOTE.
 */
#ifndef MF_LOG_NOTE_H
#define MF_LOG_NOTE_H
#include "base/buf.h"
#include "base/limits.h"
#include "crypto/ed25519.h"

struct mf_note_key {
	char name[MF_LIM_NOTE_NAME + 1];
	uint32_t id;
	uint8_t public_key[MF_ED25519_KEY_SIZE];
};

/* ${name}: printable ASCII without blanks and '+', 1..MF_LIM_NOTE_NAME bytes; MF_E_INVALID otherwise. */
MF_NODISCARD enum mf_status mf_note_key_init(struct mf_slice name,
    const uint8_t public_key[MF_ED25519_KEY_SIZE], struct mf_note_key *ret_key, struct mf_err *err);
/* A vkey; white space at its end (a file's newline) is ignored. MF_E_UNSUPPORTED: another kind of key. */
MF_NODISCARD enum mf_status
mf_note_key_parse(struct mf_slice vkey, struct mf_note_key *ret_key, struct mf_err *err);
void mf_note_key_put(const struct mf_note_key *key, struct mf_buf *to); /* the vkey, without a newline */

/*
 * Append ${text}, the empty line and ${name}'s signature to ${to}. ${text} must end in a newline, be UTF-8 and
 * hold no other control characters.
 */
MF_NODISCARD enum mf_status mf_note_sign(struct mf_slice text, struct mf_slice name,
    const struct mf_ed25519 *key, struct mf_buf *to, struct mf_err *err);
/*
 * Check the form of ${note} and the signatures by ${keys}; signatures by others are ignored. *ret_text points
 * into ${note}, *ret_by is the first key that signed. MF_E_INVALID: not a note; MF_E_UNAUTH: a known key's
 * signature does not verify, or no known key signed.
 */
MF_NODISCARD enum mf_status mf_note_open(struct mf_slice note, const struct mf_note_key *keys, size_t n,
    struct mf_slice *ret_text, const struct mf_note_key **ret_by, struct mf_err *err);
#endif
