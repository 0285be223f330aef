/*
 * adopt: after a restart of the attestor, what lives is watched again and what ended meanwhile is ended now.
 * Same boot, same inode and somebody in it is the same cgroup; the same pidfs inode behind the number is the same
 * process. Everything else is over: an end too many costs an attach, an end too few a credential.
 */
#include <stdio.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/pidfd.h"
#include "os/jlog.h"

static enum mf_status
adopt_cgroup(struct mf_attestor *a, struct mf_instance *i, struct mf_err *err)
{
	struct mf_cgroup c = MF_CGROUP_NONE;
	if (a->cgroups == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "no cgroup2 any more");
	MF_TRY(mf_cgroup_reopen(a->cgroups, i->cgroup_path, i->cgroup_id, &c, err));
	enum mf_status s = mf_life_watch(a, i, -1, &c, false, err);
	mf_cgroup_fini(&c);
	return s;
}

static enum mf_status
adopt_process(struct mf_attestor *a, struct mf_instance *i, struct mf_err *err)
{
	MF_AUTO_IN(mf_fd_close) int pidfd = -1;
	struct mf_caller c = MF_CALLER_NONE;
	MF_TRY(mf_pidfd_open(i->pid, &pidfd, err));
	/* The whole sandwich: without pidfs the id is made of the start time, which it reads. */
	MF_TRY(mf_peer_attest_pidfd(&a->env, pidfd, &c, err));
	bool same = c.proc_id == i->proc_id && c.uid == i->uid;
	mf_caller_fini(&c);
	if (!same)
		return MF_FAIL(err, MF_E_NOTFOUND, "another process has that number now");
	return mf_life_watch(a, i, pidfd, NULL, false, err);
}

static void
adopt(struct mf_attestor *a, struct mf_instance *i)
{
	struct mf_err err = { 0 };
	if (i->state >= MF_JOB_ENDED)
		return; /* spooled: goes out with the next session */
	if (strcmp(i->boot, mf_instances_boot(a->table)) != 0) {
		mf_life_event(a, i, MF_JOB_ANCHOR_GONE, MF_END_REBOOT);
		return;
	}
	bool cgroup = i->kind == MF_INSTANCE_CGROUP || i->kind == MF_INSTANCE_RUN;
	enum mf_status s = cgroup ? adopt_cgroup(a, i, &err) : adopt_process(a, i, &err);
	if (s != MF_OK) {
		MF_LOG(MF_LOG_INFO, "instance.gone", "ended while the attestor was away",
		    mf_js("instance", i->name), mf_js("why", err.msg));
		mf_life_event(a, i, MF_JOB_ANCHOR_GONE, MF_END_WHILE_AWAY);
		return;
	}
	if (i->state == MF_JOB_ARMING) /* its cgroup is populated: the child came */
		mf_life_event(a, i, MF_JOB_POPULATED, MF_END_NONE);
	MF_LOG(MF_LOG_INFO, "instance.adopted", "still alive", mf_js("instance", i->name),
	    mf_js("lease", i->lease_id));
}

void
mf_adopt_all(struct mf_attestor *a)
{
	MF_INSTANCES_EACH(i, a->table)
	{
		adopt(a, i);
	}
	mf_life_sweep(a);
}
