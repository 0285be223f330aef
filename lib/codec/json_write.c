#include "codec/json_write.h"

#include "base/clock.h"
#include "base/text.h"

void
mf_jw_init(struct mf_jw *w, struct mf_buf *to, bool sorted)
{
	*w = (struct mf_jw) { .to = to, .start = to->n, .sorted = sorted };
}

static void
fail(struct mf_jw *w, enum mf_status why)
{
	if (w->to->failed == MF_OK)
		w->to->failed = why;
}

/* Called before each value: checks that one may stand here and writes the comma of an array. */
static bool
value_begins(struct mf_jw *w)
{
	if (w->to->failed != MF_OK)
		return false;
	if (w->depth == 0) {
		if (w->done)
			fail(w, MF_E_INTERNAL); /* a second top-level value */
		w->done = true;
		return w->to->failed == MF_OK;
	}
	size_t l = w->depth - 1;
	if (w->level[l].object) {
		if (!w->have_key)
			fail(w, MF_E_INTERNAL);
		w->have_key = false;
	} else if (w->level[l].any) {
		mf_buf_put_u8(w->to, ',');
	}
	w->level[l].any = true;
	return w->to->failed == MF_OK;
}

static void
open_level(struct mf_jw *w, bool object)
{
	if (!value_begins(w))
		return;
	if (w->depth == MF_LIM_JSON_DEPTH) {
		fail(w, MF_E_INTERNAL);
		return;
	}
	w->level[w->depth].object = object;
	w->level[w->depth].any = false;
	w->level[w->depth].key_n = 0;
	w->depth++;
	mf_buf_put_u8(w->to, object ? '{' : '[');
}

static void
close_level(struct mf_jw *w, bool object)
{
	if (w->to->failed != MF_OK)
		return;
	if (w->depth == 0 || w->level[w->depth - 1].object != object || w->have_key) {
		fail(w, MF_E_INTERNAL);
		return;
	}
	w->depth--;
	mf_buf_put_u8(w->to, object ? '}' : ']');
}

void
mf_jw_object_begin(struct mf_jw *w)
{
	open_level(w, true);
}

void
mf_jw_object_end(struct mf_jw *w)
{
	close_level(w, true);
}

void
mf_jw_array_begin(struct mf_jw *w)
{
	open_level(w, false);
}

void
mf_jw_array_end(struct mf_jw *w)
{
	close_level(w, false);
}

/* 0 when ${c} stands for itself, 'u' for the long form, else the letter after the backslash. */
static char
escape_of(uint8_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return c < 0x20 ? 'u' : 0;
	}
}

#define ONES UINT64_C(0x0101010101010101)

/* Eight bytes at a time: the top bit of one is set when some byte is below 0x20, above 0x7f, a quote or a backslash. */
static uint64_t
not_plain(uint64_t x)
{
	uint64_t q = x ^ (ONES * '"'), b = x ^ (ONES * '\\');
	return ((x - ONES * 0x20) & ~x) | x | ((q - ONES) & ~q) | ((b - ONES) & ~b);
}

/* ASCII that stands for itself: nearly all that is ever written. */
static bool
is_plain(struct mf_slice s)
{
	uint64_t bad8 = 0;
	unsigned bad = 0;
	size_t i = 0;
	for (; i + 8 <= s.n; i += 8) {
		uint64_t x;
		memcpy(&x, s.p + i, 8);
		bad8 |= not_plain(x);
	}
	if (i > 0 && i < s.n) { /* the rest, once more with what was before it */
		uint64_t x;
		memcpy(&x, s.p + s.n - 8, 8);
		bad8 |= not_plain(x);
		i = s.n;
	}
	if ((bad8 & (UINT64_C(0x80) * ONES)) != 0)
		return false;
	for (; i < s.n; i++) {
		uint8_t c = s.p[i];
		bad |= (unsigned)(c < 0x20) | (unsigned)(c > 0x7f) | (unsigned)(c == '"') |
		       (unsigned)(c == '\\');
	}
	return bad == 0;
}

/* ${after}: a byte behind the quote; 0: none. */
static void
put_plain(struct mf_jw *w, struct mf_slice s, char after)
{
	uint8_t *at = mf_buf_extend(w->to, s.n + 2 + (after != 0));
	if (at == NULL)
		return;
	*at++ = '"';
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	at[s.n] = '"';
	if (after != 0)
		at[s.n + 1] = (uint8_t)after;
}

