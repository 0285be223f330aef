/*
 * life: instances from first sight until the broker has their end on record. See attestor_internal.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/pidfd.h"
#include "os/jlog.h"

#define SELECTORS_MAX (MF_LIM_SELECTORS * (MF_LIM_SELECTOR + 1u))
#define SWEEP_MS 1000u
#define SWEEP_LEFT_MS 30000u

static struct mf_live *
live_of(struct mf_instance *i)
{
	return i->owner;
}

static void
unwatch(struct mf_instance *i)
{
	struct mf_live *l = live_of(i);
	if (l == NULL)
		return;
	mf_watch_del(l->watch);
	mf_cgroup_fini(&l->cgroup);
	free(l);
	i->owner = NULL;
}

/* The directory that was made for it; it may have to wait until the kernel has emptied it. */
static void
remove_cgroup(struct mf_attestor *a, const struct mf_instance *i)
{
	const char *name = strrchr(i->cgroup_path, '/');
	if (i->kind != MF_INSTANCE_RUN || a->cgroups == NULL || name == NULL)
		return;
	if (mf_cgroup_remove(a->cgroups, name + 1, i->cgroup_id, NULL) != MF_OK)
		a->sweep_ms = mf_now().mono_ms + SWEEP_MS;
}

static bool
is_live(void *ctx, uint64_t id)
{
	struct mf_attestor *a = ctx;
	const struct mf_instance *i = mf_instances_by_cgroup(a->table, id);
	return i != NULL && i->state < MF_JOB_ENDED;
}

void
mf_life_sweep(struct mf_attestor *a)
{
	size_t left = 0;
	if (a->cgroups != NULL)
		(void)mf_cgroup_sweep(a->cgroups, a->run_prefix, is_live, a, &left);
	/* Of a job that was ended before its processes: they go when they go. */
	a->sweep_ms = left > 0 ? mf_now().mono_ms + SWEEP_LEFT_MS : UINT64_MAX;
}

void
mf_life_forget(struct mf_attestor *a, struct mf_instance *i)
{
	unwatch(i);
	remove_cgroup(a, i);
	mf_instances_del(a->table, i);
	mf_attestor_stale(a); /* a restart forgets it again, or tells an end twice */
}

static void
tell_ended(struct mf_attestor *a, const struct mf_instance *i, const char *cause, bool suspended)
{
	Mayfly__Roles__V1__InstanceEnded m = MAYFLY__ROLES__V1__INSTANCE_ENDED__INIT;
	char *text = mf_slice_dup_str(mf_slice_str(cause));
	if (text == NULL)
		a->link_broken = true; /* better no front than one that goes on serving */
	m.handle = i->handle;
	m.cause = text == NULL ? m.cause : text;
	m.suspended = suspended;
	mf_attestor_tell(a, MF_MSG_INSTANCE_ENDED, &m.base);
	mf_attestor_flush(a);
	free(text);
}

void
mf_life_suspend(struct mf_attestor *a, struct mf_instance *i, const char *cause)
{
	i->lease_id[0] = '\0';
	i->epoch = 0;
	a->dirty = true;
	tell_ended(a, i, cause, true);
	MF_LOG(MF_LOG_INFO, "instance.suspended", "credentials dropped", mf_js("instance", i->name),
	    mf_js("cause", cause));
}

void
mf_life_event(struct mf_attestor *a, struct mf_instance *i, enum mf_job_event e, enum mf_end_cause cause)
{
	enum mf_job_state next;
	unsigned actions = 0;
	struct mf_err err = { 0 };
	if (mf_job_watch_step(i->state, e, i->kind == MF_INSTANCE_TREE, &next, &actions, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_WARN, "instance.event", "an event in the wrong state", &err);
		return;
	}
	/* Of one that lives, or never asked for anything, adopt.c sees as much. */
	if (next != i->state && i->asked && next != MF_JOB_LIVE)
		a->dirty = true;
	else if (next != i->state)
		mf_attestor_stale(a);
	i->state = next;
	bool over = next == MF_JOB_ENDED && i->end_cause == MF_END_NONE;
	if (over) {
		i->end_cause = cause;
		i->end_us = mf_now().wall_us;
	}
	/* First of all: no file, no log line and no cgroup that is removed stands between the end and silence. */
	if ((actions & MF_JOB_STOP_SERVING) != 0)
		tell_ended(a, i, mf_end_cause_name(i->end_cause), false);
	if (over)
		MF_LOG(MF_LOG_INFO, "instance.ended", "an instance ended", mf_js("instance", i->name),
		    mf_js("cause", mf_end_cause_name(cause)), mf_js("lease", i->lease_id));
	if ((actions & MF_JOB_UNWATCH) != 0) {
		unwatch(i);
		remove_cgroup(a, i);
	}
	if ((actions & MF_JOB_REPORT_END) != 0 && i->asked)
		mf_ic_end(a->ic, i);
	/* Of an instance that never asked for anything the broker knows nothing. */
	if ((actions & MF_JOB_FORGET) != 0 || (i->state == MF_JOB_ENDED && !i->asked))
		mf_life_forget(a, i);
}

