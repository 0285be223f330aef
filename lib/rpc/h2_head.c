#include "rpc/h2_head.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/text.h"

struct mf_h2_head_ref {
	uint32_t name, name_n, value, value_n; /* in bytes */
};

enum pseudo {
	P_METHOD = 1,
	P_SCHEME = 2,
	P_PATH = 4,
	P_AUTHORITY = 8,
};

void
mf_h2_head_init(struct mf_h2_head *h, size_t max)
{
	*h = (struct mf_h2_head) { .max = max };
	mf_buf_init(&h->bytes, max);
}

void
mf_h2_head_fini(struct mf_h2_head *h)
{
	mf_buf_fini(&h->bytes);
	free(h->refs);
	mf_h2_head_init(h, h->max);
}

void
mf_h2_head_reset(struct mf_h2_head *h)
{
	struct mf_h2_head old = *h;
	*h = (struct mf_h2_head) { .bytes = old.bytes, .refs = old.refs, .cap = old.cap, .max = old.max };
	mf_buf_reset(&h->bytes);
}

static bool
is_pseudo(struct mf_slice name, const char *what)
{
	return mf_slice_eq_str(name, what);
}

/* RFC 9113 8.3.1. Each once, before all regular fields, no others. */
static bool
pseudo_ok(struct mf_h2_head *h, enum mf_h2_head_kind kind, struct mf_slice name, struct mf_slice value)
{
	unsigned bit;
	bool ok;
	if (is_pseudo(name, ":method")) {
		bit = P_METHOD;
		ok = value.n > 0 && nghttp2_check_method(value.p, value.n) != 0;
	} else if (is_pseudo(name, ":path")) {
		bit = P_PATH;
		ok = value.n > 0 && nghttp2_check_path(value.p, value.n) != 0;
	} else if (is_pseudo(name, ":scheme")) {
		bit = P_SCHEME;
		ok = mf_slice_eq_str(value, "http") || mf_slice_eq_str(value, "https");
	} else if (is_pseudo(name, ":authority")) {
		bit = P_AUTHORITY;
		ok = kind == MF_H2_REQUEST_LOCAL || nghttp2_check_authority(value.p, value.n) != 0;
	} else {
		return false;
	}
	if (kind == MF_H2_TRAILERS || h->regular || (h->pseudo & bit) != 0)
		return false;
	h->pseudo |= bit;
	return ok;
}

/* RFC 9113 8.2.1, 8.2.2, 8.1.1. */
static bool
regular_ok(struct mf_h2_head *h, struct mf_slice name, struct mf_slice value)
{
	static const char *const hop[] = { "connection", "keep-alive", "proxy-connection",
		"transfer-encoding", "upgrade" };
	h->regular = true;
	if (nghttp2_check_header_name(name.p, name.n) == 0 ||
	    nghttp2_check_header_value_rfc9113(value.p, value.n) == 0)
		return false;
	for (size_t i = 0; i < MF_COUNT(hop); i++)
		if (mf_slice_eq_str(name, hop[i]))
			return false;
	if (mf_slice_eq_str(name, "te"))
		return mf_slice_eq_str(value, "trailers");
	if (mf_slice_eq_str(name, "host"))
		h->host = true;
	if (mf_slice_eq_str(name, "content-length")) {
		uint64_t n;
		if (!mf_parse_u64(value, &n) || (h->has_length && h->length != n))
			return false;
		h->has_length = true;
		h->length = n;
	}
	return true;
}

static enum mf_status
store(struct mf_h2_head *h, struct mf_slice name, struct mf_slice value)
{
	if (h->n == h->cap) {
		size_t cap = h->cap == 0 ? 16 : h->cap * 2;
		struct mf_h2_head_ref *refs = realloc(h->refs, cap * sizeof(*refs));
		if (refs == NULL)
			return MF_E_NOMEM;
		h->refs = refs;
		h->cap = cap;
	}
	size_t at = h->bytes.n;
	mf_buf_put_slice(&h->bytes, name);
	mf_buf_put_slice(&h->bytes, value);
	if (h->bytes.failed != MF_OK)
		return MF_E_NOMEM; /* the cap is not reached: listed is counted larger */
	h->refs[h->n++] = (struct mf_h2_head_ref) { (uint32_t)at, (uint32_t)name.n, (uint32_t)(at + name.n),
		(uint32_t)value.n };
	return MF_OK;
}

enum mf_status
mf_h2_head_add(struct mf_h2_head *h, enum mf_h2_head_kind kind, struct mf_slice name, struct mf_slice value)
{
	h->listed += name.n + value.n + 32;
	if (kind != MF_H2_UNCHECKED && !h->bad) {
		bool pseudo = name.n > 0 && name.p[0] == ':';
		h->bad = pseudo ? !pseudo_ok(h, kind, name, value) : !regular_ok(h, name, value);
	}
	if (h->bad || mf_h2_head_over(h))
		return MF_OK;
	return store(h, name, value);
}

bool
mf_h2_head_whole(const struct mf_h2_head *h, enum mf_h2_head_kind kind)
{
	const unsigned need = P_METHOD | P_SCHEME | P_PATH;
	if (h->bad)
		return false;
	switch (kind) {
	case MF_H2_REQUEST:
		return (h->pseudo & need) == need && ((h->pseudo & P_AUTHORITY) != 0 || h->host);
	case MF_H2_REQUEST_LOCAL:
		return (h->pseudo & need) == need;
	case MF_H2_TRAILERS:
	case MF_H2_UNCHECKED:
		break;
	}
	return true;
}

struct mf_h2_field
mf_h2_head_field(const struct mf_h2_head *h, size_t i)
{
	if (i >= h->n)
		return (struct mf_h2_field) { 0 };
	const struct mf_h2_head_ref *r = &h->refs[i];
	struct mf_slice bytes = mf_buf_slice(&h->bytes);
	return (struct mf_h2_field) { mf_slice_sub(bytes, r->name, r->name_n),
		mf_slice_sub(bytes, r->value, r->value_n) };
}

size_t
mf_h2_head_find(const struct mf_h2_head *h, const char *name, struct mf_slice *ret_v)
{
	size_t found = 0;
	for (size_t i = 0; i < h->n; i++) {
		struct mf_h2_field f = mf_h2_head_field(h, i);
		if (!mf_slice_eq_str(f.name, name))
			continue;
		if (found++ == 0 && ret_v != NULL)
			*ret_v = f.value;
	}
	return found;
}
