/*
 * inner: messages of the inner session on top of a finished Noise handshake, without I/O.
 *
 * Plaintext of one transport message ("chunk"):  u8 flags | 1..16384 bytes
 *   flags bit 0: last chunk of its message; bit 1: removal lane; the other bits are 0
 * A message is 1 byte to 1 MiB; every chunk but its last is full, so a message has one spelling.
 * Each lane joins its own chunks: a removal may overtake a message that is half sent.
 *
 * Chunks are sealed when they are asked for, never before: the order of the nonces is the order on
 * the wire, and what has not left can still be overtaken or replaced. The caller hands every chunk
 * that mf_inner_next gave to the peer, in order, or ends the session.
 *
 * Any failure of mf_inner_next or mf_inner_feed except MF_E_AGAIN ends the session.
 * An object belongs to one thread at a time. See docs/internals/protocols.md, "Inner session".
 */
#ifndef MF_CRYPTO_INNER_H
#define MF_CRYPTO_INNER_H
#include "base/limits.h"
#include "crypto/noise.h"

/* Bytes that mf_inner_next appends at most. */
#define MF_INNER_SEALED_MAX (1u + MF_LIM_INNER_CHUNK + MF_NOISE_TAG)

enum mf_inner_lane { MF_INNER_BOUNDED = 0, MF_INNER_REMOVAL = 1 };

struct mf_inner; /* opaque */

/*
 * The bytes that both ends mix in before the handshake (MF_NOISE prologue): "mayfly-inner-1", a zero
 * byte, trust domain and broker id each after its u16 length. MF_E_INVALID when one is empty or
 * longer than 255 bytes.
 */
MF_NODISCARD enum mf_status mf_inner_prologue(
    struct mf_slice trust_domain, struct mf_slice broker_id, struct mf_buf *out, struct mf_err *err);

/* Takes over ${noise} (mf_noise_ready) on MF_OK. */
MF_NODISCARD enum mf_status
mf_inner_new(struct mf_noise *noise, struct mf_inner **ret_inner, struct mf_err *err);
void mf_inner_free(struct mf_inner *s); /* NULL is a no-op; wipes what is queued */
MF_DEFINE_CLEANUP(struct mf_inner, mf_inner_free)
/* The session under it, for its handshake hash and remote key. */
const struct mf_noise *mf_inner_noise(const struct mf_inner *s);

/*
 * Queue a copy of ${msg} (1 byte to MF_LIM_INNER_MESSAGE).
 * ${coalesce} not 0: a message of this lane with the same key, of which no chunk has left, is replaced
 * in its place; for pushes that state something whole, not for steps.
 * MF_E_EXHAUSTED: the lane is full (MF_LIM_INNER_QUEUE, MF_LIM_INNER_REMOVALS); nothing changed. On
 * the removal lane it means that the peer takes nothing any more: end the session, the resync of the
 * next one carries every removal.
 */
MF_NODISCARD enum mf_status mf_inner_send(
    struct mf_inner *s, enum mf_inner_lane lane, uint64_t coalesce, struct mf_slice msg, struct mf_err *err);
/* Append the next sealed chunk to ${out}, removals first. MF_E_AGAIN (${err} untouched): nothing to send. */
MF_NODISCARD enum mf_status mf_inner_next(struct mf_inner *s, struct mf_buf *out, struct mf_err *err);
bool mf_inner_pending(const struct mf_inner *s); /* mf_inner_next has something */
/* Bytes that both lanes hold, 64 a message for bookkeeping included: what the caps count. */
size_t mf_inner_queued(const struct mf_inner *s);

/*
 * Take one sealed chunk from the peer. MF_OK: ${ret_message} is a whole message, valid until the
 * next feed or free, then wiped. MF_E_AGAIN (${err} untouched): taken, the message goes on.
 */
MF_NODISCARD enum mf_status mf_inner_feed(struct mf_inner *s, struct mf_slice sealed,
    enum mf_inner_lane *ret_lane, struct mf_slice *ret_message, struct mf_err *err);
/*
 * Longest message that feed accepts from now on (at most MF_LIM_INNER_MESSAGE, the default). A
 * responder sets it low until the first message has shown who the initiator is.
 */
void mf_inner_limit_message(struct mf_inner *s, size_t max);

/*
 * The receiver's half by itself: plaintext chunks of both lanes in, messages out. Embedded by value;
 * mf_inner_feed uses it after opening, the fuzz target without.
 */
struct mf_inner_join {
	struct mf_buf lane[2];
	struct mf_buf *done; /* holds the message that was given out last */
	size_t max;
};
void mf_inner_join_init(struct mf_inner_join *j);
void mf_inner_join_fini(struct mf_inner_join *j);
/* As mf_inner_feed. MF_E_INVALID: a rule of the chunk layout is broken; MF_E_TOOBIG: message over ${max}. */
MF_NODISCARD enum mf_status mf_inner_join_feed(struct mf_inner_join *j, struct mf_slice chunk,
    enum mf_inner_lane *ret_lane, struct mf_slice *ret_message, struct mf_err *err);
#endif
