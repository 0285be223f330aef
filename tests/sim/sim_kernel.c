/*
 * The kernel of a node as a model: which cgroups and processes there are, whose they are, and how numbers and names come
 * again. It stands in the place of agent/attestor/{peer,cgroup,watch,pidfd,users,interactive}.h: what those would read
 * from /proc and cgroupfs is taken from here, at the moment of the call.
 */
#include "sim.h"

#include <stdlib.h>

#include "agent/attestor/interactive.h"
#include "agent/attestor/pidfd.h"
#include "agent/attestor/users.h"
#include "agent/attestor/watch.h"

#define GROUP_FD 5000000
#define PID_FD 6000000
#define PIDS 120 /* so few numbers that they come again soon */

/* ---- the model ---- */

void
sim_kernel_boot(struct sim_kernel *k)
{
	*k = (struct sim_kernel) { .next_id = sim_between(100, 100000), .next_pid = 100 };
	(void)snprintf(k->boot, sizeof(k->boot), "%08x-0000-4000-8000-%012x", (unsigned)sim_below(UINT32_MAX),
	    (unsigned)sim_below(UINT32_MAX));
	/* Where people and daemons are: shared, so that each process there is itself. */
	k->groups[0] = (struct sim_group) {
		.id = k->next_id++, .path = "/user.slice/user-1001.slice/session-1.scope", .there = true
	};
}

const char *
sim_user(uint32_t uid)
{
	return uid == 1001 ? "alice" : uid == 1002 ? "bob" : uid == 1003 ? "carol" : NULL;
}

static int32_t
new_pid(struct sim_kernel *k)
{
	for (int tries = 0; tries < 4 * PIDS; tries++) {
		int32_t pid = k->next_pid;
		bool taken = false;
		k->next_pid = pid + 1 >= 100 + PIDS ? 100 : pid + 1;
		for (size_t i = 0; i < SIM_PROCS; i++)
			taken = taken || (k->procs[i].alive && k->procs[i].pid == pid);
		if (!taken)
			return pid;
	}
	return 0;
}

int
sim_kernel_fork(struct sim_kernel *k, size_t group, uint32_t uid)
{
	int32_t pid = new_pid(k);
	for (size_t i = 0; pid != 0 && i < SIM_PROCS; i++) {
		if (k->procs[i].proc_id != 0)
			continue;
		k->procs[i] = (struct sim_proc) {
			.pid = pid, .proc_id = k->next_id++, .uid = uid, .group = group, .alive = true
		};
		k->groups[group].live++;
		return (int)i;
	}
	return -1;
}

int
sim_kernel_job(struct sim_kernel *k, unsigned slot, uint32_t uid, bool own_cgroup)
{
	if (!own_cgroup)
		return sim_kernel_fork(k, 0, uid);
	char path[64];
	(void)snprintf(path, sizeof(path), "/system.slice/job%u.service", slot);
	for (size_t i = 0; i < SIM_GROUPS; i++)
		if (k->groups[i].there && strcmp(k->groups[i].path, path) == 0)
			return -1;
	for (size_t i = 0; i < SIM_GROUPS; i++) {
		if (k->groups[i].id != 0)
			continue;
		k->groups[i] =
		    (struct sim_group) { .id = k->next_id++, .there = true, .uid = uid, .made = sim->t_us };
		memcpy(k->groups[i].path, path, sizeof(path));
		return sim_kernel_fork(k, i, uid);
	}
	return -1;
}

void
sim_kernel_exit(struct sim_kernel *k, size_t proc)
{
	struct sim_proc *p = &k->procs[proc];
	if (!p->alive)
		return;
	p->alive = false;
	struct sim_group *g = &k->groups[p->group];
	g->live--;
	if (p->group != 0 && g->live == 0)
		g->there = false; /* systemd removes what is empty */
}

bool
sim_kernel_lives(const struct sim_kernel *k, const char *name, uint32_t *ret_uid)
{
	bool group = strncmp(name, "cg-", 3) == 0;
	uint64_t id = strtoull(name + (group ? 3 : 2), NULL, 10);
	for (size_t i = 0; i < SIM_PROCS; i++) {
		const struct sim_proc *p = &k->procs[i];
		if (!p->alive || (group ? k->groups[p->group].id : p->proc_id) != id)
			continue;
		*ret_uid = group ? k->groups[p->group].uid : p->uid;
		return true;
	}
	return false;
}

