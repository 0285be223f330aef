#include "os/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/jlog.h"
#include "os/notify.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "os/supervisor_internal.h"

#define RELOAD_PAUSE_MS 500u
#define ALL_SERVE "all roles serve"

const struct mf_supervisor_timing mf_supervisor_default_timing = { .backoff_min_ms = 100,
	.backoff_max_ms = 10000,
	.stable_ms = 60000,
	.ready_ms = 120000,
	.stop_ms = 10000 };

static uint64_t
now_ms(void)
{
	return mf_now().mono_ms;
}

enum mf_status
mf_supervisor_new(const char *build_id, const struct mf_supervisor_timing *timing,
    struct mf_supervisor **ret_s, struct mf_err *err)
{
	if (!mf_control_name_ok(mf_slice_str(build_id), MF_CONTROL_TEXT_MAX))
		return MF_FAIL(err, MF_E_INVALID,
		    "build id \"%s\" has other characters than letters, digits, +-._", build_id);
	MF_AUTO(mf_supervisor_free) struct mf_supervisor *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory for the supervisor");
	s->build_id = build_id;
	s->timing = *timing;
	s->signal_fd = -1;
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
	    (s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
		return MF_FAIL(err, MF_E_IO, "signalfd: %s", strerror(errno));
	struct sigaction ign = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ign, NULL);
	/* It holds keys and tokens as descriptors. */
	if (!mf_instrumented(NULL))
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	*ret_s = MF_TAKE(s);
	return MF_OK;
}

void
mf_supervisor_free(struct mf_supervisor *s)
{
	if (s == NULL)
		return;
	mf_sup_helpers_end(s);
	for (size_t i = 0; i < s->count; i++) {
		struct mf_sup_role *r = &s->roles[i];
		if (mf_sup_runs(r)) {
			(void)kill(r->pid, SIGKILL);
			(void)waitpid(r->pid, NULL, 0);
			(void)close(r->pidfd);
		}
		mf_seqpacket_free(r->control);
		for (size_t k = 0; k < r->fd_count; k++)
			(void)close(r->fds[k].fd);
		for (size_t k = 0; k < r->opt_count; k++)
			free(r->opts[k]);
		(void)close(r->exe_fd);
	}
	if (s->signal_fd >= 0)
		(void)close(s->signal_fd);
	free(s);
}

enum mf_status
mf_supervisor_add(struct mf_supervisor *s, const struct mf_role_spec *spec, struct mf_err *err)
{
	if (s->count == MF_SUP_ROLES || mf_sup_find(s, spec->name) != NULL)
		return MF_FAIL(
		    err, MF_E_EXISTS, "role %s was added already, or there are too many", spec->name);
	struct mf_sup_role r = {
		.spec = spec, .exe_fd = -1, .pidfd = -1, .uid = geteuid(), .gid = getegid()
	};
	if (geteuid() == 0 && spec->user != NULL)
		MF_TRY(mf_spawn_user(spec->user, spec->user_fallback, &r.uid, &r.gid, err));
	MF_TRY(mf_spawn_open_role(spec->name, &r.exe_fd, err));
	s->roles[s->count++] = r;
	return MF_OK;
}

static enum mf_status
find(struct mf_supervisor *s, const char *role, struct mf_sup_role **ret_r, struct mf_err *err)
{
	*ret_r = mf_sup_find(s, role);
	if (*ret_r == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "no role %s", role);
	return MF_OK;
}

enum mf_status
mf_supervisor_user(
    struct mf_supervisor *s, const char *role, uid_t *ret_uid, gid_t *ret_gid, struct mf_err *err)
{
	struct mf_sup_role *r;
	MF_TRY(find(s, role, &r, err));
	*ret_uid = r->uid;
	*ret_gid = r->gid;
	return MF_OK;
}

