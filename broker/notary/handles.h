/*
 * handles: secrets that a revocation needs (an OAuth access token, for RFC 7009), one file for each credential in STATE/handles:
 *
 *   handles/<credential id>   keyfile (crypto/keyfile.h), purpose "cloud-handle", id "<broker id>.<credential id>"
 *
 * A file is whole and its name durable before mf_handles_keep is answered, and so before the record that says that there is one.
 * It is opened for the revocation only, removed when that is recorded or the credential has expired, and swept at the start:
 * what belongs to no credential that still needs it is removed. The log has a digest only.
 *
 * One thread of its own does files and cryptography, in the order of the calls; those that wait together share one sync of the directory.
 * All calls are the state thread's and never block, but for mf_handles_new and mf_handles_free; answers come from mf_handles_turn only.
 */
#ifndef MF_NOTARY_HANDLES_H
#define MF_NOTARY_HANDLES_H
#include "base/clock.h"
#include "broker/core/state.h"
#include "crypto/kek.h"

struct mf_handles; /* opaque */

/* Answers, from mf_handles_turn. */
struct mf_handles_ops {
	/* ${why} NULL: it is on disk. */
	void (*kept)(void *ctx, const char *cred, const struct mf_err *why);
	/*
	 * ${s} MF_OK: the secret, valid during the call. MF_E_NOTFOUND, MF_E_CORRUPT, MF_E_DENIED, MF_E_INVALID: there is none, or none
	 * that can be opened, and asking again changes nothing.
	 */
	void (*opened)(void *ctx, const char *cred, enum mf_status s, struct mf_slice secret);
};

/*
 * ${dirfd} stays the caller's; ${kek} is copied. Reads the directory; left-overs of a crash are removed. ${ops} outlives it.
 */
MF_NODISCARD enum mf_status mf_handles_new(int dirfd, const char *broker_id, const struct mf_kek *kek,
    const struct mf_handles_ops *ops, void *ctx, struct mf_handles **ret_h, struct mf_err *err);
void
mf_handles_free(struct mf_handles *h); /* what was asked is done first; answers are lost. NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_handles, mf_handles_free)

/* Removes what ${st} does not need: after the engine's start, which may have found intents whose handle is there. */
void mf_handles_sweep(struct mf_handles *h, const struct mf_state *st);
/* A file of that credential is there, or is being written. */
bool mf_handles_has(const struct mf_handles *h, const char *cred);
/* Keep ${secret} (copied) until ${until}, unix seconds. False: no memory, nothing is done and nothing answered. */
bool mf_handles_keep(struct mf_handles *h, const char *cred, struct mf_slice secret, int64_t until);
/* Likewise. */
bool mf_handles_open(struct mf_handles *h, const char *cred);
void mf_handles_drop(struct mf_handles *h, const char *cred); /* none there: nothing */
/* Readable when there are answers for mf_handles_turn. */
int mf_handles_fd(const struct mf_handles *h);
/* Hands over the answers, and drops what has expired. */
void mf_handles_turn(struct mf_handles *h, struct mf_now now);
size_t mf_handles_count(const struct mf_handles *h);
#endif
