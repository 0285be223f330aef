/*
 * starts: `mayfly run`. The front says that an attested runner wants a job; a cgroup is made for it (or, where
 * none can be, the runner becomes the job's subreaper), and the runner's child is moved in before it runs.
 * See design.md 4 and attestor_internal.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/pidfd.h"
#include "base/rand.h"
#include "base/text.h"
#include "os/jlog.h"

static struct mf_start *
find(struct mf_attestor *a, uint64_t id)
{
	struct mf_start *s = NULL;
	HASH_FIND(hh, a->starts, &id, sizeof(id), s);
	return s;
}

static void
drop(struct mf_attestor *a, struct mf_start *s)
{
	HASH_DELETE(hh, a->starts, s);
	mf_fd_close(&s->runner);
	free(s);
}

static void
fail(struct mf_attestor *a, uint64_t start_id, const struct mf_err *err)
{
	Mayfly__Roles__V1__JobCreated m = MAYFLY__ROLES__V1__JOB_CREATED__INIT;
	char reason[MF_ERR_MSG_MAX];
	(void)snprintf(reason, sizeof(reason), "%s", err->msg);
	m.start_id = start_id;
	m.failed = true;
	m.reason = reason;
	MF_LOG(MF_LOG_WARN, "run.refused", "a job could not be started", mf_js("reason", err->msg));
	mf_attestor_tell(a, MF_MSG_JOB_CREATED, &m.base);
}

/* What the runner says about its job: claims, kept with the instance until it attaches. */
static enum mf_status
set_claims(struct mf_instance *i, const Mayfly__Roles__V1__StartJob *m, struct mf_err *err)
{
	MF_TRY(mf_instance_set(&i->profile, mf_slice_str(m->profile), MF_INSTANCE_TEXT_MAX, err));
	MF_TRY(mf_instance_set(&i->run_name, mf_slice_str(m->name), MF_INSTANCE_TEXT_MAX, err));
	return mf_instance_set_manifest(i, mf_slice(m->manifest.data, m->manifest.len), err);
}

/* A new cgroup below our base, with the watch on it, nobody in it yet. */
static enum mf_status
make_run(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m, const struct mf_conn *conn,
    struct mf_instance **ret_i, struct mf_err *err)
{
	uint8_t rnd[10];
	struct mf_cgroup c = MF_CGROUP_NONE;
	struct mf_instance *i = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf name = { 0 };
	mf_buf_init(&name, 64);
	mf_rand_bytes(rnd, sizeof(rnd));
	mf_buf_put_str(&name, a->run_prefix);
	mf_base32_put(&name, mf_slice(rnd, sizeof(rnd)));
	if (mf_buf_cstr(&name) == NULL)
		return mf_buf_check(&name, err);
	MF_TRY(mf_cgroup_make(a->cgroups, mf_buf_cstr(&name), &c, err));
	uint64_t id = c.id;
	enum mf_status s = mf_instances_add(a->table, MF_INSTANCE_RUN, id, &i, err);
	if (s == MF_OK) {
		i->grade = mf_cgroup_delegated(a->cgroups, &c) ? MF_GRADE_CGROUP_DELEGATED : MF_GRADE_CGROUP;
		if (conn->caller.grade == MF_GRADE_LEGACY)
			i->grade = MF_GRADE_LEGACY;
		i->proc_id = conn->caller.proc_id;
		i->pid = conn->caller.pid;
		s = mf_instance_set(&i->cgroup_path, mf_slice_str(c.path), MF_CGROUP_PATH_MAX, err);
	}
	if (s == MF_OK)
		s = set_claims(i, m, err);
	if (s == MF_OK)
		s = mf_life_describe(a, i, &conn->caller, err);
	if (s == MF_OK)
		s = mf_life_watch(a, i, -1, &c, true, err);
	mf_cgroup_fini(&c);
	if (s != MF_OK) {
		if (i != NULL)
			mf_life_forget(a, i);
		else if (mf_cgroup_remove(a->cgroups, mf_buf_cstr(&name), id, NULL) != MF_OK)
			a->sweep_ms = 0;
		return s;
	}
	*ret_i = i;
	return MF_OK;
}

/* The runner's own instance becomes the tree below it; its name and its watch (the runner) stay. */
static enum mf_status
make_tree(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m, const struct mf_conn *conn,
    struct mf_instance *i, struct mf_err *err)
{
	if (i->asked)
		return MF_FAIL(
		    err, MF_E_STATE, "the runner has asked for an identity of its own before; start it anew");
	MF_TRY(set_claims(i, m, err));
	i->kind = MF_INSTANCE_TREE;
	if (i->grade > MF_GRADE_TREE)
		i->grade = MF_GRADE_TREE;
	return mf_life_describe(a, i, &conn->caller, err);
}