static enum mf_status
send_reload(struct mf_sup_role *r, const struct mf_named_fd *f, struct mf_err *err)
{
	int copy = fcntl(f->fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return MF_FAIL(err, MF_E_IO, "dup of \"%s\": %s", f->name, strerror(errno));
	enum mf_status st = mf_control_send(r->control, MF_CONTROL_RELOAD, f->name, copy, err);
	if (st != MF_OK)
		(void)close(copy);
	return st;
}

enum mf_status
mf_supervisor_give(struct mf_supervisor *s, const char *role, const char *name, int fd, struct mf_err *err)
{
	struct mf_sup_role *r;
	MF_TRY(find(s, role, &r, err));
	if (!mf_control_name_ok(mf_slice_str(name), MF_FD_NAME_MAX) || strcmp(name, "control") == 0 || fd < 0)
		return MF_FAIL(err, MF_E_INVALID, "descriptor \"%s\" cannot be given", name);
	struct mf_named_fd *f = NULL;
	for (size_t i = 0; i < r->fd_count && f == NULL; i++)
		f = strcmp(r->fds[i].name, name) == 0 ? &r->fds[i] : NULL;
	if (f == NULL && r->fd_count == MF_COUNT(r->fds))
		return MF_FAIL(err, MF_E_TOOBIG, "role %s has too many descriptors", role);
	struct mf_named_fd new = { .fd = fd };
	(void)snprintf(new.name, sizeof(new.name), "%s", name);
	/* A role that does not read its control link any more is not served well by this; it is restarted by it. */
	if (r->control != NULL)
		MF_TRY(send_reload(r, &new, err));
	if (f == NULL)
		f = &r->fds[r->fd_count++];
	else
		(void)close(f->fd);
	*f = new;
	return MF_OK;
}

enum mf_status
mf_supervisor_opt(
    struct mf_supervisor *s, const char *role, const char *key, const char *value, struct mf_err *err)
{
	struct mf_sup_role *r;
	char *text = NULL;
	MF_TRY(find(s, role, &r, err));
	if (r->opt_count == MF_COUNT(r->opts))
		return MF_FAIL(err, MF_E_TOOBIG, "role %s has too many options", role);
	if (asprintf(&text, "--opt=%s=%s", key, value) < 0)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory for an option");
	r->opts[r->opt_count++] = text;
	return MF_OK;
}

enum mf_status
mf_supervisor_tells_logins(struct mf_supervisor *s, const char *role, struct mf_err *err)
{
	struct mf_sup_role *r;
	MF_TRY(find(s, role, &r, err));
	r->may_ask_logins = true;
	return MF_OK;
}

void
mf_supervisor_on_reload(struct mf_supervisor *s,
    enum mf_status (*reload)(void *ctx, struct mf_supervisor *s, struct mf_err *err), void *ctx)
{
	s->reload = reload;
	s->reload_ctx = ctx;
}

void
mf_supervisor_on_ready(struct mf_supervisor *s, void (*ready)(void *ctx), void *ctx)
{
	s->ready = ready;
	s->ready_ctx = ctx;
}

/* systemd is told (${state}, and a line that `systemctl status` shows), but nothing depends on it. */
static void
notify(const char *state, const char *status)
{
	struct mf_err err = { 0 };
	char text[MF_ERR_MSG_MAX + 128];
	(void)snprintf(text, sizeof(text), "%s\nSTATUS=%s", state, status);
	/* A line is an assignment of its own there: what came out of a message stays in its line. */
	for (char *nl = strchr(text + strlen(state) + 1, '\n'); nl != NULL; nl = strchr(nl, '\n'))
		*nl = ' ';
	if (mf_notify(text, &err) != MF_OK)
		mf_jlog_err(MF_LOG_WARN, "supervisor.notify", "systemd could not be told", &err);
}

static void
begin_stop(struct mf_supervisor *s, const char *why)
{
	if (s->stopping)
		return;
	s->stopping = true;
	MF_LOG(MF_LOG_INFO, "supervisor.stopping", why);
	notify("STOPPING=1", why);
	for (size_t i = 0; i < s->count; i++)
		if (s->roles[i].state == MF_SUP_WAITING)
			s->roles[i].state = MF_SUP_IDLE;
}

static void
reload(struct mf_supervisor *s)
{
	struct mf_err err = { 0 };
	if (s->reload == NULL || s->stopping)
		return;
	notify("RELOADING=1", "reading the files of the configuration again");
	if (s->reload(s->reload_ctx, s, &err) == MF_OK) {
		MF_LOG(MF_LOG_INFO, "supervisor.reload", "files opened anew and handed to the roles");
		notify("READY=1", ALL_SERVE);
		return;
	}
	char text[MF_ERR_MSG_MAX + 64];
	mf_jlog_err(MF_LOG_ERROR, "supervisor.reload", "reload failed; what was before stays", &err);
	(void)snprintf(text, sizeof(text), "reload failed, what was before stays: %s", err.msg);
	notify("READY=1", text);
}

static void
on_signals(struct mf_supervisor *s)
{
	struct signalfd_siginfo si;
	while (read(s->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP)
			reload(s);
		else
			begin_stop(s, si.ssi_signo == SIGINT ? "interrupted" : "told to stop");
	}
}

/* The next role to stop is the last one that runs: only it is asked. True when all are gone. */
static bool
continue_stop(struct mf_supervisor *s, uint64_t now)
{
	for (size_t i = s->count; i-- > 0;) {
		struct mf_sup_role *r = &s->roles[i];
		if (!mf_sup_runs(r))
			continue;
		if (r->state != MF_SUP_STOPPING)
			mf_sup_ask_stop(s, r, now);
		return false;
	}
	return true;
}

static void
on_time(struct mf_supervisor *s, uint64_t now)
{
	for (size_t i = 0; i < s->count; i++) {
		struct mf_sup_role *r = &s->roles[i];
		if (r->state == MF_SUP_IDLE || r->state == MF_SUP_READY || now < r->due)
			continue;
		if (r->state == MF_SUP_WAITING) {
			mf_sup_start(s, r, now);
		} else {
			mf_sup_kill(r, r->state == MF_SUP_STARTING ? "the role is not ready in time"
								   : "the role does not stop in time");
			r->due = UINT64_MAX; /* once is enough; the pidfd tells */
		}
	}
}

static void
check_ready(struct mf_supervisor *s)
{
	if (s->was_ready || s->stopping)
		return;
	for (size_t i = 0; i < s->count; i++)
		if (s->roles[i].state != MF_SUP_READY)
			return;
	s->was_ready = true;
	MF_LOG(MF_LOG_INFO, "supervisor.ready", ALL_SERVE, mf_js("build", s->build_id));
	notify("READY=1", ALL_SERVE);
	if (s->ready != NULL)
		s->ready(s->ready_ctx);
}

static void
reload_asked(struct mf_supervisor *s, uint64_t now)
{
	if (!s->reload_asked || now < s->reload_due_ms)
		return;
	s->reload_asked = false;
	s->reload_due_ms = now + RELOAD_PAUSE_MS;
	reload(s);
}

static int
time_left(struct mf_supervisor *s, uint64_t now)
{
	uint64_t left = 60000;
	if (s->reload_asked)
		left = s->reload_due_ms > now ? s->reload_due_ms - now : 0;
	for (size_t i = 0; i < s->count; i++) {
		const struct mf_sup_role *r = &s->roles[i];
		if (r->state == MF_SUP_IDLE || r->state == MF_SUP_READY)
			continue;
		uint64_t ms = r->due > now ? r->due - now : 0;
		left = ms < left ? ms : left;
	}
	uint64_t helper = mf_sup_helpers_due(s, now);
	if (helper != UINT64_MAX && helper - now < left)
		left = helper - now;
	return (int)left;
}

/* Wait, then serve: signals first, words of a role before its death. */
static enum mf_status
turn(struct mf_supervisor *s, struct mf_err *err)
{
	struct pollfd p[1 + 2 * MF_SUP_ROLES + MF_SUP_HELPERS_RUN] = { { .fd = s->signal_fd,
	    .events = POLLIN } };
	struct pollfd *helpers = p + 1 + 2 * s->count;
	for (size_t i = 0; i < s->count; i++) {
		struct mf_sup_role *r = &s->roles[i];
		bool more = r->control != NULL && mf_seqpacket_wants_write(r->control);
		p[1 + 2 * i] = (struct pollfd) { .fd = r->control == NULL ? -1 : mf_seqpacket_fd(r->control),
			.events = (short)(POLLIN | (more ? POLLOUT : 0)) };
		p[2 + 2 * i] = (struct pollfd) { .fd = mf_sup_runs(r) ? r->pidfd : -1, .events = POLLIN };
	}
	for (size_t i = 0; i < MF_SUP_HELPERS_RUN; i++)
		helpers[i] = (struct pollfd) { .fd = s->running[i].of == NULL ? -1 : s->running[i].pidfd,
			.events = POLLIN };
	if (poll(p, (nfds_t)(1 + 2 * s->count + MF_SUP_HELPERS_RUN), time_left(s, now_ms())) < 0 &&
	    errno != EINTR)
		return MF_FAIL(err, MF_E_IO, "poll: %s", strerror(errno));
	uint64_t now = now_ms();
	for (size_t i = 0; i < MF_SUP_HELPERS_RUN; i++)
		if ((helpers[i].revents & POLLIN) != 0)
			mf_sup_reap_helper(&s->running[i]);
	if ((p[0].revents & POLLIN) != 0)
		on_signals(s);
	for (size_t i = 0; i < s->count; i++) {
		struct mf_sup_role *r = &s->roles[i];
		if ((p[1 + 2 * i].revents & POLLOUT) != 0 && r->control != NULL &&
		    mf_seqpacket_flush(r->control, NULL) != MF_OK)
			mf_sup_kill(r, "the control link failed");
		if ((p[1 + 2 * i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && r->control != NULL)
			mf_sup_hear(s, r, now);
		if ((p[2 + 2 * i].revents & POLLIN) != 0)
			mf_sup_reap(s, r, now);
	}
	return MF_OK;
}

enum mf_status
mf_supervisor_run(struct mf_supervisor *s, struct mf_err *err)
{
	uint64_t now = now_ms();
	for (size_t i = 0; i < s->count && !s->refused; i++)
		mf_sup_start(s, &s->roles[i], now);
	for (;;) {
		if (s->refused)
			begin_stop(s, "a role refused to start");
		if (s->stopping && continue_stop(s, now_ms()))
			break;
		MF_TRY(turn(s, err));
		on_time(s, now_ms());
		reload_asked(s, now_ms());
		check_ready(s);
	}
	MF_LOG(MF_LOG_INFO, "supervisor.stopped", "all roles ended");
	if (s->refused)
		return MF_FAIL(err, MF_E_STATE, "a role refused to start: its log line says why");
	return MF_OK;
}
