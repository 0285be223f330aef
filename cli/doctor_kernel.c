/* doctor_kernel: what the kernel of this machine can do for us. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/doctor.h"
#include "os/sandbox.h"
#include "os/secure_file.h"

#define OPT_PEERPIDFD 77 /* SO_PEERPIDFD; Linux 6.5 */
/* The first field of every version of struct pidfd_info (Linux 6.13), which has 64 bytes at least. */
struct pidfd_info {
	uint64_t mask;
	uint8_t rest[56];
};
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)

#define FILE_MAX 65536u
#define SANE_S 1700000000 /* November 2023: no machine that runs this is older */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* A small file of /proc or /sys as text; false when it cannot be read. */
static bool
read_file(const char *path, struct mf_buf *to)
{
	MF_AUTO_IN(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	mf_buf_reset(to);
	while (fd >= 0) {
		uint8_t chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			return mf_buf_cstr(to) != NULL;
		mf_buf_put(to, chunk, (size_t)n);
	}
	return false;
}

static uint64_t
take_number(struct mf_slice *s)
{
	uint64_t v = 0;
	size_t n = 0;
	while (n < s->n && n < 9 && s->p[n] >= '0' && s->p[n] <= '9')
		v = v * 10 + (uint64_t)(s->p[n++] - '0');
	*s = mf_slice_sub(*s, n, s->n);
	return v;
}

bool
mf_kernel_older(const char *release, uint64_t major, uint64_t minor)
{
	struct mf_slice s = mf_slice_str(release);
	uint64_t have = take_number(&s), have_minor = 0;
	if (s.n > 0 && s.p[0] == '.') {
		s = mf_slice_sub(s, 1, s.n);
		have_minor = take_number(&s);
	}
	return have < major || (have == major && have_minor < minor);
}

static void
check_version(struct mf_findings *f)
{
	struct utsname u;
	if (uname(&u) != 0)
		return;
	if (mf_kernel_older(u.release, 5, 14))
		mf_finding_add(f, "kernel.version", MF_LEVEL_FAIL, "run Linux 5.14 or newer",
		    "Linux %.100s is older than 5.14: callers cannot be told apart safely", u.release);
	else if (mf_kernel_older(u.release, 6, 5))
		mf_finding_add(f, "kernel.version", MF_LEVEL_WARN,
		    "Linux 6.5 or newer; until then set legacy_peercred: true in agent.yaml",
		    "Linux %.100s has no SO_PEERPIDFD: evidence about callers is weaker (grade legacy)",
		    u.release);
	else if (mf_kernel_older(u.release, 6, 13))
		mf_finding_add(f, "kernel.version", MF_LEVEL_OK, "",
		    "Linux %.100s (from 6.13 on callers are recognised faster)", u.release);
	else
		mf_finding_add(f, "kernel.version", MF_LEVEL_OK, "", "Linux %.100s", u.release);
}

static void
check_pidfd(struct mf_findings *f)
{
	int sv[2] = { -1, -1 };
	MF_AUTO_IN(close_fd) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0) {
		mf_finding_add(f, "kernel.pidfd", MF_LEVEL_FAIL,
		    "allow pidfd_open in the seccomp profile of the container", "pidfd_open: %s",
		    strerror(errno));
		return;
	}
	mf_finding_add(f, "kernel.pidfd", MF_LEVEL_OK, "", "pidfd_open works");
	struct pidfd_info info = { .mask = 7 };
	if (ioctl(fd, PIDFD_GET_INFO, &info) == 0)
		mf_finding_add(f, "kernel.pidfd_info", MF_LEVEL_OK, "", "PIDFD_GET_INFO works");
	else
		mf_finding_add(f, "kernel.pidfd_info", MF_LEVEL_OK, "",
		    "no PIDFD_GET_INFO (Linux 6.13): /proc is read instead, a little slower");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
		return;
	MF_AUTO_IN(close_fd) int peer = -1;
	socklen_t len = sizeof(peer);
	if (getsockopt(sv[0], SOL_SOCKET, OPT_PEERPIDFD, &peer, &len) == 0) {
		mf_finding_add(f, "kernel.peerpidfd", MF_LEVEL_OK, "", "SO_PEERPIDFD works");
	} else {
		peer = -1;
		mf_finding_add(f, "kernel.peerpidfd", MF_LEVEL_WARN,
		    "Linux 6.5 or newer; until then set legacy_peercred: true in agent.yaml",
		    "no SO_PEERPIDFD: evidence about callers is weaker (grade legacy)");
	}
	(void)close(sv[0]);
	(void)close(sv[1]);
}

static void
check_confinement(struct mf_findings *f)
{
	int abi = mf_landlock_abi();
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)
		mf_finding_add(f, "kernel.seccomp", MF_LEVEL_OK, "", "seccomp is there");
	else
		mf_finding_add(f, "kernel.seccomp", MF_LEVEL_FAIL, "a kernel with CONFIG_SECCOMP_FILTER",
		    "no seccomp: the roles refuse to start");
	if (abi > 0)
		mf_finding_add(f, "kernel.landlock", MF_LEVEL_OK, "", "Landlock ABI %d", abi);
	else
		mf_finding_add(f, "kernel.landlock", MF_LEVEL_WARN,
		    "add landlock to the kernel's lsm= list (it stands in /sys/kernel/security/lsm)",
		    "no Landlock: the roles run with seccomp, own users and no_new_privs only");
}

