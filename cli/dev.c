#include "cli/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "base/clock.h"
#include "cli/beside.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "os/secure_file.h"

#define HANG_MS 120000u /* a daemon that is not ready by then never will be */
#define STOP_MS 40000u	/* a supervisor gives each of its roles 10 s */
#define TICK_MS 30
#define TOKEN_TTL_S 600u
#define ARGS_MAX 40u

struct dev {
	struct mf_cli *c;
	struct mf_dev_files files;
	struct mf_dev_child broker, agent;
	int signals, log_fd;
	bool stop;
};

/* --- waiting --- */

static void
take_signals(struct dev *d)
{
	struct signalfd_siginfo si;
	while (read(d->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP && d->broker.pid != 0 && !mf_dev_child_gone(&d->broker))
			(void)kill(d->broker.pid, SIGHUP); /* the policy again */
		if (si.ssi_signo == SIGINT || si.ssi_signo == SIGTERM)
			d->stop = true;
	}
}

static void
nap(struct dev *d, int ms)
{
	struct pollfd p = { d->signals, POLLIN, 0 };
	(void)poll(&p, 1, ms);
	take_signals(d);
}

static enum mf_status
check_child(struct mf_dev_child *ch, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf how;
	mf_buf_init(&how, 64);
	if (ch->pid == 0 || !mf_dev_child_gone(ch))
		return MF_OK;
	mf_dev_child_how(ch, &how);
	const char *text = mf_buf_cstr(&how);
	return MF_FAIL(err, MF_E_STATE, "%s ended by itself (%s): its last log lines say why", ch->name,
	    text == NULL ? "?" : text);
}

/* Until ${ready}; MF_E_CLOSED when we were asked to stop. */
static enum mf_status
wait_until(struct dev *d, bool (*ready)(struct dev *d), const char *what, struct mf_err *err)
{
	uint64_t deadline = mf_now().mono_ms + HANG_MS;
	while (!ready(d)) {
		MF_TRY(check_child(&d->broker, err));
		MF_TRY(check_child(&d->agent, err));
		if (d->stop)
			return MF_E_CLOSED;
		if (mf_now().mono_ms > deadline)
			return MF_FAIL(
			    err, MF_E_DEADLINE, "%s is not ready after two minutes: see its log lines", what);
		nap(d, TICK_MS);
	}
	return MF_OK;
}

/* --- readiness --- */

static enum mf_status
admin(struct dev *d, struct mf_grpc_sync **ret_s, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	const char *path = mf_dev_path(&d->files, "run/admin.sock", &b);
	MF_TRY(mf_buf_check(&b, err));
	return mf_grpc_sync_connect(path, 0, 10000, ret_s, err);
}

static bool
broker_ready(struct dev *d)
{
	Mayfly__Admin__V1__GetStatusRequest req = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	return admin(d, &s, NULL) == MF_OK &&
	       mf_grpc_sync_unary(s, &mf_cli_get_status, &req.base, &msg, NULL) == MF_OK &&
	       ((const Mayfly__Admin__V1__Status *)(const void *)msg)->issuing;
}

static bool
agent_ready(struct dev *d)
{
	return mf_dev_http_ok(d->files.ports.agent_metrics, "/readyz");
}

static bool
init_done(struct dev *d)
{
	return mf_dev_child_gone(&d->broker);
}

/* --- the steps --- */

/* The settings of --broker or --agent make sense; loopback is not to be left. */
static enum mf_status
check_settings(const struct dev *d, const char *name, struct mf_err *err)
{
	static const char *const addresses[] = { "listen", "advertise", "metrics_listen", "metrics-listen",
		"broker" };
	const char *kv;
	for (size_t i = 0; (kv = mf_cli_get_nth(d->c, name, i)) != NULL; i++) {
		const char *eq = strchr(kv, '=');
		if (eq == NULL || eq == kv || i + 4 >= ARGS_MAX)
			return MF_FAIL(err, MF_E_INVALID, "--%s %s: must be KEY=VALUE (at most %u)", name, kv,
			    ARGS_MAX - 4);
		bool local = strncmp(eq, "=127.", 5) == 0 || strncmp(eq, "=[::1]:", 7) == 0 || eq[1] == '\0';
		for (size_t k = 0; k < MF_COUNT(addresses) && !local; k++)
			if (mf_slice_eq_str(mf_slice(kv, (size_t)(eq - kv)), addresses[k]))
				return MF_FAIL(
				    err, MF_E_INVALID, "--%s %s: `mayfly dev` stays on loopback", name, kv);
	}
	return MF_OK;
}

