#include "cli/cloud_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/text.h"

/* NULL: not one to put secrets in. */
static bool
is_tmpfs_of_ours(const char *dir)
{
	struct statfs fs;
	struct stat st;
	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) &&
	       stat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	       (st.st_uid == geteuid() || (st.st_uid == 0 && (st.st_mode & S_ISVTX) != 0));
}

static enum mf_status
find_place(char ret_dir[192], struct mf_err *err)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	char user[64];
	(void)snprintf(user, sizeof(user), "/run/user/%u", (unsigned)geteuid());
	const char *const places[] = { xdg == NULL ? "" : xdg, user, "/dev/shm", "/run" };
	for (size_t k = 0; k < MF_COUNT(places); k++) {
		if (places[k][0] != '/' || strlen(places[k]) >= 160 || !is_tmpfs_of_ours(places[k]) ||
		    access(places[k], W_OK | X_OK) != 0)
			continue;
		(void)snprintf(ret_dir, 192, "%s", places[k]);
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_NOTFOUND,
	    "no tmpfs for the job's token files: mount one on /dev/shm, or set XDG_RUNTIME_DIR");
}

static enum mf_status
open_dir(struct mf_cloud_files *f, struct mf_err *err)
{
	struct stat st;
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->dir < 0 || fstat(f->dir, &st) != 0)
		return MF_FAIL(err, MF_E_IO, "%s: %s", f->path, strerror(errno));
	if (st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return MF_OK;
	mf_cloud_files_close(f);
	return MF_FAIL(err, MF_E_DENIED, "%s is not ours alone: remove it", f->path);
}

enum mf_status
mf_cloud_files_open(struct mf_cloud_files *f, struct mf_err *err)
{
	char dir[192];
	MF_TRY(find_place(dir, err));
	(void)snprintf(f->path, sizeof(f->path), "%s/mayfly-XXXXXX", dir);
	if (mkdtemp(f->path) == NULL)
		return MF_FAIL(err, MF_E_IO, "token files below %s: %s", dir, strerror(errno));
	return open_dir(f, err);
}

enum mf_status
mf_cloud_files_open_for(struct mf_cloud_files *f, const char *job, struct mf_err *err)
{
	char dir[192];
	MF_TRY(find_place(dir, err));
	if (job[0] == '\0' || strlen(job) > 48 ||
	    strspn(job, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(job))
		return MF_FAIL(err, MF_E_INVALID, "the job has no name for files");
	(void)snprintf(f->path, sizeof(f->path), "%s/mayfly-%s", dir, job);
	if (mkdir(f->path, 0700) != 0 && errno != EEXIST)
		return MF_FAIL(err, MF_E_IO, "%s: %s", f->path, strerror(errno));
	return open_dir(f, err);
}

static bool
name_ok(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strlen(name) < 90 && strchr(name, '/') == NULL;
}

static void
note(struct mf_cloud_files *f, const char *name)
{
	for (size_t k = 0; k < f->n; k++)
		if (strcmp(f->names[k], name) == 0)
			return;
	if (f->n < MF_COUNT(f->names))
		(void)snprintf(f->names[f->n++], sizeof(f->names[0]), "%s", name);
}

static enum mf_status
write_all(int fd, struct mf_slice s, struct mf_err *err)
{
	size_t at = 0;
	while (at < s.n) {
		ssize_t n = write(fd, s.p + at, s.n - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return MF_FAIL(err, MF_E_IO, "token file: %s", strerror(errno));
		at += (size_t)n;
	}
	return MF_OK;
}

enum mf_status
mf_cloud_files_write(struct mf_cloud_files *f, const char *name, struct mf_slice body, struct mf_err *err)
{
	char temp[128];
	if (!name_ok(name))
		return MF_FAIL(err, MF_E_INVALID, "a token file has a bad name");
	(void)snprintf(temp, sizeof(temp), ".%s.new", name);
	(void)unlinkat(f->dir, temp, 0);
	int fd = openat(f->dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "%s/%s: %s", f->path, name, strerror(errno));
	enum mf_status s = write_all(fd, body, err);
	(void)close(fd);
	if (s == MF_OK && renameat(f->dir, temp, f->dir, name) != 0)
		s = MF_FAIL(err, MF_E_IO, "%s/%s: %s", f->path, name, strerror(errno));
	if (s != MF_OK)
		(void)unlinkat(f->dir, temp, 0);
	else
		note(f, name);
	return s;
}

void
mf_cloud_files_remove(struct mf_cloud_files *f, const char *name)
{
	if (f->dir >= 0 && name_ok(name))
		(void)unlinkat(f->dir, name, 0);
}

void
mf_cloud_files_close(struct mf_cloud_files *f)
{
	if (f->dir >= 0)
		(void)close(f->dir);
	f->dir = -1;
}

void
mf_cloud_files_clear(struct mf_cloud_files *f)
{
	if (f->dir < 0)
		return;
	for (size_t k = 0; k < f->n; k++)
		(void)unlinkat(f->dir, f->names[k], 0);
	mf_cloud_files_close(f);
	(void)rmdir(f->path);
}

enum mf_status
mf_cloud_files_take(struct mf_cloud_files *f, const Mayfly__Job__V1__CloudEnvironment *e, struct mf_buf *to,
    struct mf_err *err)
{
	for (size_t k = 0; k < e->n_files; k++)
		if (e->files[k]->body.len > 0)
			MF_TRY(mf_cloud_files_write(f, e->files[k]->name,
			    mf_slice(e->files[k]->body.data, e->files[k]->body.len), err));
	for (size_t k = 0; k < e->n_unset; k++)
		mf_buf_put(to, e->unset[k], strlen(e->unset[k]) + 1);
	for (size_t k = 0; k < e->n_set; k++) {
		const Mayfly__Job__V1__EnvVariable *v = e->set[k];
		if (v->name[0] == '\0' || strchr(v->name, '=') != NULL)
			continue;
		if (v->file[0] != '\0')
			mf_buf_putf(to, "%s=%s/%s", v->name, f->path, v->file);
		else
			mf_buf_putf(to, "%s=%s", v->name, v->value);
		mf_buf_put_u8(to, 0);
	}
	return mf_buf_check(to, err);
}
