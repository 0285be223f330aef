/* Helpers of a supervisor: asked for by a role, for one task, and gone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/jlog.h"
#include "os/spawn.h"
#include "os/supervisor_internal.h"

enum mf_status
mf_supervisor_helper(struct mf_supervisor *s, const struct mf_helper_spec *spec, struct mf_err *err)
{
	if (s->helper_count == MF_SUP_HELPERS || mf_sup_find(s, spec->by) == NULL)
		return MF_FAIL(
		    err, MF_E_INVALID, "helper %s: too many kinds, or nobody asks for it", spec->role.name);
	struct mf_sup_helper h = { .spec = spec, .exe_fd = -1, .uid = geteuid(), .gid = getegid() };
	if (geteuid() == 0 && spec->role.user != NULL)
		MF_TRY(mf_spawn_user(spec->role.user, spec->role.user_fallback, &h.uid, &h.gid, err));
	MF_TRY(mf_spawn_open_role(spec->role.name, &h.exe_fd, err));
	s->helpers[s->helper_count++] = h;
	return MF_OK;
}

/* A place for one more, NULL when there is none. */
static struct mf_sup_running *
place(struct mf_supervisor *s, const struct mf_sup_helper *of)
{
	struct mf_sup_running *free_one = NULL;
	unsigned n = 0;
	for (size_t i = 0; i < MF_SUP_HELPERS_RUN; i++) {
		n += s->running[i].of == of;
		if (s->running[i].of == NULL)
			free_one = &s->running[i];
	}
	return n < of->spec->most ? free_one : NULL;
}

static enum mf_status
spawn(struct mf_supervisor *s, const struct mf_sup_helper *h, const char *by, int link,
    struct mf_sup_running *to, struct mf_err *err)
{
	char build[MF_CONTROL_TEXT_MAX + 16], pid[48];
	struct mf_named_fd fds[1] = { { .fd = link } };
	const char *args[] = { build, pid, NULL };
	(void)snprintf(fds[0].name, sizeof(fds[0].name), "%s", by);
	(void)snprintf(build, sizeof(build), "--build-id=%s", s->build_id);
	(void)snprintf(pid, sizeof(pid), "--supervisor=%d", (int)getpid());
	struct mf_spawn sp = { .name = h->spec->role.name,
		.exe_fd = h->exe_fd,
		.fds = fds,
		.fd_count = MF_COUNT(fds),
		.args = args,
		.change_user = h->uid != geteuid() || h->gid != getegid(),
		.uid = h->uid,
		.gid = h->gid };
	return mf_spawn_role(&sp, &to->pid, &to->pidfd, err);
}

static enum mf_status
start(struct mf_supervisor *s, struct mf_sup_role *by, const struct mf_sup_helper *h, uint64_t now,
    struct mf_err *err)
{
	int fds[2];
	struct mf_sup_running *r = place(s, h);
	if (r == NULL)
		return MF_FAIL(err, MF_E_EXHAUSTED, "%u run already", h->spec->most);
	MF_TRY(mf_seqpacket_pair(fds, err));
	enum mf_status st = spawn(s, h, by->spec->name, fds[1], r, err);
	(void)close(fds[1]);
	if (st != MF_OK) {
		(void)close(fds[0]);
		return st;
	}
	r->of = h;
	r->due = now + h->spec->life_ms;
	st = mf_control_send(by->control, MF_CONTROL_LINK, h->spec->role.name, fds[0], err);
	if (st != MF_OK)
		(void)close(fds[0]); /* nobody listens: it ends by itself */
	return st;
}

void
mf_sup_start_helper(struct mf_supervisor *s, struct mf_sup_role *by, const char *name, uint64_t now)
{
	struct mf_err err = { 0 };
	for (size_t i = 0; i < s->helper_count; i++) {
		const struct mf_sup_helper *h = &s->helpers[i];
		if (strcmp(h->spec->role.name, name) != 0 || strcmp(h->spec->by, by->spec->name) != 0)
			continue;
		if (s->stopping || start(s, by, h, now, &err) == MF_OK)
			return;
		mf_jlog_err(MF_LOG_WARN, "helper.refused", "a helper was not started", &err);
		return;
	}
	/* Only a role that is not itself any more asks for what is not its. */
	mf_sup_kill(by, "the role asks for a helper that is not its own");
}

void
mf_sup_reap_helper(struct mf_sup_running *h)
{
	siginfo_t si = { 0 };
	if (h->of == NULL || waitid(P_PIDFD, (id_t)h->pidfd, &si, WEXITED | WNOHANG) != 0 || si.si_pid == 0)
		return;
	bool by_signal = si.si_code != CLD_EXITED;
	if (by_signal || si.si_status != 0)
		MF_LOG(MF_LOG_WARN, "helper.failed", "a helper ended before its task",
		    mf_js("of", h->of->spec->role.name), mf_ji("pid", h->pid),
		    by_signal ? mf_ji("signal", si.si_status) : mf_ji("status", si.si_status));
	(void)close(h->pidfd);
	*h = (struct mf_sup_running) { .pidfd = -1 };
}

uint64_t
mf_sup_helpers_due(struct mf_supervisor *s, uint64_t now)
{
	uint64_t due = UINT64_MAX;
	for (size_t i = 0; i < MF_SUP_HELPERS_RUN; i++) {
		struct mf_sup_running *h = &s->running[i];
		if (h->of == NULL)
			continue;
		if (now >= h->due) {
			MF_LOG(MF_LOG_WARN, "helper.killed", "a helper took too long",
			    mf_js("of", h->of->spec->role.name), mf_ji("pid", h->pid));
			(void)kill(h->pid, SIGKILL); /* not reaped yet: the number is still its own */
			h->due = now + h->of->spec->life_ms;
		}
		due = h->due < due ? h->due : due;
	}
	return due;
}

void
mf_sup_helpers_end(struct mf_supervisor *s)
{
	for (size_t i = 0; i < MF_SUP_HELPERS_RUN; i++) {
		struct mf_sup_running *h = &s->running[i];
		if (h->of == NULL)
			continue;
		(void)kill(h->pid, SIGKILL);
		(void)waitpid(h->pid, NULL, 0);
		(void)close(h->pidfd);
		h->of = NULL;
	}
	for (size_t i = 0; i < s->helper_count; i++)
		(void)close(s->helpers[i].exe_fd);
	s->helper_count = 0;
}
