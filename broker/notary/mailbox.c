#include "broker/notary/mailbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct mf_mailbox {
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct mf_list items;
	bool closed;
	int fd;
	/* Writes to ${fd}, each of 1: said before they are made; and those of which the taker has not read yet. Nothing said: no read. */
	uint64_t rung, unread;
};

enum mf_status
mf_mailbox_new(bool with_fd, struct mf_mailbox **ret_b, struct mf_err *err)
{
	struct mf_mailbox *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "mailbox: out of memory");
	b->fd = -1;
	if (with_fd && (b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
		free(b);
		return MF_FAIL(err, MF_E_IO, "mailbox: no eventfd");
	}
	pthread_condattr_t a;
	(void)pthread_condattr_init(&a);
	(void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&b->lock, NULL);
	(void)pthread_cond_init(&b->some, &a);
	(void)pthread_condattr_destroy(&a);
	mf_list_init(&b->items);
	*ret_b = b;
	return MF_OK;
}

void
mf_mailbox_free(struct mf_mailbox *b)
{
	if (b == NULL)
		return;
	if (b->fd >= 0)
		(void)close(b->fd);
	(void)pthread_cond_destroy(&b->some);
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}

int
mf_mailbox_fd(const struct mf_mailbox *b)
{
	return b->fd;
}

/* Move all of ${from} behind what is in ${to}. */
static void
splice(struct mf_list *to, struct mf_list *from)
{
	if (mf_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	mf_list_init(from);
}

void
mf_mailbox_post_all(struct mf_mailbox *b, struct mf_list *items)
{
	if (mf_list_empty(items))
		return;
	(void)pthread_mutex_lock(&b->lock);
	bool first = mf_list_empty(&b->items);
	splice(&b->items, items);
	b->rung += first && b->fd >= 0;
	(void)pthread_mutex_unlock(&b->lock);
	if (first) /* unlocked: who wakes up need not wait again */
		(void)pthread_cond_signal(&b->some);
	if (first && b->fd >= 0) {
		uint64_t one = 1;
		ssize_t n = write(b->fd, &one, sizeof(one));
		MF_UNUSED(n); /* it is not full: its reader is told of each */
	}
}

void
mf_mailbox_keep(struct mf_mailbox *b, struct mf_list *items)
{
	(void)pthread_mutex_lock(&b->lock);
	splice(&b->items, items);
	(void)pthread_mutex_unlock(&b->lock);
}

void
mf_mailbox_post(struct mf_mailbox *b, struct mf_list *item)
{
	struct mf_list one;
	mf_list_init(&one);
	mf_list_add_tail(&one, item);
	mf_mailbox_post_all(b, &one);
}

static bool
take_locked(struct mf_mailbox *b, struct mf_list *to)
{
	if (mf_list_empty(&b->items))
		return false;
	splice(to, &b->items);
	return true;
}

bool
mf_mailbox_is_empty(struct mf_mailbox *b)
{
	(void)pthread_mutex_lock(&b->lock);
	bool empty = mf_list_empty(&b->items);
	(void)pthread_mutex_unlock(&b->lock);
	return empty;
}

bool
mf_mailbox_take(struct mf_mailbox *b, struct mf_list *to)
{
	uint64_t n;
	(void)pthread_mutex_lock(&b->lock);
	bool some = take_locked(b, to);
	b->unread += b->rung;
	b->rung = 0;
	(void)pthread_mutex_unlock(&b->lock);
	/* One that is still to be written wakes its reader once for nothing. */
	if (b->unread > 0 && read(b->fd, &n, sizeof(n)) == (ssize_t)sizeof(n))
		b->unread -= n < b->unread ? n : b->unread;
	return some;
}

bool
mf_mailbox_wait(struct mf_mailbox *b, struct mf_list *to, uint64_t timeout_ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	if (timeout_ms != UINT64_MAX) {
		until.tv_sec += (time_t)(timeout_ms / 1000);
		until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
	}
	(void)pthread_mutex_lock(&b->lock);
	while (mf_list_empty(&b->items) && !b->closed) {
		if (timeout_ms == UINT64_MAX)
			(void)pthread_cond_wait(&b->some, &b->lock);
		else if (pthread_cond_timedwait(&b->some, &b->lock, &until) != 0)
			break;
	}
	bool some = take_locked(b, to);
	(void)pthread_mutex_unlock(&b->lock);
	return some;
}

void
mf_mailbox_close(struct mf_mailbox *b)
{
	(void)pthread_mutex_lock(&b->lock);
	b->closed = true;
	(void)pthread_cond_broadcast(&b->some);
	(void)pthread_mutex_unlock(&b->lock);
}

bool
mf_mailbox_closed(struct mf_mailbox *b)
{
	(void)pthread_mutex_lock(&b->lock);
	bool closed = b->closed;
	(void)pthread_mutex_unlock(&b->lock);
	return closed;
}
