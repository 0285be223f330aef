#include "broker/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/backup_files.h"
#include "broker/init.h"
#include "broker/restore_log.h"
#include "os/secure_file.h"

void
mf_restore_report_fini(struct mf_restore_report *r)
{
	mf_backup_report_fini(&r->backup);
	*r = (struct mf_restore_report) { 0 };
}

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

struct restoring {
	const struct mf_restore_conf *c;
	char staging[MF_RESTORE_PATH];
	int from, state, out; /* state -1: there is none yet */
	bool holds_broker;
	struct mf_backup_list list;
	struct mf_restore_report rep;
};

static void
restoring_fini(struct restoring *w)
{
	close_fd(&w->from);
	close_fd(&w->state);
	close_fd(&w->out);
	mf_backup_list_fini(&w->list);
	mf_restore_report_fini(&w->rep);
}

static bool
is_there(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- what is there ---- */

/* Nobody runs there, and nobody starts while we work. */
static enum mf_status
lock_state(struct restoring *w, struct mf_err *err)
{
	const char *dir = w->c->state_dir;
	w->state = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (w->state < 0 && errno == ENOENT)
		return MF_OK;
	if (w->state < 0)
		return MF_FAIL(err, MF_E_DENIED, "%s: %s: state_dir must be a directory, and no link", dir,
		    strerror(errno));
	if (flock(w->state, LOCK_EX | LOCK_NB) != 0)
		return MF_FAIL(err, MF_E_STATE, "a mayfly-broker runs on %s: stop it first", dir);
	w->holds_broker =
	    is_there(w->state, "FORMAT") || is_there(w->state, "keys") || is_there(w->state, "log");
	if (w->holds_broker && !w->c->force)
		return MF_FAIL(err, MF_E_EXISTS,
		    "%s holds a broker: nothing was touched. With --force it is put aside, not deleted", dir);
	return MF_OK;
}

/* The head that somebody kept: does the backup end with it? */
static enum mf_status
check_head(struct restoring *w, struct mf_err *err)
{
	const struct mf_backup_log *l = &w->rep.backup.log;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf note;
	struct mf_checkpoint cp;
	mf_buf_init(&note, MF_LIM_NOTE);
	if (w->c->head == NULL)
		return MF_OK;
	MF_AUTO_IN(close_fd) int fd = open(w->c->head, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "open %s: %s", w->c->head, strerror(errno));
	MF_TRY(mf_file_read_all(fd, &note, err));
	enum mf_status s = mf_checkpoint_open(mf_buf_slice(&note), &l->key, &cp, err);
	if (s != MF_OK)
		return mf_err_wrap(err, MF_E_INVALID, "%s is no signed head of %s", w->c->head, l->key.name);
	if (cp.head.size > l->head.size)
		return MF_FAIL(err, MF_E_STATE,
		    "the head in %s is of %" PRIu64 " records, the backup ends after %" PRIu64 ": %" PRIu64
		    " are missing. Restore a newer backup, or, if there is none, restore without --head",
		    w->c->head, cp.head.size, l->head.size, cp.head.size - l->head.size);
	if (cp.head.size < l->head.size)
		return MF_FAIL(err, MF_E_INVALID,
		    "the head in %s is of %" PRIu64 " records, older than the backup's own of %" PRIu64
		    ": it does not show that nothing is missing. Give the last one, or none",
		    w->c->head, cp.head.size, l->head.size);
	if (memcmp(cp.head.root, l->head.root, MF_HASH_SIZE) != 0)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "the head in %s and the backup are of two different logs of %" PRIu64
		    " records: one of them is forged",
		    w->c->head, cp.head.size);
	w->rep.whole = true;
	return MF_OK;
}

/* ---- beside the state: the new one ---- */

struct unlinking {
	int fd;
	const char *dir;
};

static enum mf_status
unlink_one(void *ctx, const char *file, struct mf_err *err)
{
	const struct unlinking *u = ctx;
	char name[512];
	(void)snprintf(name, sizeof(name), "%s/%s", u->dir, file);
	return unlinkat(u->fd, name, 0) == 0 ? MF_OK
					     : MF_FAIL(err, MF_E_IO, "remove %s: %s", name, strerror(errno));
}

