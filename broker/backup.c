#include "broker/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/text.h"
#include "broker/backup_files.h"
#include "broker/init.h"
#include "os/secure_file.h"

#define SNAPSHOT_NAME 21u	     /* 16 digits and ".snap" */
#define HEADS MF_CHECKPOINT_NAME "-" /* of the logs that this one continues */

void
mf_backup_report_fini(struct mf_backup_report *r)
{
	mf_backup_log_fini(&r->log);
	*r = (struct mf_backup_report) { 0 };
}

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

struct copying {
	int from, to;
	struct mf_backup_list list;
	const char *dir;      /* that is gone through */
	uint64_t below, best; /* snapshots */
};

static enum mf_status
copy_one(struct copying *c, const char *name, uint64_t bytes, struct mf_err *err)
{
	uint8_t sum[MF_SHA256_SIZE];
	MF_TRY(mf_backup_copy(c->from, c->to, name, bytes, 0600, sum, err));
	return mf_backup_list_add(&c->list, name, sum, err);
}

/* ---- keys and handles ---- */

/* A file of ${c->dir} that is not in the backup yet; one that goes meanwhile was not needed any more. */
static enum mf_status
take_file(void *ctx, const char *file, struct mf_err *err)
{
	struct copying *c = ctx;
	char name[MF_BACKUP_NAME];
	struct mf_err why = { 0 };
	int n = snprintf(name, sizeof(name), "%s/%s", c->dir, file);
	if (file[0] == '.') /* a file in the making */
		return MF_OK;
	if (n < 0 || (size_t)n >= sizeof(name))
		return MF_FAIL(err, MF_E_INVALID, "%s/%.80s: no such file is ours", c->dir, file);
	if (mf_backup_list_find(&c->list, name) != NULL)
		return MF_OK;
	enum mf_status s = copy_one(c, name, UINT64_MAX, &why);
	if (s != MF_OK && s != MF_E_NOTFOUND && err != NULL)
		*err = why;
	return s == MF_E_NOTFOUND ? MF_OK : s;
}

static enum mf_status
take_dir(struct copying *c, const char *dir, struct mf_err *err)
{
	c->dir = dir;
	return mf_backup_each(c->from, dir, take_file, c, err);
}

/* The files of the CA keys that the log names are there. */
static enum mf_status
check_keys(const struct mf_backup_log *l, const struct mf_backup_list *list, struct mf_err *err)
{
	for (size_t i = 0; i < l->keys_n; i++) {
		const struct mf_backup_key *k = &l->keys[i];
		char name[MF_BACKUP_NAME];
		(void)snprintf(name, sizeof(name), "keys/ca-%.*s.key", (int)(MF_BACKUP_NAME - 16), k->id);
		if (k->signs && mf_backup_list_find(list, k->first ? "keys/ca.key" : name) == NULL)
			return MF_FAIL(err, MF_E_NOTFOUND, "the file of CA key %s is not there", k->id);
	}
	return mf_backup_list_find(list, "keys/log.key") != NULL &&
		       mf_backup_list_find(list, "keys/inner.key") != NULL
		   ? MF_OK
		   : MF_FAIL(err, MF_E_NOTFOUND, "keys/log.key or keys/inner.key is not there");
}

/* ---- the log ---- */

static enum mf_status
take_segments(struct copying *c, const struct mf_backup_log *l, struct mf_err *err)
{
	for (size_t i = 0; i < l->segments_n; i++) {
		char name[MF_BACKUP_NAME], segment[MF_SEGMENT_NAME_MAX];
		mf_segment_name(l->segments[i].first, segment);
		(void)snprintf(name, sizeof(name), "log/wal/%s", segment);
		MF_TRY(copy_one(c, name, l->segments[i].bytes, err));
	}
	return MF_OK;
}

static enum mf_status
consider_snapshot(void *ctx, const char *file, struct mf_err *err)
{
	struct copying *c = ctx;
	uint64_t size = 0;
	MF_UNUSED(err);
	if (strlen(file) != SNAPSHOT_NAME || strcmp(file + 16, ".snap") != 0)
		return MF_OK;
	for (size_t i = 0; i < 16; i++) {
		if (file[i] < '0' || file[i] > '9')
			return MF_OK;
		size = size * 10 + (uint64_t)(file[i] - '0');
	}
	if (size < c->below && size > c->best)
		c->best = size;
	return MF_OK;
}

