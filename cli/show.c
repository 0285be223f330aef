#include "cli/show.h"

#include <stdlib.h>

#include "base/limits.h"
#include "codec/bundle.h"
#include "codec/pem.h"

#define TABLE_MAX (32u * 1024u * 1024u)

/* --- tables --- */

struct mf_table {
	size_t n_cols, n_cells;
	struct mf_buf text;  /* the cells one after the other */
	struct mf_buf spans; /* size_t end of each cell in text */
	size_t width[32];
};

struct mf_table *
mf_table_new(size_t n_cols)
{
	struct mf_table *t = calloc(1, sizeof(*t));
	if (t == NULL || n_cols == 0 || n_cols > MF_COUNT(t->width)) {
		free(t);
		return NULL;
	}
	t->n_cols = n_cols;
	mf_buf_init(&t->text, TABLE_MAX);
	mf_buf_init(&t->spans, TABLE_MAX);
	return t;
}

void
mf_table_free(struct mf_table *t)
{
	if (t == NULL)
		return;
	mf_buf_fini(&t->text);
	mf_buf_fini(&t->spans);
	free(t);
}

/* Characters, as far as UTF-8 says it: continuation bytes do not count. */
static size_t
width_of(struct mf_slice s)
{
	size_t w = 0;
	for (size_t i = 0; i < s.n; i++)
		w += (s.p[i] & 0xc0) != 0x80 ? 1u : 0u;
	return w;
}

static size_t
span_end(const struct mf_table *t, size_t i)
{
	size_t end;
	memcpy(&end, t->spans.p + i * sizeof(end), sizeof(end));
	return end;
}

static struct mf_slice
cell_at(const struct mf_table *t, size_t i)
{
	size_t from = i == 0 ? 0 : span_end(t, i - 1);
	return mf_slice_sub(mf_buf_slice(&t->text), from, span_end(t, i) - from);
}

void
mf_table_cell(struct mf_table *t, struct mf_slice text)
{
	size_t from = t->text.n;
	mf_show_clean(&t->text, text);
	mf_buf_put(&t->spans, &t->text.n, sizeof(t->text.n));
	if (t->text.failed != MF_OK || t->spans.failed != MF_OK)
		return;
	size_t w = width_of(mf_slice_sub(mf_buf_slice(&t->text), from, t->text.n));
	size_t *col = &t->width[t->n_cells++ % t->n_cols];
	if (w > *col)
		*col = w;
}

enum mf_status
mf_table_print(const struct mf_table *t, const char *indent, struct mf_buf *to, struct mf_err *err)
{
	MF_TRY(mf_buf_check(&t->text, err));
	MF_TRY(mf_buf_check(&t->spans, err));
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t col = i % t->n_cols;
		struct mf_slice s = cell_at(t, i);
		if (col == 0)
			mf_buf_put_str(to, indent);
		mf_buf_put_slice(to, s);
		if (col + 1 == t->n_cols)
			mf_buf_put_u8(to, '\n');
		for (size_t w = width_of(s); col + 1 < t->n_cols && w < t->width[col] + 2; w++)
			mf_buf_put_u8(to, ' ');
	}
	return mf_buf_check(to, err);
}

/* --- values --- */

void
mf_show_clean(struct mf_buf *to, struct mf_slice s)
{
	if (s.n == 0)
		mf_buf_put_u8(to, '-');
	for (size_t i = 0; i < s.n; i++) {
		/* C0, DEL, and C1 as UTF-8 writes it */
		bool c1 = s.p[i] == 0xc2 && i + 1 < s.n && s.p[i + 1] >= 0x80 && s.p[i + 1] < 0xa0;
		bool bad = s.p[i] < 0x20 || s.p[i] == 0x7f || c1;
		mf_buf_put_u8(to, bad ? '?' : s.p[i]);
		i += c1 ? 1 : 0;
	}
}

void
mf_show_duration(struct mf_buf *to, uint64_t s)
{
	static const struct {
		uint64_t big, small;
		char big_name, small_name;
	} units[] = { { 86400, 3600, 'd', 'h' }, { 3600, 60, 'h', 'm' } };
	for (size_t i = 0; i < MF_COUNT(units); i++) {
		if (s < units[i].big)
			continue;
		uint64_t rest = s % units[i].big / units[i].small;
		mf_buf_putf(to, "%llu%c", (unsigned long long)(s / units[i].big), units[i].big_name);
		if (rest != 0 && s / units[i].big < 10)
			mf_buf_putf(to, "%llu%c", (unsigned long long)rest, units[i].small_name);
		return;
	}
	mf_buf_putf(to, "%llu%c", (unsigned long long)(s >= 60 ? s / 60 : s), s >= 60 ? 'm' : 's');
}

static void
put_left(struct mf_buf *to, int64_t when_s, struct mf_now now)
{
	int64_t left = when_s - now.wall_us / 1000000;
	if (left <= 0)
		mf_buf_put_str(to, "expired");
	else
		mf_show_duration(to, (uint64_t)left);
}

