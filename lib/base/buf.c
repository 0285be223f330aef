#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

void
mf_buf_init(struct mf_buf *b, size_t max)
{
	*b = (struct mf_buf) { .max = max };
}

void
mf_buf_fini(struct mf_buf *b)
{
	if (b->p != NULL)
		mf_wipe(b->p, b->cap);
	free(b->p);
	mf_buf_init(b, b->max);
}

void
mf_buf_reset(struct mf_buf *b)
{
	b->n = 0;
	b->failed = MF_OK;
}

/* A private realloc that wipes: buffers carry keys now and then. */
static bool
reserve(struct mf_buf *b, size_t more)
{
	if (b->failed != MF_OK)
		return false;
	if (more > b->max || b->n > b->max - more) {
		b->failed = MF_E_TOOBIG;
		return false;
	}
	size_t want = b->n + more;
	if (want < b->cap)
		return true;
	/* Small ones grow fast: each time is a copy and a wipe. */
	size_t cap = b->cap == 0 ? 64 : b->cap < 1024 ? b->cap * 2 : b->cap;
	while (cap <= want) /* <=: one byte stays for mf_buf_cstr */
		cap *= 2;
	uint8_t *p = malloc(cap);
	if (p == NULL) {
		b->failed = MF_E_NOMEM;
		return false;
	}
	if (b->n > 0)
		memcpy(p, b->p, b->n);
	if (b->p != NULL)
		mf_wipe(b->p, b->cap);
	free(b->p);
	b->p = p;
	b->cap = cap;
	return true;
}

void
mf_buf_expect(struct mf_buf *b, size_t n)
{
	if (b->failed == MF_OK && n <= b->max - b->n)
		(void)reserve(b, n);
}

uint8_t *
mf_buf_extend(struct mf_buf *b, size_t n)
{
	if (!reserve(b, n))
		return NULL;
	uint8_t *at = b->p + b->n;
	b->n += n;
	return at;
}

void
mf_buf_put(struct mf_buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	uint8_t *at = mf_buf_extend(b, n);
	if (at != NULL)
		memcpy(at, p, n);
}

void
mf_buf_put_slice(struct mf_buf *b, struct mf_slice s)
{
	mf_buf_put(b, s.p, s.n);
}

void
mf_buf_put_str(struct mf_buf *b, const char *s)
{
	mf_buf_put(b, s, strlen(s));
}

static void
put_be(struct mf_buf *b, uint64_t v, size_t n)
{
	uint8_t *at = mf_buf_extend(b, n);
	if (at == NULL)
		return;
	for (size_t i = n; i-- > 0; v >>= 8)
		at[i] = (uint8_t)v;
}

void
mf_buf_put_u8(struct mf_buf *b, uint8_t v)
{
	if (b->failed == MF_OK && b->n < b->max && b->n + 1 < b->cap)
		b->p[b->n++] = v; /* most bytes that are put one by one */
	else
		put_be(b, v, 1);
}

static const char digits[] = "0123456789";

void
mf_buf_put_uint(struct mf_buf *b, uint64_t v, unsigned width)
{
	char text[24];
	size_t at = sizeof(text);
	do
		text[--at] = digits[v % 10];
	while ((v /= 10) > 0);
	while (sizeof(text) - at < width && at > 0)
		text[--at] = '0';
	mf_buf_put(b, text + at, sizeof(text) - at);
}

void
mf_buf_put_int(struct mf_buf *b, int64_t v)
{
	if (v < 0)
		mf_buf_put_u8(b, '-');
	mf_buf_put_uint(b, v < 0 ? -(uint64_t)v : (uint64_t)v, 0);
}

void
mf_buf_put_u16be(struct mf_buf *b, uint16_t v)
{
	put_be(b, v, 2);
}

void
mf_buf_put_u32be(struct mf_buf *b, uint32_t v)
{
	put_be(b, v, 4);
}

void
mf_buf_put_u64be(struct mf_buf *b, uint64_t v)
{
	put_be(b, v, 8);
}

void
mf_buf_putf(struct mf_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	size_t room = b->failed == MF_OK && b->p != NULL && b->n < b->cap ? b->cap - b->n : 0;
	int n = vsnprintf(room > 0 ? (char *)b->p + b->n : NULL, room, fmt, ap); /* it may fit as it is */
	va_end(ap);
	if (n >= 0 && (size_t)n < room && (size_t)n + 1 <= b->max - b->n)
		b->n += (size_t)n;
	else if (n < 0)
		b->failed = b->failed != MF_OK ? b->failed : MF_E_INTERNAL;
	else if (reserve(b, (size_t)n + 1)) {
		(void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void
mf_buf_consume(struct mf_buf *b, size_t n)
{
	if (n > b->n)
		n = b->n;
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}

const char *
mf_buf_cstr(struct mf_buf *b)
{
	if (b->p == NULL && !reserve(b, 0))
		return NULL;
	if (b->failed != MF_OK)
		return NULL;
	b->p[b->n] = '\0';
	return (const char *)b->p;
}

enum mf_status
mf_buf_check(const struct mf_buf *b, struct mf_err *err)
{
	if (b->failed == MF_OK)
		return MF_OK;
	if (b->failed == MF_E_TOOBIG)
		return MF_FAIL(err, MF_E_TOOBIG, "more than the cap of %zu bytes", b->max);
	return MF_FAIL(err, b->failed, "buffer: %s", mf_status_name(b->failed));
}