/* The newest one before the head: a start without it only takes longer. */
static enum mf_status
take_snapshot(struct copying *c, uint64_t below, uint64_t *ret_size, struct mf_err *err)
{
	char name[MF_BACKUP_NAME];
	struct mf_err why = { 0 };
	c->below = below;
	c->best = 0;
	MF_TRY(mf_backup_each(c->from, "log/snapshots", consider_snapshot, c, err));
	*ret_size = 0;
	if (c->best == 0)
		return MF_OK;
	(void)snprintf(name, sizeof(name), "log/snapshots/%016" PRIu64 ".snap", c->best);
	enum mf_status s = copy_one(c, name, UINT64_MAX, &why);
	if (s == MF_OK)
		*ret_size = c->best;
	else if (s != MF_E_NOTFOUND && err != NULL)
		*err = why;
	return s == MF_E_NOTFOUND ? MF_OK : s;
}

static enum mf_status
take_former_head(void *ctx, const char *file, struct mf_err *err)
{
	return strncmp(file, HEADS, strlen(HEADS)) == 0 ? take_file(ctx, file, err) : MF_OK;
}

/* The head that the log was read by, not one that was signed meanwhile. */
static enum mf_status
put_head(struct copying *c, const struct mf_backup_log *l, struct mf_err *err)
{
	static const char name[] = "log/" MF_CHECKPOINT_NAME;
	uint8_t sum[MF_SHA256_SIZE];
	MF_AUTO_IN(close_fd) int fd = openat(c->to, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "open log: %s", strerror(errno));
	MF_TRY(mf_file_write_new(fd, MF_CHECKPOINT_NAME, mf_buf_slice(&l->note), 0600, err));
	mf_sha256(mf_buf_slice(&l->note), sum);
	return mf_backup_list_add(&c->list, name, sum, err);
}

static enum mf_status
read_log(int state, bool whole, struct mf_backup_log *ret_l, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = openat(state, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? MF_FAIL(err, MF_E_NOTFOUND, "there is no log: %s", strerror(errno))
		      : mf_backup_log_read(fd, whole, ret_l, err);
}

/* ---- all of it ---- */

static enum mf_status
take_all(struct copying *c, struct mf_backup_report *rep, struct mf_err *err)
{
	/* A key is made before the record that names it and goes after the one that removes it: before and after. */
	MF_TRY(take_dir(c, "keys", err));
	MF_TRY(read_log(c->from, false, &rep->log, err));
	MF_TRY(take_segments(c, &rep->log, err));
	MF_TRY(put_head(c, &rep->log, err));
	MF_TRY(copy_one(c, "log/" MF_VKEY_NAME, UINT64_MAX, err));
	c->dir = "log";
	MF_TRY(mf_backup_each(c->from, "log", take_former_head, c, err));
	MF_TRY(take_snapshot(c, rep->log.head.size, &rep->snapshot, err));
	MF_TRY(take_dir(c, "keys", err));
	MF_TRY(take_dir(c, "handles", err));
	MF_TRY(check_keys(&rep->log, &c->list, err));
	return copy_one(c, "FORMAT", UINT64_MAX, err);
}

static enum mf_status
put_list(const struct copying *c, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, MF_BACKUP_LIST_MAX);
	mf_backup_list_put(&c->list, &text);
	MF_TRY(mf_buf_check(&text, err));
	MF_TRY(mf_backup_sync_dirs(c->to, err));
	return mf_file_write_new(c->to, MF_BACKUP_LIST, mf_buf_slice(&text), 0600, err);
}