void
mf_show_until(struct mf_buf *to, int64_t when_s, struct mf_now now)
{
	mf_time_put_s(to, when_s);
	mf_buf_put_str(to, " (");
	put_left(to, when_s, now);
	mf_buf_put_str(to, when_s > now.wall_us / 1000000 ? " left)" : ")");
}

static void
put_age(struct mf_buf *to, int64_t since_us, struct mf_now now)
{
	mf_show_duration(to, now.wall_us > since_us ? (uint64_t)(now.wall_us - since_us) / 1000000u : 0);
}

void
mf_show_export(struct mf_buf *to, const char *name, const char *value)
{
	static const char plain[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+=,-";
	mf_buf_putf(to, "export %s=", name);
	if (value == NULL || value[0] == '\0' || value[strspn(value, plain)] == '\0') {
		mf_buf_putf(to, "%s\n", value == NULL ? "" : value);
		return;
	}
	mf_buf_put_u8(to, '\'');
	for (; *value != '\0'; value++)
		if (*value == '\'')
			mf_buf_put_str(to, "'\\''");
		else
			mf_buf_put_u8(to, (uint8_t)*value);
	mf_buf_put_str(to, "'\n");
}

/* The field of type T at ${col} of ${msg}; memcpy because a message is only bytes to us. */
#define FIELD(T, var, msg, offset) \
	T var;                     \
	memcpy(&(var), (const uint8_t *)(msg) + (offset), sizeof(var))

static void
put_number(struct mf_buf *to, const struct mf_col *col, const void *msg)
{
	if (col->type == MF_COL_U64) {
		FIELD(uint64_t, v, msg, col->at);
		mf_buf_putf(to, "%llu", (unsigned long long)v);
	} else if (col->type == MF_COL_BOOL) {
		FIELD(int, v, msg, col->at);
		mf_buf_put_str(to, v != 0 ? "yes" : "no");
	} else {
		FIELD(uint32_t, v, msg, col->at);
		mf_buf_putf(to, "%u", v);
	}
}

static void
put_strs(struct mf_buf *to, const struct mf_col *col, const void *msg)
{
	FIELD(size_t, n, msg, col->count);
	FIELD(char **, v, msg, col->at);
	for (size_t i = 0; i < n; i++) {
		mf_buf_put_str(to, i == 0 ? "" : ",");
		mf_buf_put_str(to, v[i]);
	}
}

static void
put_time(struct mf_buf *to, const struct mf_col *col, const void *msg, struct mf_now now)
{
	FIELD(int64_t, t, msg, col->at);
	if (t == 0)
		return;
	if (col->type == MF_COL_AGE_US)
		put_age(to, t, now);
	else if (col->type == MF_COL_LEFT_S)
		put_left(to, t, now);
	else
		mf_time_put_s(to, col->type == MF_COL_TIME_US ? t / 1000000 : t);
}

/* The cell; nothing when the value is unknown. */
static void
put_cell(struct mf_buf *to, const struct mf_col *col, const void *msg, struct mf_now now)
{
	switch (col->type) {
	case MF_COL_STR: {
		FIELD(const char *, s, msg, col->at);
		mf_buf_put_str(to, s == NULL ? "" : s);
		return;
	}
	case MF_COL_U32:
	case MF_COL_U64:
	case MF_COL_BOOL:
		put_number(to, col, msg);
		return;
	case MF_COL_STRS:
		put_strs(to, col, msg);
		return;
	case MF_COL_OWN:
		col->put(to, msg, now);
		return;
	default:
		put_time(to, col, msg, now);
	}
}

static void
json_time(struct mf_jw *w, const struct mf_col *col, const void *msg)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	FIELD(int64_t, t, msg, col->at);
	if (t == 0) {
		mf_jw_null(w);
		return;
	}
	if (col->type == MF_COL_TIME_US || col->type == MF_COL_AGE_US)
		mf_time_put_us(&b, t);
	else
		mf_time_put_s(&b, t);
	mf_jw_string(w, mf_buf_slice(&b));
}

static void
json_strs(struct mf_jw *w, const struct mf_col *col, const void *msg)
{
	FIELD(size_t, n, msg, col->count);
	FIELD(char **, v, msg, col->at);
	mf_jw_array_begin(w);
	for (size_t i = 0; i < n; i++)
		mf_jw_str(w, v[i]);
	mf_jw_array_end(w);
}

