/*
 * slice: bytes that somebody else owns; reader: taking them apart without pointer arithmetic.
 *
 * A slice needs no NUL and may hold one. Every reader call takes all it asks for or fails and
 * takes nothing; a parser ends with mf_reader_end, so trailing bytes are an error.
 */
#ifndef MF_BASE_SLICE_H
#define MF_BASE_SLICE_H
#include "base/err.h"

struct mf_slice {
	const uint8_t *p;
	size_t n;
};

static inline struct mf_slice
mf_slice(const void *p, size_t n)
{
	return (struct mf_slice) { (const uint8_t *)p, n };
}

/* The bytes of a NUL-terminated string, without the NUL. NULL gives an empty slice. */
static inline struct mf_slice
mf_slice_str(const char *s)
{
	return mf_slice(s, s == NULL ? 0 : strlen(s));
}
#define MF_SLICE_LIT(lit) mf_slice("" lit, sizeof(lit) - 1)

static inline bool
mf_slice_eq(struct mf_slice a, struct mf_slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
mf_slice_eq_str(struct mf_slice a, const char *s)
{
	return mf_slice_eq(a, mf_slice_str(s));
}

/* [from, from+n) of ${s}, cut at its end. */
static inline struct mf_slice
mf_slice_sub(struct mf_slice s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return mf_slice(s.n == 0 ? s.p : s.p + from, n);
}

bool mf_slice_starts(struct mf_slice s, struct mf_slice prefix);
/* Order by bytes, shorter first on a tie: <0, 0, >0. */
int mf_slice_cmp(struct mf_slice a, struct mf_slice b);
/* A NUL-terminated copy on the heap, for the caller to free; NULL when out of memory or a NUL is inside. */
char *mf_slice_dup_str(struct mf_slice s);

struct mf_reader {
	const uint8_t *p;
	size_t n; /* bytes left */
};

static inline struct mf_reader
mf_reader(struct mf_slice s)
{
	return (struct mf_reader) { s.p, s.n };
}

MF_NODISCARD bool mf_read_u8(struct mf_reader *r, uint8_t *ret_v);
MF_NODISCARD bool mf_read_u16be(struct mf_reader *r, uint16_t *ret_v);
MF_NODISCARD bool mf_read_u32be(struct mf_reader *r, uint32_t *ret_v);
MF_NODISCARD bool mf_read_u64be(struct mf_reader *r, uint64_t *ret_v);
MF_NODISCARD bool mf_read_bytes(struct mf_reader *r, size_t n, struct mf_slice *ret_s);
MF_NODISCARD bool mf_read_copy(struct mf_reader *r, void *ret_to, size_t n);
/* True when nothing is left. */
static inline bool
mf_reader_end(const struct mf_reader *r)
{
	return r->n == 0;
}
#endif
