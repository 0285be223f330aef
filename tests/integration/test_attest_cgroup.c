/* cgroups against a live kernel: found by inode, made, filled, watched to their end. */
#include "integration/attest_util.h"

#include <time.h>

#include "agent/attestor/watch.h"

#define NEED_BASE(w)                                                                                         \
	char base_name[64];                                                                                  \
	if (!test_base((w), base_name, sizeof(base_name))) {                                                 \
		print_message("skipped: no cgroup can be made here (needs cgroup2 and root, or a delegated " \
			      "cgroup)\n");                                                                  \
		skip();                                                                                      \
	}

static int
setup(void **state)
{
	static struct world w;
	world_open(&w);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	test_base_remove(*state);
	world_close(*state);
	return 0;
}

/* What a watch said last. */
struct heard {
	int count[4];
	uint64_t handle;
};

static void
hear(void *ctx, uint64_t handle, enum mf_watch_cause cause)
{
	struct heard *h = ctx;
	h->count[cause]++;
	h->handle = handle;
}

static struct mf_watch_set *
new_set(struct heard *h)
{
	struct mf_watch_set *set = NULL;
	memset(h, 0, sizeof(*h));
	assert_int_equal(mf_watch_set_new(hear, h, &set, NULL), MF_OK);
	return set;
}

/* Run the set until ${cause} was heard ${n} times; the clock is only a hang limit. */
static void
run_until(struct mf_watch_set *set, const struct heard *h, enum mf_watch_cause cause, int n)
{
	while (h->count[cause] < n) {
		wait_readable(mf_watch_set_fd(set));
		assert_int_equal(mf_watch_run(set, NULL), MF_OK);
	}
	assert_int_equal(h->count[cause], n);
}

static void
wait_byte(void *arg)
{
	char b;
	(void)!read(*(int *)arg, &b, 1);
}

/* A child that lives until the pipe closes, inside ${c}. */
static pid_t
child_in(struct world *w, const struct mf_cgroup *c, int pipefd[2])
{
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid_t p = spawn(wait_byte, &pipefd[0]);
	int pidfd = -1;
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	struct mf_err err = { 0 };
	enum mf_status s = mf_cgroup_move(w->cgroups, c, pidfd, w->proc_fd, &err);
	if (s != MF_OK)
		print_message("move: %s\n", err.msg);
	assert_int_equal(s, MF_OK);
	struct mf_pid_info i;
	assert_int_equal(mf_pidfd_info(pidfd, w->proc_fd, false, &i, NULL), MF_OK);
	if (i.cgroup_id != 0)
		assert_int_equal(i.cgroup_id, c->id);
	(void)close(pidfd);
	return p;
}

/* Tell a child_in to go: all ends of its pipe that keep it are its own and ours. */
static void
let_go(pid_t p, int pipefd[2])
{
	(void)!write(pipefd[1], "g", 1);
	assert_int_equal(waitpid(p, NULL, 0), p);
	(void)close(pipefd[0]);
	(void)close(pipefd[1]);
}

static void
test_resolve(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct mf_cgroup c = MF_CGROUP_NONE, found = MF_CGROUP_NONE;
	assert_int_equal(mf_cgroup_make(w->cgroups, "a", &c, NULL), MF_OK);
	assert_int_equal(mf_cgroup_make(w->cgroups, "a", &found, NULL), MF_E_EXISTS);
	assert_int_equal(mf_cgroup_make(w->cgroups, "../a", &found, NULL), MF_E_INVALID);
	assert_int_equal(mf_cgroup_make(w->cgroups, "", &found, NULL), MF_E_INVALID);
	assert_int_equal(mf_cgroup_delegated(w->cgroups, &c), geteuid() != 0);
	assert_int_equal(mf_cgroup_resolve(w->cgroups, c.id, mf_slice_str(c.path), &found, NULL), MF_OK);
	assert_string_equal(found.path, c.path);
	assert_int_equal(found.id, c.id);
	mf_cgroup_fini(&found);
	/* A path with another inode is not it, dots are not followed. */
	assert_int_equal(mf_cgroup_reopen(w->cgroups, c.path, c.id + 1, &found, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_cgroup_reopen(w->cgroups, "/../x", 0, &found, NULL), MF_E_INVALID);
	uint64_t old = c.id;
	char *path = strdup(c.path);
	assert_non_null(path);
	assert_int_equal(
	    mf_cgroup_remove(w->cgroups, "a", old + 1, NULL), MF_OK); /* not that one: left alone */
	assert_int_equal(mf_cgroup_reopen(w->cgroups, path, old, &found, NULL), MF_OK);
	mf_cgroup_fini(&found);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "a", old, NULL), MF_OK);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "a", old, NULL), MF_OK); /* gone is gone */
	mf_cgroup_fini(&c);
	/* Made again under the same name it is another cgroup. */
	assert_int_equal(mf_cgroup_make(w->cgroups, "a", &c, NULL), MF_OK);
	assert_true(c.id != old);
	assert_int_equal(mf_cgroup_resolve(w->cgroups, old, mf_slice_str(path), &found, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_cgroup_reopen(w->cgroups, path, old, &found, NULL), MF_E_NOTFOUND);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "a", c.id, NULL), MF_OK);
	mf_cgroup_fini(&c);
	free(path);
}

