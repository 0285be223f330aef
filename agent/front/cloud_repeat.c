#include "agent/front/cloud_repeat.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/secret.h"

struct known {
	struct mf_cloud_repeat what;
	struct mf_buf text; /* empty: none */
};

struct entry {
	uint64_t cgroup_id;
	struct known known[MF_CLOUD_REPEAT_EACH];
	unsigned next; /* to be replaced */
	bool map_oom;
	UT_hash_handle hh; /* in the order in which they came */
};

struct mf_cloud_repeats {
	struct entry *map;
	unsigned of_length[MF_CLOUD_REPEAT_TEXT + 1];
};

struct mf_cloud_repeats *
mf_cloud_repeats_new(void)
{
	return calloc(1, sizeof(struct mf_cloud_repeats));
}

static void
drop_text(struct mf_cloud_repeats *r, struct known *k)
{
	if (k->text.n > 0)
		r->of_length[k->text.n]--;
	mf_buf_fini(&k->text); /* wiped */
}

static void
drop(struct mf_cloud_repeats *r, struct entry *e)
{
	HASH_DEL(r->map, e);
	for (size_t k = 0; k < MF_CLOUD_REPEAT_EACH; k++)
		drop_text(r, &e->known[k]);
	free(e);
}

void
mf_cloud_repeats_clear(struct mf_cloud_repeats *r)
{
	struct entry *e, *next;
	HASH_ITER(hh, r->map, e, next)
	drop(r, e);
}

void
mf_cloud_repeats_free(struct mf_cloud_repeats *r)
{
	if (r == NULL)
		return;
	mf_cloud_repeats_clear(r);
	free(r);
}

static struct entry *
find(const struct mf_cloud_repeats *r, uint64_t cgroup_id)
{
	struct entry *e = NULL;
	HASH_FIND(hh, r->map, &cgroup_id, sizeof(cgroup_id), e);
	return e;
}

void
mf_cloud_repeats_forget(struct mf_cloud_repeats *r, uint64_t cgroup_id)
{
	struct entry *e = find(r, cgroup_id);
	if (e != NULL)
		drop(r, e);
}

static struct entry *
make(struct mf_cloud_repeats *r, uint64_t cgroup_id)
{
	struct entry *e = find(r, cgroup_id);
	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->cgroup_id = cgroup_id;
	for (size_t k = 0; k < MF_CLOUD_REPEAT_EACH; k++)
		mf_buf_init(&e->known[k].text, MF_CLOUD_REPEAT_TEXT);
	HASH_ADD(hh, r->map, cgroup_id, sizeof(e->cgroup_id), e);
	if (e->map_oom) {
		free(e);
		return NULL;
	}
	if (HASH_COUNT(r->map) > MF_CLOUD_REPEAT_MAX)
		drop(r, r->map); /* the first that came */
	return e;
}

static struct known *
known(struct entry *e, struct mf_slice text)
{
	struct known *found = NULL;
	for (size_t k = 0; k < MF_CLOUD_REPEAT_EACH; k++)
		if (e->known[k].text.n > 0 && mf_ct_equal(mf_buf_slice(&e->known[k].text), text))
			found = &e->known[k];
	return found;
}

void
mf_cloud_repeats_add(
    struct mf_cloud_repeats *r, uint64_t cgroup_id, const struct mf_cloud_repeat *what, struct mf_slice text)
{
	struct entry *e = NULL;
	if (cgroup_id == 0 || text.n == 0 || text.n > MF_CLOUD_REPEAT_TEXT)
		return;
	e = make(r, cgroup_id);
	if (e == NULL)
		return;
	struct known *k = known(e, text);
	if (k == NULL)
		k = &e->known[e->next++ % MF_CLOUD_REPEAT_EACH];
	drop_text(r, k);
	mf_buf_put_slice(&k->text, text);
	if (mf_buf_check(&k->text, NULL) != MF_OK) {
		mf_buf_fini(&k->text);
		return;
	}
	k->what = *what;
	r->of_length[text.n]++;
}

bool
mf_cloud_repeats_may(const struct mf_cloud_repeats *r, size_t n)
{
	return n <= MF_CLOUD_REPEAT_TEXT && r->of_length[n] > 0;
}

const struct mf_cloud_repeat *
mf_cloud_repeats_find(const struct mf_cloud_repeats *r, uint64_t cgroup_id, struct mf_slice text)
{
	struct entry *e = cgroup_id == 0 || text.n == 0 ? NULL : find(r, cgroup_id);
	struct known *k = e == NULL ? NULL : known(e, text);
	return k == NULL ? NULL : &k->what;
}
