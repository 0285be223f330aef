/* One role of a supervisor: start, links, messages, exit. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "os/jlog.h"
#include "os/login_uid.h"
#include "os/spawn.h"
#include "os/supervisor_internal.h"

struct mf_sup_role *
mf_sup_find(struct mf_supervisor *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->roles[i].spec->name, name) == 0)
			return &s->roles[i];
	return NULL;
}

void
mf_sup_kill(struct mf_sup_role *r, const char *why)
{
	if (!mf_sup_runs(r))
		return;
	MF_LOG(MF_LOG_WARN, "role.killed", why, mf_js("of", r->spec->name), mf_ji("pid", r->pid));
	(void)kill(r->pid, SIGKILL); /* not reaped yet: the number is still its own */
}

/* Backoff after a failure in a row: min, 2 min, 4 min, ... max. */
static uint64_t
backoff(const struct mf_supervisor *s, unsigned failures)
{
	uint64_t ms = s->timing.backoff_min_ms;
	for (unsigned i = 1; i < failures && ms < s->timing.backoff_max_ms; i++)
		ms *= 2;
	return ms < s->timing.backoff_max_ms ? ms : s->timing.backoff_max_ms;
}

static uint64_t
wait_to_restart(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now)
{
	r->failures++;
	uint64_t ms = backoff(s, r->failures);
	r->state = MF_SUP_WAITING;
	r->due = now + ms;
	return ms;
}

static bool
linked(const struct mf_role_spec *a, const struct mf_role_spec *b)
{
	for (const char *const *l = a->links; l != NULL && *l != NULL; l++)
		if (strcmp(*l, b->name) == 0)
			return true;
	return false;
}

/* A new pair of sockets between two running roles; each learns of it by its control link. */
static enum mf_status
wire(struct mf_sup_role *a, struct mf_sup_role *b, struct mf_err *err)
{
	int fds[2];
	MF_TRY(mf_seqpacket_pair(fds, err));
	enum mf_status st = mf_control_send(a->control, MF_CONTROL_LINK, b->spec->name, fds[0], err);
	if (st != MF_OK)
		(void)close(fds[0]);
	enum mf_status st2 = mf_control_send(b->control, MF_CONTROL_LINK, a->spec->name, fds[1], err);
	if (st2 != MF_OK)
		(void)close(fds[1]);
	return st != MF_OK ? st : st2;
}

static void
wire_all(struct mf_supervisor *s, struct mf_sup_role *r)
{
	for (size_t i = 0; i < s->count; i++) {
		struct mf_sup_role *o = &s->roles[i];
		struct mf_err err = { 0 };
		if (o == r || !mf_sup_runs(o) || (!linked(r->spec, o->spec) && !linked(o->spec, r->spec)))
			continue;
		/* A role that dies right now misses the link: its next start makes another. */
		if (wire(r, o, &err) != MF_OK)
			mf_jlog_err(MF_LOG_WARN, "role.link", "a link could not be made", &err);
	}
}

static enum mf_status
spawn_with(struct mf_supervisor *s, struct mf_sup_role *r, int control, struct mf_err *err)
{
	struct mf_named_fd fds[MF_ROLE_FDS_MAX] = { { .name = "control", .fd = control } };
	memcpy(&fds[1], r->fds, r->fd_count * sizeof(fds[0]));
	char build[MF_CONTROL_TEXT_MAX + 16], pid[48];
	const char *args[MF_ROLE_OPTS_MAX + 3] = { build, pid };
	(void)snprintf(build, sizeof(build), "--build-id=%s", s->build_id);
	(void)snprintf(pid, sizeof(pid), "--supervisor=%d", (int)getpid());
	for (size_t i = 0; i < r->opt_count; i++)
		args[2 + i] = r->opts[i];
	struct mf_spawn sp = { .name = r->spec->name,
		.exe_fd = r->exe_fd,
		.fds = fds,
		.fd_count = r->fd_count + 1,
		.args = args,
		.change_user = r->uid != geteuid() || r->gid != getegid(),
		.uid = r->uid,
		.gid = r->gid };
	return mf_spawn_role(&sp, &r->pid, &r->pidfd, err);
}

static enum mf_status
start(struct mf_supervisor *s, struct mf_sup_role *r, struct mf_err *err)
{
	int fds[2];
	MF_AUTO(mf_seqpacket_free) struct mf_seqpacket *control = NULL;
	MF_TRY(mf_seqpacket_pair(fds, err));
	enum mf_status st = mf_seqpacket_new(fds[0], MF_CONTROL_QUEUE, &control, err);
	if (st != MF_OK)
		(void)close(fds[0]);
	else
		st = spawn_with(s, r, fds[1], err);
	(void)close(fds[1]);
	MF_TRY(st);
	r->control = MF_TAKE(control);
	return MF_OK;
}

