#include "codec/spiffe_id.h"

#include <stdlib.h>

#define SCHEME "spiffe://"
#define SCHEME_LEN (sizeof(SCHEME) - 1)
#define LABEL_MAX 63
#define DNS_NAME_MAX 253
#define PLACEHOLDER_MAX 64

struct mf_spiffe_id {
	uint16_t td_len; /* both fit: MF_LIM_SPIFFE_ID */
	uint16_t path_len;
	char text[]; /* SCHEME, trust domain, path, NUL */
};

static uint8_t
fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* ID-5: "The host part of the authority MUST contain only letters, numbers, dots, dashes, and underscores
 * ([a-z0-9.-_])" and "MUST NOT contain percent-encoded characters". */
static bool
is_td_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

/* ID-7: "Individual path segments MUST contain only letters, numbers, dots, dashes, and underscores
 * ([a-zA-Z0-9.-_])"; "The path component MUST NOT include percent-encoded characters". */
static bool
is_path_char(uint8_t c)
{
	return is_td_char(c) || (c >= 'A' && c <= 'Z');
}

/* ID-8: "The path component MUST NOT include segments that are empty or are relative path modifiers
 * (i.e. ., ..)". */
static bool
is_dots_or_empty(struct mf_slice seg)
{
	return seg.n == 0 || mf_slice_eq_str(seg, ".") || mf_slice_eq_str(seg, "..");
}

bool
mf_spiffe_segment_ok(struct mf_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_path_char(s.p[i]))
			return false;
	return !is_dots_or_empty(s);
}

/* ${path} starts with '/'; ${at} is its offset in the input, for the text. */
static enum mf_status
check_path(struct mf_slice path, size_t at, struct mf_err *err)
{
	size_t start = 1;
	for (size_t i = 1; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/') {
			/* ID-3: "MUST NOT include a query or fragment component": '?' and '#' are bad bytes too */
			if (!is_path_char(path.p[i]))
				return MF_FAIL(err, MF_E_INVALID, "path: bad byte at %zu", at + i);
			continue;
		}
		/* ID-9: "The path component MUST NOT include a trailing /": its last segment is empty */
		if (is_dots_or_empty(mf_slice_sub(path, start, i - start)))
			return MF_FAIL(err, MF_E_INVALID, "path: empty or dot segment at %zu", at + start);
		start = i + 1;
	}
	return MF_OK;
}

enum mf_status
mf_spiffe_id_parse(struct mf_slice in, struct mf_spiffe_id **ret_id, struct mf_err *err)
{
	/* ID-10: "MUST support SPIFFE URIs up to 2048 bytes in length and SHOULD NOT generate URIs of length
	 * greater than 2048 bytes" */
	if (in.n > MF_LIM_SPIFFE_ID)
		return MF_FAIL(err, MF_E_TOOBIG, "spiffe id: %zu bytes, at most %u", in.n, MF_LIM_SPIFFE_ID);
	/* ID-1: "Valid SPIFFE IDs MUST have the scheme set to spiffe"; ID-6: case-insensitive, folded here */
	for (size_t i = 0; i < SCHEME_LEN; i++)
		if (i >= in.n || fold(in.p[i]) != (uint8_t)SCHEME[i])
			return MF_FAIL(err, MF_E_INVALID, "spiffe id: does not start with %s", SCHEME);
	size_t td = 0, rest = in.n - SCHEME_LEN;
	/* ID-4: "The userinfo and port parts of the authority component MUST be empty": '@' and ':' are bad
	 * bytes. ID-12: "MUST NOT process trust domain names differently whether or not they are valid IP
	 * addresses and/or valid DNS names". */
	for (; td < rest && in.p[SCHEME_LEN + td] != '/'; td++)
		if (!is_td_char(fold(in.p[SCHEME_LEN + td])))
			return MF_FAIL(err, MF_E_INVALID, "trust domain: bad byte at %zu", SCHEME_LEN + td);
	/* ID-2: "The host part of the authority MUST NOT be empty"; ID-11: at most 255 bytes */
	if (td == 0)
		return MF_FAIL(err, MF_E_INVALID, "trust domain: empty");
	if (td > MF_LIM_TRUST_DOMAIN)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "trust domain: %zu bytes, at most %u", td, MF_LIM_TRUST_DOMAIN);
	if (td < rest)
		MF_TRY(check_path(mf_slice_sub(in, SCHEME_LEN + td, rest), SCHEME_LEN + td, err));

	struct mf_spiffe_id *id = malloc(sizeof(*id) + in.n + 1);
	if (id == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "spiffe id: out of memory");
	id->td_len = (uint16_t)td;
	id->path_len = (uint16_t)(rest - td);
	for (size_t i = 0; i < in.n; i++) /* ID-13: the path keeps its case */
		id->text[i] = (char)(i < SCHEME_LEN + td ? fold(in.p[i]) : in.p[i]);
	id->text[in.n] = '\0';
	*ret_id = id;
	return MF_OK;
}

enum mf_status
mf_spiffe_id_build(struct mf_slice td, struct mf_slice path, struct mf_spiffe_id **ret_id, struct mf_err *err)
{
	/* The joint must not move: a slash in the name would make a path of its rest. */
	for (size_t i = 0; i < td.n; i++)
		if (td.p[i] == '/')
			return MF_FAIL(err, MF_E_INVALID, "trust domain: bad byte at %zu", i);
	if (path.n > 0 && path.p[0] != '/')
		return MF_FAIL(err, MF_E_INVALID, "path: does not start with a slash");
	if (td.n > MF_LIM_SPIFFE_ID || path.n > MF_LIM_SPIFFE_ID)
		return MF_FAIL(err, MF_E_TOOBIG, "spiffe id: at most %u bytes", MF_LIM_SPIFFE_ID);
	uint8_t text[SCHEME_LEN + 2 * MF_LIM_SPIFFE_ID] = SCHEME;
	if (td.n > 0)
		memcpy(text + SCHEME_LEN, td.p, td.n);
	if (path.n > 0)
		memcpy(text + SCHEME_LEN + td.n, path.p, path.n);
	return mf_spiffe_id_parse(mf_slice(text, SCHEME_LEN + td.n + path.n), ret_id, err);
}

