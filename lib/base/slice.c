#include "base/slice.h"

#include <stdlib.h>

bool
mf_slice_starts(struct mf_slice s, struct mf_slice prefix)
{
	return s.n >= prefix.n && mf_slice_eq(mf_slice(s.p, prefix.n), prefix);
}

int
mf_slice_cmp(struct mf_slice a, struct mf_slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

char *
mf_slice_dup_str(struct mf_slice s)
{
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		return NULL;
	char *c = malloc(s.n + 1);
	if (c == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(c, s.p, s.n);
	c[s.n] = '\0';
	return c;
}

bool
mf_read_bytes(struct mf_reader *r, size_t n, struct mf_slice *ret_s)
{
	if (r->n < n)
		return false;
	*ret_s = mf_slice(r->p, n);
	if (n > 0)
		r->p += n;
	r->n -= n;
	return true;
}

bool
mf_read_copy(struct mf_reader *r, void *ret_to, size_t n)
{
	struct mf_slice s;
	if (!mf_read_bytes(r, n, &s))
		return false;
	if (n > 0)
		memcpy(ret_to, s.p, n);
	return true;
}

static bool
read_be(struct mf_reader *r, size_t n, uint64_t *ret_v)
{
	struct mf_slice s;
	if (!mf_read_bytes(r, n, &s))
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | s.p[i];
	*ret_v = v;
	return true;
}

bool
mf_read_u8(struct mf_reader *r, uint8_t *ret_v)
{
	uint64_t v;
	if (!read_be(r, 1, &v))
		return false;
	*ret_v = (uint8_t)v;
	return true;
}

bool
mf_read_u16be(struct mf_reader *r, uint16_t *ret_v)
{
	uint64_t v;
	if (!read_be(r, 2, &v))
		return false;
	*ret_v = (uint16_t)v;
	return true;
}

bool
mf_read_u32be(struct mf_reader *r, uint32_t *ret_v)
{
	uint64_t v;
	if (!read_be(r, 4, &v))
		return false;
	*ret_v = (uint32_t)v;
	return true;
}

bool
mf_read_u64be(struct mf_reader *r, uint64_t *ret_v)
{
	return read_be(r, 8, ret_v);
}