/* A list of objects, or an object: YAML for the file, since no flag says it. */
static bool
is_yaml(const char *kv)
{
	const char *eq = strchr(kv, '=');
	return eq != NULL && (eq[1] == '[' || eq[1] == '{');
}

static enum mf_status
gather_yaml(const struct dev *d, const char *name, char *to, size_t size, struct mf_err *err)
{
	const char *kv;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, size);
	for (size_t i = 0; (kv = mf_cli_get_nth(d->c, name, i)) != NULL; i++) {
		if (!is_yaml(kv))
			continue;
		const char *eq = strchr(kv, '=');
		mf_buf_putf(&b, "%.*s: %s\n", (int)(eq - kv), kv, eq + 1);
	}
	if (mf_buf_check(&b, NULL) != MF_OK || b.n >= size)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "--%s: lists and objects of more than %zu bytes together: keep a "
		    "broker.yaml of your own, and start mayfly-broker with it",
		    name, size);
	(void)snprintf(to, size, "%s", mf_buf_cstr(&b));
	return MF_OK;
}

/* "--KEY=VALUE" for each of the options ${name} that a flag can say. */
static enum mf_status
add_settings(struct dev *d, const char *name, char **argv, size_t *n, struct mf_err *err)
{
	const char *kv;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	for (size_t i = 0; (kv = mf_cli_get_nth(d->c, name, i)) != NULL; i++) {
		if (is_yaml(kv))
			continue;
		mf_buf_reset(&b);
		mf_buf_putf(&b, "--%s", kv);
		/* keys are written with '_' and '.' in files, with '-' on command lines */
		for (size_t k = 2; k < b.n && b.p[k] != '='; k++)
			if (b.p[k] == '_' || b.p[k] == '.')
				b.p[k] = '-';
		MF_TRY(mf_buf_check(&b, err));
		argv[*n] = mf_slice_dup_str(mf_buf_slice(&b));
		if (argv[(*n)++] == NULL)
			return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	}
	return MF_OK;
}

static void
free_args(char **argv)
{
	for (size_t i = 0; i < ARGS_MAX; i++)
		free(argv[i]);
}

static enum mf_status
start(struct dev *d, struct mf_dev_child *ch, const char *program, const char *verb, const char *file,
    const char *settings, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf exe, conf;
	char *argv[ARGS_MAX + 1] = { NULL };
	size_t n = 0;
	mf_buf_init(&exe, 8192);
	mf_buf_init(&conf, 8192);
	MF_TRY(mf_cli_beside(program, false, &exe, err));
	mf_buf_putf(&conf, "--config=%s/%s", d->files.dir, file);
	MF_TRY(mf_buf_check(&conf, err));
	argv[n++] = mf_slice_dup_str(mf_buf_slice(&exe));
	if (verb != NULL)
		argv[n++] = mf_slice_dup_str(mf_slice_str(verb));
	argv[n++] = mf_slice_dup_str(mf_buf_slice(&conf));
	enum mf_status s = MF_OK;
	for (size_t i = 0; i < n; i++)
		if (argv[i] == NULL)
			s = MF_FAIL(err, MF_E_NOMEM, "out of memory");
	if (s == MF_OK)
		s = add_settings(d, settings, argv, &n, err);
	if (s == MF_OK)
		s = mf_dev_child_start(ch, program, argv, d->log_fd, err);
	free_args(argv);
	return s;
}