/* Where the job of a runner will be: its own cgroup, its tree, or the job that it is inside of. */
static enum mf_status
place_job(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m, const struct mf_conn *conn,
    struct mf_instance **ret_i, uint32_t *ret_placement, struct mf_err *ret_why, struct mf_err *err)
{
	struct mf_instance *at = mf_instances_by_handle(a->table, conn->handle);
	if (at == NULL || at->state >= MF_JOB_ENDED)
		return MF_FAIL(err, MF_E_STATE, "the runner's own job has ended");
	if (at->kind != MF_INSTANCE_PROCESS) {
		/* It narrows that job and never makes another. What was decided already stays. */
		if (!at->asked)
			MF_TRY(set_claims(at, m, err));
		mf_attestor_stale(a);
		*ret_i = at;
		*ret_placement = 3;
		return MF_OK;
	}
	enum mf_status s = a->cgroups == NULL || mf_cgroup_base_path(a->cgroups)[0] == '\0'
			       ? MF_FAIL(ret_why, MF_E_DENIED, "the agent may make no cgroup on this machine")
			       : make_run(a, m, conn, ret_i, ret_why);
	*ret_placement = 1;
	if (s == MF_OK)
		return MF_OK;
	if (s != MF_E_DENIED && s != MF_E_IO) {
		*err = *ret_why;
		return s;
	}
	MF_TRY(make_tree(a, m, conn, at, err));
	*ret_i = at;
	*ret_placement = 2;
	return MF_OK;
}

static enum mf_status
remember(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m, const struct mf_conn *conn,
    uint64_t handle, struct mf_err *err)
{
	struct mf_start *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	s->id = m->start_id;
	s->conn_id = m->conn_id;
	s->handle = handle;
	s->runner_pid = conn->caller.pid;
	s->uid = conn->caller.uid;
	s->runner = fcntl(conn->caller.pidfd, F_DUPFD_CLOEXEC, 0);
	if (s->runner >= 0)
		HASH_ADD(hh, a->starts, id, sizeof(s->id), s);
	if (s->runner < 0 || s->map_oom) {
		mf_fd_close(&s->runner);
		free(s);
		return MF_FAIL(err, MF_E_EXHAUSTED, "attestor: no descriptor or memory for another job");
	}
	return MF_OK;
}

static void
created(struct mf_attestor *a, uint64_t start_id, const struct mf_instance *i, uint32_t placement,
    const struct mf_err *why)
{
	Mayfly__Roles__V1__JobCreated m = MAYFLY__ROLES__V1__JOB_CREATED__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf path = { 0 };
	char reason[MF_ERR_MSG_MAX];
	mf_buf_init(&key, 1024);
	mf_buf_init(&path, 2 * MF_CGROUP_PATH_MAX);
	mf_attestor_key(a, i, &key);
	if (placement == 1) {
		mf_buf_put_str(&path, mf_cgroup_mount_point(a->cgroups));
		mf_buf_put_str(&path, i->cgroup_path);
	}
	(void)snprintf(reason, sizeof(reason), "%s", why->msg);
	m.start_id = start_id;
	m.handle = i->handle;
	m.placement = placement;
	m.weak = i->grade < MF_GRADE_CGROUP;
	m.reason = reason;
	if (mf_buf_cstr(&key) != NULL && mf_buf_cstr(&path) != NULL) {
		m.instance_key = (char *)key.p;
		m.cgroup_path = (char *)path.p;
	}
	MF_LOG(MF_LOG_INFO, "run.created", "a place for a job", mf_js("instance", i->name),
	    mf_ju("placement", placement), mf_js("grade", mf_grade_name(i->grade)), mf_ju("uid", i->uid));
	mf_attestor_tell(a, MF_MSG_JOB_CREATED, &m.base);
}

void
mf_starts_start(struct mf_attestor *a, const Mayfly__Roles__V1__StartJob *m)
{
	struct mf_err err = { 0 }, why = { 0 };
	struct mf_instance *i = NULL;
	uint32_t placement = 0;
	const struct mf_conn *conn = mf_serve_conn(a, m->conn_id);
	enum mf_status s = conn == NULL || find(a, m->start_id) != NULL
			       ? MF_FAIL(&err, MF_E_STATE, "the runner is not attested, or has begun already")
			       : place_job(a, m, conn, &i, &placement, &why, &err);
	if (s == MF_OK) {
		s = remember(a, m, conn, i->handle, &err);
		if (s != MF_OK && placement == 1)
			mf_life_forget(a, i);
	}
	if (s != MF_OK) {
		fail(a, m->start_id, &err);
		return;
	}
	if (placement != 1 || i->grade == MF_GRADE_CGROUP_DELEGATED) {
		if (why.msg[0] == '\0' && i->grade == MF_GRADE_CGROUP_DELEGATED)
			(void)MF_FAIL(&why, MF_E_DENIED,
			    "the cgroup is not root's alone: others of its owner may join it");
	}
	created(a, m->start_id, i, placement, &why);
}

