/*
 * supervisor_internal: the state that supervisor.c (loop, events) and supervisor_role.c (one role) share.
 */
#ifndef MF_OS_SUPERVISOR_INTERNAL_H
#define MF_OS_SUPERVISOR_INTERNAL_H
#include "os/control.h"
#include "os/role_start.h"
#include "os/supervisor.h"

#define MF_SUP_ROLES 8u

enum mf_sup_state {
	MF_SUP_IDLE,	 /* never started, or stopped for good */
	MF_SUP_WAITING,	 /* died; starts again at ${due} */
	MF_SUP_STARTING, /* runs, not ready; killed at ${due} */
	MF_SUP_READY,
	MF_SUP_STOPPING, /* was told to stop; killed at ${due} */
};

struct mf_sup_role {
	const struct mf_role_spec *spec;
	int exe_fd;
	uid_t uid;
	gid_t gid;
	struct mf_named_fd fds[MF_ROLE_FDS_MAX - 1]; /* all but "control" */
	size_t fd_count;
	char *opts[MF_ROLE_OPTS_MAX]; /* "--opt=key=value" */
	size_t opt_count;
	bool may_ask_logins;

	enum mf_sup_state state;
	uint64_t due;	   /* ms; see state */
	uint64_t ready_at; /* ms, in state READY */
	unsigned failures; /* in a row; shapes the backoff */
	pid_t pid;	   /* 0: not running */
	int pidfd;
	struct mf_seqpacket *control;
	char violation[MF_CONTROL_TEXT_MAX]; /* the call that it named before it died */
};

#define MF_SUP_HELPERS 2u      /* kinds */
#define MF_SUP_HELPERS_RUN 16u /* processes of all kinds */

struct mf_sup_helper {
	const struct mf_helper_spec *spec;
	int exe_fd;
	uid_t uid;
	gid_t gid;
};

struct mf_sup_running {			/* a helper's process */
	const struct mf_sup_helper *of; /* NULL: free */
	pid_t pid;
	int pidfd;
	uint64_t due;
};

struct mf_supervisor {
	const char *build_id;
	struct mf_supervisor_timing timing;
	struct mf_sup_role roles[MF_SUP_ROLES];
	size_t count;
	struct mf_sup_helper helpers[MF_SUP_HELPERS];
	size_t helper_count;
	struct mf_sup_running running[MF_SUP_HELPERS_RUN];
	int signal_fd;
	bool stopping, was_ready, refused;
	bool reload_asked;	/* by a role */
	uint64_t reload_due_ms; /* not before: a role that asks in a loop keeps us no busier */
	enum mf_status (*reload)(void *, struct mf_supervisor *, struct mf_err *);
	void *reload_ctx;
	void (*ready)(void *);
	void *ready_ctx;
};

struct mf_sup_role *mf_sup_find(struct mf_supervisor *s, const char *name);
/* Start it and wire its links to the roles that run. On failure it waits for another try. */
void mf_sup_start(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now);
/* Read what it says. */
void mf_sup_hear(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now);
/* Its pidfd is readable: take the exit status, log, decide what comes next. */
void mf_sup_reap(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now);
/* Ask it to stop. */
void mf_sup_ask_stop(struct mf_supervisor *s, struct mf_sup_role *r, uint64_t now);
void mf_sup_kill(struct mf_sup_role *r, const char *why);
/* supervisor_helper.c */
void mf_sup_start_helper(struct mf_supervisor *s, struct mf_sup_role *by, const char *name, uint64_t now);
void mf_sup_reap_helper(struct mf_sup_running *h);
/* Kill what is late; when the next one is due, UINT64_MAX for none. */
uint64_t mf_sup_helpers_due(struct mf_supervisor *s, uint64_t now);
void mf_sup_helpers_end(struct mf_supervisor *s);
static inline bool
mf_sup_runs(const struct mf_sup_role *r)
{
	return r->pid != 0;
}
#endif