static void
test_hostile_names(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	SKIP_IF(geteuid() != 0, "needs root to make cgroups with other names");
	static const char *const names[] = { "a (deleted)", "0::", " b\t", "\xff\xfe", "...", "x\\040y" };
	char base[MF_CGROUP_PATH_MAX];
	(void)snprintf(
	    base, sizeof(base), "%s%s", mf_cgroup_mount_point(w->cgroups), mf_cgroup_base_path(w->cgroups));
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		char full[MF_CGROUP_PATH_MAX + 32], want[MF_CGROUP_PATH_MAX];
		struct stat st;
		struct mf_cgroup c = MF_CGROUP_NONE;
		(void)snprintf(full, sizeof(full), "%s/%s", base, names[i]);
		(void)snprintf(want, sizeof(want), "%s/%s", mf_cgroup_base_path(w->cgroups), names[i]);
		assert_int_equal(mkdir(full, 0755), 0);
		assert_int_equal(stat(full, &st), 0);
		assert_int_equal(mf_cgroup_resolve(w->cgroups, st.st_ino, mf_slice_str(""), &c, NULL), MF_OK);
		assert_string_equal(c.path, want);
		mf_cgroup_fini(&c);
		assert_int_equal(rmdir(full), 0);
		assert_int_equal(
		    mf_cgroup_resolve(w->cgroups, st.st_ino, mf_slice_str(want), &c, NULL), MF_E_NOTFOUND);
	}
}

static void
test_delegated(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	SKIP_IF(geteuid() != 0, "needs root to give a cgroup away");
	struct mf_cgroup c = MF_CGROUP_NONE, again = MF_CGROUP_NONE;
	assert_int_equal(mf_cgroup_make(w->cgroups, "d", &c, NULL), MF_OK);
	assert_false(mf_cgroup_delegated(w->cgroups, &c));
	assert_int_equal(mkdirat(c.fd, "inner", 0755), 0);
	char inner[MF_CGROUP_PATH_MAX];
	(void)snprintf(inner, sizeof(inner), "%s/inner", c.path);
	assert_int_equal(mf_cgroup_reopen(w->cgroups, inner, 0, &again, NULL), MF_OK);
	assert_false(mf_cgroup_delegated(w->cgroups, &again));
	mf_cgroup_fini(&again);
	/* One writable file above is enough to let somebody in below. */
	assert_int_equal(fchownat(c.fd, "cgroup.procs", 1000, 1000, 0), 0);
	assert_int_equal(mf_cgroup_reopen(w->cgroups, inner, 0, &again, NULL), MF_OK);
	assert_true(mf_cgroup_delegated(w->cgroups, &again));
	mf_cgroup_fini(&again);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "d", c.id, NULL), MF_OK); /* what is inside goes too */
	mf_cgroup_fini(&c);
}

static void
test_end_of_tree(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	struct mf_cgroup c = MF_CGROUP_NONE;
	struct mf_watch *watch = NULL;
	bool populated = false;
	int pa[2];
	assert_int_equal(mf_cgroup_make(w->cgroups, "tree", &c, NULL), MF_OK);
	pid_t p = child_in(w, &c, pa);
	assert_int_equal(mf_watch_cgroup(set, &c, 42, false, &watch, &populated, NULL), MF_OK);
	assert_true(populated);
	mf_watch_sweep(set);
	assert_int_equal(h.count[MF_WATCH_EMPTY], 0);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "tree", c.id, NULL), MF_E_AGAIN);
	let_go(p, pa);
	run_until(set, &h, MF_WATCH_EMPTY, 1);
	assert_int_equal(h.handle, 42);
	mf_watch_sweep(set); /* once only */
	assert_int_equal(h.count[MF_WATCH_EMPTY], 1);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "tree", c.id, NULL), MF_OK);
	mf_watch_sweep(set);
	assert_int_equal(h.count[MF_WATCH_REMOVED], 0);
	mf_watch_del(watch);
	assert_int_equal(mf_watch_count(set), 0);
	mf_cgroup_fini(&c);
}