/* What we make there, and nothing else; a directory that holds more stays, with an error. */
static enum mf_status
remove_tree(const char *path, struct mf_err *err)
{
	static const char *const dirs[] = { "log/wal", "log/snapshots", "log", "keys", "handles", "db", "." };
	MF_AUTO_IN(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? MF_OK : MF_FAIL(err, MF_E_IO, "open %s: %s", path, strerror(errno));
	for (size_t i = 0; i < MF_COUNT(dirs); i++) {
		struct unlinking u = { fd, dirs[i] };
		MF_TRY(mf_backup_each(fd, dirs[i], unlink_one, &u, err));
		if (i + 1 < MF_COUNT(dirs))
			(void)unlinkat(fd, dirs[i], AT_REMOVEDIR);
	}
	return rmdir(path) == 0 ? MF_OK : MF_FAIL(err, MF_E_IO, "remove %s: %s", path, strerror(errno));
}

static enum mf_status
put_aside(struct restoring *w, struct mf_err *err)
{
	int n = snprintf(
	    w->rep.aside, sizeof(w->rep.aside), "%s.before-restore-%s", w->c->state_dir, w->c->stamp);
	if (n < 0 || (size_t)n >= sizeof(w->rep.aside))
		return MF_FAIL(err, MF_E_TOOBIG, "the path of the state directory is too long");
	if (syscall(SYS_renameat2, AT_FDCWD, w->staging, AT_FDCWD, w->rep.aside, RENAME_NOREPLACE) != 0)
		return MF_FAIL(
		    err, MF_E_IO, "rename %s to %s: %s", w->staging, w->rep.aside, strerror(errno));
	w->rep.put_aside = true;
	return mf_backup_sync_parent(w->rep.aside, err);
}

/* An earlier restore that was killed left it: unfinished, or the old state in the moment after the exchange. */
static enum mf_status
clear_staging(struct restoring *w, struct mf_err *err)
{
	int n = snprintf(w->staging, sizeof(w->staging), "%s.restoring", w->c->state_dir);
	if (n < 0 || (size_t)n >= sizeof(w->staging))
		return MF_FAIL(err, MF_E_TOOBIG, "the path of the state directory is too long");
	char format[MF_RESTORE_PATH + 16];
	(void)snprintf(format, sizeof(format), "%s/FORMAT", w->staging);
	if (access(format, F_OK) == 0)
		return MF_FAIL(err, MF_E_STATE,
		    "%s is whole: an earlier restore was killed in its last step and left the state of "
		    "before "
		    "there, or a new one that was not put in place. Move it away, and restore again",
		    w->staging);
	return remove_tree(w->staging, err);
}

static mode_t
mode_of(const char *name)
{
	return strncmp(name, "keys/", 5) == 0 || strncmp(name, "handles/", 8) == 0 ? 0600 : 0640;
}

static enum mf_status
copy_files(struct restoring *w, struct mf_err *err)
{
	MF_TRY(mf_backup_make_dirs(w->staging, &w->out, err));
	for (size_t i = 0; i < w->list.n; i++) {
		const struct mf_backup_file *f = &w->list.v[i];
		uint8_t sum[MF_SHA256_SIZE];
		if (strcmp(f->name, "FORMAT") == 0) /* last: what has it is whole */
			continue;
		MF_TRY(mf_backup_copy(w->from, w->out, f->name, UINT64_MAX, mode_of(f->name), sum, err));
		if (memcmp(sum, f->sha256, sizeof(sum)) != 0)
			return MF_FAIL(err, MF_E_CORRUPT, "%s changed while it was copied", f->name);
	}
	return MF_OK;
}

/* A KEK file that lies in the state directory goes with it. */
static enum mf_status
copy_kek(struct restoring *w, struct mf_err *err)
{
	size_t n = strlen(w->c->state_dir);
	const char *file = w->c->kek_file;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	if (w->state < 0 || strncmp(file, w->c->state_dir, n) != 0 || file[n] != '/' ||
	    strchr(file + n + 1, '/') != NULL)
		return MF_OK;
	MF_TRY(mf_file_read(w->state, file + n + 1, &b, err));
	return mf_file_write_new(w->out, file + n + 1, mf_buf_slice(&b), 0400, err);
}

static enum mf_status
give(int fd, const char *name, uid_t uid, gid_t gid, mode_t mode, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int dir = -1;
	MF_TRY(mf_dir_open_at(fd, name, true, uid, gid, mode, &dir, err));
	return mf_dir_give(dir, uid, gid, err);
}

/* As init makes them. */
static enum mf_status
settle_dirs(struct restoring *w, struct mf_err *err)
{
	const struct mf_restore_conf *c = w->c;
	MF_AUTO_IN(close_fd) int log = -1;
	MF_TRY(give(w->out, "keys", c->notary_uid, c->notary_gid, 0700, err));
	MF_TRY(give(w->out, "handles", c->notary_uid, c->notary_gid, 0700, err));
	MF_TRY(give(w->out, "db", c->front_uid, c->front_gid, 0700, err));
	MF_TRY(mf_dir_open_at(w->out, "log", false, c->notary_uid, c->notary_gid, 0755, &log, err));
	MF_TRY(give(log, "wal", c->notary_uid, c->notary_gid, 0700, err));
	MF_TRY(give(log, "snapshots", c->notary_uid, c->notary_gid, 0700, err));
	MF_TRY(mf_dir_give(log, c->notary_uid, c->notary_gid, err));
	if (fchmod(w->out, 0755) != 0)
		return MF_FAIL(err, MF_E_IO, "chmod %s: %s", w->staging, strerror(errno));
	return MF_OK;
}

static enum mf_status
make_log(struct restoring *w, struct mf_err *err)
{
	const struct mf_restore_conf *c = w->c;
	MF_AUTO_IN(close_fd) int keys = openat(w->out, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(close_fd) int log = openat(w->out, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *k = NULL;
	const struct mf_ca_key_conf ca = { c->trust_domain, c->broker_id, c->kek, keys };
	if (keys < 0 || log < 0)
		return MF_FAIL(err, MF_E_IO, "open %s: %s", w->staging, strerror(errno));
	enum mf_status s = mf_broker_keys_load(c->trust_domain, c->broker_id, c->kek, keys, &k, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s,
		    "the keys of the backup do not open (broker_id must be what it was, and the KEK the one "
		    "that "
		    "sealed them)");
	const struct mf_restore_log_conf lc = { c->trust_domain, c->broker_id, &w->rep.backup.log, k, &ca,
		c->segment, w->rep.whole };
	return mf_restore_log(log, &lc, w->rep.origin, err);
}

/* ---- in its place ---- */

static enum mf_status
cannot_move(const struct restoring *w, struct mf_err *err)
{
	const char *dir = w->c->state_dir;
	if (errno == EBUSY || errno == EXDEV)
		return MF_FAIL(err, MF_E_DENIED,
		    "%s is a mount point and cannot be replaced in one step: set state_dir to a directory "
		    "below it",
		    dir);
	if (errno == EINVAL || errno == ENOSYS)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "this file system cannot exchange two directories in one step: move %s away and restore "
		    "again",
		    dir);
	return MF_FAIL(err, MF_E_IO, "put %s in the place of %s: %s", w->staging, dir, strerror(errno));
}

/* One step: before it the old state is there, after it the new one. */
static enum mf_status
put_in_place(struct restoring *w, struct mf_err *err)
{
	unsigned how = w->state < 0 ? RENAME_NOREPLACE : RENAME_EXCHANGE;
	if (syscall(SYS_renameat2, AT_FDCWD, w->staging, AT_FDCWD, w->c->state_dir, how) != 0)
		return cannot_move(w, err);
	MF_TRY(mf_backup_sync_parent(w->c->state_dir, err));
	if (w->state < 0)
		return MF_OK;
	return rmdir(w->staging) == 0 ? MF_OK : put_aside(w, err);
}

static enum mf_status
build(struct restoring *w, struct mf_err *err)
{
	MF_TRY(clear_staging(w, err));
	MF_TRY(copy_files(w, err));
	MF_TRY(copy_kek(w, err));
	MF_TRY(make_log(w, err));
	MF_TRY(settle_dirs(w, err));
	MF_TRY(mf_backup_sync_dirs(w->out, err));
	return mf_file_write_new(w->out, "FORMAT", MF_SLICE_LIT(MF_STATE_FORMAT), 0444, err);
}

static enum mf_status
restore(struct restoring *w, struct mf_err *err)
{
	const struct mf_restore_conf *conf = w->c;
	w->from = open(conf->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->from < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "open the backup %s: %s", conf->from, strerror(errno));
	MF_TRY(lock_state(w, err));
	enum mf_status s = mf_backup_check(w->from, &w->list, &w->rep.backup, err);
	if (s == MF_OK)
		s = mf_broker_check_format(conf->from, err);
	if (s == MF_OK)
		s = mf_restore_log_is_ours(conf->trust_domain, conf->broker_id, &w->rep.backup.log, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "the backup %s", conf->from);
	MF_TRY(check_head(w, err));
	MF_TRY(build(w, err));
	return put_in_place(w, err);
}

enum mf_status
mf_broker_restore(const struct mf_restore_conf *conf, struct mf_restore_report *ret_r, struct mf_err *err)
{
	struct restoring *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "restore: out of memory");
	w->c = conf;
	w->from = w->state = w->out = -1;
	enum mf_status s = restore(w, err);
	if (s == MF_OK) {
		*ret_r = w->rep;
		w->rep = (struct mf_restore_report) { 0 };
	}
	restoring_fini(w);
	free(w);
	return s;
}
