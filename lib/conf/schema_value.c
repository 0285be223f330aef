/* schema_value: one value from its text, by type; and the checks of strings. */
#include "base/clock.h"
#include "base/suggest.h"
#include "base/text.h"
#include "codec/spiffe_id.h"
#include "conf/schema_internal.h"

#define STRING_MAX 4096

bool
mf_schema_is_leaf(enum mf_conf_type type)
{
	return type <= MF_CONF_INTS;
}

static void *
place_in(void *to, const struct mf_conf_field *f)
{
	return (uint8_t *)to + f->at;
}

/* " (here: x)" when ${v} may be shown. */
static const char *
shown(struct mf_slice v, char *to, size_t room)
{
	size_t n = 0;
	static const char before[] = " (here: ", after[] = ")";
	to[0] = '\0';
	if (!mf_suggest_printable(v) || room < sizeof(before) + v.n + sizeof(after))
		return to;
	memcpy(to, before, sizeof(before) - 1);
	n = sizeof(before) - 1;
	memcpy(to + n, v.p, v.n);
	memcpy(to + n + v.n, after, sizeof(after));
	return to;
}

static bool
refuse(struct mf_problems *p, struct mf_place at, const struct mf_conf_field *f, const char *rule,
    struct mf_slice v)
{
	char here[128];
	mf_problems_add(p, at, "`%s` %s%s", f->key, rule, shown(v, here, sizeof(here)));
	return false;
}

static bool
set_string(const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_arena *arena,
    struct mf_problems *p, const char **ret)
{
	bool list = f->type == MF_CONF_STRINGS;
	size_t max = list || f->max == 0 ? STRING_MAX : (size_t)f->max;
	size_t min = list ? 1 : (size_t)f->min;
	if (v.n < min || v.n > max) {
		mf_problems_add(
		    p, at, "`%s` must be %zu to %zu bytes of text, this is %zu", f->key, min, max, v.n);
		return false;
	}
	const char *why = f->check == NULL || (v.n == 0 && min == 0) ? NULL : f->check(v);
	if (why != NULL)
		return refuse(p, at, f, why, v);
	const char *copy = mf_arena_str(arena, v);
	if (copy == NULL) {
		mf_problems_add(p, at, "`%s`: out of memory", f->key);
		return false;
	}
	*ret = copy;
	return true;
}

static bool
parse_int(struct mf_slice v, int64_t *ret)
{
	bool minus = v.n > 1 && v.p[0] == '-';
	uint64_t u;
	if (!mf_parse_u64(mf_slice_sub(v, minus ? 1 : 0, v.n), &u) || u > INT64_MAX)
		return false;
	*ret = minus ? -(int64_t)u : (int64_t)u;
	return true;
}

static bool
set_int(
    const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p, int64_t *ret)
{
	bool list = f->type == MF_CONF_INTS;
	int64_t i, min = list ? 0 : f->min, max = list ? UINT32_MAX : f->max;
	if (!parse_int(v, &i))
		return refuse(
		    p, at, f, "must be a whole number in decimal, without quotes or leading zeros", v);
	if (min == max && i != min) {
		mf_problems_add(
		    p, at, "`%s` must be %lld, this is %lld", f->key, (long long)min, (long long)i);
		return false;
	}
	if (i < min || i > max) {
		mf_problems_add(p, at, "`%s` must be %lld to %lld, this is %lld", f->key, (long long)min,
		    (long long)max, (long long)i);
		return false;
	}
	*ret = i;
	return true;
}

static bool
set_bool(
    const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p, bool *ret)
{
	if (!mf_slice_eq_str(v, "true") && !mf_slice_eq_str(v, "false"))
		return refuse(p, at, f, "must be true or false", v);
	*ret = v.n == 4;
	return true;
}

static bool
set_duration(const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p,
    uint64_t *ret)
{
	uint64_t ms;
	struct mf_err err;
	if (mf_parse_duration(v, &ms, &err) != MF_OK)
		return refuse(p, at, f, "must be a duration: a number and ms, s, m, h or d, like 20m", v);
	if (ms < (uint64_t)f->min || (f->max != 0 && ms > (uint64_t)f->max)) {
		mf_problems_add(p, at, "`%s` must be %lld to %lld seconds, this is %llu.%03llu", f->key,
		    (long long)f->min / 1000, (long long)f->max / 1000, (unsigned long long)ms / 1000,
		    (unsigned long long)ms % 1000);
		return false;
	}
	*ret = ms;
	return true;
}