static enum mf_status
make_broker(struct dev *d, struct mf_err *err)
{
	MF_TRY(start(d, &d->broker, "mayfly-broker", "init", "broker.yaml", "broker", err));
	struct mf_dev_child none = { .pid = 0 };
	uint64_t deadline = mf_now().mono_ms + HANG_MS;
	while (!init_done(d) && mf_now().mono_ms < deadline)
		nap(d, TICK_MS);
	int status = d->broker.status;
	bool gone = d->broker.gone;
	if (!gone)
		(void)kill(d->broker.pid, SIGKILL);
	else
		d->broker = none;
	if (!gone || status != 0)
		return MF_FAIL(err, MF_E_STATE, "`mayfly-broker init` failed: its log lines say why");
	return MF_OK;
}

static enum mf_status
make_token(struct dev *d, struct mf_err *err)
{
	Mayfly__Admin__V1__CreateJoinTokenRequest req = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	req.ttl_s = TOKEN_TTL_S;
	req.uses = 1;
	MF_TRY(admin(d, &s, err));
	MF_TRY(mf_grpc_sync_unary(s, &mf_cli_create_join_token, &req.base, &msg, err));
	mf_buf_putf(
	    &b, "%s\n", ((const Mayfly__Admin__V1__CreateJoinTokenResponse *)(const void *)msg)->token);
	MF_TRY(mf_buf_check(&b, err));
	int run = openat(d->files.dirfd, "run", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run < 0)
		return MF_FAIL(err, MF_E_IO, "%s/run: %s", d->files.dir, strerror(errno));
	enum mf_status r = mf_file_write(run, "join-token", mf_buf_slice(&b), 0600, err);
	(void)close(run);
	return r;
}

static enum mf_status
open_log(struct dev *d, struct mf_err *err)
{
	d->log_fd = mf_cli_has(d->c, "quiet")
			? openat(d->files.dirfd, "daemons.log",
			      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)
			: fcntl(2, F_DUPFD_CLOEXEC, 3);
	return d->log_fd >= 0 ? MF_OK
			      : MF_FAIL(err, MF_E_IO, "%s/daemons.log: %s", d->files.dir, strerror(errno));
}

static void
banner(struct dev *d)
{
	static const char line[] = "======================================================================";
	mf_cli_note(d->c, "%s", line);
	mf_cli_note(
	    d->c, "  mayfly dev: trust domain %s, thrown away, loopback only.", d->files.trust_domain);
	mf_cli_note(d->c, "  NOT for real work: its keys lie unprotected in %s", d->files.dir);
	if (geteuid() != 0) {
		mf_cli_note(
		    d->c, "  As a plain user: daemons and jobs are one user, so a job can kill the roles,");
		mf_cli_note(
		    d->c, "  read the keys and administer. Not claimed therefore: the separation of the");
		mf_cli_note(
		    d->c, "  processes, and that a node gets only what policy places on it, that the caller");
		mf_cli_note(d->c,
		    "  is who the kernel says, that no one approves their own job (invariants 4 to 6).");
	}
	mf_cli_note(d->c, "%s", line);
}

static void
announce(struct dev *d)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, v;
	mf_buf_init(&b, 16384);
	mf_buf_init(&v, 4096);
	mf_buf_putf(&v, "unix://%s/run/agent.sock", d->files.dir);
	mf_show_export(&b, "SPIFFE_ENDPOINT_SOCKET", mf_buf_cstr(&v));
	mf_buf_reset(&v);
	mf_buf_putf(&v, "%s/run/admin.sock", d->files.dir);
	mf_show_export(&b, "MAYFLY_ADMIN_SOCKET", mf_buf_cstr(&v));
	mf_show_export(&b, "MAYFLY_STATE", d->files.dir);
	mf_buf_put_str(&b, "ready\n");
	mf_cli_write(d->c, mf_buf_slice(&b));
	(void)fflush(d->c->out);
	mf_cli_note(d->c, "In another terminal, with these exports: mayfly run --profile %s -- mayfly whoami",
	    mf_cli_has(d->c, "policy") ? "PROFILE" : "dev");
}