static void
leave_daemon(void *arg)
{
	int *fds = arg; /* [0] gate in, [1] tell out, [2] daemon's gate */
	char b;
	(void)!read(fds[0], &b, 1);
	if (fork() == 0) {
		(void)setsid();
		if (fork() == 0) {
			(void)!write(fds[1], "d", 1);
			(void)!read(fds[2], &b, 1);
		}
		_exit(0);
	}
	(void)wait(NULL);
}

/* The leader ends, what it daemonised lives: the instance lives until that ends too. */
static void
test_daemonised(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	struct mf_cgroup c = MF_CGROUP_NONE;
	struct mf_watch *watch = NULL;
	bool populated = false;
	int gate[2], tell[2], stay[2], pidfd = -1;
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	assert_int_equal(pipe2(stay, O_CLOEXEC), 0);
	assert_int_equal(mf_cgroup_make(w->cgroups, "daemon", &c, NULL), MF_OK);
	int fds[3] = { gate[0], tell[1], stay[0] };
	pid_t p = spawn(leave_daemon, fds);
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	assert_int_equal(mf_cgroup_move(w->cgroups, &c, pidfd, w->proc_fd, NULL), MF_OK);
	assert_int_equal(mf_watch_cgroup(set, &c, 1, false, &watch, &populated, NULL), MF_OK);
	assert_int_equal(write(gate[1], "g", 1), 1);
	assert_int_equal(read_byte(tell[0]), 'd');
	assert_int_equal(waitpid(p, NULL, 0), p); /* the leader is gone and reaped */
	assert_false(mf_pidfd_alive(pidfd));
	mf_watch_sweep(set);
	assert_int_equal(mf_watch_run(set, NULL), MF_OK);
	assert_int_equal(h.count[MF_WATCH_EMPTY], 0);
	assert_int_equal(write(stay[1], "g", 1), 1);
	run_until(set, &h, MF_WATCH_EMPTY, 1);
	mf_watch_del(watch);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "daemon", c.id, NULL), MF_OK);
	mf_cgroup_fini(&c);
	int all[] = { gate[0], gate[1], tell[0], tell[1], stay[0], stay[1], pidfd };
	for (size_t i = 0; i < MF_COUNT(all); i++)
		(void)close(all[i]);
}

static uint64_t
now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Jobs shorter than the kernel's 10 ms throttle, one after the other: no end is missed. */
static void
test_short_jobs(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	uint64_t worst = 0;
	for (int i = 1; i <= 50; i++) {
		struct mf_cgroup c = MF_CGROUP_NONE;
		struct mf_watch *watch = NULL;
		bool populated = false;
		int pa[2];
		assert_int_equal(mf_cgroup_make(w->cgroups, "short", &c, NULL), MF_OK);
		pid_t p = child_in(w, &c, pa);
		assert_int_equal(
		    mf_watch_cgroup(set, &c, (uint64_t)i, false, &watch, &populated, NULL), MF_OK);
		assert_true(populated);
		let_go(p, pa);
		uint64_t from = now_us();
		run_until(set, &h, MF_WATCH_EMPTY, i);
		assert_int_equal(h.handle, i);
		worst = now_us() - from > worst ? now_us() - from : worst;
		mf_watch_del(watch);
		assert_int_equal(mf_cgroup_remove(w->cgroups, "short", c.id, NULL), MF_OK);
		mf_cgroup_fini(&c);
	}
	print_message("50 short jobs, the last end seen after at most %llu us\n", (unsigned long long)worst);
}

