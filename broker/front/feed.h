/*
 * feed: durable records from the notary into the read model.
 *
 * The tables are a view: records wait until many came, 50 ms passed or somebody reads (mf_feed_readable),
 * and are then applied in one transaction. What decides here whether a node may connect does not wait.
 *
 * While the disk or memory is short, messages wait here (bounded) and are tried again every second, so that a full
 * disk costs operators fresh tables and agents nothing. What cannot be cured in this process is told once
 * (ops->stuck): the owner ends the process, and the next one starts from what is on disk.
 *
 * When records do not follow, the file is deleted first, so the next process rebuilds from 0. If even a rebuild that
 * this process began from 0 meets such a record, dying would not help: the feed stops, reading is refused with the
 * reason, sessions go on.
 *
 * Loop's thread.
 */
#ifndef MF_FRONT_FEED_H
#define MF_FRONT_FEED_H
#include "broker/front/read_model.h"
#include "net/loop.h"

#define MF_FEED_WAITING_MAX (8u * 1024u * 1024u) /* bytes of records that wait for the disk */

struct mf_feed; /* opaque */

struct mf_feed_ops {
	void (*applied)(void *ctx, uint64_t size); /* records [0, size) are in the tables */
	void (*stuck)(void *ctx, const struct mf_err *err);
};

/* ${rm} outlives the feed; ${fresh}: it was made by this process, empty. */
MF_NODISCARD enum mf_status mf_feed_new(struct mf_loop *l, struct mf_read_model *rm, bool fresh,
    const struct mf_feed_ops *ops, void *ctx, struct mf_feed **ret_f, struct mf_err *err);
void mf_feed_free(struct mf_feed *f);
MF_DEFINE_CLEANUP(struct mf_feed, mf_feed_free)

/* A link to a notary begins: its feed starts at the applied index, so what waits is dropped. */
void mf_feed_begin(struct mf_feed *f);
/* Records in order, copied when they must wait. ${log_size}: durable records of the log. */
void
mf_feed_take(struct mf_feed *f, uint64_t first, const struct mf_slice *records, size_t n, uint64_t log_size);
/* Records [0, size) are waited for: applied as soon as they are there. */
void mf_feed_want(struct mf_feed *f, uint64_t size);
/* What came is applied. */
void mf_feed_now(struct mf_feed *f);
/*
 * Before each reading: what came is applied. MF_OK, or why the tables cannot be trusted to be readable
 * (MF_E_UNAVAILABLE).
 */
MF_NODISCARD enum mf_status mf_feed_readable(struct mf_feed *f, struct mf_err *err);
/* Waiting for disk or memory: the text of the last failure; NULL: not waiting. */
const char *mf_feed_trouble(const struct mf_feed *f);
uint64_t mf_feed_log_size(const struct mf_feed *f);
#endif