static enum mf_status
bring_up(struct dev *d, struct mf_err *err)
{
	const char *td = mf_cli_get(d->c, "trust-domain");
	d->files.trust_domain = td != NULL ? td : "dev.mayfly.test";
	MF_TRY(check_settings(d, "broker", err));
	MF_TRY(check_settings(d, "agent", err));
	MF_TRY(gather_yaml(d, "broker", d->files.more_broker, sizeof(d->files.more_broker), err));
	MF_TRY(gather_yaml(d, "agent", d->files.more_agent, sizeof(d->files.more_agent), err));
	MF_TRY(mf_dev_files_open(&d->files, mf_cli_get(d->c, "state"), err));
	MF_TRY(mf_dev_files_ports(&d->files, err));
	MF_TRY(mf_dev_files_write(&d->files, mf_cli_get(d->c, "policy"), err));
	MF_TRY(open_log(d, err));
	banner(d);
	if (!mf_dev_files_made(&d->files))
		MF_TRY(make_broker(d, err));
	MF_TRY(start(d, &d->broker, "mayfly-broker", NULL, "broker.yaml", "broker", err));
	MF_TRY(wait_until(d, broker_ready, "mayfly-broker", err));
	bool joined = mf_dev_files_joined(&d->files);
	if (!joined)
		MF_TRY(make_token(d, err));
	MF_TRY(start(d, &d->agent, "mayfly-agent", NULL, "agent.yaml", "agent", err));
	MF_TRY(wait_until(d, agent_ready, "mayfly-agent", err));
	if (!joined)
		(void)unlinkat(d->files.dirfd, "run/join-token", 0);
	return MF_OK;
}

static enum mf_status
serve(struct dev *d, struct mf_err *err)
{
	MF_TRY(bring_up(d, err));
	announce(d);
	while (!d->stop) {
		MF_TRY(check_child(&d->broker, err));
		MF_TRY(check_child(&d->agent, err));
		nap(d, -1);
	}
	return MF_E_CLOSED;
}

/* --- the end --- */

static void
stop_child(struct dev *d, struct mf_dev_child *ch)
{
	uint64_t deadline = mf_now().mono_ms + STOP_MS;
	if (ch->pid == 0 || mf_dev_child_gone(ch))
		return;
	(void)kill(ch->pid, SIGTERM);
	while (!mf_dev_child_gone(ch)) {
		if (mf_now().mono_ms > deadline) {
			mf_cli_note(d->c, "mayfly: %s does not end: killed", ch->name);
			(void)kill(ch->pid, SIGKILL);
			deadline = UINT64_MAX;
		}
		nap(d, TICK_MS);
	}
}

static int
run(struct dev *d)
{
	struct mf_err err = { 0 };
	enum mf_status s = serve(d, &err);
	bool fine = s == MF_E_CLOSED && d->stop;
	if (!fine) {
		err.code = s;
		(void)mf_cli_fail(d->c, &err);
	}
	stop_child(d, &d->agent);
	stop_child(d, &d->broker);
	if (!fine && d->files.throw_away)
		mf_cli_note(d->c, "mayfly: kept for a look: %s", d->files.dir);
	mf_dev_files_close(&d->files, fine);
	if (fine)
		mf_cli_note(
		    d->c, "mayfly dev: ended%s", d->files.throw_away ? ", and everything removed" : "");
	/* The broker's word for files that make no sense: it has said what is wrong with them. */
	if (!fine && d->broker.gone && WIFEXITED(d->broker.status) &&
	    WEXITSTATUS(d->broker.status) == MF_EXIT_USAGE)
		return MF_EXIT_USAGE;
	return fine ? MF_EXIT_OK : MF_EXIT_FAILED;
}

int
mf_cli_dev(struct mf_cli *c)
{
	struct dev d = { .c = c, .files = { .dirfd = -1, .lock_fd = -1 }, .signals = -1, .log_fd = -1 };
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	sigset_t set, old;
	(void)sigemptyset(&set);
	for (size_t i = 0; i < MF_COUNT(sigs); i++)
		(void)sigaddset(&set, sigs[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	(void)signal(SIGPIPE, SIG_IGN);
	d.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int rc = MF_EXIT_FAILED;
	if (d.signals >= 0) {
		rc = run(&d);
		(void)close(d.signals);
	}
	if (d.log_fd >= 0)
		(void)close(d.log_fd);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}
