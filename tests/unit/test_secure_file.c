#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/notify.h"
#include "os/secure_file.h"

static char top[] = "/tmp/mf-secure-file-XXXXXX";
static int dir = -1;

static int
setup(void **state)
{
	MF_UNUSED(state);
	(void)snprintf(top, sizeof(top), "/tmp/mf-secure-file-XXXXXX");
	assert_non_null(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	char cmd[128];
	(void)close(dir);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	return system(cmd); /* NOLINT: a fixed command of a test */
}

static void
put_file(const char *name, const char *content, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void
test_names(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	int fd = -1;
	put_file("plain", "x", 0600);
	assert_int_equal(mkdirat(dir, "sub", 0700), 0);
	assert_int_equal(symlinkat("plain", dir, "link"), 0);
	assert_int_equal(symlinkat("sub", dir, "dirlink"), 0);
	put_file("sub/inner", "y", 0600);
	assert_int_equal(mf_file_open(dir, "plain", O_RDONLY, 0, &fd, &err), MF_OK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	(void)close(fd);
	assert_int_equal(mf_file_open(dir, "sub/inner", O_RDONLY, 0, &fd, &err), MF_OK);
	(void)close(fd);
	assert_int_equal(mf_file_open(dir, "link", O_RDONLY, 0, &fd, &err), MF_E_DENIED);
	assert_int_equal(mf_file_open(dir, "dirlink/inner", O_RDONLY, 0, &fd, &err), MF_E_DENIED);
	assert_int_equal(mf_file_open(dir, "../x", O_RDONLY, 0, &fd, &err), MF_E_DENIED);
	assert_int_equal(mf_file_open(dir, "/etc/passwd", O_RDONLY, 0, &fd, &err), MF_E_DENIED);
	assert_int_equal(mf_file_open(dir, "none", O_RDONLY, 0, &fd, &err), MF_E_NOTFOUND);
	assert_int_equal(
	    mf_file_open(dir, "plain", O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), MF_E_EXISTS);
}

static enum mf_status
check(const char *name, uid_t owner, mode_t forbidden)
{
	struct mf_err err = { 0 };
	int fd = -1;
	assert_int_equal(mf_file_open(dir, name, O_RDONLY | O_NONBLOCK, 0, &fd, &err), MF_OK);
	enum mf_status s = mf_file_check(fd, name, owner, forbidden, &err);
	(void)close(fd);
	return s;
}

static void
test_check(void **state)
{
	MF_UNUSED(state);
	put_file("key", "x", 0600);
	assert_int_equal(check("key", getuid(), MF_FILE_PRIVATE), MF_OK);
	put_file("key", "x", 0640);
	assert_int_equal(check("key", getuid(), MF_FILE_PRIVATE), MF_E_DENIED);
	assert_int_equal(check("key", getuid(), MF_FILE_NO_WRITERS), MF_OK);
	put_file("key", "x", 0622);
	assert_int_equal(check("key", getuid(), MF_FILE_NO_WRITERS), MF_E_DENIED);
	put_file("key", "x", 0600);
	assert_int_equal(linkat(dir, "key", dir, "second", 0), 0);
	assert_int_equal(check("key", getuid(), MF_FILE_PRIVATE), MF_E_DENIED);
	assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
	assert_int_equal(check("pipe", getuid(), MF_FILE_PRIVATE), MF_E_DENIED);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(check("d", getuid(), MF_FILE_PRIVATE), MF_E_DENIED);
	if (getuid() != 0) {
		print_message("skipped: foreign owners need root\n");
		return;
	}
	put_file("theirs", "x", 0600);
	assert_int_equal(fchownat(dir, "theirs", 1234, 1234, 0), 0);
	assert_int_equal(check("theirs", 0, MF_FILE_PRIVATE), MF_E_DENIED);
	assert_int_equal(check("theirs", 1234, MF_FILE_PRIVATE), MF_OK);
	put_file("roots", "x", 0600);
	assert_int_equal(check("roots", 1234, MF_FILE_PRIVATE), MF_OK);
}

static void
test_read_write(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct stat st;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 20000);
	assert_int_equal(mf_file_write(dir, "f", MF_SLICE_LIT("one"), 0640, &err), MF_OK);
	assert_int_equal(fstatat(dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(mf_file_write(dir, "f", MF_SLICE_LIT("second"), 0600, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "f", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "second"));
	assert_int_equal(mf_file_write_new(dir, "f", MF_SLICE_LIT("third"), 0600, &err), MF_E_EXISTS);
	assert_int_equal(mf_file_read(dir, "f", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "second"));
	assert_int_equal(mf_file_write_new(dir, "g", MF_SLICE_LIT(""), 0600, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "g", &b, &err), MF_OK);
	assert_int_equal(b.n, 0);
	assert_int_equal(mf_file_write_of_boot(dir, "g", MF_SLICE_LIT("fourth"), 0640, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "g", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "fourth"));
	assert_int_equal(fstatat(dir, "g", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(mf_file_write_one(dir, "g", MF_SLICE_LIT("fifth"), 0400, &err), MF_OK);
	assert_int_equal(mf_dir_sync(dir, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "g", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "fifth"));
	assert_int_equal(mf_dir_sync(-1, &err), MF_E_IO);
	/* A crashed writer's temporary file, even a link that a thief left, is replaced and not followed. */
	assert_int_equal(symlinkat("f", dir, ".h.new"), 0);
	assert_int_equal(mf_file_write(dir, "h", MF_SLICE_LIT("h"), 0600, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "f", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "second"));
	assert_int_equal(faccessat(dir, ".h.new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	/* Reading starts at the start whatever the offset, and stops at the cap. */
	static uint8_t big[20001];
	assert_int_equal(mf_file_write(dir, "big", mf_slice(big, 20000), 0600, &err), MF_OK);
	int fd = -1;
	assert_int_equal(mf_file_open(dir, "big", O_RDONLY, 0, &fd, &err), MF_OK);
	assert_int_equal(lseek(fd, 0, SEEK_END), 20000);
	assert_int_equal(mf_file_read_all(fd, &b, &err), MF_OK);
	assert_int_equal(b.n, 20000);
	assert_int_equal(mf_file_read_all(fd, &b, &err), MF_OK);
	(void)close(fd);
	assert_int_equal(mf_file_write(dir, "big", mf_slice(big, 20001), 0600, &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "big", &b, &err), MF_E_TOOBIG);
	assert_int_equal(mf_file_remove(dir, "big", &err), MF_OK);
	assert_int_equal(mf_file_remove(dir, "big", &err), MF_OK);
	assert_int_equal(mf_file_read(dir, "big", &b, &err), MF_E_NOTFOUND);
	assert_int_equal(mf_file_write(dir, "a/b", MF_SLICE_LIT("x"), 0600, &err), MF_E_INVALID);
	assert_int_equal(mf_file_write(dir, "sub", MF_SLICE_LIT("x"), 0600, &err), MF_OK);
}

static void
test_write_fails(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	/* A directory in the way of the name: the old one stays, no temporary file is left. */
	assert_int_equal(mkdirat(dir, "way", 0700), 0);
	assert_int_equal(mf_file_write(dir, "way", MF_SLICE_LIT("x"), 0600, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "way"));
	assert_int_equal(faccessat(dir, ".way.new", F_OK, 0), -1);
}

static void
test_disk_full(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	static uint8_t big[8192];
	struct rlimit old, small;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 100);
	assert_int_equal(mf_file_write(dir, "f", MF_SLICE_LIT("old"), 0600, &err), MF_OK);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096; /* the second half of the write fails as on a full disk */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum mf_status s = mf_file_write(dir, "f", mf_slice(big, sizeof(big)), 0600, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(s, MF_E_IO);
	assert_int_equal(mf_file_read(dir, "f", &b, &err), MF_OK);
	assert_true(mf_slice_eq_str(mf_buf_slice(&b), "old"));
	assert_int_equal(faccessat(dir, ".f.new", F_OK, 0), -1);
}

static void
test_dirs(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	char path[256];
	struct stat st;
	int fd = -1, sub = -1;
	(void)snprintf(path, sizeof(path), "%s/a/b/c", top);
	assert_int_equal(mf_dir_open(path, false, getuid(), getgid(), 0700, &fd, &err), MF_E_NOTFOUND);
	assert_int_equal(mf_dir_open(path, true, getuid(), getgid(), 0700, &fd, &err), MF_OK);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(mf_dir_open_at(fd, "keys", true, getuid(), getgid(), 0750, &sub, &err), MF_OK);
	assert_int_equal(fstat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	(void)close(sub);
	assert_int_equal(mf_dir_open_at(fd, "keys", true, getuid(), getgid(), 0700, &sub, &err), MF_OK);
	assert_int_equal(fstat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)close(sub);
	/* A shared directory is refused and stays what it is. */
	assert_int_equal(mkdirat(fd, "shared", 0700), 0);
	assert_int_equal(fchmodat(fd, "shared", 01777, 0), 0);
	assert_int_equal(
	    mf_dir_open_at(fd, "shared", true, getuid(), getgid(), 0755, &sub, &err), MF_E_DENIED);
	assert_int_equal(fstatat(fd, "shared", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	(void)snprintf(path, sizeof(path), "%s/a/b/c/shared", top);
	assert_int_equal(mf_dir_make(path, &err), MF_OK);
	assert_int_equal(fstatat(fd, "shared", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
	(void)snprintf(path, sizeof(path), "%s/a/d/e", top);
	assert_int_equal(mf_dir_make(path, &err), MF_OK);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(path, sizeof(path), "%s/a/d/e/", top);
	assert_int_equal(mf_dir_make(path, &err), MF_OK);
	assert_int_equal(mf_dir_open_at(fd, "..", true, getuid(), getgid(), 0700, &sub, &err), MF_E_INVALID);
	assert_int_equal(symlinkat("keys", fd, "link"), 0);
	assert_int_equal(mf_dir_open_at(fd, "link", true, getuid(), getgid(), 0700, &sub, &err), MF_E_DENIED);
	(void)close(fd);
	put_file("file", "x", 0600);
	assert_int_equal(
	    mf_dir_open_at(dir, "file", true, getuid(), getgid(), 0700, &sub, &err), MF_E_DENIED);
	if (getuid() != 0) {
		print_message("skipped: foreign owners need root\n");
		return;
	}
	assert_int_equal(mf_dir_open_at(dir, "role", true, 1234, 1235, 0700, &sub, &err), MF_OK);
	assert_int_equal(fstat(sub, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 1235);
	put_file("role/x", "x", 0600);
	assert_int_equal(mkdirat(sub, "inner", 0700), 0);
	assert_int_equal(mf_dir_give(sub, 1234, 1235, &err), MF_OK);
	assert_int_equal(fstatat(sub, "x", &st, 0), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(fstatat(sub, "inner", &st, 0), 0);
	assert_int_equal(st.st_gid, 1235);
	assert_int_equal(symlinkat("x", sub, "l"), 0);
	assert_int_equal(mf_dir_give(sub, 1234, 1235, &err), MF_E_DENIED);
	(void)close(sub);
	/* Somebody else's directory is not taken over. */
	assert_int_equal(mf_dir_open_at(dir, "role", true, 4321, 4321, 0700, &sub, &err), MF_E_DENIED);
}

static void
test_notify(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char got[64] = { 0 };
	(void)unsetenv("NOTIFY_SOCKET");
	assert_int_equal(mf_notify("READY=1", &err), MF_OK);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", top);
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s, (const struct sockaddr *)&at, sizeof(at)), 0);
	(void)setenv("NOTIFY_SOCKET", at.sun_path, 1);
	assert_int_equal(mf_notify("READY=1", &err), MF_OK);
	assert_int_equal(recv(s, got, sizeof(got), MSG_DONTWAIT), 7);
	assert_string_equal(got, "READY=1");
	/* A descriptor to be kept comes with its name. */
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec part = { got, sizeof(got) - 1 };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	assert_int_equal(mf_notify_keep_fd("cloud", s, &err), MF_OK);
	assert_int_equal(recvmsg(s, &m, MSG_DONTWAIT), strlen("FDSTORE=1\nFDNAME=cloud"));
	assert_int_equal(strncmp(got, "FDSTORE=1\nFDNAME=cloud", strlen("FDSTORE=1\nFDNAME=cloud")), 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	assert_non_null(c);
	assert_int_equal(c->cmsg_type, SCM_RIGHTS);
	int kept = -1;
	memcpy(&kept, CMSG_DATA(c), sizeof(kept));
	assert_true(kept >= 0 && kept != s);
	(void)close(kept);
	(void)close(s);
	assert_int_equal(mf_notify("STOPPING=1", &err), MF_E_IO);
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(mf_notify("READY=1", &err), MF_E_INVALID);
	(void)unsetenv("NOTIFY_SOCKET");
}

static void
test_listen_fds(void **state)
{
	MF_UNUSED(state);
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(mf_notify_listen_fd("agents"), -1);
	(void)setenv("LISTEN_FDNAMES", "admin:agents:", 1);
	(void)setenv("LISTEN_FDS", "2", 1);
	(void)setenv("LISTEN_PID", "1", 1);
	assert_int_equal(mf_notify_listen_fd("agents"), -1); /* meant for another process */
	(void)setenv("LISTEN_PID", pid, 1);
	int four = fcntl(dir, F_DUPFD, 4); /* descriptor 4 exists; which file it is does not matter here */
	assert_true(four >= 4);
	assert_int_equal(dup2(dir, 4), 4);
	assert_int_equal(mf_notify_listen_fd("agent"), -1);
	assert_int_equal(mf_notify_listen_fd("agents"), 4);
	assert_int_equal(fcntl(4, F_GETFD), FD_CLOEXEC);
	assert_int_equal(mf_notify_listen_fd("agents"), -1); /* only once */
	(void)setenv("LISTEN_FDS", "1x", 1);
	assert_int_equal(mf_notify_listen_fd("admin"), -1);
	(void)close(four);
	(void)close(4);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_names), T(test_check), T(test_read_write),
		T(test_write_fails), T(test_disk_full), T(test_dirs), T(test_notify), T(test_listen_fds) };
	return cmocka_run_group_tests_name("secure_file", tests, NULL, NULL);
}
