/*
 * store: how the notary's state comes back at a start, and snapshots.
 *
 * The log directory:  wal/ (segments)  checkpoint  vkey  snapshots/<16-digit size>.snap
 * A snapshot file is a head with the tree edge at its size, then the text of broker/core/snapshot.h. It is believed
 * only when the tail of the log holds the record snapshot.written with its SHA-256, and the tree that grows from its
 * edge ends in the root of the signed head; else an older one, or the whole log, is read.
 */
#ifndef MF_NOTARY_STORE_H
#define MF_NOTARY_STORE_H
#include "broker/core/state.h"
#include "log/checkpoint.h"
#include "log/wal.h"

struct mf_store_conf {
	const struct mf_log_io *io; /* NULL: the system's */
	int log_dirfd;		    /* outlives the store */
	uint64_t segment;	    /* bytes, 1 MiB to MF_LIM_WAL_SEGMENT; 0: the default */
	const struct mf_note_key *key;
};

/* Where rollovers are told once the writer runs; outlives the writer. */
struct mf_store_hook {
	void (*on_rollover)(
	    void *ctx, const struct mf_wal_anchor *anchor); /* the committer's thread; NULL: nobody */
	void *ctx;
	void *replay; /* store.c's own, during open */
};

struct mf_store_opened {
	struct mf_wal *wal;
	struct mf_state *state;
	struct mf_wal_head signed_head; /* of the checkpoint file */
	bool has_head;
	uint64_t truncated_bytes; /* not 0: record log.recovered */
	uint64_t from_snapshot;	  /* its size; 0: replayed from the beginning */
	uint64_t replayed;
};

/* MF_E_CORRUPT when the log is shorter than its signed head or does not verify: the text names the cure. */
MF_NODISCARD enum mf_status mf_store_open(const struct mf_store_conf *conf, struct mf_store_hook *hook,
    struct mf_store_opened *ret_o, struct mf_err *err);

/*
 * Write ${st}, the state at ${at}, at which a segment begins, as a snapshot file. *ret_sha256 is what the record
 * snapshot.written must say. Older files but one are removed. For who has the state at hand; the next makes it.
 */
MF_NODISCARD enum mf_status mf_store_write(const struct mf_log_io *io, int log_dirfd,
    const struct mf_state *st, const struct mf_wal_anchor *at, uint8_t ret_sha256[32], struct mf_err *err);
/*
 * Fold the log up to ${to} (at which a segment begins) into a state, from the newest older snapshot, and write that as
 * mf_store_write does. Reads only files; any thread.
 */
MF_NODISCARD enum mf_status mf_store_snapshot(const struct mf_log_io *io, int log_dirfd,
    const struct mf_wal_anchor *to, uint8_t ret_sha256[32], struct mf_err *err);
#endif
