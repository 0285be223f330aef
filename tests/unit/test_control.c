#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/control.h"
#include "os/role_start.h"
#include "os/spawn.h"

static struct mf_seqpacket *role, *sup;

static int
setup(void **state)
{
	MF_UNUSED(state);
	int fds[2];
	return mf_seqpacket_pair(fds, NULL) != MF_OK ||
	       mf_seqpacket_new(fds[0], 4096, &role, NULL) != MF_OK ||
	       mf_seqpacket_new(fds[1], 4096, &sup, NULL) != MF_OK;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	mf_seqpacket_free(role);
	mf_seqpacket_free(sup);
	return 0;
}

static void
test_round_trip(void **state)
{
	MF_UNUSED(state);
	struct mf_control_msg m;
	struct mf_err err = { 0 };
	assert_int_equal(mf_control_send(role, MF_CONTROL_READY, "0.1.0+gabc", -1, &err), MF_OK);
	assert_int_equal(mf_control_recv(sup, true, &m, &err), MF_OK);
	assert_int_equal(m.type, MF_CONTROL_READY);
	assert_string_equal(m.text, "0.1.0+gabc");
	assert_int_equal(m.fd, -1);
	assert_int_equal(mf_control_send(role, MF_CONTROL_HELPER, "verifier", -1, &err), MF_OK);
	assert_int_equal(mf_control_recv(sup, true, &m, &err), MF_OK);
	assert_int_equal(m.type, MF_CONTROL_HELPER);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(mf_control_send(sup, MF_CONTROL_LINK, "notary", fd, &err), MF_OK);
	assert_int_equal(mf_control_recv(role, false, &m, &err), MF_OK);
	assert_int_equal(m.type, MF_CONTROL_LINK);
	assert_true(m.fd >= 0);
	(void)close(m.fd);
	assert_int_equal(mf_control_send(sup, MF_CONTROL_STOP, NULL, -1, &err), MF_OK);
	assert_int_equal(mf_control_recv(role, false, &m, &err), MF_OK);
	assert_int_equal(m.type, MF_CONTROL_STOP);
	assert_string_equal(m.text, "");
	assert_int_equal(mf_control_recv(role, false, &m, &err), MF_E_AGAIN);
}

static void
test_not_sent(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	assert_int_equal(mf_control_send(sup, MF_CONTROL_LINK, "notary", -1, &err), MF_E_INTERNAL);
	assert_int_equal(mf_control_send(sup, MF_CONTROL_STOP, NULL, 0, &err), MF_E_INTERNAL);
	assert_int_equal(mf_control_send(role, MF_CONTROL_READY, NULL, -1, &err), MF_E_INTERNAL);
	assert_int_equal(mf_control_send(role, MF_CONTROL_READY, "two words", -1, &err), MF_E_INTERNAL);
	assert_int_equal(mf_control_send(role, (enum mf_control_type)99, "x", -1, &err), MF_E_INTERNAL);
}

static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const struct {
		uint16_t type;
		const char *text;
		bool fd;
		bool from_role;
	} bad[] = {
		{ MF_CONTROL_READY, "x", true, true },		   /* a descriptor */
		{ MF_CONTROL_READY, "", false, true },		   /* no text */
		{ MF_CONTROL_READY, "a/b", false, true },	   /* no name */
		{ MF_CONTROL_READY, "x", false, false },	   /* the wrong direction */
		{ MF_CONTROL_STOP, "", false, true },		   /* likewise */
		{ MF_CONTROL_STOP, "x", false, false },		   /* text where none is due */
		{ MF_CONTROL_LINK, "notary", false, false },	   /* no descriptor */
		{ MF_CONTROL_ASK_LOGIN, "7", false, true },	   /* no descriptor */
		{ MF_CONTROL_ASK_LOGIN, "7", true, false },	   /* the wrong direction */
		{ MF_CONTROL_LOGIN, "7.1000", true, false },	   /* a descriptor */
		{ MF_CONTROL_LOGIN, "7.1000", false, true },	   /* the wrong direction */
		{ 4, "x", false, true },			   /* no such type */
		{ MF_CONTROL_ASK_RELOAD, "policy", true, true },   /* a descriptor */
		{ MF_CONTROL_ASK_RELOAD, "policy", false, false }, /* the wrong direction */
		{ MF_CONTROL_VIOLATION, "a234567890123456789012345678901234567890123456789012345678901234",
		    false, true },
	};
	(void)teardown(NULL);
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		struct mf_control_msg m;
		struct mf_err err = { 0 };
		assert_int_equal(setup(NULL), 0);
		struct mf_seqpacket *from = bad[i].from_role ? role : sup,
				    *to = bad[i].from_role ? sup : role;
		int fd = bad[i].fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
		assert_int_equal(
		    mf_seqpacket_send(from, bad[i].type, mf_slice_str(bad[i].text), fd, &err), MF_OK);
		assert_int_equal(mf_control_recv(to, bad[i].from_role, &m, &err), MF_E_INVALID);
		(void)teardown(NULL);
	}
	assert_int_equal(setup(NULL), 0);
}

