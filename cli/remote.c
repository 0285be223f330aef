#include "cli/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/beside.h"
#include "cli/connect.h"

static int told = -1; /* what mayfly-remote says; one connection at a time */

/* "https://host:port", "host:port" or "host". */
static enum mf_status
read_url(const char *url, const char *where, char to[300], struct mf_err *err)
{
	const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 : url;
	size_t n = strlen(host);
	if (n > 0 && host[n - 1] == '/')
		n--;
	if (n == 0 || n > 260 || strcspn(host, "/ @?#") < n)
		return MF_FAIL(err, MF_E_INVALID, "%s: must be https://HOST:PORT or HOST:PORT", where);
	const char *colon = memrchr(host, ':', n), *bracket = memrchr(host, ']', n);
	if (colon != NULL && colon > (bracket == NULL ? host : bracket))
		(void)snprintf(to, 300, "%.*s", (int)n, host);
	else
		(void)snprintf(to, 300, "%.*s:%u", (int)n, host, MF_CLI_ADMIN_PORT);
	return MF_OK;
}

static const char *
env(const char *name)
{
	const char *v = getenv(name);
	return v == NULL || v[0] == '\0' ? NULL : v;
}

enum mf_status
mf_cli_broker(const struct mf_cli *c, char to[300], struct mf_err *err)
{
	bool knows = (c->verb->flags & MF_CLI_ADMIN) != 0;
	const char *flag = knows ? mf_cli_get(c, "broker") : NULL;
	to[0] = '\0';
	if (flag != NULL)
		return read_url(flag, "--broker", to, err);
	if (mf_cli_declares(c->verb, "admin-socket") && mf_cli_has(c, "admin-socket"))
		return MF_OK; /* what was typed wins over the environment */
	const char *var = env("MAYFLY_BROKER");
	return var == NULL ? MF_OK : read_url(var, "MAYFLY_BROKER", to, err);
}

/* Flag, variable, or NULL. */
static const char *
choice(const struct mf_cli *c, const char *flag, const char *var)
{
	const char *v = (c->verb->flags & MF_CLI_ADMIN) != 0 ? mf_cli_get(c, flag) : NULL;
	return v != NULL ? v : env(var);
}

/* ---- the child ---- */

struct start {
	struct mf_buf args; /* each with its NUL */
	char *argv[10];
	size_t offset[10], n;
};

static void
add_arg(struct start *s, const char *name, const char *value)
{
	if (value == NULL || s->n + 1 >= MF_COUNT(s->argv))
		return;
	s->offset[s->n++] = s->args.n;
	mf_buf_put_str(&s->args, name);
	mf_buf_put(&s->args, value, strlen(value) + 1);
}

static _Noreturn void
child(const char *path, char **argv, int local, int tell)
{
	/* Twice: then nobody waits for it, and it goes when its socket does. */
	pid_t again = fork();
	if (again != 0)
		_exit(again < 0 ? 1 : 0);
	int a = fcntl(local, F_DUPFD_CLOEXEC, 10), b = fcntl(tell, F_DUPFD_CLOEXEC, 10);
	if (a < 0 || b < 0 || dup2(a, 3) < 0 || dup2(b, 4) < 0)
		_exit(1);
	execv(path, argv);
	(void)!write(4, "error internal mayfly-remote cannot be executed\n", 48);
	_exit(1);
}

static enum mf_status
start(const char *path, struct start *s, int local, int tell, struct mf_err *err)
{
	for (size_t i = 0; i < s->n; i++)
		s->argv[i] = (char *)s->args.p + s->offset[i];
	s->argv[s->n] = NULL;
	pid_t pid = fork();
	if (pid == 0)
		child(path, s->argv, local, tell);
	int st = 0;
	while (pid > 0 && waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || st != 0)
		return MF_FAIL(err, MF_E_IO, "mayfly-remote cannot be started: %s",
		    pid < 0 ? strerror(errno) : "no process to be had");
	return MF_OK;
}

/* ---- what it says ---- */