/* The runner's own child, of its user, and both alive: nobody else's process is moved on a runner's word. */
static enum mf_status
check_child(struct mf_attestor *a, const struct mf_start *s, int child, struct mf_err *err)
{
	struct mf_pid_info info;
	MF_TRY(mf_pidfd_info(child, a->proc_fd, a->env.no_ioctl, &info, err));
	if (info.ppid != s->runner_pid || !mf_pidfd_alive(s->runner) || !mf_pidfd_alive(child))
		return MF_FAIL(err, MF_E_UNAUTH, "process %d is not a child of the runner", (int)info.pid);
	if (info.ruid != s->uid || info.euid != s->uid || info.suid != s->uid)
		return MF_FAIL(err, MF_E_UNAUTH, "process %d is not of the runner's user", (int)info.pid);
	return MF_OK;
}

static enum mf_status
place(struct mf_attestor *a, const struct mf_start *s, pid_t pid, struct mf_err *err)
{
	MF_AUTO_IN(mf_fd_close) int child = -1;
	struct mf_instance *i = mf_instances_by_handle(a->table, s->handle);
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return MF_FAIL(err, MF_E_STATE, "the job has ended");
	MF_TRY(mf_pidfd_open(pid, &child, err));
	MF_TRY(check_child(a, s, child, err));
	if (i->kind != MF_INSTANCE_RUN)
		return MF_OK; /* tree: found by its parents; inside: it is where it belongs */
	struct mf_live *l = i->owner;
	MF_TRY(mf_cgroup_move(a->cgroups, &l->cgroup, child, a->proc_fd, err));
	mf_life_event(a, i, MF_JOB_POPULATED, MF_END_NONE);
	return MF_OK;
}

void
mf_starts_place(struct mf_attestor *a, const Mayfly__Roles__V1__PlaceChild *m)
{
	struct mf_err err = { 0 };
	Mayfly__Roles__V1__JobPlaced out = MAYFLY__ROLES__V1__JOB_PLACED__INIT;
	const struct mf_start *s = find(a, m->start_id);
	enum mf_status r =
	    s == NULL ? MF_FAIL(&err, MF_E_NOTFOUND, "no such start") : place(a, s, m->pid, &err);
	out.start_id = m->start_id;
	out.done = r == MF_OK;
	if (r != MF_OK) {
		out.reason = err.msg;
		mf_jlog_err(MF_LOG_WARN, "run.not_placed", "a child was not moved into its job", &err);
	}
	mf_attestor_tell(a, MF_MSG_JOB_PLACED, &out.base);
}

static void
gone(struct mf_attestor *a, struct mf_start *s, bool tree_empty)
{
	struct mf_instance *i = mf_instances_by_handle(a->table, s->handle);
	bool own = i != NULL && (i->kind == MF_INSTANCE_RUN || i->kind == MF_INSTANCE_TREE) &&
		   (i->kind != MF_INSTANCE_TREE || i->pid == s->runner_pid);
	uint64_t handle = s->handle;
	if (!tree_empty || !own || i->kind != MF_INSTANCE_TREE)
		drop(a, s);
	if (!own || i->state >= MF_JOB_ENDED)
		return;
	/* A child that was born inside may be there without our having heard of it. */
	mf_watch_sweep(a->watches);
	i = mf_instances_by_handle(a->table, handle);
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return;
	if (i->kind == MF_INSTANCE_TREE)
		mf_life_event(a, i, MF_JOB_ANCHOR_GONE, tree_empty ? MF_END_EMPTY : MF_END_RUNNER);
	else
		mf_life_event(a, i, MF_JOB_RUNNER_GONE, MF_END_RUNNER);
}

void
mf_starts_gone(struct mf_attestor *a, const Mayfly__Roles__V1__RunnerGone *m)
{
	struct mf_start *s = find(a, m->start_id);
	if (s != NULL)
		gone(a, s, m->tree_empty);
}

void
mf_starts_drop(struct mf_attestor *a)
{
	while (a->starts != NULL) {
		struct mf_start *s = a->starts;
		struct mf_instance *i = mf_instances_by_handle(a->table, s->handle);
		/* A front that died takes no tree with it: the runner is watched by its pidfd. */
		if (i != NULL && i->kind == MF_INSTANCE_RUN)
			gone(a, s, false);
		else
			drop(a, s);
	}
}
