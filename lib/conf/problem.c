/* problem: see problem.h. */
#include "conf/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"

struct problem {
	struct mf_place at; /* source: only whether there is one */
	size_t nth;	    /* keeps the order of equal places */
	char source
	    [128]; /* a copy: the arena of a configuration that was refused is gone when problems are shown */
	char text[320];
};

struct mf_problems {
	char *file;
	size_t count, kept;
	struct problem v[MF_LIM_PROBLEMS];
};

struct mf_problems *
mf_problems_new(const char *file)
{
	MF_AUTO(mf_problems_free) struct mf_problems *p = calloc(1, sizeof(*p));
	if (p == NULL || (p->file = mf_slice_dup_str(mf_slice_str(file))) == NULL)
		return NULL;
	return MF_TAKE(p);
}

void
mf_problems_free(struct mf_problems *p)
{
	if (p == NULL)
		return;
	free(p->file);
	free(p);
}

void
mf_problems_add(struct mf_problems *p, struct mf_place at, const char *fmt, ...)
{
	p->count++;
	if (p->kept == MF_LIM_PROBLEMS)
		return;
	struct problem *it = &p->v[p->kept];
	it->at = at;
	it->nth = p->kept++;
	(void)snprintf(it->source, sizeof(it->source), "%s", at.source == NULL ? "" : at.source);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(it->text, sizeof(it->text), fmt, ap);
	va_end(ap);
}

size_t
mf_problems_count(const struct mf_problems *p)
{
	return p->count;
}

static int
by_place(const void *va, const void *vb)
{
	const struct problem *a = va, *b = vb;
	if ((a->at.source == NULL) != (b->at.source == NULL))
		return a->at.source != NULL ? -1 : 1;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.col != b->at.col)
		return a->at.col < b->at.col ? -1 : 1;
	return a->nth < b->nth ? -1 : a->nth > b->nth;
}

static void
put_one(const struct mf_problems *p, const struct problem *it, struct mf_buf *to)
{
	if (it->at.source != NULL)
		mf_buf_putf(to, "%s: %s", it->source, it->text);
	else if (it->at.line != 0)
		mf_buf_putf(to, "%s:%u:%u: %s", p->file, it->at.line, it->at.col, it->text);
	else
		mf_buf_putf(to, "%s: %s", p->file, it->text);
}

void
mf_problems_put(struct mf_problems *p, struct mf_buf *to)
{
	qsort(p->v, p->kept, sizeof(p->v[0]), by_place);
	for (size_t i = 0; i < p->kept; i++) {
		put_one(p, &p->v[i], to);
		mf_buf_put_u8(to, '\n');
	}
	if (p->count > p->kept)
		mf_buf_putf(to, "%s: and %zu more\n", p->file, p->count - p->kept);
}

enum mf_status
mf_problems_check(struct mf_problems *p, struct mf_err *err)
{
	if (p->count == 0)
		return MF_OK;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf first;
	mf_buf_init(&first, 4096);
	qsort(p->v, p->kept, sizeof(p->v[0]), by_place);
	put_one(p, &p->v[0], &first);
	const char *text = mf_buf_cstr(&first);
	if (p->count == 1)
		return MF_FAIL(err, MF_E_INVALID, "%s", text == NULL ? "out of memory" : text);
	return MF_FAIL(
	    err, MF_E_INVALID, "%s (and %zu more)", text == NULL ? "out of memory" : text, p->count - 1);
}