/* One line within ${ms}; false when none came. */
static bool
line(char *to, size_t max, uint64_t ms)
{
	uint64_t end = mf_now().mono_ms + ms;
	size_t n = 0;
	while (n + 1 < max) {
		uint64_t now = mf_now().mono_ms;
		struct pollfd p = { told, POLLIN, 0 };
		if (poll(&p, 1,
			now >= end	    ? 0
			: end - now > 60000 ? 60000
					    : (int)(end - now)) <= 0 &&
		    mf_now().mono_ms >= end)
			break;
		ssize_t got = read(told, to + n, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || to[n] == '\n')
			break;
		n++;
	}
	to[n] = '\0';
	return n > 0;
}

/* "error STATUS TEXT" */
static enum mf_status
read_error(const char *text, struct mf_err *err)
{
	if (strncmp(text, "error ", 6) != 0)
		return MF_OK;
	size_t n = strcspn(text + 6, " ");
	for (int i = MF_OK + 1; i < MF_STATUS_COUNT; i++) {
		const char *name = mf_status_name((enum mf_status)i);
		if (strlen(name) == n && strncmp(text + 6, name, n) == 0)
			return MF_FAIL(
			    err, (enum mf_status)i, "%s", text[6 + n] == ' ' ? text + 7 + n : name);
	}
	return MF_FAIL(err, MF_E_INTERNAL, "%s", text + 6);
}

void
mf_cli_remote_why(struct mf_err *err)
{
	char text[MF_ERR_MSG_MAX + 64];
	struct mf_err why = { 0 };
	if (told < 0 || !line(text, sizeof(text), 1000) || read_error(text, &why) == MF_OK)
		return;
	*err = why;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

enum mf_status
mf_cli_remote(const struct mf_cli *c, const char *broker, int *ret_fd, struct mf_err *err)
{
	char text[MF_ERR_MSG_MAX + 64], ms[32];
	const char *agent = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf path;
	MF_AUTO_IN(close_fd) int ours = -1;
	MF_AUTO_IN(close_fd) int theirs = -1;
	MF_AUTO_IN(close_fd) int tell = -1;
	int pair[2], pipes[2];
	struct start s = { .n = 0 };
	mf_buf_init(&path, 8192);
	MF_TRY(mf_cli_beside("mayfly-remote", true, &path, err));
	MF_TRY(mf_cli_agent_path(c, &agent, err));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return MF_FAIL(err, MF_E_IO, "no socket: %s", strerror(errno));
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return MF_FAIL(err, MF_E_IO, "no pipe: %s", strerror(errno));
	close_fd(&told);
	told = pipes[0];
	tell = pipes[1];
	(void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)c->timeout_ms);
	mf_buf_init(&s.args, 65536);
	add_arg(&s, "", "mayfly-remote");
	add_arg(&s, "--broker=", broker);
	add_arg(&s, "--agent=", agent);
	add_arg(&s, "--timeout-ms=", ms);
	add_arg(&s, "--cert=", choice(c, "cert", "MAYFLY_BROKER_CERT"));
	add_arg(&s, "--key=", choice(c, "key", "MAYFLY_BROKER_KEY"));
	add_arg(&s, "--ca=", choice(c, "ca", "MAYFLY_BROKER_CA"));
	enum mf_status st = mf_buf_check(&s.args, err);
	if (st == MF_OK)
		st = start((const char *)path.p, &s, theirs, tell, err);
	mf_buf_fini(&s.args);
	MF_TRY(st);
	close_fd(&theirs);
	close_fd(&tell);
	if (!line(text, sizeof(text), c->timeout_ms + 2000))
		return MF_FAIL(err, MF_E_UNAVAILABLE, "%s: no connection in time", broker);
	if (strcmp(text, "ok") != 0) {
		st = read_error(text, err);
		return st != MF_OK ? st : MF_FAIL(err, MF_E_INTERNAL, "mayfly-remote said %.100s", text);
	}
	*ret_fd = ours;
	ours = -1;
	return MF_OK;
}
