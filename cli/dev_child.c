/* dev_child: the daemons that `mayfly dev` starts. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/dev.h"

#define ENV_MAX 4096u

/* Settings of an earlier `mayfly dev` or of a real broker must not reach this one. */
static bool
keep(const char *var)
{
	if (strncmp(var, "MAYFLY_LIBEXEC=", 15) == 0)
		return true;
	return strncmp(var, "MAYFLY_", 7) != 0 && strncmp(var, "SPIFFE_", 7) != 0 &&
	       strncmp(var, "NOTIFY_SOCKET=", 14) != 0 && strncmp(var, "LISTEN_", 7) != 0;
}

static char **
clean_env(void)
{
	size_t n = 0;
	char **env = calloc(ENV_MAX + 1, sizeof(*env));
	for (char **e = environ; env != NULL && *e != NULL && n < ENV_MAX; e++)
		if (keep(*e))
			env[n++] = *e;
	return env;
}

static _Noreturn void
child(pid_t parent, char *const *argv, char *const *env, int log_fd)
{
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C reaches us only; we stop the daemons in order. */
	(void)setpgid(0, 0);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent || null < 0 || dup2(null, 0) < 0 ||
	    dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
		_exit(MF_EXIT_RUN_FAILED);
	(void)execve(argv[0], argv, env);
	_exit(MF_EXIT_NOT_FOUND);
}

enum mf_status
mf_dev_child_start(
    struct mf_dev_child *ch, const char *name, char *const *argv, int log_fd, struct mf_err *err)
{
	char **env = clean_env();
	if (env == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		child(parent, argv, env, log_fd);
	free(env);
	if (pid < 0)
		return MF_FAIL(err, MF_E_EXHAUSTED, "cannot start %s: %s", name, strerror(errno));
	*ch = (struct mf_dev_child) { .name = name, .pid = pid };
	return MF_OK;
}

bool
mf_dev_child_gone(struct mf_dev_child *ch)
{
	if (ch->pid != 0 && !ch->gone && waitpid(ch->pid, &ch->status, WNOHANG) == ch->pid)
		ch->gone = true;
	return ch->gone;
}

void
mf_dev_child_how(const struct mf_dev_child *ch, struct mf_buf *to)
{
	if (WIFSIGNALED(ch->status))
		mf_buf_putf(to, "signal %d", WTERMSIG(ch->status));
	else
		mf_buf_putf(to, "exit code %d", WEXITSTATUS(ch->status));
}

static bool
send_all(int fd, const char *s)
{
	size_t n = strlen(s);
	return send(fd, s, n, MSG_NOSIGNAL) == (ssize_t)n;
}

bool
mf_dev_http_ok(uint16_t port, const char *path)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct timeval patience = { .tv_sec = 10 };
	char req[256], answer[64];
	size_t at = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(
	    req, sizeof(req), "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
	bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
		  connect(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)) == 0 &&
		  send_all(fd, req);
	while (ok && at < 12) {
		ssize_t n = recv(fd, answer + at, sizeof(answer) - at, 0);
		ok = n > 0;
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		(void)close(fd);
	return ok && memcmp(answer, "HTTP/1.1 200", 12) == 0;
}
