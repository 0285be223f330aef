#include "broker/backup_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SUM (2 * MF_SHA256_SIZE)

void
mf_backup_list_fini(struct mf_backup_list *l)
{
	free(l->v);
	*l = (struct mf_backup_list) { 0 };
}

/* Letters, digits and "._-", not beginning with a dot. */
static bool
is_plain(const char *s)
{
	return s[0] != '\0' && s[0] != '.' &&
	       s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

static bool
may_be(const char *name)
{
	static const char *const dirs[] = { "log/wal/", "log/snapshots/", "log/", "keys/", "handles/" };
	if (strcmp(name, "FORMAT") == 0)
		return true;
	for (size_t i = 0; i < MF_COUNT(dirs); i++) {
		size_t n = strlen(dirs[i]);
		if (strncmp(name, dirs[i], n) == 0 && is_plain(name + n))
			return true;
	}
	return false;
}

const struct mf_backup_file *
mf_backup_list_find(const struct mf_backup_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

/* ${name} is not in it yet. */
static enum mf_status
append(struct mf_backup_list *l, const char *name, const uint8_t sha256[MF_SHA256_SIZE], struct mf_err *err)
{
	if (strlen(name) >= MF_BACKUP_NAME || !may_be(name))
		return MF_FAIL(err, MF_E_INVALID, "%.100s is no file of a backup", name);
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
		struct mf_backup_file *v = realloc(l->v, cap * sizeof(*v));
		if (v == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "backup: out of memory");
		l->v = v;
		l->cap = cap;
	}
	struct mf_backup_file *f = &l->v[l->n++];
	memset(f, 0, sizeof(*f));
	memcpy(f->name, name, strlen(name));
	memcpy(f->sha256, sha256, MF_SHA256_SIZE);
	return MF_OK;
}

enum mf_status
mf_backup_list_add(
    struct mf_backup_list *l, const char *name, const uint8_t sha256[MF_SHA256_SIZE], struct mf_err *err)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0) {
			memcpy(l->v[i].sha256, sha256, MF_SHA256_SIZE);
			return MF_OK;
		}
	return append(l, name, sha256, err);
}

void
mf_backup_list_put(const struct mf_backup_list *l, struct mf_buf *to)
{
	for (size_t i = 0; i < l->n; i++) {
		mf_hex_put(to, mf_slice(l->v[i].sha256, MF_SHA256_SIZE));
		mf_buf_putf(to, "  %s\n", l->v[i].name);
	}
}

static enum mf_status
parse_line(struct mf_slice line, struct mf_backup_list *l, struct mf_err *err)
{
	char name[MF_BACKUP_NAME] = "";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf sum;
	mf_buf_init(&sum, MF_SHA256_SIZE);
	if (line.n < SUM + 3 || line.n - SUM - 2 >= sizeof(name) || line.p[SUM] != ' ' ||
	    line.p[SUM + 1] != ' ' || mf_hex_get(mf_slice_sub(line, 0, SUM), &sum, NULL) != MF_OK ||
	    sum.n != MF_SHA256_SIZE)
		return MF_FAIL(
		    err, MF_E_INVALID, MF_BACKUP_LIST ": line %zu is not \"SHA256  NAME\"", l->n + 1);
	memcpy(name, line.p + SUM + 2, line.n - SUM - 2);
	if (strlen(name) != line.n - SUM - 2)
		return MF_FAIL(err, MF_E_INVALID, MF_BACKUP_LIST ": line %zu holds a NUL", l->n + 1);
	return append(l, name, sum.p, err);
}

static int
by_name(const void *a, const void *b)
{
	const struct mf_backup_file *x = a, *y = b;
	return strcmp(x->name, y->name);
}

enum mf_status
mf_backup_list_parse(struct mf_slice text, struct mf_backup_list *l, struct mf_err *err)
{
	if (text.n > MF_BACKUP_LIST_MAX)
		return MF_FAIL(err, MF_E_TOOBIG, MF_BACKUP_LIST ": %zu bytes", text.n);
	while (text.n > 0) {
		const uint8_t *nl = memchr(text.p, '\n', text.n);
		if (nl == NULL)
			return MF_FAIL(err, MF_E_INVALID, MF_BACKUP_LIST ": its last line is unfinished");
		size_t n = (size_t)(nl - text.p);
		MF_TRY(parse_line(mf_slice_sub(text, 0, n), l, err));
		text = mf_slice_sub(text, n + 1, text.n);
	}
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_name);
	for (size_t i = 1; i < l->n; i++)
		if (strcmp(l->v[i - 1].name, l->v[i].name) == 0)
			return MF_FAIL(err, MF_E_INVALID, MF_BACKUP_LIST ": %s is named twice", l->v[i].name);
	return MF_OK;
}
