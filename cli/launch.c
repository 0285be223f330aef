#include "cli/launch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cloud_files.h"
#include "cli/connect.h"
#include "cli/launch_child.h"
#include "job.pb-c.h"

/* Passed on to the command. SIGTSTP and its like stay what they are: a terminal sends them to both of us. */
static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH };

#define TOKENS_MS 10000u /* how long the command waits for its bearer tokens */

struct launch {
	struct mf_cli *c;
	const struct mf_launch_spec *spec;
	struct mf_grpc_sync *agent;
	struct mf_grpc_sync_stream *st; /* NULL when lost */
	sigset_t old_mask;
	int signals;
	struct mf_launch_child child;
	Mayfly__Job__V1__Placement placement;
	bool created, placed, granted, ended, running;
	char job_id[256];
	int aborted_by; /* a signal that came before the command ran */
	bool main_gone;
	int main_status; /* of wait(2) */
	/* its cloud grants */
	struct mf_cloud_files files;
	struct mf_buf env; /* for mf_launch_child_go */
	size_t awaited;	   /* files whose token has yet to come */
	uint64_t granted_ms;
};

/* --- what the agent says --- */

static enum mf_status
make_child(struct launch *l, const Mayfly__Job__V1__Created *m, struct mf_err *err)
{
	struct mf_child_spec spec = {
		.argv = l->spec->argv, .socket_path = l->spec->socket_path, .mask = &l->old_mask
	};
	bool born = false;
	if (l->created)
		return MF_FAIL(err, MF_E_INVALID, "the agent made the job twice: is it of another release?");
	l->created = true;
	l->placement = m->placement;
	if (m->weak && m->reason[0] != '\0')
		mf_cli_note(l->c, "mayfly: weaker evidence about this job: %s", m->reason);
	if (l->placement == MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_CGROUP)
		spec.cgroup = m->cgroup_path;
	if (l->placement == MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_SUBREAPER &&
	    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "PR_SET_CHILD_SUBREAPER: %s", strerror(errno));
	MF_TRY(mf_launch_child_new(&spec, &l->child, &born, err));
	l->placed = born || l->placement == MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_INSIDE;
	if (l->placed)
		return MF_OK;
	Mayfly__Job__V1__StartRequest req = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__Place place = MAYFLY__JOB__V1__PLACE__INIT;
	place.pid = l->child.pid;
	req.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_PLACE;
	req.place = &place;
	return mf_grpc_sync_send(l->st, &req.base, err);
}

/* The files are there before the command is. Without a place for them it goes on, and is told so. */
static void
take_cloud(struct launch *l, const Mayfly__Job__V1__CloudEnvironment *e)
{
	struct mf_err err = { 0 };
	if (e == NULL || e->n_set == 0 || l->files.dir >= 0)
		return;
	enum mf_status s = mf_cloud_files_open(&l->files, &err);
	if (s == MF_OK)
		s = mf_cloud_files_take(&l->files, e, &l->env, &err);
	if (s != MF_OK) {
		mf_cli_note(l->c, "mayfly: no cloud credentials for the command: %s", err.msg);
		mf_buf_reset(&l->env);
		return;
	}
	for (size_t k = 0; k < e->n_files; k++)
		l->awaited += e->files[k]->body.len == 0;
}

static void
take_news(struct launch *l, const Mayfly__Job__V1__CloudNews *m)
{
	struct mf_err err = { 0 };
	if (l->files.dir >= 0 && m->file[0] != '\0') {
		if (l->awaited > 0)
			l->awaited--;
		if (m->body.len == 0)
			mf_cloud_files_remove(&l->files, m->file);
		else if (mf_cloud_files_write(
			     &l->files, m->file, mf_slice(m->body.data, m->body.len), &err) != MF_OK)
			mf_cli_note(l->c, "mayfly: the token of cloud grant %s: %s", m->grant, err.msg);
	}
	if (m->ended && !l->ended && !l->main_gone)
		mf_cli_note(l->c, "mayfly: cloud grant %s %s: %s", m->grant,
		    m->may_come_again ? "has no token now" : "is over", m->reason);
}

