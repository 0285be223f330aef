/*
 * noise: one end of a Noise_IK_25519_AESGCM_SHA256 session (Noise revision 34), without I/O.
 *
 * IK is two messages:   initiator -> e, es, s, ss     responder -> e, ee, se
 * The initiator calls write, read; the responder read, write; then both seal and open transport
 * messages. Every message is used in strict order: a message that does not verify (altered,
 * replayed, reordered, from another session) ends the object. From then on every call but free
 * fails with MF_E_CLOSED; the keys are gone. There is no retry: make a new session.
 *
 * What the responder knows after message 1 is a claim that can be a replay: nothing may change state
 * before the first transport message of the initiator has opened.
 *
 * An object belongs to one thread at a time.
 */
#ifndef MF_CRYPTO_NOISE_H
#define MF_CRYPTO_NOISE_H
#include "base/buf.h"
#include "crypto/x25519.h"

#define MF_NOISE_HASH 32
#define MF_NOISE_MESSAGE_MAX 65535u /* bytes of any message, Noise 3 */
#define MF_NOISE_TAG 16u
/* Sizes of the handshake messages with empty payloads; ours have no others. */
#define MF_NOISE_MESSAGE_1 96u
#define MF_NOISE_MESSAGE_2 48u
/*
 * Transport messages per direction and session. Noise allows 2^64-2; we stop where AES-GCM's margin
 * for 16 KiB messages is still 2^-60 (RFC 8446 5.5 draws the line at 2^24.5).
 */
#define MF_NOISE_TRANSPORT_MAX (UINT64_C(1) << 24)

enum mf_noise_role { MF_NOISE_INITIATOR = 1, MF_NOISE_RESPONDER };

struct mf_noise_conf {
	enum mf_noise_role role;
	struct mf_slice prologue;	      /* both ends must give the same bytes; copied */
	const struct mf_x25519 *local_static; /* borrowed until the handshake is over */
	const uint8_t *remote_static;	      /* 32 bytes; initiator only, else NULL */
	const struct mf_rand *rand;	      /* for the ephemeral key; NULL: the kernel's */
	uint64_t transport_max;		      /* 0: MF_NOISE_TRANSPORT_MAX; a test may lower it */
};

struct mf_noise; /* opaque */

MF_NODISCARD enum mf_status
mf_noise_new(const struct mf_noise_conf *conf, struct mf_noise **ret_noise, struct mf_err *err);
void mf_noise_free(struct mf_noise *n); /* NULL is a no-op; wipes all keys */
MF_DEFINE_CLEANUP(struct mf_noise, mf_noise_free)

/*
 * Append our handshake message to ${out}. MF_E_STATE when it is not our turn (nothing is lost).
 * Payloads exist for the public vectors; Mayfly's handshake carries none.
 */
MF_NODISCARD enum mf_status
mf_noise_write(struct mf_noise *n, struct mf_slice payload, struct mf_buf *out, struct mf_err *err);
/*
 * Take the peer's handshake message. Its payload is appended to ${payload}; NULL means that it must
 * be empty. MF_E_STATE when it is not the peer's turn (nothing is lost); MF_E_UNAUTH when the
 * message does not verify: other prologue, other static key, altered bytes.
 */
MF_NODISCARD enum mf_status
mf_noise_read(struct mf_noise *n, struct mf_slice message, struct mf_buf *payload, struct mf_err *err);

/* End the session now: its keys are wiped, every later call fails with MF_E_CLOSED. */
void mf_noise_end(struct mf_noise *n);

bool mf_noise_ready(const struct mf_noise *n); /* handshake done and session alive */
/* The handshake hash, a unique name of this session that evidence can sign. MF_E_STATE before ready. */
MF_NODISCARD enum mf_status
mf_noise_hash(const struct mf_noise *n, uint8_t ret_hash[MF_NOISE_HASH], struct mf_err *err);
/* The peer's static key: initiator always, responder after message 1. MF_E_STATE before. */
MF_NODISCARD enum mf_status
mf_noise_remote_static(const struct mf_noise *n, uint8_t ret_key[MF_X25519_SIZE], struct mf_err *err);

/*
 * Transport. seal appends plain.n + 16 bytes to ${out} and must be called in the order of the wire.
 * open appends the plaintext. Any failure ends the session, MF_E_STATE (handshake not done) excepted.
 * MF_E_EXHAUSTED: transport_max messages were used in this direction.
 */
MF_NODISCARD enum mf_status
mf_noise_seal(struct mf_noise *n, struct mf_slice plain, struct mf_buf *out, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_noise_open(struct mf_noise *n, struct mf_slice sealed, struct mf_buf *out, struct mf_err *err);
#endif