enum mf_status
mf_broker_backup(const char *state_dir, const char *to, struct mf_backup_report *ret_r, struct mf_err *err)
{
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report rep = { 0 };
	MF_AUTO_IN(mf_backup_list_fini) struct mf_backup_list list = { 0 };
	MF_AUTO_IN(close_fd) int from = -1;
	MF_AUTO_IN(close_fd) int out = -1;
	MF_TRY(mf_broker_check_format(state_dir, err));
	from = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return MF_FAIL(err, MF_E_IO, "open %s: %s", state_dir, strerror(errno));
	MF_TRY(mf_backup_make_dirs(to, &out, err));
	struct copying c = { .from = from, .to = out };
	enum mf_status s = take_all(&c, &rep, err);
	if (s == MF_OK)
		s = put_list(&c, err);
	mf_backup_list_fini(&c.list);
	if (s == MF_OK)
		s = mf_backup_sync_parent(to, err);
	mf_backup_report_fini(&rep);
	if (s == MF_OK)
		s = mf_backup_check(out, &list, ret_r, err);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "no backup was made (remove %s)", to);
}

/* ---- is it one? ---- */

static enum mf_status
is_named(void *ctx, const char *file, struct mf_err *err)
{
	const struct copying *c = ctx;
	char name[MF_BACKUP_NAME + 256];
	bool top = strcmp(c->dir, ".") == 0;
	(void)snprintf(name, sizeof(name), "%s%s%s", top ? "" : c->dir, top ? "" : "/", file);
	return (top && strcmp(file, MF_BACKUP_LIST) == 0) || mf_backup_list_find(&c->list, name) != NULL
		   ? MF_OK
		   : MF_FAIL(err, MF_E_CORRUPT, "%.100s is not in " MF_BACKUP_LIST, name);
}

static enum mf_status
check_sums(int fd, const struct mf_backup_list *l, struct mf_err *err)
{
	for (size_t i = 0; i < l->n; i++) {
		uint8_t sum[MF_SHA256_SIZE];
		MF_TRY(mf_backup_sum(fd, l->v[i].name, sum, err));
		if (memcmp(sum, l->v[i].sha256, sizeof(sum)) != 0)
			return MF_FAIL(err, MF_E_CORRUPT,
			    "%s is not what was written (its SHA-256 is not that of " MF_BACKUP_LIST ")",
			    l->v[i].name);
	}
	return MF_OK;
}

static void
count(const struct mf_backup_list *l, struct mf_backup_report *r)
{
	r->files = l->n;
	r->keys = 0;
	for (size_t i = 0; i < l->n; i++) {
		const char *name = l->v[i].name;
		r->keys += strncmp(name, "keys/", 5) == 0 && strcmp(name + strlen(name) - 4, ".key") == 0;
		if (strncmp(name, "log/snapshots/", 14) == 0)
			(void)!mf_parse_u64(
			    mf_slice(name + 14 + strspn(name + 14, "0"), 16 - strspn(name + 14, "0")),
			    &r->snapshot);
	}
}

enum mf_status
mf_backup_check(int fd, struct mf_backup_list *ret_l, struct mf_backup_report *ret_r, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report rep = { 0 };
	struct copying c = { .from = fd, .dir = "." };
	mf_buf_init(&text, MF_BACKUP_LIST_MAX);
	enum mf_status s = mf_file_read(fd, MF_BACKUP_LIST, &text, err);
	if (s == MF_E_NOTFOUND)
		return MF_FAIL(
		    err, s, "it has no " MF_BACKUP_LIST ": it is no backup, or one that was not finished");
	MF_TRY(s);
	s = mf_backup_list_parse(mf_buf_slice(&text), &c.list, err);
	if (s == MF_OK)
		s = check_sums(fd, &c.list, err);
	if (s == MF_OK)
		s = mf_backup_each(fd, ".", is_named, &c, err);
	for (size_t i = 0; s == MF_OK && mf_backup_dirs[i] != NULL; i++) {
		c.dir = mf_backup_dirs[i];
		s = mf_backup_each(fd, c.dir, is_named, &c, err);
	}
	if (s == MF_OK)
		s = read_log(fd, true, &rep.log, err);
	if (s == MF_OK)
		s = check_keys(&rep.log, &c.list, err);
	if (s != MF_OK) {
		mf_backup_list_fini(&c.list);
		return s;
	}
	count(&c.list, &rep);
	*ret_r = rep;
	rep = (struct mf_backup_report) { 0 };
	*ret_l = c.list;
	return MF_OK;
}
