/*
 * hex: test vectors written as hex digits. Fails the running cmocka test on a bad digit or length.
 * Include after cmocka.h.
 */
#ifndef MF_TESTS_HEX_H
#define MF_TESTS_HEX_H
#include "base/text.h"

/* Exactly ${n} bytes of ${text} to ${to}. */
static inline void
hex_exact(const char *text, uint8_t *to, size_t n)
{
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	assert_int_equal(mf_hex_get(mf_slice_str(text), &b, NULL), MF_OK);
	assert_int_equal(b.n, n);
	if (n > 0)
		memcpy(to, b.p, n);
	mf_buf_fini(&b);
}

/* Appended to ${to}. */
static inline void
hex_buf(const char *text, struct mf_buf *to)
{
	assert_int_equal(mf_hex_get(mf_slice_str(text), to, NULL), MF_OK);
}

static inline void
assert_hex(struct mf_slice got, const char *want)
{
	struct mf_buf b;
	mf_buf_init(&b, 1 << 20);
	mf_hex_put(&b, got);
	assert_string_equal(mf_buf_cstr(&b), want);
	mf_buf_fini(&b);
}
#endif