static enum mf_status
take_granted(struct launch *l, const Mayfly__Job__V1__Granted *m, struct mf_err *err)
{
	size_t n = strlen(m->job_id);
	if (n == 0 || n >= sizeof(l->job_id))
		return MF_FAIL(
		    err, MF_E_INVALID, "the agent granted a job without a name: is it of another release?");
	if (!l->running) {
		memcpy(l->job_id, m->job_id, n + 1);
		take_cloud(l, m->cloud);
		if (m->run_id[0] != '\0') { /* last: what take_cloud cannot do empties the buffer */
			mf_buf_putf(&l->env, "MAYFLY_RUN=%s", m->run_id);
			mf_buf_put(&l->env, "", 1);
		}
		l->granted_ms = mf_now().mono_ms;
	}
	l->granted = true;
	return MF_OK;
}

static enum mf_status
take_refused(struct launch *l, const Mayfly__Job__V1__Refused *m, struct mf_err *err)
{
	const char *rule = m->rule[0] == '\0' ? "" : ", rule ";
	if (!l->running)
		return MF_FAIL(
		    err, MF_E_DENIED, "no identity issued (%s%s%s): %s", m->code, rule, m->rule, m->reason);
	mf_cli_note(
	    l->c, "mayfly: the identity is not renewed (%s%s%s): %s", m->code, rule, m->rule, m->reason);
	return MF_OK;
}

static enum mf_status
take(struct launch *l, const Mayfly__Job__V1__StartEvent *m, struct mf_err *err)
{
	switch (m->body_case) {
	case MAYFLY__JOB__V1__START_EVENT__BODY_CREATED:
		return make_child(l, m->created, err);
	case MAYFLY__JOB__V1__START_EVENT__BODY_PLACED:
		l->placed = true;
		return MF_OK;
	case MAYFLY__JOB__V1__START_EVENT__BODY_GRANTED:
		return take_granted(l, m->granted, err);
	case MAYFLY__JOB__V1__START_EVENT__BODY_REFUSED:
		return take_refused(l, m->refused, err);
	case MAYFLY__JOB__V1__START_EVENT__BODY_CLOUD_NEWS:
		take_news(l, m->cloud_news);
		return MF_OK;
	case MAYFLY__JOB__V1__START_EVENT__BODY_ENDED:
		if (!l->running)
			return MF_FAIL(
			    err, MF_E_DENIED, "the job was ended before it began: %s", m->ended->cause);
		l->ended = true;
		if (!l->main_gone)
			mf_cli_note(l->c,
			    "mayfly: job %s was ended (%s): the command goes on without an identity",
			    l->job_id, m->ended->cause);
		return MF_OK;
	default:
		return MF_OK; /* of a newer agent */
	}
}

/* Everything that has come. MF_E_DEADLINE never gets out: nothing more, for now, is MF_OK. */
static enum mf_status
listen_to_agent(struct launch *l, struct mf_err *err)
{
	for (;;) {
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		enum mf_status s = mf_grpc_sync_recv(l->st, 0, &msg, err);
		if (s == MF_E_DEADLINE)
			return MF_OK;
		MF_TRY(s);
		MF_TRY(take(l, (const Mayfly__Job__V1__StartEvent *)(const void *)msg, err));
	}
}

/* --- signals and children --- */

static void
take_signal(struct launch *l, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;
	if (sig == SIGCHLD)
		return; /* reap() looks anyway */
	if (!l->running) {
		if (sig != SIGWINCH)
			l->aborted_by = sig;
	} else if (l->main_gone) {
		/* Only waiting for what the command left behind: whoever wants us to end, ends us. */
		if (sig != SIGWINCH)
			l->aborted_by = sig;
	} else if (si->ssi_code <= 0) {
		/* From a process. What a terminal sends (SI_KERNEL) has reached the command by itself. */
		(void)kill(l->child.pid, sig);
	}
}

