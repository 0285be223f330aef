/*
 * buf: a growing byte buffer with a cap that is declared when it is made.
 *
 * Embedded by value: `struct mf_buf b; mf_buf_init(&b, CAP);` and mf_buf_fini (wipes and frees).
 * The put functions are sticky: once one fails (cap or memory) all later ones fail and
 * mf_buf_failed says why, so a writer may put many fields and check once. Not thread-safe.
 */
#ifndef MF_BASE_BUF_H
#define MF_BASE_BUF_H
#include "base/slice.h"

struct mf_buf {
	uint8_t *p;
	size_t n;   /* bytes used */
	size_t cap; /* bytes allocated */
	size_t max; /* may never hold more */
	enum mf_status failed;
};

void mf_buf_init(struct mf_buf *b, size_t max);
void mf_buf_fini(struct mf_buf *b);  /* wipes, frees, leaves an empty buffer with the same cap */
void mf_buf_reset(struct mf_buf *b); /* n = 0, failure forgotten, memory kept */
void mf_buf_put(struct mf_buf *b, const void *p, size_t n);
void mf_buf_put_slice(struct mf_buf *b, struct mf_slice s);
void mf_buf_put_str(struct mf_buf *b, const char *s);
void mf_buf_put_u8(struct mf_buf *b, uint8_t v);
void mf_buf_put_u16be(struct mf_buf *b, uint16_t v);
void mf_buf_put_u32be(struct mf_buf *b, uint32_t v);
void mf_buf_put_u64be(struct mf_buf *b, uint64_t v);
void mf_buf_put_uint(
    struct mf_buf *b, uint64_t v, unsigned width); /* decimal; zeros before it up to ${width} <= 20 */
void mf_buf_put_int(struct mf_buf *b, int64_t v);
void mf_buf_putf(struct mf_buf *b, const char *fmt, ...) MF_PRINTF(2, 3);
/* Room for ${n} more at once, where it is known that so much comes. Only a hint. */
void mf_buf_expect(struct mf_buf *b, size_t n);
/* ${n} writable bytes at the end, already counted in; NULL when failed. Valid until the next put. */
uint8_t *mf_buf_extend(struct mf_buf *b, size_t n);
/* Drop ${n} bytes from the front (n <= b->n). */
void mf_buf_consume(struct mf_buf *b, size_t n);
/* The content; valid until the next put. */
static inline struct mf_slice
mf_buf_slice(const struct mf_buf *b)
{
	return mf_slice(b->p, b->n);
}
/* A NUL after the content (not counted in n), so that p is a C string. NULL when failed. */
const char *mf_buf_cstr(struct mf_buf *b);
/* MF_OK, or the sticky failure with a text in ${err}. */
MF_NODISCARD enum mf_status mf_buf_check(const struct mf_buf *b, struct mf_err *err);
#endif