/* Born empty: nobody yet is no end; somebody and then nobody is. */
static void
test_armed(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	struct mf_cgroup c = MF_CGROUP_NONE;
	struct mf_watch *watch = NULL, *late = NULL;
	bool populated = true;
	int pa[2];
	assert_int_equal(mf_cgroup_make(w->cgroups, "armed", &c, NULL), MF_OK);
	assert_int_equal(mf_watch_cgroup(set, &c, 7, true, &watch, &populated, NULL), MF_OK);
	assert_false(populated);
	mf_watch_sweep(set);
	assert_int_equal(h.count[MF_WATCH_EMPTY], 0);
	pid_t p = child_in(w, &c, pa);
	run_until(set, &h, MF_WATCH_POPULATED, 1);
	let_go(p, pa);
	run_until(set, &h, MF_WATCH_EMPTY, 1);
	/* Too late for a watch that expects somebody: said at once, nothing reported. */
	populated = true;
	assert_int_equal(mf_watch_cgroup(set, &c, 8, false, &late, &populated, NULL), MF_OK);
	assert_false(populated);
	mf_watch_sweep(set);
	assert_int_equal(h.count[MF_WATCH_EMPTY], 1);
	mf_watch_del(watch);
	mf_watch_del(late);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "armed", c.id, NULL), MF_OK);
	mf_cgroup_fini(&c);
}

/* A directory that was removed, one never filled too: its watch says so, and its name may come again. */
static void
test_removed(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	struct mf_cgroup c = MF_CGROUP_NONE, other = MF_CGROUP_NONE;
	struct mf_watch *watch = NULL, *sibling = NULL, *second = NULL;
	bool populated = false;
	assert_int_equal(mf_cgroup_make(w->cgroups, "gone", &c, NULL), MF_OK);
	assert_int_equal(mf_cgroup_make(w->cgroups, "stays", &other, NULL), MF_OK);
	assert_int_equal(mf_watch_cgroup(set, &c, 1, true, &watch, &populated, NULL), MF_OK);
	assert_int_equal(mf_watch_cgroup(set, &other, 2, true, &sibling, &populated, NULL), MF_OK);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "gone", c.id, NULL), MF_OK);
	mf_cgroup_fini(&c);
	assert_int_equal(mf_cgroup_make(w->cgroups, "gone", &c, NULL), MF_OK); /* before we looked */
	run_until(set, &h, MF_WATCH_REMOVED, 1);
	assert_int_equal(h.handle, 1);
	assert_int_equal(mf_watch_cgroup(set, &c, 3, true, &second, &populated, NULL), MF_OK);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "stays", other.id, NULL), MF_OK);
	run_until(set, &h, MF_WATCH_REMOVED, 2);
	assert_int_equal(h.handle, 2);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "gone", c.id, NULL), MF_OK);
	run_until(set, &h, MF_WATCH_REMOVED, 3);
	assert_int_equal(h.handle, 3);
	mf_cgroup_fini(&c);
	mf_cgroup_fini(&other);
	mf_watch_del(watch);
	mf_watch_del(sibling); /* and the set frees what was not deleted */
}

static void
test_process(void **state)
{
	MF_UNUSED(state);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	int pa[2], pidfd = -1;
	struct mf_watch *watch = NULL;
	assert_int_equal(pipe2(pa, O_CLOEXEC), 0);
	pid_t p = spawn(wait_byte, &pa[0]);
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	assert_int_equal(mf_watch_process(set, pidfd, 5, &watch, NULL), MF_OK);
	assert_int_equal(mf_watch_run(set, NULL), MF_OK);
	assert_int_equal(h.count[MF_WATCH_EXITED], 0);
	let_go(p, pa);
	run_until(set, &h, MF_WATCH_EXITED, 1);
	assert_int_equal(h.handle, 5);
	mf_watch_del(watch);
	/* One that is dead already is reported too. */
	assert_int_equal(mf_watch_process(set, pidfd, 6, &watch, NULL), MF_OK);
	run_until(set, &h, MF_WATCH_EXITED, 2);
	(void)close(pidfd);
}

struct deleter {
	struct mf_watch_set *set;
	struct mf_watch *all[8];
	int calls;
};

static void
delete_all(void *ctx, uint64_t handle, enum mf_watch_cause cause)
{
	struct deleter *d = ctx;
	MF_UNUSED(handle);
	MF_UNUSED(cause);
	d->calls++;
	for (size_t i = 0; i < MF_COUNT(d->all); i++)
		mf_watch_del(d->all[i]);
	mf_watch_sweep(d->set);
}

