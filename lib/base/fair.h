/*
 * fair: things that wait for their turn, one queue for each key (a user, say), served in rotation: who queues a thousand
 * waits behind one of everybody else's, not before. What was taken may be counted as under way until it is reported done:
 * at most ${each} of a key and ${all} together; 0: it is not counted.
 * Not thread-safe. Items are the caller's and must leave the queue (be taken or removed) before they are freed.
 */
#ifndef MF_BASE_FAIR_H
#define MF_BASE_FAIR_H
#include "base/list.h"

struct mf_fair; /* opaque */
struct mf_fair_lane;

struct mf_fair_item {
	struct mf_list link;
	struct mf_fair_lane *lane; /* NULL: it waits for nothing */
};

struct mf_fair *mf_fair_new(size_t each, size_t all); /* NULL: out of memory */
void mf_fair_free(struct mf_fair *f);
MF_DEFINE_CLEANUP(struct mf_fair, mf_fair_free)

/* An item begins zeroed. One that waits already stays where it is. False: out of memory. */
MF_NODISCARD bool mf_fair_add(struct mf_fair *f, struct mf_fair_item *item, uint64_t key);
/* It waits no more; no-op if it did not. */
void mf_fair_remove(struct mf_fair *f, struct mf_fair_item *item);
/* Whose turn it is: it has left the queue and, with caps, is under way. NULL: nobody waits, or nobody may. */
struct mf_fair_item *mf_fair_take(struct mf_fair *f);
/* One of ${key} that was under way is not any more. */
void mf_fair_done(struct mf_fair *f, uint64_t key);
/* Nothing is under way; who waits goes on waiting. */
void mf_fair_forget(struct mf_fair *f);
size_t mf_fair_waiting(const struct mf_fair *f);
size_t mf_fair_under_way(const struct mf_fair *f);
#endif