void
mf_spiffe_id_free(struct mf_spiffe_id *id)
{
	free(id);
}

struct mf_slice
mf_spiffe_id_uri(const struct mf_spiffe_id *id)
{
	return mf_slice(id->text, SCHEME_LEN + id->td_len + id->path_len);
}

const char *
mf_spiffe_id_str(const struct mf_spiffe_id *id)
{
	return id->text;
}

struct mf_slice
mf_spiffe_id_trust_domain(const struct mf_spiffe_id *id)
{
	return mf_slice(id->text + SCHEME_LEN, id->td_len);
}

struct mf_slice
mf_spiffe_id_path(const struct mf_spiffe_id *id)
{
	return mf_slice(id->text + SCHEME_LEN + id->td_len, id->path_len);
}

bool
mf_spiffe_id_eq(const struct mf_spiffe_id *a, const struct mf_spiffe_id *b)
{
	return mf_slice_eq(mf_spiffe_id_uri(a), mf_spiffe_id_uri(b));
}

enum mf_status
mf_trust_domain_check_strict(struct mf_slice td, struct mf_err *err)
{
	if (td.n == 0 || td.n > DNS_NAME_MAX)
		return MF_FAIL(
		    err, MF_E_INVALID, "trust domain: 1 to %d bytes, e.g. example.org", DNS_NAME_MAX);
	size_t start = 0;
	for (size_t i = 0; i <= td.n; i++) {
		if (i < td.n && td.p[i] != '.') {
			if (!is_td_char(td.p[i]))
				return MF_FAIL(err, MF_E_INVALID,
				    "trust domain: bad byte at %zu; only a-z, 0-9, '.', '-', '_', as in "
				    "example.org",
				    i);
			continue;
		}
		if (i == start || i - start > LABEL_MAX)
			return MF_FAIL(err, MF_E_INVALID,
			    "trust domain: label of %zu bytes at %zu; each part between dots has 1 to %d",
			    i - start, start, LABEL_MAX);
		start = i + 1;
	}
	return MF_OK;
}

static bool
is_name_char(uint8_t c)
{
	return is_td_char(c) && c != '-';
}

/* ${tmpl} at *${at} is just behind '{'. Appends the value and moves *${at} behind '}'. */
static enum mf_status
render_placeholder(struct mf_slice tmpl, size_t *at, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *out,
    struct mf_err *err)
{
	size_t start = *at, i = start;
	while (i < tmpl.n && is_name_char(tmpl.p[i]))
		i++;
	struct mf_slice name = mf_slice_sub(tmpl, start, i - start), value;
	if (i >= tmpl.n || tmpl.p[i] != '}' || name.n == 0 || name.n > PLACEHOLDER_MAX)
		return MF_FAIL(err, MF_E_INVALID,
		    "template: broken placeholder at %zu; write {name} with a-z, 0-9, '.', '_'", start - 1);
	*at = i + 1;
	if (!lookup(ctx, name, &value))
		return MF_FAIL(err, MF_E_NOTFOUND, "template: {%.*s} has no value here", (int)name.n,
		    (const char *)name.p);
	if (!mf_spiffe_segment_ok(value))
		return MF_FAIL(err, MF_E_INVALID,
		    "template: the value of {%.*s} is not one path segment (letters, digits, '.', '_', '-'; "
		    "not empty, '.' or '..')",
		    (int)name.n, (const char *)name.p);
	mf_buf_put_slice(out, value);
	return MF_OK;
}

static enum mf_status
render(struct mf_slice tmpl, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *out, struct mf_err *err)
{
	if (tmpl.n > MF_LIM_SPIFFE_ID)
		return MF_FAIL(err, MF_E_TOOBIG, "template: %zu bytes, at most %u", tmpl.n, MF_LIM_SPIFFE_ID);
	for (size_t i = 0; i < tmpl.n;) {
		uint8_t c = tmpl.p[i++];
		if (c == '{')
			MF_TRY(render_placeholder(tmpl, &i, lookup, ctx, out, err));
		else
			mf_buf_put_u8(out, c); /* a stray '}' falls to the check of the result */
	}
	return mf_buf_check(out, err);
}

enum mf_status
mf_spiffe_path_render(
    struct mf_slice tmpl, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_LIM_SPIFFE_ID);
	MF_TRY(render(tmpl, lookup, ctx, &out, err));
	if (out.n < 2 || out.p[0] != '/')
		return MF_FAIL(err, MF_E_INVALID, "template: a path starts with a slash and has a segment");
	/* Again as a whole: "." beside a value of "." is "..". */
	enum mf_status s = check_path(mf_buf_slice(&out), 0, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "template");
	mf_buf_put_slice(to, mf_buf_slice(&out));
	return mf_buf_check(to, err);
}

enum mf_status
mf_spiffe_segment_render(
    struct mf_slice tmpl, mf_spiffe_lookup lookup, void *ctx, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, MF_LIM_SPIFFE_ID);
	MF_TRY(render(tmpl, lookup, ctx, &out, err));
	if (!mf_spiffe_segment_ok(mf_buf_slice(&out)))
		return MF_FAIL(err, MF_E_INVALID, "template: gives no single path segment");
	mf_buf_put_slice(to, mf_buf_slice(&out));
	return mf_buf_check(to, err);
}
