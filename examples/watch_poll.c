/*
 * watch_poll: a program with a poll(2) loop of its own that follows its identity. It reads lines from standard input
 * meanwhile, to show that nothing blocks: "who" prints the current identity, end of input ends the program.
 *
 *	cc watch_poll.c $(pkg-config --cflags --libs libmayfly)
 *	mayfly run --profile dev -- ./watch_poll [UPDATES]
 *
 * With UPDATES it ends after so many. Exit codes: 0 done, 1 failed, 2 the identity was taken away.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mayfly/workload.h>

static void
show(mayfly_watch *watch, const char *what)
{
	mayfly_x509 *x509 = mayfly_watch_x509(watch);
	if (x509 == NULL) {
		(void)printf("%s none\n", what);
	} else {
		const mayfly_svid *svid = mayfly_x509_at(x509, 0);
		(void)printf("%s id=%s serial=%s\n", what, mayfly_svid_id(svid), mayfly_svid_serial(svid));
	}
	(void)fflush(stdout);
	mayfly_x509_unref(x509);
}

/* What changed. Not 0: the exit code plus one. */
static int
on_agent(mayfly_watch *watch, long *left)
{
	unsigned changes = 0;
	mayfly_error err;

	if (mayfly_watch_dispatch(watch, &changes, &err) != MAYFLY_OK || (changes & MAYFLY_STOPPED) != 0) {
		(void)fprintf(stderr, "watch_poll: %s\n", err.text);
		return 1 + 1;
	}
	if ((changes & MAYFLY_UPDATED) != 0) {
		show(watch, "updated");
		if (*left > 0 && --*left == 0)
			return 1 + 0;
	}
	if ((changes & MAYFLY_TROUBLE) != 0)
		(void)fprintf(stderr, "watch_poll: %s\n", err.text);
	if ((changes & MAYFLY_DROPPED) != 0) {
		show(watch, "dropped");
		return 1 + 2;
	}
	return 0;
}

/* 0: end of input. */
static int
on_input(mayfly_watch *watch)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));
	if (n >= 3 && memcmp(line, "who", 3) == 0)
		show(watch, "current");
	return n > 0;
}

int
main(int argc, char **argv)
{
	mayfly_client *client = NULL;
	mayfly_watch *watch = NULL;
	mayfly_error err;
	struct pollfd fds[2];
	long left = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	int rc = 0;

	if (mayfly_client_new(NULL, &client, &err) != MAYFLY_OK ||
	    mayfly_watch_new(client, MAYFLY_WATCH_X509, &watch, &err) != MAYFLY_OK) {
		(void)fprintf(stderr, "watch_poll: %s\n", err.text);
		mayfly_client_free(client);
		return 1;
	}
	fds[0].fd = mayfly_watch_fd(watch); /* the same for ever, over every reconnect */
	fds[1].fd = STDIN_FILENO;
	fds[0].events = fds[1].events = POLLIN;
	while (rc == 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents != 0)
			rc = on_agent(watch, &left);
		if (rc == 0 && fds[1].revents != 0 && !on_input(watch))
			rc = 1 + 0;
	}
	mayfly_watch_free(watch);
	mayfly_client_free(client);
	return rc - 1;
}