static struct sim_kernel *
here(void)
{
	return sim_agent_kernel(sim->agent);
}

/* ---- users.h, interactive.h ---- */

struct mf_users {
	int nothing;
};

enum mf_status
mf_users_open(const char *path, struct mf_users **ret_u, struct mf_err *err)
{
	MF_UNUSED(path);
	MF_UNUSED(err);
	*ret_u = sim_alloc(sizeof(**ret_u));
	return MF_OK;
}

void
mf_users_refresh(struct mf_users *u)
{
	MF_UNUSED(u);
}

const char *
mf_users_name(const struct mf_users *u, uint32_t uid)
{
	MF_UNUSED(u);
	return sim_user(uid);
}

void
mf_users_free(struct mf_users *u)
{
	free(u);
}

const char *
mf_interactive_name(enum mf_interactive i)
{
	MF_UNUSED(i);
	return "none";
}

enum mf_status
mf_interactive_look(const struct mf_peer_env *env, struct mf_caller *c, struct mf_err *err)
{
	MF_UNUSED(env);
	MF_UNUSED(c);
	MF_UNUSED(err);
	return MF_OK;
}

enum mf_status
mf_ancestry_parent(const struct mf_peer_env *env, int pidfd, int *ret_parent, struct mf_err *err)
{
	MF_UNUSED(env);
	MF_UNUSED(pidfd);
	MF_UNUSED(ret_parent);
	return MF_FAIL(err, MF_E_NOTFOUND, "no parent");
}

/* ---- pidfd.h: a descriptor is the process's place in the table; of another boot it is nobody ---- */

static const struct sim_proc *
proc_of(int pidfd)
{
	const struct sim_kernel *k = here();
	int i = pidfd - PID_FD;
	return i >= 0 && i < (int)SIM_PROCS && k->procs[i].proc_id != 0 ? &k->procs[i] : NULL;
}

bool
mf_pidfd_alive(int pidfd)
{
	const struct sim_proc *p = proc_of(pidfd);
	return p != NULL && p->alive;
}

