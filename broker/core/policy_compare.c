/* policy_compare: what le, ge, under and glob mean for one value (contract in policy.h). */
#include "base/clock.h"
#include "base/text.h"
#include "broker/core/policy_internal.h"

enum policy_kind
mf_policy_number(struct mf_slice s, int64_t *ret_v)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t u;
	if (mf_parse_u64(negative ? mf_slice_sub(s, 1, s.n) : s, &u) && u <= INT64_MAX &&
	    !(negative && u == 0)) {
		*ret_v = negative ? -(int64_t)u : (int64_t)u;
		return POLICY_KIND_INT;
	}
	return mf_time_get(s, ret_v, NULL) == MF_OK ? POLICY_KIND_TIME : POLICY_KIND_NONE;
}

/* Where the path begins: after "scheme://authority", which must be in small letters. */
static bool
authority(struct mf_slice s, size_t *ret_at)
{
	const uint8_t *colon = memchr(s.p, ':', s.n);
	*ret_at = 0;
	for (; colon != NULL; colon = memchr(colon + 1, ':', (size_t)(s.p + s.n - colon) - 1))
		if (s.p + s.n - colon > 2 && colon[1] == '/' && colon[2] == '/')
			break;
	if (colon == NULL)
		return true; /* no scheme: a plain path or name */
	size_t scheme = (size_t)(colon - s.p), from = scheme + 3;
	const uint8_t *slash = from < s.n ? memchr(s.p + from, '/', s.n - from) : NULL;
	size_t end = slash == NULL ? s.n : (size_t)(slash - s.p);
	for (size_t i = 0; i < end; i++)
		if ((s.p[i] >= 'A' && s.p[i] <= 'Z') || s.p[i] == '@')
			return false;
	*ret_at = end;
	return scheme > 0 && end > from;
}

/* Row 13 of the demands: "..", escapes, wildcards and empty segments are how one path is made to look like another. */
bool
mf_policy_path_plain(struct mf_slice s)
{
	static const bool odd[256] = { [0x00] = true,
		[0x01] = true,
		[0x02] = true,
		[0x03] = true,
		[0x04] = true,
		[0x05] = true,
		[0x06] = true,
		[0x07] = true,
		[0x08] = true,
		[0x09] = true,
		[0x0a] = true,
		[0x0b] = true,
		[0x0c] = true,
		[0x0d] = true,
		[0x0e] = true,
		[0x0f] = true,
		[0x10] = true,
		[0x11] = true,
		[0x12] = true,
		[0x13] = true,
		[0x14] = true,
		[0x15] = true,
		[0x16] = true,
		[0x17] = true,
		[0x18] = true,
		[0x19] = true,
		[0x1a] = true,
		[0x1b] = true,
		[0x1c] = true,
		[0x1d] = true,
		[0x1e] = true,
		[0x1f] = true,
		[' '] = true,
		[0x7f] = true,
		['%'] = true,
		['\\'] = true,
		['*'] = true,
		['?'] = true };
	size_t at;
	bool any = false;
	if (s.n == 0 || !authority(s, &at))
		return false;
	for (size_t i = 0; i < s.n; i++)
		any |= odd[s.p[i]];
	for (size_t from = at < s.n && s.p[at] == '/' ? at + 1 : at; from < s.n && !any;) {
		const uint8_t *slash = memchr(s.p + from, '/', s.n - from);
		size_t to = slash == NULL ? s.n : (size_t)(slash - s.p), n = to - from;
		any = n == 0 || (n <= 2 && s.p[from] == '.' && s.p[to - 1] == '.');
		from = to + 1; /* a / at the very end is allowed */
	}
	return !any;
}

static struct mf_slice
without_slash(struct mf_slice s)
{
	return s.n > 1 && s.p[s.n - 1] == '/' ? mf_slice_sub(s, 0, s.n - 1) : s;
}

enum truth
mf_policy_under(struct mf_slice path, struct mf_slice top)
{
	if (!mf_policy_path_plain(path))
		return UNKNOWN;
	path = without_slash(path);
	top = without_slash(top);
	if (!mf_slice_starts(path, top))
		return NO;
	bool root = top.n == 1 && top.p[0] == '/';
	return path.n == top.n || root || path.p[top.n] == '/' ? YES : NO;
}

enum truth
mf_policy_glob(struct mf_slice s, struct mf_slice pattern, size_t star)
{
	struct mf_slice before = mf_slice_sub(pattern, 0, star);
	struct mf_slice after = mf_slice_sub(pattern, star + 1, pattern.n);
	if (s.n < before.n + after.n || !mf_slice_starts(s, before) ||
	    !mf_slice_eq(mf_slice_sub(s, s.n - after.n, after.n), after))
		return NO;
	struct mf_slice run = mf_slice_sub(s, before.n, s.n - before.n - after.n);
	return run.n > 0 && memchr(run.p, '/', run.n) != NULL ? UNKNOWN : YES;
}
