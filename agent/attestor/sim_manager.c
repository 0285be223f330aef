/*
 * sim_manager: a simulated manager. Where <run_dir>/attestor/managers is there when the attestor starts (and nobody but its owner
 * may write to it), whoever writes its files speaks as the manager of this node's jobs: claim-<instance> says which job
 * an instance is a part of, word what becomes of a job. Tests of jobs on several nodes use it; what is believed is the
 * broker's to decide all the same. It stands where the adapters for Slurm and Kubernetes will.
 */
#include <stdio.h>
#include <unistd.h>

#include "agent/attestor/attestor_internal.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define LOOK_MS 200u
#define DIR_NAME "managers"
#define WORD "word"
#define TAG 1u /* one word at a time */

void
mf_sim_open(struct mf_attestor *a)
{
	struct mf_err err = { 0 };
	a->sim_fd = -1;
	a->sim_due_ms = UINT64_MAX;
	enum mf_status s =
	    mf_dir_open_at(a->run_fd, DIR_NAME, false, geteuid(), getegid(), 0755, &a->sim_fd, &err);
	if (s == MF_E_NOTFOUND)
		return;
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "manager.refused", "the directory of a simulated manager", &err);
		return;
	}
	a->sim_due_ms = 0;
	MF_LOG(MF_LOG_WARN, "manager.simulated",
	    "a simulated manager speaks for this node's jobs: for tests only");
}

static enum mf_status
read_file(int dirfd, const char *name, struct mf_manager_file **ret_f, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_LIM_MANAGER_FILE);
	MF_TRY(mf_file_read(dirfd, name, &b, err));
	return mf_manager_file_parse(mf_buf_slice(&b), ret_f, err);
}

struct mf_manager_file *
mf_sim_claim(struct mf_attestor *a, const struct mf_instance *i)
{
	char name[MF_INSTANCE_NAME_MAX + 16];
	struct mf_manager_file *f = NULL;
	struct mf_err err = { 0 };
	if (a->sim_fd < 0)
		return NULL;
	(void)snprintf(name, sizeof(name), "claim-%s", i->name);
	enum mf_status s = read_file(a->sim_fd, name, &f, &err);
	if (s == MF_OK && f->say == MF_SAY_NOTHING)
		return f;
	if (s != MF_E_NOTFOUND)
		mf_jlog_err(MF_LOG_ERROR, "manager.claim", "a claim that cannot be used", &err);
	mf_manager_file_free(f);
	return NULL;
}

static void
send_word(struct mf_attestor *a, uint64_t id, const struct mf_manager_file *f)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__ManagerStarted started = MAYFLY__AGENT__V1__MANAGER_STARTED__INIT;
	Mayfly__Agent__V1__ManagerEnd end = MAYFLY__AGENT__V1__MANAGER_END__INIT;
	static const Mayfly__Agent__V1__ManagerEndKind kinds[] = {
		[MF_SAY_ANNOUNCED] = MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_ANNOUNCED,
		[MF_SAY_ENDED] = MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_FINAL,
		[MF_SAY_REQUEUED] = MAYFLY__AGENT__V1__MANAGER_END_KIND__MANAGER_END_REQUEUED
	};
	up.request_id = id;
	if (f->say == MF_SAY_STARTED) {
		started.job_key = f->job;
		started.owner_known = f->owner_known;
		started.owner_uid = f->owner;
		started.deadline = f->deadline;
		started.nodes = f->list;
		started.n_nodes = f->list_n;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_MANAGER_STARTED;
		up.manager_started = &started;
	} else {
		end.job_key = f->job;
		end.kind = kinds[f->say];
		end.reason = f->reason;
		up.body_case = MAYFLY__AGENT__V1__UP__BODY_MANAGER_END;
		up.manager_end = &end;
	}
	mf_session_send(a, MF_INNER_REMOVAL, &up);
}

static void
drop_word(struct mf_attestor *a, const char *why)
{
	struct mf_err err = { 0 };
	a->sim_asked = false;
	if (why != NULL)
		MF_LOG(MF_LOG_ERROR, "manager.word", "a manager's word is dropped", mf_js("reason", why));
	if (mf_file_remove(a->sim_fd, WORD, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "manager.word", "a manager's word stays in its file", &err);
}

/* The word is on record, refused for good, or to be said again. */
void
mf_sim_answered(struct mf_attestor *a, const char *refused, bool again)
{
	if (!again)
		drop_word(a, refused);
	a->sim_asked = false;
}

void
mf_sim_turn(struct mf_attestor *a, struct mf_now now)
{
	MF_AUTO(mf_manager_file_free) struct mf_manager_file *f = NULL;
	struct mf_err err = { 0 };
	uint64_t id;
	if (a->sim_fd < 0 || now.mono_ms < a->sim_due_ms)
		return;
	a->sim_due_ms = now.mono_ms + LOOK_MS;
	if (a->sim_asked || mf_ic_phase(a->ic) != MF_IC_READY)
		return;
	enum mf_status s = read_file(a->sim_fd, WORD, &f, &err);
	if (s == MF_E_NOTFOUND)
		return;
	if (s != MF_OK || f->say == MF_SAY_NOTHING) {
		drop_word(a, s != MF_OK ? err.msg : "it says nothing");
		return;
	}
	if (mf_ic_request(a->ic, MF_IC_MANAGER, TAG, now, &id, &err) != MF_OK)
		return;
	a->sim_asked = true;
	send_word(a, id, f);
}