static void
put_quoted(struct mf_jw *w, struct mf_slice s)
{
	if (is_plain(s)) {
		put_plain(w, s, 0);
		return;
	}
	if (!mf_utf8_ok(s)) {
		fail(w, MF_E_INVALID);
		return;
	}
	mf_buf_put_u8(w->to, '"');
	size_t from = 0;
	for (size_t i = 0; i < s.n; i++) {
		char e = escape_of(s.p[i]);
		if (e == 0)
			continue;
		mf_buf_put_slice(w->to, mf_slice_sub(s, from, i - from));
		if (e == 'u')
			mf_buf_putf(w->to, "\\u%04X", (unsigned)s.p[i]);
		else
			mf_buf_putf(w->to, "\\%c", e);
		from = i + 1;
	}
	mf_buf_put_slice(w->to, mf_slice_sub(s, from, s.n));
	mf_buf_put_u8(w->to, '"');
}

/* The next raw byte of a key as put_quoted wrote it. */
static bool
unescape_next(struct mf_reader *r, uint8_t *ret_c)
{
	static const char letters[] = "bfnrt";
	static const uint8_t meant[] = "\b\f\n\r\t";
	if (!mf_read_u8(r, ret_c))
		return false;
	if (*ret_c != '\\')
		return true;
	if (!mf_read_u8(r, ret_c))
		return false;
	for (size_t i = 0; i < sizeof(letters) - 1; i++) {
		if (*ret_c == (uint8_t)letters[i]) {
			*ret_c = meant[i];
			return true;
		}
	}
	struct mf_slice hex;
	if (*ret_c != 'u')
		return true; /* quote or backslash */
	if (!mf_read_bytes(r, 4, &hex))
		return false;
	uint8_t low = hex.p[3];
	*ret_c = (uint8_t)((hex.p[2] - '0') * 16 + (low <= '9' ? low - '0' : low - 'A' + 10));
	return true;
}

/* True when the last key of this object stands before ${key} in byte order. */
static bool
in_order(const struct mf_jw *w, struct mf_slice key, bool plain)
{
	size_t l = w->depth - 1;
	if (w->level[l].plain && plain) {
		size_t n = w->level[l].key_n < key.n ? w->level[l].key_n : key.n;
		int c = n == 0 ? 0 : memcmp(w->to->p + w->level[l].key_at, key.p, n);
		return c != 0 ? c < 0 : w->level[l].key_n < key.n;
	}
	struct mf_reader last =
	    mf_reader(mf_slice_sub(mf_buf_slice(w->to), w->level[l].key_at, w->level[l].key_n));
	for (size_t i = 0; i < key.n; i++) {
		uint8_t c;
		if (!unescape_next(&last, &c))
			return true; /* the last key is a prefix */
		if (c != key.p[i])
			return c < key.p[i];
	}
	return false; /* the same, or the new one is a prefix */
}

void
mf_jw_key_slice(struct mf_jw *w, struct mf_slice key)
{
	if (w->to->failed != MF_OK)
		return;
	if (w->depth == 0 || !w->level[w->depth - 1].object || w->have_key) {
		fail(w, MF_E_INTERNAL);
		return;
	}
	size_t l = w->depth - 1;
	bool plain = is_plain(key);
	if (w->level[l].any) {
		if (w->sorted && !in_order(w, key, plain)) {
			fail(w, MF_E_INTERNAL);
			return;
		}
		mf_buf_put_u8(w->to, ',');
	}
	w->level[l].key_at = w->to->n + 1;
	w->level[l].plain = plain;
	if (plain)
		put_plain(w, key, ':');
	else
		put_quoted(w, key);
	if (w->to->failed != MF_OK)
		return;
	w->level[l].key_n = plain ? key.n : w->to->n - w->level[l].key_at - 1;
	if (!plain)
		mf_buf_put_u8(w->to, ':');
	w->have_key = true;
}