static void
check_ptrace(struct mf_findings *f)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, FILE_MAX);
	if (read_file("/proc/sys/kernel/yama/ptrace_scope", &b) && b.n > 0 && b.p[0] != '0')
		mf_finding_add(
		    f, "kernel.ptrace", MF_LEVEL_OK, "", "processes of one user may not trace each other");
	else
		mf_finding_add(f, "kernel.ptrace", MF_LEVEL_WARN,
		    "sysctl kernel.yama.ptrace_scope=1, or give jobs different users",
		    "a process may trace others of its user: two jobs of one user can take each other's "
		    "identity");
}

static void
check_clock(struct mf_findings *f)
{
	struct timex t = { 0 };
	int64_t now_s = mf_now().wall_us / 1000000;
	int state = adjtimex(&t);
	if (now_s < SANE_S)
		mf_finding_add(f, "clock", MF_LEVEL_FAIL, "set the clock (chronyd, systemd-timesyncd)",
		    "the clock is years behind: every certificate looks not yet valid");
	else if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0)
		mf_finding_add(f, "clock", MF_LEVEL_WARN, "run chronyd or systemd-timesyncd",
		    "nothing keeps the clock right, as far as the kernel knows; certificates live minutes");
	else
		mf_finding_add(f, "clock", MF_LEVEL_OK, "", "the clock is kept right");
}

void
mf_doctor_kernel(struct mf_findings *f)
{
	check_version(f);
	check_pidfd(f);
	check_confinement(f);
	check_ptrace(f);
	check_clock(f);
}

/* --- cgroup2 --- */

static struct mf_slice
next(struct mf_slice *rest, char until)
{
	size_t n = 0;
	while (n < rest->n && rest->p[n] != (uint8_t)until)
		n++;
	struct mf_slice part = mf_slice_sub(*rest, 0, n);
	*rest = mf_slice_sub(*rest, n + 1, rest->n);
	return part;
}

/* The mount point of cgroup2 in the text of mountinfo. */
static bool
find_mount(struct mf_slice text, struct mf_buf *to)
{
	while (text.n > 0) {
		struct mf_slice line = next(&text, '\n'), at = { 0 };
		for (int i = 0; i < 5; i++)
			at = next(&line, ' ');
		while (line.n > 0 && !mf_slice_eq_str(next(&line, ' '), "-"))
			;
		if (!mf_slice_eq_str(next(&line, ' '), "cgroup2"))
			continue;
		mf_buf_reset(to);
		mf_buf_put_slice(to, at);
		return mf_buf_cstr(to) != NULL;
	}
	return false;
}

/* Our own cgroup: the "0::" line. */
static bool
own_cgroup(struct mf_slice text, struct mf_slice *ret)
{
	while (text.n > 0) {
		struct mf_slice line = next(&text, '\n');
		if (!mf_slice_starts(line, MF_SLICE_LIT("0::")))
			continue;
		*ret = mf_slice_sub(line, 3, line.n);
		return true;
	}
	return false;
}

void
mf_doctor_cgroup(struct mf_findings *f)
{
	static const char weaker[] =
	    "`mayfly run` finds callers by the chain of parents (grade tree), which is weaker";
	struct mf_slice own;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf mount;
	mf_buf_init(&text, 1024 * 1024);
	mf_buf_init(&mount, 8192);
	if (!read_file("/proc/self/mountinfo", &text) || !find_mount(mf_buf_slice(&text), &mount)) {
		mf_finding_add(f, "cgroup.v2", MF_LEVEL_WARN,
		    "boot with the unified hierarchy, or mount cgroup2 (mount -t cgroup2 none "
		    "/sys/fs/cgroup)",
		    "cgroup2 is not mounted: %s", weaker);
		return;
	}
	mf_finding_add(f, "cgroup.v2", MF_LEVEL_OK, "", "cgroup2 is at %.200s", (const char *)mount.p);
	if (!read_file("/proc/self/cgroup", &text) || !own_cgroup(mf_buf_slice(&text), &own))
		return;
	mf_buf_put_slice(&mount, own);
	if (mf_buf_cstr(&mount) == NULL)
		return;
	if (geteuid() == 0)
		mf_finding_add(
		    f, "cgroup.delegated", MF_LEVEL_OK, "", "as root the agent makes cgroups for jobs");
	else if (access((const char *)mount.p, W_OK) == 0)
		mf_finding_add(f, "cgroup.delegated", MF_LEVEL_OK, "",
		    "our cgroup is ours to divide; jobs of one user can still move into each other's");
	else
		mf_finding_add(f, "cgroup.delegated", MF_LEVEL_WARN,
		    "run the agent as root, or by `systemd-run --user --scope -p Delegate=yes`",
		    "no cgroup may be made by this user: with an agent of this user %s", weaker);
}
