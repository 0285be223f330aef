#include "agent/attestor/cgroup.h"
#include "agent/attestor/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
has(void *ctx, struct mf_slice name)
{
	MF_UNUSED(ctx);
	return name.n > 0 && name.p[0] == 'r';
}

static bool
same(const struct mf_place *a, const struct mf_place *b)
{
	if (a->by != b->by || a->use != b->use || a->interactive != b->interactive ||
	    a->n_facts != b->n_facts)
		return false;
	for (size_t i = 0; i < a->n_facts; i++)
		if (a->facts[i].key != b->facts[i].key ||
		    !mf_slice_eq(a->facts[i].owner, b->facts[i].owner) ||
		    !mf_slice_eq(a->facts[i].value, b->facts[i].value))
			return false;
	return true;
}

/*
 * First line: a cgroup's path; second: the agent's own; third: the base; the rest is put behind the path, as a job that
 * makes cgroups below its own would. The answer must be about the front of the path and may not change by it.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_slice in = mf_slice(data, size), l[3] = { { 0 } };
	size_t at = 0;
	for (size_t i = 0; i < MF_COUNT(l); i++) {
		size_t from = at;
		while (at < in.n && in.p[at] != '\n')
			at++;
		l[i] = mf_slice_sub(in, from, at - from);
		at += at < in.n;
	}
	struct mf_place_env env = { .own = l[1], .base = l[2], .runc_has = has };
	struct mf_place p, q;
	mf_place_of(l[0], &env, &p);
	if (p.use == MF_CGROUP_SHARED ? p.prefix != 0 : p.by == NULL || p.prefix < 2 || p.prefix > l[0].n)
		__builtin_trap();
	if (p.prefix != 0 && p.prefix != l[0].n && l[0].p[p.prefix] != '/')
		__builtin_trap();
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 65536);
	for (size_t i = 0; i < p.n_facts; i++) {
		size_t before = b.n;
		if (mf_place_fact_put(&b, &p.facts[i]) && (b.n <= before || b.p[b.n - 1] != '\n'))
			__builtin_trap();
	}
	if (p.use == MF_CGROUP_SHARED)
		return 0;
	mf_buf_reset(&b);
	mf_buf_put_slice(&b, l[0]);
	mf_buf_put_u8(&b, '/');
	mf_buf_put_slice(&b, mf_slice_sub(in, at, in.n - at));
	struct mf_slice longer = mf_buf_slice(&b);
	mf_place_of(longer, &env, &q);
	bool holds_agent = mf_slice_starts(env.own, longer); /* which tells nothing at all, by design */
	if (mf_cgroup_path_ok(longer) && !holds_agent &&
	    (!same(&p, &q) || q.prefix != (p.by->leaf ? longer.n : p.prefix)))
		__builtin_trap();
	return 0;
}
