/*
 * A mount namespace of the role's own in which everything is read-only and without devices, except the directories
 * it writes. For the attestor: a Landlock domain may not look at processes outside it (/proc/PID/exe and ns links
 * answer EACCES), which is the attestor's very task; and it keeps uid 0, so file modes hold nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/confine_parts.h"

#define MOST_TREES 8u
#define EMPTY_PATH AT_EMPTY_PATH

struct tree {
	int role_fd;  /* of the role's fd map, to be reopened under the same number */
	int clone_fd; /* a writable copy of the mount, not attached yet */
	char path[4096];
};

static enum mf_status
io_error(struct mf_err *err, const char *what, const char *path)
{
	return MF_FAIL(err, MF_E_IO, "%s %s for the role's own mounts: %s", what, path, strerror(errno));
}

/* Open ${path} in the namespace we are in, and be sure that it is what ${role_fd} is. */
static enum mf_status
open_same(const char *path, int role_fd, int *ret_fd, struct mf_err *err)
{
	struct stat a, b;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return io_error(err, "open", path);
	if (fstat(role_fd, &a) != 0 || fstat(fd, &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
		(void)close(fd);
		return MF_FAIL(err, MF_E_STATE, "%s was replaced while the role started: start again", path);
	}
	*ret_fd = fd;
	return MF_OK;
}

static enum mf_status
clone_tree(int role_fd, struct tree *t, struct mf_err *err)
{
	char link[64];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", role_fd);
	ssize_t n = readlink(link, t->path, sizeof(t->path) - 1);
	if (n < 0)
		return io_error(err, "read", link);
	t->path[n] = '\0';
	t->role_fd = role_fd;
	int fd = -1;
	MF_TRY(open_same(t->path, role_fd, &fd, err));
	long clone =
	    syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | EMPTY_PATH);
	(void)close(fd);
	if (clone < 0)
		return io_error(err, "clone", t->path);
	t->clone_fd = (int)clone;
	return MF_OK;
}

static enum mf_status
attach_tree(const struct tree *t, struct mf_err *err)
{
	if (syscall(SYS_move_mount, t->clone_fd, "", AT_FDCWD, t->path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		return io_error(err, "mount", t->path);
	/* The old descriptor lies in the old namespace: ".." from it would lead out. */
	int fd = -1;
	MF_TRY(open_same(t->path, t->role_fd, &fd, err));
	int again = dup3(fd, t->role_fd, O_CLOEXEC);
	(void)close(fd);
	if (again < 0)
		return io_error(err, "reopen", t->path);
	return MF_OK;
}

static enum mf_status
make_read_only(struct mf_err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
					       MOUNT_ATTR_NOEXEC };
	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) != 0)
		return io_error(err, "protect", "/");
	/* The working directory and the root still point into the old namespace's mounts. */
	if (chdir("/") != 0)
		return io_error(err, "enter", "/");
	return MF_OK;
}

enum mf_status
mf_confine_own_mounts(
    const struct mf_confinement *c, const struct mf_confine_env *env, bool *ret_done, struct mf_err *err)
{
	static struct tree trees[MOST_TREES]; /* once per process, before threads */
	size_t n = 0;
	*ret_done = false;
	if (unshare(CLONE_NEWNS) != 0) {
		if (errno == EPERM)
			return MF_OK; /* plain user, or a container without CAP_SYS_ADMIN: reported */
		return io_error(err, "unshare", "/");
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
		if (errno == EINVAL)
			return MF_FAIL(err, MF_E_UNSUPPORTED,
			    "/ is a directory and no mount (a chroot), so the role cannot have mounts of its "
			    "own: "
			    "start it in a container, or make the directory a mount and its root "
			    "(pivot_root)");
		return io_error(err, "detach", "/");
	}
	for (size_t i = 0; i < c->fs_count; i++) {
		int fd = mf_confine_fd(env, c->fs[i].fd_name);
		if (fd < 0 || (c->fs[i].access & MF_FS_WRITE) == 0)
			continue;
		if (n == MOST_TREES)
			return MF_FAIL(err, MF_E_INVALID, "more than %u writable directories", MOST_TREES);
		MF_TRY(clone_tree(fd, &trees[n], err));
		n++;
	}
	MF_TRY(make_read_only(err));
	for (size_t i = 0; i < n; i++) {
		MF_TRY(attach_tree(&trees[i], err));
		(void)close(trees[i].clone_fd);
	}
	*ret_done = true;
	return MF_OK;
}
