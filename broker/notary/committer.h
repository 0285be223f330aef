/*
 * committer: the one thread that writes the log. Whatever was pushed during the last sync is the next batch, with no
 * gathering timer; removals and the rest go in runs, in order. The head is signed after the sync, at most one second
 * later and at the end. Snapshots are made beside it, by a thread of their own, at each rollover.
 */
#ifndef MF_NOTARY_COMMITTER_H
#define MF_NOTARY_COMMITTER_H
#include "broker/notary/mailbox.h"
#include "crypto/ed25519.h"
#include "log/checkpoint.h"
#include "log/wal.h"

struct mf_committer; /* opaque */

enum mf_commit_event_kind {
	MF_COMMIT_DURABLE,  /* records below ${size} are on disk */
	MF_COMMIT_ROOM,	    /* ${room}: whether normal records are taken */
	MF_COMMIT_SNAPSHOT, /* ${size}, ${sha256} */
	MF_COMMIT_FAILED    /* the disk is not to be trusted, or refused a record that was applied: exit */
};
struct mf_commit_event {
	struct mf_list at;
	enum mf_commit_event_kind kind;
	uint64_t size;
	bool room;
	uint8_t sha256[32];
	struct mf_err err;
};

struct mf_committer_conf {
	int log_dirfd;
	struct mf_slice origin; /* outlives it, as does the key */
	const struct mf_ed25519 *key;
	const struct mf_wal_head *last_signed; /* NULL: none */
	struct mf_mailbox *inbox;	       /* struct mf_commit_event */
	const struct mf_log_io *io;	       /* as ${wal}'s; NULL: the system's */
	bool by_hand;			       /* no threads: mf_committer_turn does the work (simulation) */
};

/* ${wal} belongs to the committer on MF_OK. */
MF_NODISCARD enum mf_status mf_committer_new(const struct mf_committer_conf *conf, struct mf_wal *wal,
    struct mf_committer **ret_c, struct mf_err *err);
/* Writes what is queued, signs the head, joins the threads. */
void mf_committer_free(struct mf_committer *c);
MF_DEFINE_CLEANUP(struct mf_committer, mf_committer_free)
/*
 * Copied. ${index} is where the state has it: contiguous from the log's size on. A record that would stand elsewhere is
 * not written: MF_COMMIT_FAILED, because the state is not that of the log.
 */
void mf_committer_append(struct mf_committer *c, uint64_t index, struct mf_slice record, bool removal);
/*
 * The same in two steps, both of the thread that appends: held until the push, a removal pushes itself and what is before it.
 * Who holds says when it ends (mf_engine_log_may_wait); the thread never waits for more.
 */
void mf_committer_hold(struct mf_committer *c, uint64_t index, struct mf_slice record, bool removal);
void mf_committer_push(struct mf_committer *c);
/* Whether something is held: *ret_from is the index of the first of it. */
bool mf_committer_holds(const struct mf_committer *c, uint64_t *ret_from);
/* Of one made by hand: what the threads would do now, in their order. */
void mf_committer_turn(struct mf_committer *c);
/* For struct mf_store_hook (the context is the committer). */
void mf_committer_rollover(void *ctx, const struct mf_wal_anchor *anchor);
struct mf_committer_stats {
	uint64_t batches, records, heads;
};
struct mf_committer_stats mf_committer_stats(const struct mf_committer *c);
#endif