enum mf_status
mf_pidfd_inode(int pidfd, uint64_t *ret_inode, struct mf_err *err)
{
	const struct sim_proc *p = proc_of(pidfd);
	if (p == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is gone");
	*ret_inode = p->proc_id;
	return MF_OK;
}

enum mf_status
mf_pidfd_open(pid_t pid, int *ret_pidfd, struct mf_err *err)
{
	const struct sim_kernel *k = here();
	for (size_t i = 0; i < SIM_PROCS; i++)
		if (k->procs[i].alive && k->procs[i].pid == pid) {
			*ret_pidfd = PID_FD + (int)i;
			return MF_OK;
		}
	return MF_FAIL(err, MF_E_NOTFOUND, "no process %d", (int)pid);
}

enum mf_status
mf_pidfd_info(int pidfd, int proc_fd, bool no_ioctl, struct mf_pid_info *ret_info, struct mf_err *err)
{
	MF_UNUSED(pidfd);
	MF_UNUSED(proc_fd);
	MF_UNUSED(no_ioctl);
	MF_UNUSED(ret_info);
	return MF_FAIL(err, MF_E_UNSUPPORTED, "mayfly run is not simulated");
}

void
mf_fd_close(int *fd)
{
	*fd = -1;
}

/* ---- peer.h ---- */

enum mf_status
mf_peer_env_init(struct mf_peer_env *ret_env, const char *listen_path, int proc_fd,
    const struct mf_cgroup_fs *cgroups, struct mf_err *err)
{
	MF_UNUSED(err);
	*ret_env = (struct mf_peer_env) { .listen_path = listen_path,
		.proc_fd = proc_fd,
		.cgroups = cgroups,
		.ids_whole = true,
		.ns_user = 1 };
	return MF_OK;
}

static enum mf_status
attest(const struct sim_proc *p, struct mf_caller *ret_c, struct mf_err *err)
{
	struct sim_kernel *k = here();
	if (p == NULL || !p->alive)
		return MF_FAIL(err, MF_E_NOTFOUND, "the caller is gone");
	const struct sim_group *g = &k->groups[p->group];
	*ret_c = (struct mf_caller) { .pidfd = PID_FD + (int)(p - k->procs),
		.pid = p->pid,
		.uid = p->uid,
		.gid = p->uid,
		.proc_id = p->proc_id,
		.ns_levels = 1,
		.grade = MF_GRADE_PIDFD,
		.cgroup_id = g->id,
		.cgroup = { .fd = GROUP_FD + (int)p->group, .id = g->id, .path = strdup(g->path) },
		.ns_user = 1 };
	return MF_OK;
}

enum mf_status
mf_peer_attest(const struct mf_peer_env *env, int sock, struct mf_caller *ret_c, struct mf_err *err)
{
	MF_UNUSED(env);
	return attest(sim_agent_caller(sim->agent, sock), ret_c, err);
}

enum mf_status
mf_peer_attest_pidfd(const struct mf_peer_env *env, int pidfd, struct mf_caller *ret_c, struct mf_err *err)
{
	MF_UNUSED(env);
	return attest(proc_of(pidfd), ret_c, err);
}

void
mf_caller_fini(struct mf_caller *c)
{
	mf_cgroup_fini(&c->cgroup);
	free(c->exe);
	free(c->groups);
	*c = (struct mf_caller)MF_CALLER_NONE;
}

/* ---- cgroup.h ---- */

struct mf_cgroup_fs {
	int nothing;
};

void
mf_cgroup_fini(struct mf_cgroup *c)
{
	free(c->path);
	*c = (struct mf_cgroup)MF_CGROUP_NONE;
}

enum mf_status
mf_cgroup_fs_open(int proc_fd, struct mf_cgroup_fs **ret_fs, struct mf_err *err)
{
	MF_UNUSED(proc_fd);
	MF_UNUSED(err);
	*ret_fs = sim_alloc(sizeof(**ret_fs));
	return MF_OK;
}

void
mf_cgroup_fs_free(struct mf_cgroup_fs *fs)
{
	free(fs);
}

const char *
mf_cgroup_own_path(const struct mf_cgroup_fs *fs)
{
	MF_UNUSED(fs);
	return "/system.slice/mayfly-agent.service";
}

const char *
mf_cgroup_mount_point(const struct mf_cgroup_fs *fs)
{
	MF_UNUSED(fs);
	return "/sys/fs/cgroup";
}

const char *
mf_cgroup_base_path(const struct mf_cgroup_fs *fs)
{
	MF_UNUSED(fs);
	return "";
}

bool
mf_cgroup_path_ok(struct mf_slice path)
{
	return path.n > 1 && path.p[0] == '/'; /* the model makes no others */
}

enum mf_status
mf_cgroup_reopen(
    const struct mf_cgroup_fs *fs, const char *path, uint64_t id, struct mf_cgroup *ret_c, struct mf_err *err)
{
	MF_UNUSED(fs);
	const struct sim_kernel *k = here();
	for (size_t i = 0; i < SIM_GROUPS; i++) {
		const struct sim_group *g = &k->groups[i];
		if (!g->there || strcmp(g->path, path) != 0 || (id != 0 && g->id != id))
			continue;
		*ret_c = (struct mf_cgroup) { .fd = GROUP_FD + (int)i, .id = g->id, .path = strdup(g->path) };
		return MF_OK;
	}
	return MF_FAIL(err, MF_E_NOTFOUND, "the cgroup is gone");
}

bool
mf_cgroup_delegated(const struct mf_cgroup_fs *fs, const struct mf_cgroup *c)
{
	MF_UNUSED(fs);
	MF_UNUSED(c);
	return false;
}

/* `mayfly run` is not simulated: nothing is made, moved or removed. */
static enum mf_status
not_here(struct mf_err *err)
{
	return MF_FAIL(err, MF_E_UNSUPPORTED, "mayfly run is not simulated");
}

enum mf_status
mf_cgroup_base(struct mf_cgroup_fs *fs, const char *name, struct mf_err *err)
{
	MF_UNUSED(fs);
	MF_UNUSED(name);
	return not_here(err);
}

enum mf_status
mf_cgroup_make(const struct mf_cgroup_fs *fs, const char *name, struct mf_cgroup *ret_c, struct mf_err *err)
{
	MF_UNUSED(fs);
	MF_UNUSED(name);
	MF_UNUSED(ret_c);
	return not_here(err);
}

enum mf_status
mf_cgroup_move(
    const struct mf_cgroup_fs *fs, const struct mf_cgroup *c, int pidfd, int proc_fd, struct mf_err *err)
{
	MF_UNUSED(fs);
	MF_UNUSED(c);
	MF_UNUSED(pidfd);
	MF_UNUSED(proc_fd);
	return not_here(err);
}

enum mf_status
mf_cgroup_remove(const struct mf_cgroup_fs *fs, const char *name, uint64_t id, struct mf_err *err)
{
	MF_UNUSED(fs);
	MF_UNUSED(name);
	MF_UNUSED(id);
	return not_here(err);
}

size_t
mf_cgroup_sweep(const struct mf_cgroup_fs *fs, const char *prefix, bool (*keep)(void *ctx, uint64_t id),
    void *ctx, size_t *ret_left)
{
	MF_UNUSED(fs);
	MF_UNUSED(prefix);
	MF_UNUSED(keep);
	MF_UNUSED(ctx);
	*ret_left = 0;
	return 0;
}

/* ---- watch.h ---- */

struct mf_watch {
	struct mf_list at;
	uint64_t handle;
	size_t index; /* of the cgroup or the process */
	bool process, said;
};
struct mf_watch_set {
	mf_watch_fn fn;
	void *ctx;
	struct mf_list all;
};

enum mf_status
mf_watch_set_new(mf_watch_fn fn, void *ctx, struct mf_watch_set **ret_set, struct mf_err *err)
{
	MF_UNUSED(err);
	struct mf_watch_set *s = sim_alloc(sizeof(*s));
	s->fn = fn;
	s->ctx = ctx;
	mf_list_init(&s->all);
	*ret_set = s;
	return MF_OK;
}

void
mf_watch_del(struct mf_watch *w)
{
	if (w == NULL)
		return;
	mf_list_del(&w->at);
	free(w);
}

void
mf_watch_set_free(struct mf_watch_set *s)
{
	if (s == NULL)
		return;
	MF_LIST_EACH(p, &s->all)
	mf_watch_del(MF_LIST_ITEM(p, struct mf_watch, at));
	free(s);
}

int
mf_watch_set_fd(const struct mf_watch_set *s)
{
	MF_UNUSED(s);
	return -1;
}

static struct mf_watch *
add(struct mf_watch_set *s, uint64_t handle, size_t index, bool process)
{
	struct mf_watch *w = sim_alloc(sizeof(*w));
	w->handle = handle;
	w->index = index;
	w->process = process;
	mf_list_init(&w->at);
	mf_list_add_tail(&s->all, &w->at);
	return w;
}

enum mf_status
mf_watch_cgroup(struct mf_watch_set *s, const struct mf_cgroup *c, uint64_t handle, bool armed,
    struct mf_watch **ret_w, bool *ret_populated, struct mf_err *err)
{
	MF_UNUSED(armed);
	size_t i = (size_t)(c->fd - GROUP_FD);
	if (!here()->groups[i].there)
		return MF_FAIL(err, MF_E_NOTFOUND, "the cgroup is gone");
	*ret_w = add(s, handle, i, false);
	*ret_populated = here()->groups[i].live > 0;
	return MF_OK;
}

enum mf_status
mf_watch_process(
    struct mf_watch_set *s, int pidfd, uint64_t handle, struct mf_watch **ret_w, struct mf_err *err)
{
	MF_UNUSED(err);
	*ret_w = add(s, handle, (size_t)(pidfd - PID_FD), true);
	return MF_OK;
}

enum mf_status
mf_watch_run(struct mf_watch_set *s, struct mf_err *err)
{
	MF_UNUSED(err);
	bool again = true;
	while (again) {
		again = false;
		MF_LIST_EACH(p, &s->all)
		{
			struct mf_watch *w = MF_LIST_ITEM(p, struct mf_watch, at);
			const struct sim_kernel *k = here();
			bool live = w->process ? k->procs[w->index].alive : k->groups[w->index].live > 0;
			if (live || w->said)
				continue;
			w->said = again = true;
			s->fn(s->ctx, w->handle,
			    w->process			? MF_WATCH_EXITED
			    : k->groups[w->index].there ? MF_WATCH_EMPTY
							: MF_WATCH_REMOVED);
			break; /* it may have deleted this one and others */
		}
	}
	return MF_OK;
}

void
mf_watch_sweep(struct mf_watch_set *s)
{
	MF_UNUSED(s);
}
