#include "cli/audit/lines.h"

#include <stdlib.h>

/* Beyond the limit, for lines whose records are not signed yet. */
#define SLACK 65536u

struct line {
	uint64_t index;
	long at;    /* in the spool */
	char *text; /* in memory, when there is a limit */
	size_t n;
};

struct mf_audit_lines {
	uint64_t limit;
	FILE *spool;
	long spooled;
	struct line *line; /* [head, head + n) modulo cap */
	size_t head, n, cap;
};

enum mf_status
mf_audit_lines_new(uint64_t limit, struct mf_audit_lines **ret_l, struct mf_err *err)
{
	struct mf_audit_lines *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	l->limit = limit;
	*ret_l = l;
	return MF_OK;
}

void
mf_audit_lines_free(struct mf_audit_lines *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->line[(l->head + i) % l->cap].text);
	free(l->line);
	if (l->spool != NULL)
		(void)fclose(l->spool);
	free(l);
}

static struct line *
nth(const struct mf_audit_lines *l, size_t i)
{
	return &l->line[(l->head + i) % l->cap];
}

static void
drop_first(struct mf_audit_lines *l)
{
	free(l->line[l->head].text);
	l->head = (l->head + 1) % l->cap;
	l->n--;
}

static enum mf_status
grow(struct mf_audit_lines *l, struct mf_err *err)
{
	size_t cap = l->cap == 0 ? 64 : l->cap * 2;
	struct line *p = calloc(cap, sizeof(*p));
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; i < l->n; i++)
		p[i] = *nth(l, i);
	free(l->line);
	l->line = p;
	l->head = 0;
	l->cap = cap;
	return MF_OK;
}

static enum mf_status
spool(struct mf_audit_lines *l, struct mf_slice text, struct mf_err *err)
{
	if (l->spool == NULL)
		l->spool = tmpfile();
	if (l->spool == NULL || fseek(l->spool, l->spooled, SEEK_SET) != 0 ||
	    fwrite(text.p, 1, text.n, l->spool) != text.n)
		return MF_FAIL(err, MF_E_IO, "temporary file: cannot be written");
	l->spooled += (long)text.n;
	return MF_OK;
}

enum mf_status
mf_audit_lines_add(struct mf_audit_lines *l, uint64_t index, struct mf_slice text, struct mf_err *err)
{
	if (l->limit > 0 && l->n == l->limit + SLACK)
		drop_first(l);
	if (l->n == l->cap)
		MF_TRY(grow(l, err));
	struct line *to = nth(l, l->n);
	*to = (struct line) { .index = index, .at = l->spooled, .n = text.n };
	if (l->limit > 0) {
		to->text = malloc(text.n + 1);
		if (to->text == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
		memcpy(to->text, text.p, text.n);
	} else {
		MF_TRY(spool(l, text, err));
	}
	l->n++;
	return MF_OK;
}

uint64_t
mf_audit_lines_ready(const struct mf_audit_lines *l, uint64_t size)
{
	uint64_t n = 0;
	while (n < l->n && nth(l, (size_t)n)->index < size)
		n++;
	return n;
}

static enum mf_status
write_line(struct mf_audit_lines *l, const struct line *line, FILE *to, struct mf_err *err)
{
	if (line->text != NULL) {
		if (fwrite(line->text, 1, line->n, to) != line->n)
			return MF_FAIL(err, MF_E_IO, "output: cannot be written");
		return MF_OK;
	}
	char buf[8192];
	if (fseek(l->spool, line->at, SEEK_SET) != 0)
		return MF_FAIL(err, MF_E_IO, "temporary file: cannot be read");
	for (size_t left = line->n; left > 0;) {
		size_t want = left < sizeof(buf) ? left : sizeof(buf);
		if (fread(buf, 1, want, l->spool) != want)
			return MF_FAIL(err, MF_E_IO, "temporary file: cannot be read");
		if (fwrite(buf, 1, want, to) != want)
			return MF_FAIL(err, MF_E_IO, "output: cannot be written");
		left -= want;
	}
	return MF_OK;
}

/* What was not signed yet goes on without a limit. */
static enum mf_status
lift_limit(struct mf_audit_lines *l, struct mf_err *err)
{
	for (size_t i = 0; l->limit > 0 && i < l->n; i++) {
		struct line *line = nth(l, i);
		line->at = l->spooled;
		MF_TRY(spool(l, mf_slice(line->text, line->n), err));
		free(line->text);
		line->text = NULL;
	}
	l->limit = 0;
	if (l->n == 0)
		l->spooled = 0; /* begin the file again: a follower runs for days */
	return MF_OK;
}

enum mf_status
mf_audit_lines_flush(struct mf_audit_lines *l, uint64_t size, const char *between, FILE *to, uint64_t *ret_n,
    struct mf_err *err)
{
	uint64_t ready = mf_audit_lines_ready(l, size);
	*ret_n = 0;
	for (; l->limit > 0 && ready > l->limit; ready--)
		drop_first(l);
	for (; ready > 0; ready--) {
		if (*ret_n > 0 && fputs(between, to) == EOF)
			return MF_FAIL(err, MF_E_IO, "output: cannot be written");
		MF_TRY(write_line(l, nth(l, 0), to, err));
		drop_first(l);
		(*ret_n)++;
	}
	return lift_limit(l, err);
}