void
mf_sup_start(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now)
{
	struct mf_err err = { 0 };
	r->violation[0] = '\0';
	if (start(s, r, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.start", "a role could not be started", &err);
		(void)wait_to_restart(s, r, now);
		if (!s->was_ready)
			s->refused = true;
		return;
	}
	r->state = MF_SUP_STARTING;
	r->due = now + s->timing.ready_ms;
	MF_LOG(MF_LOG_INFO, "role.started", "role started", mf_js("of", r->spec->name), mf_ji("pid", r->pid),
	    mf_ju("uid", r->uid));
	wire_all(s, r);
}

static void
became_ready(struct mf_supervisor *s, struct mf_sup_role *r, const char *build_id, uint64_t now)
{
	if (strcmp(build_id, s->build_id) != 0) {
		mf_sup_kill(r, "the role is of another build");
		return;
	}
	if (r->state != MF_SUP_STARTING)
		return; /* said twice, or after it was told to stop */
	r->state = MF_SUP_READY;
	r->ready_at = now;
	MF_LOG(MF_LOG_INFO, "role.ready", "role serves", mf_js("of", r->spec->name), mf_ji("pid", r->pid));
}

/* Who logged in to become the caller of ${r} whose socket came with ${m}. The role waits for an answer, whatever it is. */
static void
tell_login(struct mf_sup_role *r, const struct mf_control_msg *m)
{
	struct mf_err err = { 0 };
	uint64_t number = 0;
	uint32_t uid = MF_NO_LOGIN_UID;
	char text[32];
	enum mf_status st = MF_E_DENIED;
	if (r->may_ask_logins && mf_parse_u64(mf_slice_str(m->text), &number) && number <= UINT32_MAX) {
		st = mf_login_uid_of_peer(m->fd, &uid, &err);
		if (st != MF_OK || uid == MF_NO_LOGIN_UID)
			(void)snprintf(text, sizeof(text), "%" PRIu64 ".-", number);
		else
			(void)snprintf(text, sizeof(text), "%" PRIu64 ".%" PRIu32, number, uid);
		st = mf_control_send(r->control, MF_CONTROL_LOGIN, text, -1, &err);
	}
	(void)close(m->fd);
	if (st != MF_OK)
		mf_sup_kill(r, "the role asked for a login that it is not told, or does not listen");
}

void
mf_sup_hear(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now)
{
	for (;;) {
		struct mf_control_msg m;
		struct mf_err err = { 0 };
		enum mf_status st = mf_control_recv(r->control, true, &m, &err);
		if (st == MF_E_AGAIN)
			return;
		if (st != MF_OK) {
			/* Closed: it is dying and its pidfd tells. Anything else is not a role of ours any more. */
			if (st != MF_E_CLOSED)
				mf_sup_kill(r, "the role broke the control link");
			mf_seqpacket_free(MF_TAKE(r->control));
			return;
		}
		if (m.type == MF_CONTROL_READY)
			became_ready(s, r, m.text, now);
		else if (m.type == MF_CONTROL_HELPER)
			mf_sup_start_helper(s, r, m.text, now);
		else if (m.type == MF_CONTROL_ASK_LOGIN)
			tell_login(r, &m);
		else if (m.type == MF_CONTROL_ASK_RELOAD)
			s->reload_asked = true;
		else
			memcpy(r->violation, m.text, sizeof(r->violation));
	}
}

void
mf_sup_ask_stop(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now)
{
	r->state = MF_SUP_STOPPING;
	r->due = now + s->timing.stop_ms;
	if (r->control == NULL || mf_control_send(r->control, MF_CONTROL_STOP, NULL, -1, NULL) != MF_OK)
		mf_sup_kill(r, "the role cannot be told to stop");
}

static void
log_exit(const struct mf_sup_role *r, const siginfo_t *si, bool again, uint64_t in_ms)
{
	bool by_signal = si->si_code == CLD_KILLED || si->si_code == CLD_DUMPED;
	const char *abbrev = by_signal ? sigabbrev_np(si->si_status) : NULL;
	char name[16];
	(void)snprintf(name, sizeof(name), "SIG%s", abbrev == NULL ? "?" : abbrev);
	struct mf_jfield f[6] = { mf_js("of", r->spec->name), mf_ji("pid", r->pid),
		by_signal ? mf_js("signal", name) : mf_ji("status", si->si_status),
		mf_js("syscall", r->violation[0] == '\0' ? NULL : r->violation) };
	size_t n = 4;
	if (again)
		f[n++] = mf_ju("restart_in_ms", in_ms);
	bool good = !again && !by_signal && si->si_status == 0;
	mf_jlog(good ? MF_LOG_INFO : MF_LOG_ERROR, "role.exited",
	    r->violation[0] != '\0' ? "the role made a system call outside its table" : "role ended", f, n);
}

void
mf_sup_reap(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now)
{
	siginfo_t si = { 0 };
	if (waitid(P_PIDFD, (id_t)r->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) != 0 || si.si_pid == 0)
		return;
	if (r->control != NULL)
		mf_sup_hear(
		    s, r, now); /* its last words; until it is reaped its number cannot be another's */
	(void)waitid(P_PIDFD, (id_t)r->pidfd, &si, WEXITED | WNOHANG);
	bool asked = r->state == MF_SUP_STOPPING;
	bool refused = si.si_code == CLD_EXITED && si.si_status == MF_ROLE_EXIT_REFUSED;
	if (r->state == MF_SUP_READY && now - r->ready_at >= s->timing.stable_ms)
		r->failures = 0;
	uint64_t in_ms = 0;
	r->state = MF_SUP_IDLE;
	if (!s->was_ready && refused)
		s->refused = true;
	else if (!asked && !s->stopping)
		in_ms = wait_to_restart(s, r, now);
	log_exit(r, &si, r->state == MF_SUP_WAITING, in_ms);
	(void)close(r->pidfd);
	r->pidfd = -1;
	r->pid = 0;
	mf_seqpacket_free(MF_TAKE(r->control));
}
