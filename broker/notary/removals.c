#include "broker/notary/removals.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define REMOVALS_MAX (1u << 20)

struct mf_removals {
	int fd;
	struct mf_buf lines;
	uint64_t last; /* index of the record that settles them */
	bool settled;
};

enum mf_status
mf_removals_new(int fd, struct mf_removals **ret_r, struct mf_err *err)
{
	struct mf_removals *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "removals: out of memory");
	r->fd = fd;
	mf_buf_init(&r->lines, REMOVALS_MAX);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && (size_t)st.st_size <= REMOVALS_MAX) {
		uint8_t *at = mf_buf_extend(&r->lines, (size_t)st.st_size);
		if (at == NULL || pread(fd, at, (size_t)st.st_size, 0) != st.st_size)
			mf_buf_reset(&r->lines);
		/* Half a line was never answered; what is appended must not continue it. */
		while (r->lines.n > 0 && r->lines.p[r->lines.n - 1] != '\n')
			r->lines.n--;
	}
	*ret_r = r;
	return MF_OK;
}

void
mf_removals_free(struct mf_removals *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		(void)close(r->fd);
	mf_buf_fini(&r->lines);
	free(r);
}

void
mf_removals_keep(struct mf_removals *r, struct mf_slice what)
{
	size_t from = r->lines.n;
	mf_buf_put_slice(&r->lines, what);
	mf_buf_put_u8(&r->lines, '\n');
	r->settled = false;
	if (r->fd < 0 || r->lines.failed != MF_OK)
		return;
	/* At the end: what stands there already is never absent, whenever we are killed. It is memory, not a disk: the
	 * write cannot fail but for a lack of memory, and then nothing can help. */
	ssize_t n = pwrite(r->fd, r->lines.p + from, r->lines.n - from, (off_t)from);
	MF_UNUSED(n);
}

void
mf_removals_settle(struct mf_removals *r, uint64_t index)
{
	if (index > r->last)
		r->last = index;
	r->settled = true;
}

void
mf_removals_recorded(struct mf_removals *r, uint64_t size)
{
	if (r->lines.n == 0 || !r->settled || r->last >= size)
		return;
	mf_buf_reset(&r->lines);
	if (r->fd >= 0) {
		int failed = ftruncate(r->fd, 0);
		MF_UNUSED(failed); /* then they are done again, which changes nothing */
	}
}

void
mf_removals_each(struct mf_removals *r, void (*fn)(void *ctx, struct mf_slice what), void *ctx)
{
	/* A copy: ${fn} may keep more. */
	MF_AUTO_IN(mf_buf_fini) struct mf_buf copy;
	mf_buf_init(&copy, REMOVALS_MAX);
	mf_buf_put_slice(&copy, mf_buf_slice(&r->lines));
	struct mf_slice rest = mf_buf_slice(&copy);
	while (rest.n > 0) {
		const uint8_t *nl = memchr(rest.p, '\n', rest.n);
		size_t n = nl == NULL ? rest.n : (size_t)(nl - rest.p);
		struct mf_slice line = mf_slice(rest.p, n);
		if (nl != NULL && n > 0)
			fn(ctx, line);
		rest = mf_slice_sub(rest, n + 1, rest.n);
	}
}