static bool
set_size(const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p,
    uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t bytes;
	} units[] = { { "KiB", 1024 }, { "MiB", 1024 * 1024 }, { "GiB", 1024 * 1024 * 1024 }, { "", 1 } };
	uint64_t n = 0;
	size_t digits = 0, u = 0;
	while (digits < v.n && v.p[digits] >= '0' && v.p[digits] <= '9')
		digits++;
	while (u < MF_COUNT(units) && !mf_slice_eq_str(mf_slice_sub(v, digits, v.n), units[u].unit))
		u++;
	if (u == MF_COUNT(units) || !mf_parse_u64(mf_slice(v.p, digits), &n))
		return refuse(p, at, f, "must be a size: a number, and KiB, MiB or GiB, like 64MiB", v);
	if (n > INT64_MAX / units[u].bytes || n * units[u].bytes < (uint64_t)f->min ||
	    n * units[u].bytes > (uint64_t)f->max) {
		mf_problems_add(
		    p, at, "`%s` must be %lld to %lld bytes", f->key, (long long)f->min, (long long)f->max);
		return false;
	}
	*ret = n * units[u].bytes;
	return true;
}

static bool
set_enum(
    const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p, int *ret)
{
	size_t n = 0;
	for (; f->words[n] != NULL; n++) {
		if (mf_slice_eq_str(v, f->words[n])) {
			*ret = (int)n;
			return true;
		}
	}
	MF_AUTO_IN(mf_buf_fini) struct mf_buf list;
	mf_buf_init(&list, 256);
	for (size_t i = 0; i < n; i++)
		mf_buf_putf(&list, "%s`%s`", i == 0 ? "" : i + 1 == n ? " or " : ", ", f->words[i]);
	const char *text = mf_buf_cstr(&list), *near = mf_suggest(v, f->words, n);
	char here[128];
	mf_problems_add(p, at, "`%s` must be %s%s%s%s%s", f->key, text == NULL ? "one of its words" : text,
	    shown(v, here, sizeof(here)), near == NULL ? "" : "; did you mean `", near == NULL ? "" : near,
	    near == NULL ? "" : "`?");
	return false;
}

static bool
set_date(
    const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_problems *p, int64_t *ret)
{
	int64_t us = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf full;
	mf_buf_init(&full, 64);
	mf_buf_put_slice(&full, v);
	mf_buf_put_str(&full, "T00:00:00Z");
	if (v.n != 10 || mf_time_get(mf_buf_slice(&full), &us, NULL) != MF_OK)
		return refuse(p, at, f, "must be a date like 2027-02-01", v);
	*ret = us / 1000000;
	return true;
}

bool
mf_schema_set_element(const struct mf_conf_field *f, struct mf_slice text, struct mf_place at,
    struct mf_arena *arena, struct mf_problems *problems, const char **ret_s, int64_t *ret_d)
{
	if (f->type == MF_CONF_STRINGS)
		return set_string(f, text, at, arena, problems, ret_s);
	return set_int(f, text, at, problems, ret_d);
}

/* A list written in one text: elements between commas, none when the text is empty. */
static bool
set_list(const struct mf_conf_field *f, struct mf_slice v, struct mf_place at, struct mf_arena *arena,
    struct mf_problems *p, void *to)
{
	size_t n = v.n == 0 ? 0 : 1, from = 0, k = 0;
	for (size_t i = 0; i < v.n; i++)
		n += v.p[i] == ',';
	bool strings = f->type == MF_CONF_STRINGS, ok = true;
	const char **s = strings ? mf_arena_alloc(arena, n, sizeof(*s)) : NULL;
	int64_t *d = strings ? NULL : mf_arena_alloc(arena, n, sizeof(*d));
	if (s == NULL && d == NULL) {
		mf_problems_add(p, at, "`%s`: out of memory", f->key);
		return false;
	}
	for (size_t i = 0; i <= v.n && k < n; i++) {
		if (i < v.n && v.p[i] != ',')
			continue;
		struct mf_slice one = mf_slice_sub(v, from, i - from);
		from = i + 1;
		ok =
		    (strings ? set_string(f, one, at, arena, p, &s[k]) : set_int(f, one, at, p, &d[k])) && ok;
		k++;
	}
	if (!ok)
		return false;
	if (strings)
		*(struct mf_conf_strings *)to = (struct mf_conf_strings) { s, n };
	else
		*(struct mf_conf_ints *)to = (struct mf_conf_ints) { d, n };
	return true;
}

