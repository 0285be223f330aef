#include "base/fair.h"

#include <stdlib.h>

#include "base/map.h"

struct mf_fair_lane {
	uint64_t key;
	struct mf_list items;
	struct mf_list turn; /* in fair->ring while somebody waits */
	size_t under_way;
	bool map_oom;
	UT_hash_handle hh;
};

struct mf_fair {
	struct mf_fair_lane *lanes, *kept; /* kept: the last that emptied, for the next one to need one */
	struct mf_list ring;		   /* the head is whose turn it is */
	size_t each, all, waiting, under_way;
};

struct mf_fair *
mf_fair_new(size_t each, size_t all)
{
	struct mf_fair *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	mf_list_init(&f->ring);
	f->each = each;
	f->all = all;
	return f;
}

static struct mf_fair_lane *
find(const struct mf_fair *f, uint64_t key)
{
	struct mf_fair_lane *l = NULL;
	HASH_FIND(hh, f->lanes, &key, sizeof(key), l);
	return l;
}

static struct mf_fair_lane *
lane_of(struct mf_fair *f, uint64_t key)
{
	struct mf_fair_lane *l = find(f, key);
	if (l != NULL)
		return l;
	l = f->kept != NULL ? f->kept : malloc(sizeof(*l));
	f->kept = NULL;
	if (l == NULL)
		return NULL;
	*l = (struct mf_fair_lane) { .key = key };
	mf_list_init(&l->items);
	mf_list_init(&l->turn);
	HASH_ADD(hh, f->lanes, key, sizeof(l->key), l);
	if (!l->map_oom)
		return l;
	free(l);
	return NULL;
}

static void
drop_if_idle(struct mf_fair *f, struct mf_fair_lane *l)
{
	if (!mf_list_empty(&l->items) || l->under_way > 0)
		return;
	HASH_DELETE(hh, f->lanes, l);
	if (f->kept == NULL)
		f->kept = l;
	else
		free(l);
}

void
mf_fair_free(struct mf_fair *f)
{
	struct mf_fair_lane *l, *next;
	if (f == NULL)
		return;
	HASH_ITER(hh, f->lanes, l, next)
	{
		MF_LIST_EACH(n, &l->items)
		mf_fair_remove(f, MF_LIST_ITEM(n, struct mf_fair_item, link));
	}
	mf_fair_forget(f);
	free(f->kept);
	free(f);
}

bool
mf_fair_add(struct mf_fair *f, struct mf_fair_item *item, uint64_t key)
{
	if (item->lane != NULL)
		return true;
	struct mf_fair_lane *l = lane_of(f, key);
	if (l == NULL)
		return false;
	if (mf_list_empty(&l->items))
		mf_list_add_tail(&f->ring, &l->turn);
	mf_list_add_tail(&l->items, &item->link);
	item->lane = l;
	f->waiting++;
	return true;
}

/* Out of its lane, which stays. */
static void
leave(struct mf_fair *f, struct mf_fair_item *item)
{
	struct mf_fair_lane *l = item->lane;
	mf_list_del(&item->link);
	item->lane = NULL;
	f->waiting--;
	if (mf_list_empty(&l->items))
		mf_list_del(&l->turn);
}

void
mf_fair_remove(struct mf_fair *f, struct mf_fair_item *item)
{
	struct mf_fair_lane *l = item->lane;
	if (l == NULL)
		return;
	leave(f, item);
	drop_if_idle(f, l);
}

struct mf_fair_item *
mf_fair_take(struct mf_fair *f)
{
	if (f->all > 0 && f->under_way >= f->all)
		return NULL;
	MF_LIST_EACH(n, &f->ring)
	{
		struct mf_fair_lane *l = MF_LIST_ITEM(n, struct mf_fair_lane, turn);
		if (f->each > 0 && l->under_way >= f->each)
			continue;
		struct mf_fair_item *item = MF_LIST_ITEM(l->items.next, struct mf_fair_item, link);
		leave(f, item);
		if (!mf_list_empty(&l->items)) { /* behind the others */
			mf_list_del(&l->turn);
			mf_list_add_tail(&f->ring, &l->turn);
		}
		if (f->each > 0 || f->all > 0) {
			l->under_way++;
			f->under_way++;
		} else {
			drop_if_idle(f, l);
		}
		return item;
	}
	return NULL;
}

void
mf_fair_done(struct mf_fair *f, uint64_t key)
{
	struct mf_fair_lane *l = find(f, key);
	if (l == NULL || l->under_way == 0)
		return;
	l->under_way--;
	f->under_way--;
	drop_if_idle(f, l);
}

void
mf_fair_forget(struct mf_fair *f)
{
	struct mf_fair_lane *l, *next;
	f->under_way = 0;
	HASH_ITER(hh, f->lanes, l, next)
	{
		l->under_way = 0;
		drop_if_idle(f, l);
	}
}

size_t
mf_fair_waiting(const struct mf_fair *f)
{
	return f->waiting;
}

size_t
mf_fair_under_way(const struct mf_fair *f)
{
	return f->under_way;
}