static void
test_login(void **state)
{
	MF_UNUSED(state);
	struct mf_control_msg m;
	struct mf_err err = { 0 };
	uint32_t number = 0, uid = 0;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(mf_control_send(role, MF_CONTROL_ASK_LOGIN, "7", fd, &err), MF_OK);
	assert_int_equal(mf_control_recv(sup, true, &m, &err), MF_OK);
	assert_int_equal(m.type, MF_CONTROL_ASK_LOGIN);
	assert_true(m.fd >= 0);
	(void)close(m.fd);
	assert_int_equal(mf_control_send(sup, MF_CONTROL_LOGIN, "4294967295.1000", -1, &err), MF_OK);
	assert_int_equal(mf_control_recv(role, false, &m, &err), MF_OK);
	assert_true(mf_role_login(&m, &number, &uid));
	assert_int_equal(number, UINT32_MAX);
	assert_int_equal(uid, 1000);
	static const struct {
		const char *text;
		bool good;
		uint32_t uid;
	} texts[] = { { "7.0", true, 0 }, { "7.-", true, UINT32_MAX }, { "7", false, 0 }, { "7.", false, 0 },
		{ ".7", false, 0 }, { "7.x", false, 0 }, { "7.4294967296", false, 0 },
		{ "4294967296.1", false, 0 }, { "7.1.1", false, 0 }, { "7.--", false, 0 } };
	for (size_t i = 0; i < MF_COUNT(texts); i++) {
		(void)snprintf(m.text, sizeof(m.text), "%s", texts[i].text);
		assert_int_equal(mf_role_login(&m, &number, &uid), texts[i].good);
		if (texts[i].good)
			assert_int_equal(uid, texts[i].uid);
	}
	m.type = MF_CONTROL_LINK;
	(void)snprintf(m.text, sizeof(m.text), "7.0");
	assert_false(mf_role_login(&m, &number, &uid));
}

static void
test_open_role(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	char dir[] = "/tmp/mf-control-XXXXXX", path[64];
	int fd = -1;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(setenv("MAYFLY_LIBEXEC", dir, 1), 0);
	assert_int_equal(mf_spawn_open_role("notary", &fd, &err), MF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "MAYFLY_LIBEXEC"));
	(void)snprintf(path, sizeof(path), "%s/notary", dir);
	int f = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(mf_spawn_open_role("notary", &fd, &err), MF_E_DENIED); /* not executable */
	assert_int_equal(fchmod(f, 0757), 0);
	assert_int_equal(mf_spawn_open_role("notary", &fd, &err), MF_E_DENIED); /* others may write it */
	assert_int_equal(fchmod(f, 0755), 0);
	assert_int_equal(mf_spawn_open_role("notary", &fd, &err), MF_OK);
	/* An executable that cannot run: the parent learns the step, nothing is left behind. */
	struct mf_spawn s = { .name = "notary", .exe_fd = fd };
	pid_t pid = 0;
	int pidfd = -1;
	(void)close(f);
	assert_int_equal(mf_spawn_role(&s, &pid, &pidfd, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "exec"));
	struct mf_named_fd missing = { "x", 999 };
	s.fds = &missing;
	s.fd_count = 1;
	assert_int_equal(mf_spawn_role(&s, &pid, &pidfd, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "descriptors"));
	(void)close(fd);
	(void)unlink(path);
	(void)rmdir(dir);
	(void)unsetenv("MAYFLY_LIBEXEC");
}

static void
test_user(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	uid_t u = 1;
	gid_t g = 1;
	assert_int_equal(mf_spawn_user("root", 77, &u, &g, &err), MF_OK);
	assert_int_equal(u, 0);
	assert_int_equal(mf_spawn_user("mayfly-no-such-user", 77, &u, &g, &err), MF_OK);
	assert_int_equal(u, 77);
	assert_int_equal(g, 77);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_round_trip), T(test_not_sent), T(test_refused),
		T(test_login), cmocka_unit_test(test_open_role), cmocka_unit_test(test_user) };
	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
