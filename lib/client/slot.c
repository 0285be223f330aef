/* The latest snapshot of a watch, shared between threads. */
#include <pthread.h>
#include <stdlib.h>

#include "client/handle.h"

struct mf_slot {
	atomic_uint refs;
	pthread_mutex_t lock; /* of the snapshot; held for a few instructions, never over a call out */
	struct mf_snapshot now;
};

static void
let_go(struct mf_snapshot s)
{
	mayfly_x509_unref(s.x509);
	mayfly_bundles_unref(s.bundles);
	mayfly_jwt_bundles_unref(s.jwt_bundles);
}

enum mf_status
mf_slot_new(struct mf_slot **ret_slot, struct mf_err *err)
{
	struct mf_slot *s = calloc(1, sizeof(*s));
	if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return MF_FAIL(err, MF_E_NOMEM, "watch: out of memory");
	}
	atomic_init(&s->refs, 1);
	*ret_slot = s;
	return MF_OK;
}

void
mf_slot_ref(struct mf_slot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

void
mf_slot_unref(struct mf_slot *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	let_go(s->now);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void
mf_slot_set(struct mf_slot *s, struct mf_snapshot now)
{
	(void)pthread_mutex_lock(&s->lock);
	struct mf_snapshot old = s->now;
	s->now = now;
	(void)pthread_mutex_unlock(&s->lock);
	let_go(old);
}

bool
mf_slot_is_empty(struct mf_slot *s)
{
	(void)pthread_mutex_lock(&s->lock);
	bool empty = s->now.x509 == NULL && s->now.bundles == NULL && s->now.jwt_bundles == NULL;
	(void)pthread_mutex_unlock(&s->lock);
	return empty;
}

mayfly_x509 *
mf_slot_x509(struct mf_slot *s, int64_t now_s)
{
	(void)pthread_mutex_lock(&s->lock);
	mayfly_x509 *x = mayfly_x509_ref(s->now.x509);
	(void)pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; x != NULL && i < x->n; i++)
		if (x->v[i]->leaf.not_after_s >= now_s)
			return x;
	mayfly_x509_unref(x);
	return NULL;
}

mayfly_bundles *
mf_slot_bundles(struct mf_slot *s)
{
	(void)pthread_mutex_lock(&s->lock);
	mayfly_bundles *b = mayfly_bundles_ref(s->now.bundles);
	(void)pthread_mutex_unlock(&s->lock);
	return b;
}

mayfly_jwt_bundles *
mf_slot_jwt_bundles(struct mf_slot *s)
{
	(void)pthread_mutex_lock(&s->lock);
	mayfly_jwt_bundles *b = mayfly_jwt_bundles_ref(s->now.jwt_bundles);
	(void)pthread_mutex_unlock(&s->lock);
	return b;
}