static void
take_signals(struct launch *l)
{
	struct signalfd_siginfo si;
	while (read(l->signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
		take_signal(l, &si);
}

/* False when there is no child any more. */
static bool
reap(struct launch *l)
{
	int status = 0;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == l->child.pid) {
			l->main_gone = true;
			l->main_status = status;
		}
	}
	return pid == 0 || errno != ECHILD;
}

static void
wait_for_something(struct launch *l, uint64_t until_ms)
{
	uint64_t now = mf_now().mono_ms;
	struct pollfd p[] = { { l->signals, POLLIN, 0 },
		{ l->st != NULL ? mf_grpc_sync_fd(l->agent) : -1, POLLIN, 0 } };
	int ms = -1;
	if (until_ms != UINT64_MAX)
		ms = until_ms <= now ? 0 : until_ms - now > 60000 ? 60000 : (int)(until_ms - now);
	(void)poll(p, 2, ms);
	take_signals(l);
}

/* --- before the command runs --- */

static enum mf_status
open_stream(struct launch *l, struct mf_err *err)
{
	Mayfly__Job__V1__StartRequest req = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__StartSpec spec = MAYFLY__JOB__V1__START_SPEC__INIT;
	if (l->spec->profile != NULL)
		spec.profile = l->spec->profile;
	if (l->spec->name != NULL)
		spec.name = l->spec->name;
	spec.manifest.data = (uint8_t *)(uintptr_t)l->spec->manifest.p; /* packing reads only */
	spec.manifest.len = l->spec->manifest.n;
	req.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_SPEC;
	req.spec = &spec;
	MF_TRY(mf_grpc_sync_open(l->agent, &mf_cli_job_start, &l->st, err));
	return mf_grpc_sync_send(l->st, &req.base, err);
}

static enum mf_status
until_granted(struct launch *l, struct mf_err *err)
{
	uint64_t deadline = mf_now().mono_ms + l->spec->timeout_ms;
	MF_TRY(open_stream(l, err));
	for (;;) {
		enum mf_status s = listen_to_agent(l, err);
		if (s == MF_E_CLOSED)
			return MF_FAIL(
			    err, MF_E_UNAVAILABLE, "the agent ended the start of the job without a reason");
		MF_TRY(s);
		bool tokens = l->awaited == 0 || mf_now().mono_ms >= l->granted_ms + TOKENS_MS;
		if (l->placed && l->granted && tokens)
			return MF_OK;
		if (l->aborted_by != 0)
			return MF_FAIL(err, MF_E_STATE, "interrupted before the command was started");
		if (l->created && (!reap(l) || l->main_gone))
			return MF_FAIL(
			    err, MF_E_STATE, "the child was killed before the command was started");
		if (mf_now().mono_ms >= deadline)
			return MF_FAIL(err, MF_E_DEADLINE,
			    "the agent did not grant an identity in time (`mayfly doctor` says what it waits "
			    "for)");
		wait_for_something(l, l->granted && l->granted_ms + TOKENS_MS < deadline
					  ? l->granted_ms + TOKENS_MS
					  : deadline);
	}
}

/* --- while it runs --- */

static void
lose_agent(struct launch *l, const struct mf_err *err)
{
	mf_grpc_sync_stream_free(MF_TAKE(l->st));
	if (l->ended || l->main_gone)
		return;
	/* The attestor holds the job by its cgroup, or by our pidfd; nothing ends with the stream. */
	if (err->code != MF_E_CLOSED)
		mf_cli_note(l->c, "mayfly: the agent is away (%s); the job goes on", err->msg);
}