bool
mf_schema_set_text(const struct mf_conf_field *f, struct mf_slice text, struct mf_place at,
    struct mf_arena *arena, struct mf_problems *problems, void *to)
{
	void *here = place_in(to, f);
	switch (f->type) {
	case MF_CONF_STRING:
		return set_string(f, text, at, arena, problems, here);
	case MF_CONF_INT:
		return set_int(f, text, at, problems, here);
	case MF_CONF_BOOL:
		return set_bool(f, text, at, problems, here);
	case MF_CONF_DURATION:
		return set_duration(f, text, at, problems, here);
	case MF_CONF_SIZE:
		return set_size(f, text, at, problems, here);
	case MF_CONF_ENUM:
		return set_enum(f, text, at, problems, here);
	case MF_CONF_DATE:
		return set_date(f, text, at, problems, here);
	case MF_CONF_STRINGS:
	case MF_CONF_INTS:
		return set_list(f, text, at, arena, problems, here);
	default:
		return false;
	}
}

const char *
mf_conf_check_path(struct mf_slice v)
{
	static const char rule[] = "must be an absolute path without `.` or `..` parts";
	if (v.n == 0 || v.p[0] != '/')
		return rule;
	size_t from = 1;
	for (size_t i = 1; i <= v.n; i++) {
		if (i < v.n && v.p[i] != '/')
			continue;
		struct mf_slice part = mf_slice_sub(v, from, i - from);
		from = i + 1;
		if (mf_slice_eq_str(part, ".") || mf_slice_eq_str(part, ".."))
			return rule;
	}
	return NULL;
}

const char *
mf_conf_check_address(struct mf_slice v)
{
	static const char rule[] =
	    "must be an address and port, like 127.0.0.1:8461, [::1]:8461 or broker.example:8461";
	size_t colon = v.n;
	while (colon > 0 && v.p[colon - 1] != ':')
		colon--;
	uint64_t port;
	if (colon < 2 || !mf_parse_u64(mf_slice_sub(v, colon, v.n), &port) || port > 65535)
		return rule;
	struct mf_slice host = mf_slice_sub(v, 0, colon - 1);
	bool six = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (six)
		host = mf_slice_sub(host, 1, host.n - 2);
	if (host.n > 253)
		return rule;
	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = host.p[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		bool name = hex || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-' || c == '_';
		if (six ? !(hex || c == ':' || c == '.') : !(name || c == '.'))
			return rule;
	}
	return NULL;
}

const char *
mf_conf_check_name(struct mf_slice v)
{
	static const char rule[] = "must be 1 to 64 of a-z, 0-9, . - _ and begin with a letter or digit";
	if (v.n == 0 || v.n > 64 || v.p[0] == '.' || v.p[0] == '-' || v.p[0] == '_')
		return rule;
	for (size_t i = 0; i < v.n; i++)
		if (!((v.p[i] >= 'a' && v.p[i] <= 'z') || (v.p[i] >= '0' && v.p[i] <= '9') || v.p[i] == '.' ||
			v.p[i] == '-' || v.p[i] == '_'))
			return rule;
	return NULL;
}

const char *
mf_conf_check_trust_domain(struct mf_slice v)
{
	if (mf_trust_domain_check_strict(v, NULL) == MF_OK)
		return NULL;
	return "must be a trust domain: lowercase labels with dots between, like example.org";
}

const char *
mf_conf_check_user(struct mf_slice v)
{
	static const char rule[] =
	    "must be a Unix name: up to 32 of a-z, A-Z, 0-9, . - _, not beginning with a - or digit";
	if (v.n == 0 || v.n > 32 || v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9'))
		return rule;
	for (size_t i = 0; i < v.n; i++)
		if (!((v.p[i] >= 'a' && v.p[i] <= 'z') || (v.p[i] >= 'A' && v.p[i] <= 'Z') ||
			(v.p[i] >= '0' && v.p[i] <= '9') || v.p[i] == '.' || v.p[i] == '-' || v.p[i] == '_'))
			return rule;
	return NULL;
}