static void
json_value(struct mf_jw *w, const struct mf_col *col, const void *msg)
{
	switch (col->type) {
	case MF_COL_STR: {
		FIELD(const char *, s, msg, col->at);
		if (s == NULL || s[0] == '\0')
			mf_jw_null(w);
		else
			mf_jw_str(w, s);
		return;
	}
	case MF_COL_U32: {
		FIELD(uint32_t, v, msg, col->at);
		mf_jw_uint(w, v);
		return;
	}
	case MF_COL_U64: {
		FIELD(uint64_t, v, msg, col->at);
		mf_jw_uint(w, v);
		return;
	}
	case MF_COL_BOOL: {
		FIELD(int, v, msg, col->at);
		mf_jw_bool(w, v != 0);
		return;
	}
	case MF_COL_STRS:
		json_strs(w, col, msg);
		return;
	case MF_COL_OWN:
		col->json(w, msg);
		return;
	default:
		json_time(w, col, msg);
	}
}

void
mf_show_object(struct mf_jw *w, struct mf_cols cols, const void *msg)
{
	for (size_t i = 0; i < cols.n; i++) {
		if (cols.v[i].key == NULL)
			continue;
		mf_jw_key(w, cols.v[i].key);
		json_value(w, &cols.v[i], msg);
	}
}

void
mf_show_pem_json(struct mf_jw *w, const char *key, struct mf_slice der)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem;
	mf_buf_init(&pem, 2 * MF_LIM_BUNDLE_DER);
	if (mf_bundle_split(der, certs, MF_COUNT(certs), &n, NULL) == MF_OK)
		for (size_t i = 0; i < n; i++)
			mf_pem_put(&pem, MF_PEM_CERTIFICATE, certs[i]);
	mf_jw_kstring(w, key, mf_buf_slice(&pem));
}

/* --- shapes --- */

enum mf_status
mf_show_table(struct mf_buf *to, const char *indent, struct mf_cols cols, const void *const *items, size_t n,
    struct mf_now now, struct mf_err *err)
{
	size_t shown = 0;
	for (size_t i = 0; i < cols.n; i++)
		shown += cols.v[i].head != NULL ? 1u : 0u;
	MF_AUTO(mf_table_free) struct mf_table *t = mf_table_new(shown);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cell;
	mf_buf_init(&cell, 1024 * 1024);
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < cols.n; i++)
		if (cols.v[i].head != NULL)
			mf_table_cell(t, mf_slice_str(cols.v[i].head));
	for (size_t k = 0; k < n; k++) {
		for (size_t i = 0; i < cols.n; i++) {
			if (cols.v[i].head == NULL)
				continue;
			mf_buf_reset(&cell);
			put_cell(&cell, &cols.v[i], items[k], now);
			MF_TRY(mf_buf_check(&cell, err));
			mf_table_cell(t, mf_buf_slice(&cell));
		}
	}
	return mf_table_print(t, indent, to, err);
}

enum mf_status
mf_show_block(struct mf_buf *to, struct mf_cols cols, const void *msg, struct mf_now now, struct mf_err *err)
{
	MF_AUTO(mf_table_free) struct mf_table *t = mf_table_new(2);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cell;
	mf_buf_init(&cell, 1024 * 1024);
	if (t == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < cols.n; i++) {
		if (cols.v[i].head == NULL)
			continue;
		mf_buf_reset(&cell);
		put_cell(&cell, &cols.v[i], msg, now);
		MF_TRY(mf_buf_check(&cell, err));
		if (cell.n == 0)
			continue;
		mf_table_cell(t, mf_slice_str(cols.v[i].head));
		mf_table_cell(t, mf_buf_slice(&cell));
	}
	return mf_table_print(t, "", to, err);
}

void
mf_show_json_begin(struct mf_jw *w, struct mf_buf *to, const char *kind)
{
	mf_jw_init(w, to, false);
	mf_jw_object_begin(w);
	mf_jw_kstr(w, "apiVersion", "mayfly/v1");
	mf_jw_kstr(w, "kind", kind);
	mf_jw_key(w, "items");
	mf_jw_array_begin(w);
}

enum mf_status
mf_show_json_end(struct mf_jw *w, struct mf_err *err)
{
	mf_jw_array_end(w);
	mf_jw_object_end(w);
	MF_TRY(mf_jw_finish(w, err));
	mf_buf_put_u8(w->to, '\n');
	return mf_buf_check(w->to, err);
}

int
mf_show_list(struct mf_cli *c, const char *kind, struct mf_cols cols, const void *const *items, size_t n,
    const char *nothing)
{
	struct mf_err err = { 0 };
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	enum mf_status s;
	if (c->json) {
		mf_show_json_begin(&w, &b, kind);
		for (size_t i = 0; i < n; i++) {
			mf_jw_object_begin(&w);
			mf_show_object(&w, cols, items[i]);
			mf_jw_object_end(&w);
		}
		s = mf_show_json_end(&w, &err);
	} else if (n == 0) {
		mf_cli_note(c, "%s", nothing);
		return MF_EXIT_OK;
	} else {
		s = mf_show_table(&b, "", cols, items, n, mf_now(), &err);
	}
	if (s != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	return MF_EXIT_OK;
}
