#include "log/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"

#define SPARE "checkpoint.next"
#define SPARE_BYTES 4096u

void
mf_checkpoint_put(const struct mf_checkpoint *cp, struct mf_buf *to)
{
	mf_buf_putf(to, "%s\n%" PRIu64 "\n", cp->origin, cp->head.size);
	mf_base64_put(to, mf_slice(cp->head.root, MF_HASH_SIZE));
	mf_buf_put_str(to, "\n");
}

static bool
next_line(struct mf_slice *text, struct mf_slice *ret_line)
{
	const uint8_t *end = text->n == 0 ? NULL : memchr(text->p, '\n', text->n);
	if (end == NULL)
		return false;
	size_t n = (size_t)(end - text->p);
	*ret_line = mf_slice_sub(*text, 0, n);
	*text = mf_slice_sub(*text, n + 1, text->n);
	return n > 0;
}

enum mf_status
mf_checkpoint_parse(struct mf_slice text, struct mf_checkpoint *ret_cp, struct mf_err *err)
{
	struct mf_slice origin, size, root, more;
	struct mf_checkpoint cp = { 0 };
	if (!next_line(&text, &origin) || !next_line(&text, &size) || !next_line(&text, &root) ||
	    origin.n > MF_LIM_NOTE_NAME || memchr(origin.p, 0, origin.n) != NULL)
		return MF_FAIL(err, MF_E_INVALID, "checkpoint: must be lines of origin, size and root");
	if (!mf_parse_u64(size, &cp.head.size))
		return MF_FAIL(
		    err, MF_E_INVALID, "checkpoint: the size is not a number without leading zeros");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_HASH_SIZE);
	if (mf_base64_get(root, &b, NULL) != MF_OK || b.n != MF_HASH_SIZE)
		return MF_FAIL(err, MF_E_INVALID, "checkpoint: the root is not base64 of 32 bytes");
	while (text.n > 0)
		if (!next_line(&text, &more))
			return MF_FAIL(
			    err, MF_E_INVALID, "checkpoint: empty or unfinished line after the root");
	memcpy(cp.head.root, b.p, MF_HASH_SIZE);
	memcpy(cp.origin, origin.p, origin.n);
	*ret_cp = cp;
	return MF_OK;
}

enum mf_status
mf_checkpoint_open(
    struct mf_slice note, const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err)
{
	struct mf_slice text;
	const struct mf_note_key *by = NULL;
	struct mf_checkpoint cp;
	MF_TRY(mf_note_open(note, key, 1, &text, &by, err));
	MF_TRY(mf_checkpoint_parse(text, &cp, err));
	if (strcmp(cp.origin, by->name) != 0)
		return MF_FAIL(err, MF_E_INVALID, "checkpoint: is of the log %s, the key is that of %s",
		    cp.origin, by->name);
	*ret_cp = cp;
	return MF_OK;
}

enum mf_status
mf_checkpoint_load(const struct mf_log_io *io, int dirfd, const struct mf_note_key *key,
    struct mf_checkpoint *ret_cp, struct mf_err *err)
{
	return mf_checkpoint_load_by(io, dirfd, mf_checkpoint_open, key, ret_cp, err);
}

enum mf_status
mf_checkpoint_load_by(const struct mf_log_io *io, int dirfd, mf_checkpoint_open_fn *open,
    const struct mf_note_key *key, struct mf_checkpoint *ret_cp, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_NOTE);
	MF_TRY(mf_log_io_load(io == NULL ? mf_log_io_system() : io, dirfd, MF_CHECKPOINT_NAME, &b, err));
	enum mf_status s = open(mf_buf_slice(&b), key, ret_cp, err);
	if (s != MF_E_INVALID && s != MF_E_TOOBIG)
		return s;
	(void)mf_err_wrap(
	    err, s, "the log's signed head is damaged or of another log, restore the file checkpoint");
	if (err != NULL)
		err->code = MF_E_CORRUPT;
	return MF_E_CORRUPT;
}

struct mf_checkpointer {
	const struct mf_log_io *io;
	int dirfd;
	const struct mf_ed25519 *key;
	struct mf_checkpoint last;
	bool signed_any;
	bool unfinished; /* signed, but perhaps not in place */
};