/* A callback that deletes every watch, those whose event is in hand too. */
static void
test_delete_inside(void **state)
{
	MF_UNUSED(state);
	struct deleter d = { 0 };
	assert_int_equal(mf_watch_set_new(delete_all, &d, &d.set, NULL), MF_OK);
	int pa[2], pidfd = -1;
	assert_int_equal(pipe2(pa, O_CLOEXEC), 0);
	pid_t p = spawn(wait_byte, &pa[0]);
	assert_int_equal(mf_pidfd_open(p, &pidfd, NULL), MF_OK);
	for (size_t i = 0; i < MF_COUNT(d.all); i++)
		assert_int_equal(mf_watch_process(d.set, pidfd, i, &d.all[i], NULL), MF_OK);
	let_go(p, pa);
	wait_readable(mf_watch_set_fd(d.set));
	assert_int_equal(mf_watch_run(d.set, NULL), MF_OK);
	assert_int_equal(d.calls, 1);
	assert_int_equal(mf_watch_count(d.set), 0);
	mf_watch_set_free(d.set);
	(void)close(pidfd);
}

static void
test_kill_and_sweep(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct heard h;
	MF_AUTO(mf_watch_set_free) struct mf_watch_set *set = new_set(&h);
	struct mf_cgroup c = MF_CGROUP_NONE;
	struct mf_watch *watch = NULL;
	bool populated = false;
	int pa[2];
	assert_int_equal(mf_cgroup_make(w->cgroups, "kill", &c, NULL), MF_OK);
	pid_t p = child_in(w, &c, pa);
	assert_int_equal(mf_watch_cgroup(set, &c, 1, false, &watch, &populated, NULL), MF_OK);
	struct mf_err err = { 0 };
	assert_int_equal(mf_cgroup_kill(&c, &err), MF_OK);
	run_until(set, &h, MF_WATCH_EMPTY, 1);
	int st = 0;
	assert_int_equal(waitpid(p, &st, 0), p);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
	(void)close(pa[0]);
	(void)close(pa[1]);
	mf_watch_del(watch);
	mf_cgroup_fini(&c);
}

/* The base by its path, and paths that are none. */
static void
test_base_by_path(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	char path[MF_CGROUP_PATH_MAX], want[MF_CGROUP_PATH_MAX];
	(void)snprintf(want, sizeof(want), "%s/inner", mf_cgroup_base_path(w->cgroups));
	(void)snprintf(path, sizeof(path), "%s%s", mf_cgroup_mount_point(w->cgroups), want);
	assert_int_equal(mf_cgroup_base(w->cgroups, path, NULL), MF_OK);
	assert_string_equal(mf_cgroup_base_path(w->cgroups), want);
	static const char *const bad[] = { "/etc/mayfly", "/", "", "..", "a/b" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		assert_int_equal(mf_cgroup_base(w->cgroups, bad[i], NULL), MF_E_INVALID);
	assert_string_equal(mf_cgroup_base_path(w->cgroups), want);
	assert_int_equal(rmdir(path), 0);
	assert_true(test_base(w, base_name, sizeof(base_name)));
}

static bool
keep_none(void *ctx, uint64_t id)
{
	MF_UNUSED(ctx);
	MF_UNUSED(id);
	return false;
}

static void
test_sweep(void **state)
{
	struct world *w = *state;
	NEED_BASE(w);
	struct mf_cgroup c = MF_CGROUP_NONE;
	size_t left = 0;
	(void)mf_cgroup_sweep(w->cgroups, "", keep_none, NULL, &left); /* left by the test before */
	assert_int_equal(left, 0);
	assert_int_equal(mf_cgroup_make(w->cgroups, "mine-1", &c, NULL), MF_OK);
	int pa[2];
	pid_t p = child_in(w, &c, pa);
	mf_cgroup_fini(&c);
	assert_int_equal(mf_cgroup_make(w->cgroups, "mine-2", &c, NULL), MF_OK);
	mf_cgroup_fini(&c);
	assert_int_equal(mf_cgroup_make(w->cgroups, "other-1", &c, NULL), MF_OK);
	/* Another agent's, and one with somebody in it, stay. */
	assert_int_equal(mf_cgroup_sweep(w->cgroups, "mine-", keep_none, NULL, &left), 1);
	assert_int_equal(left, 1);
	assert_int_equal(mf_cgroup_remove(w->cgroups, "other-1", c.id, NULL), MF_OK);
	mf_cgroup_fini(&c);
	let_go(p, pa);
	do { /* the kernel empties it a moment after the reap */
		(void)mf_cgroup_sweep(w->cgroups, "mine-", keep_none, NULL, &left);
	} while (left > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_delegated),
		cmocka_unit_test(test_end_of_tree),
		cmocka_unit_test(test_daemonised),
		cmocka_unit_test(test_short_jobs),
		cmocka_unit_test(test_armed),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_delete_inside),
		cmocka_unit_test(test_kill_and_sweep),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_base_by_path),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
