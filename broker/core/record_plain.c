/* One pass over a record in canonical form, without a JSON tree: asking a tree for each member cost more than its row. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/core/record_internal.h"

#define WITH_US 27u    /* base/clock.h: characters of a time with its microseconds */
#define INT_DIGITS 18u /* fits int64_t whatever they are */

struct scan {
	const uint8_t *p, *end;
	bool oom;
};

static bool
take(struct scan *s, uint8_t c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool
text(struct scan *s, struct mf_slice *ret_v)
{
	if (!take(s, '"'))
		return false;
	const uint8_t *at = s->p;
	while (at < s->end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\')
		at++;
	*ret_v = mf_slice(s->p, (size_t)(at - s->p));
	s->p = at;
	return take(s, '"');
}

static bool
number(struct scan *s, int64_t *ret_v)
{
	bool minus = take(s, '-');
	const uint8_t *at = s->p;
	int64_t v = 0;
	while (at < s->end && *at >= '0' && *at <= '9' && (size_t)(at - s->p) < INT_DIGITS)
		v = v * 10 + (*at++ - '0');
	size_t n = (size_t)(at - s->p);
	if (n == 0 || (*s->p == '0' && (n > 1 || minus)))
		return false;
	s->p = at; /* a digit more, or a fraction, is not what follows a value */
	*ret_v = minus ? -v : v;
	return true;
}

static bool
one_cred(struct scan *s, struct mf_record_cred *ret_c)
{
	struct mf_slice exp, serial;
	return take(s, '{') && text(s, &exp) && mf_slice_eq_str(exp, "exp") && take(s, ':') &&
	       number(s, &ret_c->exp) && take(s, ',') && text(s, &serial) &&
	       mf_slice_eq_str(serial, "serial") && take(s, ':') && text(s, &ret_c->serial) && take(s, '}');
}

static bool
one_text(struct scan *s, struct mf_slice *ret_v)
{
	return text(s, ret_v);
}

/* A list, not empty; ${one}(s, at) reads each into the array that is made. */
#define DEFINE_LIST(name, type, one)                                  \
	static bool name(struct scan *s, type **ret_v, size_t *ret_n) \
	{                                                             \
		type each;                                            \
		struct scan count = *s;                               \
		size_t n = 0;                                         \
		if (!take(&count, '['))                               \
			return false;                                 \
		do {                                                  \
			if (!one(&count, &each))                      \
				return false;                         \
			n++;                                          \
		} while (take(&count, ','));                          \
		type *v = calloc(n, sizeof(*v));                      \
		s->oom = s->oom || v == NULL;                         \
		if (v == NULL)                                        \
			return false;                                 \
		for (size_t i = 0; i < n; i++) {                      \
			s->p++; /* bracket or comma */                \
			(void)one(s, &v[i]);                          \
		}                                                     \
		*ret_v = v;                                           \
		*ret_n = n;                                           \
		return take(s, ']');                                  \
	}
DEFINE_LIST(texts, struct mf_slice, one_text)
DEFINE_LIST(creds, struct mf_record_cred, one_cred)

static bool
value(struct scan *s, const struct field *f, struct mf_record_doc *d)
{
	struct mf_record *r = &d->rec;
	struct mf_slice t;
	int64_t n;
	bool good = false;
	switch (f->kind) {
	case K_STR:
		d->strings.set[f->at / 64] |= UINT64_C(1) << f->at % 64;
		return text(s, &r->s[f->at]);
	case K_NUM:
		good = number(s, &n);
		if (good)
			mf_record_set_num(r, (enum mf_record_num)f->at, n);
		return good;
	case K_ATTRIBUTES:
		good = texts(s, &d->attributes, &r->attributes_n);
		r->attributes = d->attributes;
		return good;
	case K_SELECTORS:
		good = texts(s, &d->selectors, &r->selectors_n);
		r->selectors = d->selectors;
		return good;
	case K_AUD:
		good = texts(s, &d->aud, &r->aud_n);
		r->aud = d->aud;
		return good;
	case K_CREDS:
		good = creds(s, &d->creds, &r->creds_n);
		r->creds = d->creds;
		return good;
	case K_TS: /* of the two spellings the one with microseconds */
		return text(s, &t) && t.n == WITH_US && mf_time_get(t, &r->ts_us, NULL) == MF_OK;
	case K_TYPE:
		return text(s, &t) && mf_record_type_parse(t, &r->type);
	case K_VERSION:
		return number(s, &n) && n == 1;
	}
	return false;
}

/* The next member in the table's order: ${i} moves on, past what this record does not have. */
static bool
find(const struct field *fields, size_t n, size_t *i, struct mf_slice key, bool member)
{
	const char *within = member ? fields[*i].key : NULL;
	for (; *i < n; ++*i) {
		const struct field *f = &fields[*i];
		if (member && strcmp(f->key, within) != 0)
			return false;
		if (mf_slice_eq_str(key, member ? f->member : f->key))
			return true;
		if (!member && (f->kind == K_TS || f->kind == K_TYPE || f->kind == K_VERSION))
			return false; /* each record has these */
	}
	return false;
}

static bool
object(struct scan *s, const struct field *fields, size_t n, size_t *i, struct mf_record_doc *d)
{
	const char *key = fields[*i].key;
	struct mf_slice member;
	if (!take(s, '{'))
		return false;
	do {
		if (*i == n || !text(s, &member) || !take(s, ':') || !find(fields, n, i, member, true) ||
		    !value(s, &fields[*i], d))
			return false;
		++*i;
	} while (take(s, ','));
	while (*i < n && strcmp(fields[*i].key, key) == 0)
		++*i; /* the object does not come a second time */
	return take(s, '}');
}

static bool
members(struct scan *s, const struct field *fields, size_t n, struct mf_record_doc *d)
{
	struct mf_slice key;
	size_t i = 0;
	bool versioned = false;
	if (!take(s, '{'))
		return false;
	do {
		if (!text(s, &key) || !take(s, ':') || !find(fields, n, &i, key, false))
			return false;
		versioned = versioned || fields[i].kind == K_VERSION;
		if (fields[i].member != NULL) {
			if (!object(s, fields, n, &i, d))
				return false;
		} else if (!value(s, &fields[i++], d)) {
			return false;
		}
	} while (take(s, ','));
	return versioned && take(s, '}') && s->p == s->end;
}

enum mf_status
mf_record_plain(struct mf_slice bytes, const struct field *fields, size_t n_fields,
    struct mf_record_doc **ret_doc, struct mf_err *err)
{
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *d = calloc(1, sizeof(*d) + bytes.n);
	if (d == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "record: out of memory");
	if (bytes.n > 0)
		memcpy(d->bytes, bytes.p, bytes.n);
	struct scan s = { d->bytes, d->bytes + bytes.n, false };
	if (members(&s, fields, n_fields, d))
		*ret_doc = MF_TAKE(d);
	else if (s.oom)
		return MF_FAIL(err, MF_E_NOMEM, "record: out of memory");
	return MF_OK;
}
