/*
 * mailbox: a queue between threads. Many may post; one takes. The taker either blocks (workers, committer) or polls
 * the descriptor of the box (state thread). Items are intrusive; the box never frees them.
 */
#ifndef MF_NOTARY_MAILBOX_H
#define MF_NOTARY_MAILBOX_H
#include "base/err.h"
#include "base/list.h"

struct mf_mailbox; /* opaque */

MF_NODISCARD enum mf_status mf_mailbox_new(bool with_fd, struct mf_mailbox **ret_b, struct mf_err *err);
void mf_mailbox_free(struct mf_mailbox *b); /* must be empty; NULL is a no-op */
/* ${item} is an initialised node of the caller's struct. Never blocks for long, never fails. */
void mf_mailbox_post(struct mf_mailbox *b, struct mf_list *item);
/* All of ${items}, in order; ${items} is empty then. */
void mf_mailbox_post_all(struct mf_mailbox *b, struct mf_list *items);
/* The same by the one who takes, for itself: nobody is woken. */
void mf_mailbox_keep(struct mf_mailbox *b, struct mf_list *items);
/* Move everything that is there to ${to} (appended). False when nothing was. */
bool mf_mailbox_take(struct mf_mailbox *b, struct mf_list *to);
/* The same, but wait for up to ${timeout_ms} (UINT64_MAX: for ever), or until mf_mailbox_close. */
bool mf_mailbox_wait(struct mf_mailbox *b, struct mf_list *to, uint64_t timeout_ms);
/* Waiters return; what is posted later stays. */
void mf_mailbox_close(struct mf_mailbox *b);
bool mf_mailbox_closed(struct mf_mailbox *b);
bool mf_mailbox_is_empty(struct mf_mailbox *b);
int mf_mailbox_fd(const struct mf_mailbox *b); /* readable while something is there; -1 when made without */
#endif