void
mf_life_on_watch(void *ctx, uint64_t handle, enum mf_watch_cause cause)
{
	struct mf_attestor *a = ctx;
	struct mf_instance *i = mf_instances_by_handle(a->table, handle);
	if (i == NULL)
		return;
	switch (cause) {
	case MF_WATCH_POPULATED:
		mf_life_event(a, i, MF_JOB_POPULATED, MF_END_NONE);
		break;
	case MF_WATCH_EMPTY:
		mf_life_event(a, i, MF_JOB_EMPTY, MF_END_EMPTY);
		break;
	case MF_WATCH_REMOVED:
		mf_life_event(a, i, MF_JOB_ANCHOR_GONE, MF_END_EMPTY);
		break;
	case MF_WATCH_EXITED:
		mf_life_event(
		    a, i, MF_JOB_ANCHOR_GONE, i->kind == MF_INSTANCE_TREE ? MF_END_RUNNER : MF_END_PROCESS);
		break;
	}
}

enum mf_status
mf_life_watch(struct mf_attestor *a, struct mf_instance *i, int pidfd, struct mf_cgroup *cgroup, bool armed,
    struct mf_err *err)
{
	bool populated = true;
	struct mf_live *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	l->cgroup.fd = -1;
	enum mf_status s =
	    cgroup != NULL ? mf_watch_cgroup(a->watches, cgroup, i->handle, armed, &l->watch, &populated, err)
			   : mf_watch_process(a->watches, pidfd, i->handle, &l->watch, err);
	if (s == MF_OK && !populated && !armed) {
		mf_watch_del(l->watch);
		s = MF_FAIL(err, MF_E_NOTFOUND, "the caller's job is gone");
	}
	if (s != MF_OK) {
		free(l);
		return s;
	}
	if (cgroup != NULL) {
		l->cgroup = *cgroup;
		*cgroup = (struct mf_cgroup)MF_CGROUP_NONE;
	}
	i->owner = l;
	return MF_OK;
}

/*
 * A process of its own in the cgroup of a `mayfly run` (a terminal there, say) is still in that run: its name is told,
 * if it is the same user's.
 */
static const char *
run_around(struct mf_attestor *a, const struct mf_caller *c)
{
	struct mf_place place = { 0 };
	struct mf_place_env places = mf_classify_places(&a->env);
	struct mf_cgroup top = MF_CGROUP_NONE;
	if (c->cgroup.path == NULL)
		return NULL;
	mf_place_of(mf_slice_str(c->cgroup.path), &places, &place);
	char *path =
	    place.use == MF_CGROUP_OURS ? mf_slice_dup_str(mf_slice(c->cgroup.path, place.prefix)) : NULL;
	const struct mf_instance *i = NULL;
	if (path != NULL && mf_cgroup_reopen(a->cgroups, path, 0, &top, NULL) == MF_OK) {
		i = mf_instances_by_cgroup(a->table, top.id);
		mf_cgroup_fini(&top);
	}
	free(path);
	return i != NULL && i->kind == MF_INSTANCE_RUN && i->uid == c->uid && i->state < MF_JOB_ENDED
		   ? i->run_name
		   : NULL;
}