void
mf_jw_key_known(struct mf_jw *w, struct mf_slice key)
{
	if (w->to->failed != MF_OK)
		return;
	if (w->depth == 0 || !w->level[w->depth - 1].object || w->have_key) {
		fail(w, MF_E_INTERNAL);
		return;
	}
	size_t l = w->depth - 1, at = w->to->n + w->level[l].any;
	if (w->level[l].any)
		mf_buf_put_u8(w->to, ',');
	put_plain(w, key, ':');
	w->level[l].key_at = at + 1;
	w->level[l].key_n = key.n;
	w->level[l].plain = true;
	w->have_key = true;
}

void
mf_jw_key(struct mf_jw *w, const char *key)
{
	mf_jw_key_slice(w, mf_slice_str(key));
}

void
mf_jw_string(struct mf_jw *w, struct mf_slice s)
{
	if (value_begins(w))
		put_quoted(w, s);
}

void
mf_jw_str(struct mf_jw *w, const char *s)
{
	mf_jw_string(w, mf_slice_str(s));
}

void
mf_jw_int(struct mf_jw *w, int64_t v)
{
	if (value_begins(w))
		mf_buf_put_int(w->to, v);
}

void
mf_jw_uint(struct mf_jw *w, uint64_t v)
{
	if (value_begins(w))
		mf_buf_put_uint(w->to, v, 0);
}

void
mf_jw_bool(struct mf_jw *w, bool v)
{
	if (value_begins(w))
		mf_buf_put_str(w->to, v ? "true" : "false");
}

void
mf_jw_raw(struct mf_jw *w, struct mf_slice value)
{
	if (value_begins(w))
		mf_buf_put_slice(w->to, value);
}

void
mf_jw_null(struct mf_jw *w)
{
	if (value_begins(w))
		mf_buf_put_str(w->to, "null");
}

void
mf_jw_hex(struct mf_jw *w, struct mf_slice bytes)
{
	if (!value_begins(w))
		return;
	mf_buf_put_u8(w->to, '"');
	mf_hex_put(w->to, bytes);
	mf_buf_put_u8(w->to, '"');
}

void
mf_jw_base64url(struct mf_jw *w, struct mf_slice bytes)
{
	if (!value_begins(w))
		return;
	mf_buf_put_u8(w->to, '"');
	mf_base64url_put(w->to, bytes);
	mf_buf_put_u8(w->to, '"');
}

void
mf_jw_time_us(struct mf_jw *w, int64_t wall_us)
{
	if (!value_begins(w))
		return;
	mf_buf_put_u8(w->to, '"');
	mf_time_put_us(w->to, wall_us);
	mf_buf_put_u8(w->to, '"');
}

void
mf_jw_kstring(struct mf_jw *w, const char *key, struct mf_slice s)
{
	mf_jw_key(w, key);
	mf_jw_string(w, s);
}

void
mf_jw_kstr(struct mf_jw *w, const char *key, const char *s)
{
	mf_jw_key(w, key);
	mf_jw_str(w, s);
}

void
mf_jw_kint(struct mf_jw *w, const char *key, int64_t v)
{
	mf_jw_key(w, key);
	mf_jw_int(w, v);
}

void
mf_jw_kuint(struct mf_jw *w, const char *key, uint64_t v)
{
	mf_jw_key(w, key);
	mf_jw_uint(w, v);
}

void
mf_jw_kbool(struct mf_jw *w, const char *key, bool v)
{
	mf_jw_key(w, key);
	mf_jw_bool(w, v);
}

void
mf_jw_khex(struct mf_jw *w, const char *key, struct mf_slice bytes)
{
	mf_jw_key(w, key);
	mf_jw_hex(w, bytes);
}

void
mf_jw_kbase64url(struct mf_jw *w, const char *key, struct mf_slice bytes)
{
	mf_jw_key(w, key);
	mf_jw_base64url(w, bytes);
}

void
mf_jw_ktime_us(struct mf_jw *w, const char *key, int64_t wall_us)
{
	mf_jw_key(w, key);
	mf_jw_time_us(w, wall_us);
}

enum mf_status
mf_jw_finish(const struct mf_jw *w, struct mf_err *err)
{
	if (w->to->failed == MF_E_INVALID)
		return MF_FAIL(err, MF_E_INVALID, "json: a string is not UTF-8 or holds a NUL");
	MF_TRY(mf_buf_check(w->to, err));
	if (w->depth != 0 || !w->done)
		return MF_FAIL(err, MF_E_INTERNAL, "json: the document is not complete");
	return MF_OK;
}
