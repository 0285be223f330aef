#include "cli/watch.h"

#include <time.h>

#include "base/map.h"

#define LOOK_S 1

static uint64_t
row_hash(struct mf_cols cols, const void *row)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_SHOW_MAX);
	mf_jw_init(&w, &b, false);
	mf_jw_object_begin(&w);
	mf_show_object(&w, cols, row);
	mf_jw_object_end(&w);
	return mf_map_hash(b.p, b.n);
}

static bool
known(const struct mf_buf *hashes, uint64_t h)
{
	for (size_t i = 0; i + sizeof(h) <= hashes->n; i += sizeof(h))
		if (memcmp(hashes->p + i, &h, sizeof(h)) == 0)
			return true;
	return false;
}

/* Keep in ${rows} what was not there before, and remember all. */
static size_t
changed(struct mf_buf *hashes, struct mf_cols cols, const void **rows, size_t n)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf now;
	size_t kept = 0;
	mf_buf_init(&now, MF_SHOW_MAX);
	for (size_t i = 0; i < n; i++) {
		uint64_t h = row_hash(cols, rows[i]);
		mf_buf_put(&now, &h, sizeof(h));
		if (!known(hashes, h))
			rows[kept++] = rows[i];
	}
	struct mf_buf old = *hashes;
	*hashes = now;
	now = old;
	return kept;
}

int
mf_cli_watch_list(struct mf_cli *c, struct mf_cli_watch *w, const char *kind, struct mf_cols cols,
    const void **rows, size_t n, const char *nothing)
{
	if (w->on)
		n = changed(&w->hashes, cols, rows, n);
	if (w->again && n == 0)
		return MF_EXIT_OK;
	return mf_show_list(c, kind, cols, rows, n, nothing);
}

int
mf_cli_watch_run(struct mf_cli *c, int (*list)(struct mf_cli *c, struct mf_cli_watch *w))
{
	struct mf_cli_watch w = { .on = mf_cli_has(c, "watch") };
	int rc;
	mf_buf_init(&w.hashes, MF_SHOW_MAX);
	while ((rc = list(c, &w)) == MF_EXIT_OK && w.on) {
		if (fflush(c->out) != 0) {
			rc = MF_EXIT_FAILED; /* mf_cli_finish says why */
			break;
		}
		w.again = true;
		struct timespec t = { LOOK_S, 0 };
		(void)nanosleep(&t, NULL);
	}
	mf_buf_fini(&w.hashes);
	return rc;
}
