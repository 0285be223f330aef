/*
 * supervisor: keeps a set of roles running.
 *
 * Starts them in the order they were added, wires their links (os/control.h), restarts what dies with exponential
 * backoff, tells systemd (os/notify.h), and on SIGTERM or SIGINT stops them in reverse order. One JSON line per
 * event: role.started, role.ready, role.exited (with signal, and the system call of a violation), role.killed,
 * supervisor.ready, supervisor.reload, supervisor.stopping, supervisor.stopped.
 *
 * One supervisor per process, one thread: signals are blocked and read by signalfd, the roles' death is tied to the
 * thread. mf_jlog_init is the caller's.
 */
#ifndef MF_OS_SUPERVISOR_H
#define MF_OS_SUPERVISOR_H
#include <sys/types.h>

#include "base/err.h"

struct mf_supervisor; /* opaque */

struct mf_role_spec {
	const char *name;    /* executable in libexec/mayfly, and the role's name everywhere */
	const char *user;    /* as root: run as this user; NULL: stay what we are */
	uid_t user_fallback; /* uid and gid when there is no such user */
	const char *const
	    *links; /* roles it is linked with, NULL-terminated; say it at one end only. May be NULL */
};

struct mf_supervisor_timing {
	uint64_t backoff_min_ms; /* before the first restart; doubles */
	uint64_t backoff_max_ms;
	uint64_t stable_ms; /* ready for so long: the backoff starts over */
	uint64_t ready_ms;  /* a role that is not ready by then is killed and started again */
	uint64_t stop_ms;   /* from the stop message to SIGKILL, per role */
};
/* 100 ms, 10 s, 60 s, 120 s, 10 s. */
extern const struct mf_supervisor_timing mf_supervisor_default_timing;

/* Blocks the signals it serves. All strings of specs and options are copied or literals of the caller's. */
MF_NODISCARD enum mf_status mf_supervisor_new(const char *build_id, const struct mf_supervisor_timing *timing,
    struct mf_supervisor **ret_s, struct mf_err *err);
/* Roles that still run are killed. */
void mf_supervisor_free(struct mf_supervisor *s);
MF_DEFINE_CLEANUP(struct mf_supervisor, mf_supervisor_free)

/* Add a role and open its executable. ${spec} must outlive the supervisor. */
MF_NODISCARD enum mf_status
mf_supervisor_add(struct mf_supervisor *s, const struct mf_role_spec *spec, struct mf_err *err);
/*
 * A helper: a process that is started when ${by} asks for it (mf_role_ask_helper), for one task, and ends by itself. It
 * gets no control link: its only socket is the one to ${by}. At most ${most} run at a time: asked for one more, the
 * supervisor says no by a log line, and ${by} hears nothing (it has its own time limits). After ${life_ms} it is killed.
 * Its end is logged, never cured. ${spec}'s links are not looked at.
 */
struct mf_helper_spec {
	struct mf_role_spec role;
	const char *by;
	unsigned most;
	uint64_t life_ms;
};
MF_NODISCARD enum mf_status
mf_supervisor_helper(struct mf_supervisor *s, const struct mf_helper_spec *spec, struct mf_err *err);

/* The user that ${role} will be, to own its directories; ours when it stays what we are. */
MF_NODISCARD enum mf_status mf_supervisor_user(
    struct mf_supervisor *s, const char *role, uid_t *ret_uid, gid_t *ret_gid, struct mf_err *err);
/*
 * Give ${fd} to ${role} under ${name}, in its fd map at every start; the supervisor owns it on MF_OK. A name given
 * again replaces: the old one is closed, and a running role gets a reload message.
 */
MF_NODISCARD enum mf_status
mf_supervisor_give(struct mf_supervisor *s, const char *role, const char *name, int fd, struct mf_err *err);
/* --opt=KEY=VALUE for every start of ${role}. Visible in ps: no secrets. */
MF_NODISCARD enum mf_status mf_supervisor_opt(
    struct mf_supervisor *s, const char *role, const char *key, const char *value, struct mf_err *err);
/* ${role} may ask whose login a caller of its is (control.h); of the others, asking breaks the link. */
MF_NODISCARD enum mf_status
mf_supervisor_tells_logins(struct mf_supervisor *s, const char *role, struct mf_err *err);
/* SIGHUP, or a role that asks (control.h): reopen files and give them again. A failure is logged and nothing changes. */
void mf_supervisor_on_reload(struct mf_supervisor *s,
    enum mf_status (*reload)(void *ctx, struct mf_supervisor *s, struct mf_err *err), void *ctx);
/* Called once, when all roles are ready for the first time. */
void mf_supervisor_on_ready(struct mf_supervisor *s, void (*ready)(void *ctx), void *ctx);

/*
 * Run until SIGTERM or SIGINT and all roles ended. Errors: MF_E_STATE when a role refused to start at our own start
 * (its log line says why; the others are stopped), MF_E_IO.
 */
MF_NODISCARD enum mf_status mf_supervisor_run(struct mf_supervisor *s, struct mf_err *err);
#endif
