#include "net/trim.h"

#include <malloc.h>
#include <stdlib.h>

struct mf_trim {
	struct mf_loop_timer *timer;
	uint64_t after_ms, count;
};

static void
due(void *ctx)
{
	struct mf_trim *t = ctx;
	(void)malloc_trim(0);
	t->count++;
}

enum mf_status
mf_trim_new(struct mf_loop *l, uint64_t after_ms, struct mf_trim **ret_t, struct mf_err *err)
{
	struct mf_trim *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	t->after_ms = after_ms == 0 ? MF_TRIM_AFTER_MS : after_ms;
	enum mf_status s = mf_loop_timer_new(l, due, t, &t->timer, err);
	if (s != MF_OK)
		free(t);
	else
		*ret_t = t;
	return s;
}

void
mf_trim_free(struct mf_trim *t)
{
	if (t == NULL)
		return;
	mf_loop_timer_free(t->timer);
	free(t);
}

void
mf_trim_soon(struct mf_trim *t)
{
	if (!mf_loop_timer_pending(t->timer))
		mf_loop_timer_set(t->timer, t->after_ms);
}

uint64_t
mf_trim_count(const struct mf_trim *t)
{
	return t->count;
}
