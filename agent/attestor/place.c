#include "agent/attestor/place.h"

#include "agent/attestor/cgroup.h"
#include "base/limits.h"
#include "base/text.h"

const struct mf_classifier *const mf_classifiers[] = { &mf_place_run, &mf_place_slurm, &mf_place_container,
	&mf_place_systemd, &mf_place_runc, &mf_place_plain, NULL };

struct mf_slice
mf_place_part(struct mf_slice path, size_t *at)
{
	size_t from = *at + 1, to = from;
	if (*at >= path.n)
		return mf_slice_sub(path, path.n, 0);
	while (to < path.n && path.p[to] != '/')
		to++;
	*at = to;
	return mf_slice_sub(path, from, to - from);
}

bool
mf_place_ends(struct mf_slice s, const char *tail)
{
	size_t n = strlen(tail);
	return s.n >= n && memcmp(s.p + s.n - n, tail, n) == 0;
}

bool
mf_place_hex(struct mf_slice s, size_t len)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == len;
}

bool
mf_place_decimal(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n >= 1 && s.n <= 10 && (s.n == 1 || s.p[0] != '0');
}

bool
mf_place_user_manager(struct mf_slice path, size_t *at, struct mf_slice *ret_owner)
{
	size_t to = 0;
	struct mf_slice top = mf_place_part(path, &to);
	struct mf_slice slice = mf_place_part(path, &to);
	struct mf_slice manager = mf_place_part(path, &to);
	if (!mf_slice_eq_str(top, "user.slice") || !mf_slice_starts(slice, MF_SLICE_LIT("user-")) ||
	    !mf_place_ends(slice, ".slice") || slice.n < 12 ||
	    !mf_slice_starts(manager, MF_SLICE_LIT("user@")) || !mf_place_ends(manager, ".service") ||
	    manager.n < 14)
		return false;
	struct mf_slice uid = mf_slice_sub(slice, 5, slice.n - 11);
	struct mf_slice same = mf_slice_sub(manager, 5, manager.n - 13);
	if (!mf_place_decimal(uid) || !mf_slice_eq(uid, same))
		return false;
	*at = to;
	*ret_owner = manager;
	return true;
}

void
mf_place_say(struct mf_place *p, const char *key, struct mf_slice owner, struct mf_slice value)
{
	if (p->n_facts < MF_PLACE_FACTS_MAX)
		p->facts[p->n_facts++] = (struct mf_place_fact) { key, owner, value, false };
}

static bool
plain(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return mf_utf8_ok(s);
}

bool
mf_place_fact_put(struct mf_buf *to, const struct mf_place_fact *f)
{
	size_t n = strlen(f->key) + 1 + f->owner.n + (f->owner.n > 0 ? 1u : 0u) + f->value.n;
	if (f->value.n == 0 || n > MF_LIM_SELECTOR || !plain(f->owner) || !plain(f->value))
		return false;
	mf_buf_put_str(to, f->key);
	mf_buf_put_u8(to, ':');
	if (f->owner.n > 0) {
		mf_buf_put_slice(to, f->owner);
		mf_buf_put_u8(to, '/');
	}
	for (size_t i = 0; i < f->value.n; i++)
		mf_buf_put_u8(to, f->dashes && f->value.p[i] == '_' ? '-' : f->value.p[i]);
	mf_buf_put_u8(to, '\n');
	return true;
}

void
mf_place_of(struct mf_slice path, const struct mf_place_env *env, struct mf_place *ret_p)
{
	*ret_p = (struct mf_place) { .use = MF_CGROUP_SHARED };
	if (!mf_cgroup_path_ok(path) || path.n == 1)
		return;
	/* What holds the agent itself never goes empty: it is nobody's job. */
	if (mf_slice_starts(env->own, path) && (env->own.n == path.n || env->own.p[path.n] == '/'))
		return;
	for (const struct mf_classifier *const *c = mf_classifiers; *c != NULL; c++) {
		struct mf_place p = { .by = *c, .use = MF_CGROUP_SHARED };
		if (!(*c)->match(path, env, &p))
			continue;
		*ret_p = p;
		return;
	}
}