static void
tell_empty(struct launch *l)
{
	Mayfly__Job__V1__StartRequest req = MAYFLY__JOB__V1__START_REQUEST__INIT;
	Mayfly__Job__V1__TreeEmpty empty = MAYFLY__JOB__V1__TREE_EMPTY__INIT;
	struct mf_err err = { 0 };
	req.body_case = MAYFLY__JOB__V1__START_REQUEST__BODY_TREE_EMPTY;
	req.tree_empty = &empty;
	/* Best effort: our own end says the same. */
	if (l->st != NULL && !l->ended && mf_grpc_sync_send(l->st, &req.base, &err) == MF_OK)
		(void)!mf_grpc_sync_half_close(l->st, NULL);
}

static void
until_over(struct launch *l)
{
	bool tree = l->placement == MAYFLY__JOB__V1__PLACEMENT__PLACEMENT_SUBREAPER, told = false;
	for (;;) {
		struct mf_err err = { 0 };
		bool children = reap(l);
		if (l->main_gone && (!tree || !children || l->aborted_by != 0))
			break;
		if (l->main_gone && !told)
			mf_cli_note(
			    l->c, "mayfly: the command has ended; waiting for processes that it left behind");
		told = l->main_gone;
		if (l->st != NULL) {
			enum mf_status s = listen_to_agent(l, &err);
			err.code = s;
			if (s != MF_OK)
				lose_agent(l, &err);
		}
		wait_for_something(l, UINT64_MAX);
	}
	if (tree)
		tell_empty(l);
}

static int
exit_of(const struct launch *l)
{
	if (WIFSIGNALED(l->main_status))
		return 128 + WTERMSIG(l->main_status);
	return WEXITSTATUS(l->main_status);
}

static int
run(struct launch *l)
{
	struct mf_err err = { 0 };
	if (until_granted(l, &err) != MF_OK) {
		(void)mf_cli_fail(l->c, &err);
		return l->aborted_by != 0 ? 128 + l->aborted_by : MF_EXIT_RUN_FAILED;
	}
	l->running = true;
	if (l->awaited > 0)
		mf_cli_note(
		    l->c, "mayfly: %zu cloud tokens have not come yet; their files come later", l->awaited);
	if (mf_launch_child_go(&l->child, l->job_id, mf_buf_slice(&l->env), &err) != MF_OK) {
		(void)mf_cli_fail(l->c, &err);
		return MF_EXIT_RUN_FAILED;
	}
	int e = mf_launch_child_exec_errno(&l->child);
	if (e != 0)
		mf_cli_note(l->c, "mayfly: %s: %s", l->spec->argv[0], strerror(e));
	until_over(l);
	return exit_of(l);
}

int
mf_launch(struct mf_cli *c, struct mf_grpc_sync *agent, const struct mf_launch_spec *spec)
{
	struct launch l = { .c = c,
		.spec = spec,
		.agent = agent,
		.child = { .go_fd = -1, .errno_fd = -1 },
		.files = MF_CLOUD_FILES_NONE };
	sigset_t set;
	mf_buf_init(&l.env, MF_LAUNCH_ENV_MAX);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < MF_COUNT(passed_on); i++)
		(void)sigaddset(&set, passed_on[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &l.old_mask);
	l.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int rc = MF_EXIT_RUN_FAILED;
	if (l.signals >= 0)
		rc = run(&l);
	else
		mf_cli_note(c, "mayfly: no descriptor for signals: too many open files?");
	mf_cloud_files_clear(&l.files);
	mf_buf_fini(&l.env);
	mf_launch_child_fini(&l.child);
	mf_grpc_sync_stream_free(l.st);
	if (l.signals >= 0)
		(void)close(l.signals);
	/* A child that was never let go ends by the closed pipe. */
	if (l.child.pid > 0 && !l.main_gone)
		(void)waitpid(l.child.pid, NULL, l.running ? WNOHANG : 0);
	(void)sigprocmask(SIG_SETMASK, &l.old_mask, NULL);
	return rc;
}
