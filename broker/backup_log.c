#include "broker/backup_log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include "os/secure_file.h"

void
mf_backup_log_fini(struct mf_backup_log *l)
{
	free(l->segments);
	mf_buf_fini(&l->note);
	*l = (struct mf_backup_log) { 0 };
}

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* ---- keys ---- */

static struct mf_backup_key *
find_key(struct mf_backup_log *l, struct mf_slice id)
{
	for (size_t i = 0; i < l->keys_n; i++)
		if (mf_slice_eq_str(id, l->keys[i].id))
			return &l->keys[i];
	return NULL;
}

struct reading {
	struct mf_backup_log *l;
	bool any_key;
};

static enum mf_status
key_prepared(struct reading *g, const struct mf_record *r, struct mf_err *err)
{
	struct mf_backup_log *l = g->l;
	struct mf_slice id = r->s[MF_RS_KEY_ID];
	if (l->keys_n == MF_BACKUP_KEYS || id.n >= MF_KEY_ID_MAX)
		return MF_FAIL(err, MF_E_CORRUPT, "the log names more CA keys than a broker has");
	struct mf_backup_key *k = &l->keys[l->keys_n++];
	*k = (struct mf_backup_key) { .first = !g->any_key, .signs = true };
	memcpy(k->id, id.p, id.n);
	g->any_key = true;
	return MF_OK;
}

static enum mf_status
key_record(struct reading *g, const struct mf_record *r, struct mf_err *err)
{
	struct mf_backup_log *l = g->l;
	if (!mf_slice_eq_str(r->s[MF_RS_KEY_USE], MF_KEY_USE_X509))
		return MF_OK;
	if (r->type == MF_REC_KEY_PREPARED)
		return key_prepared(g, r, err);
	struct mf_backup_key *k = find_key(l, r->s[MF_RS_KEY_ID]);
	if (k == NULL)
		return MF_OK;
	if (r->type == MF_REC_KEY_ACTIVATED) /* the one before it is retired */
		for (size_t i = 0; i < l->keys_n; i++)
			l->keys[i].signs = &l->keys[i] == k;
	if (r->type == MF_REC_KEY_TAINTED)
		k->signs = false;
	if (r->type == MF_REC_KEY_REVOKED || r->type == MF_REC_KEY_REMOVED)
		*k = l->keys[--l->keys_n];
	return MF_OK;
}

static enum mf_status
on_record(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	static const char key_type[] = "\"type\":\"key.";
	struct reading *g = ctx;
	bool last = rec->index + 1 == g->l->head.size;
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	/* Of millions of records a few are taken apart. */
	if (!last && memmem(rec->bytes.p, rec->bytes.n, key_type, sizeof(key_type) - 1) == NULL)
		return MF_OK;
	MF_TRY(mf_record_decode(rec->bytes, &doc, err));
	const struct mf_record *r = mf_record_doc_get(doc);
	if (last)
		g->l->last_us = r->ts_us;
	return r->type >= MF_REC_KEY_PREPARED && r->type <= MF_REC_KEY_REMOVED ? key_record(g, r, err)
									       : MF_OK;
}

/* ---- frames and segments ---- */

static enum mf_status
add_segment(struct mf_backup_log *l, const struct mf_wal_place *p, struct mf_err *err)
{
	if (l->segments_n > 0 && l->segments[l->segments_n - 1].first == p->segment) {
		l->bytes += p->good_bytes - l->segments[l->segments_n - 1].bytes;
		l->segments[l->segments_n - 1].bytes = p->good_bytes;
		return MF_OK;
	}
	if (l->segments_n == l->segments_cap) {
		size_t cap = l->segments_cap == 0 ? 16 : 2 * l->segments_cap;
		struct mf_backup_segment *v = realloc(l->segments, cap * sizeof(*v));
		if (v == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "log: out of memory");
		l->segments = v;
		l->segments_cap = cap;
	}
	l->segments[l->segments_n++] = (struct mf_backup_segment) { p->segment, p->good_bytes };
	l->bytes += p->good_bytes;
	return MF_OK;
}

static enum mf_status
read_frames(struct mf_backup_log *l, struct mf_wal_reader *r, struct mf_err *err)
{
	struct reading g = { .l = l };
	while (mf_wal_reader_index(r) < l->head.size) {
		struct mf_frame f;
		enum mf_status s = mf_wal_reader_next(r, &f, err);
		if (s == MF_E_AGAIN)
			return MF_FAIL(err, MF_E_CORRUPT,
			    "the log ends at record %" PRIu64 ", its signed head covers %" PRIu64
			    ": it was cut, or an older copy was put back",
			    mf_wal_reader_index(r), l->head.size);
		MF_TRY(s);
		MF_TRY(mf_wal_reader_records(r, &f, 0, UINT64_MAX, on_record, &g, err));
		struct mf_wal_place p = mf_wal_reader_place(r);
		MF_TRY(add_segment(l, &p, err));
	}
	uint8_t root[MF_HASH_SIZE];
	mf_merkle_root(&mf_wal_reader_anchor(r)->tree, root);
	if (mf_wal_reader_index(r) != l->head.size || memcmp(root, l->head.root, MF_HASH_SIZE) != 0)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "the first %" PRIu64 " records are not those that the head was signed for", l->head.size);
	return MF_OK;
}

static enum mf_status
ends_here(struct mf_wal_reader *r, struct mf_err *err)
{
	struct mf_frame f;
	struct mf_wal_stop stop;
	enum mf_status s = mf_wal_reader_next(r, &f, err);
	if (s == MF_OK || (s == MF_E_AGAIN && mf_wal_reader_stop(r, &stop)))
		return MF_FAIL(err, MF_E_CORRUPT, "something stands after the log's signed head");
	return s == MF_E_AGAIN ? MF_OK : s;
}

static enum mf_status
read_head(int log_dirfd, struct mf_backup_log *l, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf vkey;
	struct mf_checkpoint cp;
	mf_buf_init(&vkey, MF_LIM_NOTE);
	mf_buf_init(&l->note, MF_LIM_NOTE);
	MF_TRY(mf_file_read(log_dirfd, MF_VKEY_NAME, &vkey, err));
	MF_TRY(mf_note_key_parse(mf_buf_slice(&vkey), &l->key, err));
	MF_TRY(mf_file_read(log_dirfd, MF_CHECKPOINT_NAME, &l->note, err));
	MF_TRY(mf_checkpoint_open(mf_buf_slice(&l->note), &l->key, &cp, err));
	l->head = cp.head;
	return MF_OK;
}

enum mf_status
mf_backup_log_read(int log_dirfd, bool whole, struct mf_backup_log *ret_l, struct mf_err *err)
{
	MF_AUTO_IN(mf_backup_log_fini) struct mf_backup_log l = { 0 };
	MF_AUTO(mf_wal_reader_free) struct mf_wal_reader *r = NULL;
	MF_AUTO_IN(close_fd) int wal = openat(log_dirfd, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mf_wal_anchor none = { 0 };
	if (wal < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "there is no log/wal");
	MF_TRY(read_head(log_dirfd, &l, err));
	MF_TRY(mf_wal_reader_new(NULL, wal, &none, &r, err));
	MF_TRY(read_frames(&l, r, err));
	if (whole)
		MF_TRY(ends_here(r, err));
	*ret_l = l;
	l = (struct mf_backup_log) { 0 };
	return MF_OK;
}