/* An empty file with a block of its own. Best effort: without it the next head needs one from the disk. */
static void
make_spare(struct mf_checkpointer *c)
{
	int fd = c->io->open(c->io->ctx, c->dirfd, SPARE, O_WRONLY | O_CREAT, 0640);
	if (fd < 0)
		return;
	(void)c->io->allocate(c->io->ctx, fd, SPARE_BYTES);
	(void)c->io->close(c->io->ctx, fd);
}

enum mf_status
mf_checkpointer_new(const struct mf_log_io *io, int dirfd, struct mf_slice origin,
    const struct mf_ed25519 *key, const struct mf_wal_head *last, struct mf_checkpointer **ret_c,
    struct mf_err *err)
{
	struct mf_note_key k;
	uint8_t pub[MF_ED25519_KEY_SIZE];
	mf_ed25519_public(key, pub);
	MF_TRY(mf_note_key_init(origin, pub, &k, err));
	struct mf_checkpointer *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "checkpoint: out of memory");
	c->io = io == NULL ? mf_log_io_system() : io;
	c->dirfd = dirfd;
	c->key = key;
	memcpy(c->last.origin, k.name, sizeof(c->last.origin));
	if (last != NULL) {
		c->last.head = *last;
		c->signed_any = true;
	}
	make_spare(c);
	*ret_c = c;
	return MF_OK;
}

void
mf_checkpointer_free(struct mf_checkpointer *c)
{
	free(c);
}

/* ${note} on disk in the spare file. */
static enum mf_status
fill_spare(struct mf_checkpointer *c, struct mf_slice note, struct mf_err *err)
{
	int fd = c->io->open(c->io->ctx, c->dirfd, SPARE, O_WRONLY | O_CREAT, 0640);
	if (fd < 0)
		return mf_log_io_fail(err, "open", SPARE);
	enum mf_status s = MF_OK;
	for (size_t done = 0; s == MF_OK && done < note.n;) {
		ssize_t w = c->io->pwrite(c->io->ctx, fd, note.p + done, note.n - done, done);
		if (w > 0)
			done += (size_t)w;
		else if (w == 0 || errno != EINTR)
			s = mf_log_io_fail(err, "write", SPARE);
	}
	/* An earlier try may have left more. */
	if (s == MF_OK && c->io->truncate(c->io->ctx, fd, note.n) != 0)
		s = mf_log_io_fail(err, "truncate", SPARE);
	if (s == MF_OK && c->io->fsync(c->io->ctx, fd) != 0)
		s = mf_log_io_fail(err, "sync", SPARE);
	(void)c->io->close(c->io->ctx, fd);
	return s;
}

enum mf_status
mf_checkpointer_publish(struct mf_checkpointer *c, const struct mf_wal_head *head, struct mf_err *err)
{
	bool same = c->signed_any && head->size == c->last.head.size;
	if (c->signed_any && (head->size < c->last.head.size ||
				 (same && memcmp(head->root, c->last.head.root, MF_HASH_SIZE) != 0)))
		return MF_FAIL(err, MF_E_STATE,
		    "checkpoint: refusing to sign a head of %" PRIu64 " records after one of %" PRIu64
		    " that it does not extend",
		    head->size, c->last.head.size);
	if (same && !c->unfinished)
		return MF_OK;
	struct mf_checkpoint cp = c->last;
	cp.head = *head;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, note;
	mf_buf_init(&text, MF_LIM_NOTE);
	mf_buf_init(&note, MF_LIM_NOTE);
	mf_checkpoint_put(&cp, &text);
	MF_TRY(mf_note_sign(mf_buf_slice(&text), mf_slice_str(cp.origin), c->key, &note, err));
	/* From here on it may be out in the world: nothing inconsistent with it is signed, whatever fails. */
	c->last = cp;
	c->signed_any = c->unfinished = true;
	MF_TRY(fill_spare(c, mf_buf_slice(&note), err));
	if (c->io->rename(c->io->ctx, c->dirfd, SPARE, MF_CHECKPOINT_NAME) != 0)
		return mf_log_io_fail(err, "rename to", MF_CHECKPOINT_NAME);
	if (c->io->fsync(c->io->ctx, c->dirfd) != 0)
		return mf_log_io_fail(err, "sync directory of", MF_CHECKPOINT_NAME);
	c->unfinished = false;
	make_spare(c);
	return MF_OK;
}