enum mf_status
mf_life_facts(struct mf_attestor *a, struct mf_instance *i, const struct mf_caller *c, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, SELECTORS_MAX);
	mf_users_refresh(a->users);
	const char *user = mf_users_name(a->users, c->uid);
	bool own = i->kind == MF_INSTANCE_CGROUP || i->kind == MF_INSTANCE_RUN;
	struct mf_selected what = { .kind = i->kind,
		.caller = c,
		.cgroup_id = own ? i->cgroup_id : c->cgroup_id,
		.cgroup_path = own ? i->cgroup_path : c->cgroup.path,
		.user = user,
		.run_name = i->kind == MF_INSTANCE_PROCESS ? run_around(a, c) : i->run_name };
	MF_TRY(mf_selectors_put(&b, &a->env, &what, err));
	MF_TRY(mf_instance_set(&i->selectors, mf_buf_slice(&b), SELECTORS_MAX, err));
	MF_TRY(mf_instance_set(&i->user, mf_slice_str(user), MF_INSTANCE_TEXT_MAX, err));
	i->uid = c->uid;
	i->gid = c->gid;
	i->interactive = c->interactive != MF_INTERACTIVE_NO;
	if (i->kind == MF_INSTANCE_PROCESS)
		i->pid = c->pid;
	return MF_OK;
}

enum mf_status
mf_life_describe(struct mf_attestor *a, struct mf_instance *i, const struct mf_caller *c, struct mf_err *err)
{
	MF_TRY(mf_life_facts(a, i, c, err));
	/* Before it asks for something nobody but us and the front knows of it, and both know it by the link. */
	if (i->asked)
		a->dirty = true;
	else
		mf_attestor_stale(a);
	return MF_OK;
}

/* Open the cgroup that the first ${prefix} bytes of the caller's path name. */
static enum mf_status
open_own(const struct mf_attestor *a, const struct mf_caller *c, const struct mf_class *k,
    struct mf_cgroup *ret_c, struct mf_err *err)
{
	char *path = mf_slice_dup_str(mf_slice(c->cgroup.path, k->prefix));
	if (path == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	enum mf_status s = mf_cgroup_reopen(a->cgroups, path, k->id, ret_c, err);
	free(path);
	return s;
}

/* Watch first, then describe: an end that comes in between is seen. */
static enum mf_status
fill_new(struct mf_attestor *a, struct mf_instance *i, const struct mf_class *k, const struct mf_caller *c,
    struct mf_err *err)
{
	struct mf_cgroup own = MF_CGROUP_NONE;
	enum mf_status s = MF_OK;
	i->grade = k->grade;
	if (k->prefix > 0) {
		MF_TRY(open_own(a, c, k, &own, err));
		s = mf_instance_set(&i->cgroup_path, mf_slice_str(own.path), MF_CGROUP_PATH_MAX, err);
	}
	if (s == MF_OK)
		s = mf_life_watch(a, i, c->pidfd, k->prefix > 0 ? &own : NULL, false, err);
	mf_cgroup_fini(&own);
	MF_TRY(s);
	return mf_life_describe(a, i, c, err);
}

enum mf_status
mf_life_find(struct mf_attestor *a, const struct mf_caller *c, bool make, struct mf_instance **ret_i,
    struct mf_err *err)
{
	struct mf_class k;
	struct mf_instance *i = NULL;
	MF_TRY(mf_classify(&a->env, a->table, c, &k, err));
	if (k.known != NULL) {
		if (k.known->state >= MF_JOB_ENDED)
			return MF_FAIL(err, MF_E_STATE, "the job of this process has ended (%s)",
			    mf_end_cause_name(k.known->end_cause));
		/* Somebody without a terminal is the stronger claim, as long as nothing was decided. */
		if (k.known->interactive && c->interactive == MF_INTERACTIVE_NO &&
		    k.known->lease_id[0] == '\0' && k.known->kind == MF_INSTANCE_CGROUP)
			MF_TRY(mf_life_describe(a, k.known, c, err));
		*ret_i = k.known;
		return MF_OK;
	}
	if (!make)
		return MF_FAIL(err, MF_E_NOTFOUND, "the process is of no known job");
	MF_TRY(mf_instances_add(a->table, k.kind, k.id, &i, err));
	enum mf_status s = fill_new(a, i, &k, c, err);
	if (s != MF_OK) {
		mf_life_forget(a, i);
		return s;
	}
	MF_LOG(MF_LOG_INFO, "instance.found", "a new instance", mf_js("instance", i->name),
	    mf_js("grade", mf_grade_name(i->grade)), mf_ju("uid", i->uid), mf_ji("pid", c->pid));
	*ret_i = i;
	return MF_OK;
}
