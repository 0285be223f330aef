/* A fake daemon in a child process, and the CLI run in this one. For test_cli_*.c. */
#ifndef TEST_CLI_FAKE_H
#define TEST_CLI_FAKE_H
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/connect.h"
#include "codec/json.h"
#include "rpc/grpc_health.h"

#define FAKE_ANSWERS 4
#define FAKE_RULES 12
#define FAKE_CONNS 16

/* What the fake says to one method. */
struct fake_rule {
	const struct mf_grpc_method *m;
	const ProtobufCMessage *answers[FAKE_ANSWERS];
	enum mf_grpc_code code; /* after the answers */
	const char *text;
	bool hold;				    /* leave the stream open after the answers */
	bool (*right)(const ProtobufCMessage *req); /* false: INVALID_ARGUMENT "wrong request" */
	/* Instead of all that: whatever it wants. */
	void (*own)(struct mf_grpc_call *c, const ProtobufCMessage *req);
};

static char fake_dir[64];

static inline const char *
fake_path(const char *name)
{
	static char path[4][128];
	static unsigned turn;
	char *p = path[turn++ % 4];
	(void)snprintf(p, sizeof(path[0]), "%s/%s", fake_dir, name);
	return p;
}

static inline void
fake_message(struct mf_grpc_call *c, const ProtobufCMessage *req)
{
	const struct fake_rule *rules = mf_grpc_call_ctx(c);
	const struct fake_rule *r = NULL;
	for (size_t i = 0; i < FAKE_RULES && rules[i].m != NULL; i++)
		if (strcmp(rules[i].m->path, mf_grpc_call_method(c)->path) == 0)
			r = &rules[i];
	if (r == NULL)
		abort();
	if (r->own != NULL) {
		r->own(c, req);
		return;
	}
	if (r->right != NULL && !r->right(req)) {
		mf_grpc_finish(c, MF_GRPC_INVALID_ARGUMENT, "wrong request");
		return;
	}
	for (size_t i = 0; i < FAKE_ANSWERS && r->answers[i] != NULL; i++)
		if (mf_grpc_send(c, r->answers[i], NULL) != MF_OK)
			abort();
	if (!r->hold)
		mf_grpc_finish(c, r->code, r->text);
}

static inline void
fake_cancel(struct mf_grpc_call *c, enum mf_grpc_code why)
{
	MF_UNUSED(c);
	MF_UNUSED(why);
}

struct fake_conn {
	int fd;
	struct mf_grpc_conn *g;
};

static inline void
fake_close(struct fake_conn *c)
{
	mf_grpc_conn_free(c->g);
	(void)close(c->fd);
	*c = (struct fake_conn) { .fd = -1 };
}

static inline void
fake_flush(struct fake_conn *c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	mf_buf_init(&out, 1 << 20);
	if (mf_grpc_pull(c->g, &out, 1 << 20, NULL) != MF_OK)
		abort();
	for (size_t at = 0; at < out.n;) {
		ssize_t w = send(c->fd, out.p + at, out.n - at, MSG_NOSIGNAL);
		if (w <= 0)
			break;
		at += (size_t)w;
	}
}

static inline void
fake_pump(struct fake_conn *c)
{
	uint8_t in[4096];
	ssize_t n = recv(c->fd, in, sizeof(in), 0);
	bool over = n <= 0 || mf_grpc_recv(c->g, mf_slice(in, (size_t)n), mf_now().mono_ms, NULL) != MF_OK;
	fake_flush(c);
	if (over || mf_grpc_done(c->g))
		fake_close(c);
}

/* Runs every 20 ms in the fake, when set before it is started. */
static void (*fake_tick)(void);

static inline _Noreturn void
fake_serve(int lfd, struct fake_rule *rules)
{
	static const struct mf_grpc_server_ops ops = { .on_message = fake_message, .on_cancel = fake_cancel };
	static struct mf_grpc_counters counters;
	struct mf_grpc_method methods[FAKE_RULES];
	struct fake_conn conns[FAKE_CONNS];
	size_t n = 0;
	for (; n < FAKE_RULES && rules[n].m != NULL; n++) {
		methods[n] = *rules[n].m;
		methods[n].ops = &ops;
	}
	struct mf_grpc_service svc = { methods, n, rules };
	const struct mf_grpc_service *svcs[] = { &svc };
	struct mf_grpc_server srv = {
		.services = svcs, .n_services = 1, .any_authority = true, .counters = &counters
	};
	for (size_t i = 0; i < FAKE_CONNS; i++)
		conns[i] = (struct fake_conn) { .fd = -1 };
	for (;;) {
		struct pollfd p[FAKE_CONNS + 1];
		for (size_t i = 0; i < FAKE_CONNS; i++)
			p[i] = (struct pollfd) { conns[i].fd, POLLIN, 0 };
		p[FAKE_CONNS] = (struct pollfd) { lfd, POLLIN, 0 };
		if (poll(p, FAKE_CONNS + 1, fake_tick == NULL ? -1 : 20) < 0)
			_exit(0);
		if (fake_tick != NULL)
			fake_tick();
		for (size_t i = 0; i < FAKE_CONNS; i++)
			if (p[i].revents != 0)
				fake_pump(&conns[i]);
			else if (conns[i].fd >= 0)
				fake_flush(&conns[i]);
		if (p[FAKE_CONNS].revents == 0)
			continue;
		int fd = accept(lfd, NULL, NULL);
		size_t i = 0;
		while (i < FAKE_CONNS && conns[i].fd >= 0)
			i++;
		if (fd < 0 || i == FAKE_CONNS)
			abort();
		conns[i].fd = fd;
		if (mf_grpc_conn_new_server(&srv, NULL, NULL, mf_now().mono_ms, &conns[i].g, NULL) != MF_OK)
			abort();
	}
}

/* Start a daemon on fake_path(${name}). */
static inline pid_t
fake_start(const char *name, struct fake_rule *rules)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = fake_path(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	(void)unlink(path);
	assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 16), 0);
	(void)fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		fake_serve(fd, rules);
	}
	(void)close(fd);
	return pid;
}

static inline void
fake_stop(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static inline int
fake_setup(void **state)
{
	MF_UNUSED(state);
	(void)snprintf(fake_dir, sizeof(fake_dir), "/tmp/mayfly-cli-XXXXXX");
	if (mkdtemp(fake_dir) == NULL)
		return -1;
	(void)setenv("SPIFFE_ENDPOINT_SOCKET", fake_path("agent"), 1);
	(void)setenv("MAYFLY_ADMIN_SOCKET", fake_path("admin"), 1);
	(void)setenv("MAYFLY_STATE", fake_dir, 1);
	return 0;
}

static inline int
fake_teardown(void **state)
{
	MF_UNUSED(state);
	char cmd[128];
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", fake_dir);
	return system(cmd);
}

/* --- the CLI --- */

static char *cli_out, *cli_err;

/* `mayfly ARG...`, NULL at the end: the exit code; cli_out and cli_err hold what it printed. */
static inline int
cli(const char *first, ...)
{
	char *argv[24];
	char name[] = "mayfly";
	int argc = 0;
	size_t out_n = 0, err_n = 0;
	va_list ap;
	free(cli_out);
	free(cli_err);
	cli_out = cli_err = NULL;
	FILE *out = open_memstream(&cli_out, &out_n), *err = open_memstream(&cli_err, &err_n);
	assert_true(out != NULL && err != NULL);
	argv[argc++] = name;
	va_start(ap, first);
	for (const char *a = first; a != NULL; a = va_arg(ap, const char *)) {
		assert_true(argc < 23);
		argv[argc++] = strdup(a);
	}
	va_end(ap);
	argv[argc] = NULL;
	char *keep[24];
	memcpy(keep, argv, sizeof(keep));
	int rc = mf_cli_main(argc, argv, "9.9.9", "9.9.9+test", out, err);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(fclose(err), 0);
	for (int i = 1; i < argc; i++)
		free(keep[i]);
	return rc;
}

#define assert_out(part)                                                                              \
	do {                                                                                          \
		if (strstr(cli_out, (part)) == NULL)                                                  \
			fail_msg("stdout has no \"%s\":\n%s\nstderr:\n%s", (part), cli_out, cli_err); \
	} while (0)
#define assert_err(part)                                                                              \
	do {                                                                                          \
		if (strstr(cli_err, (part)) == NULL)                                                  \
			fail_msg("stderr has no \"%s\":\n%s\nstdout:\n%s", (part), cli_err, cli_out); \
	} while (0)

/* --- JSON of the CLI --- */

/* items[0] of cli_out, with its kind checked; ${ret_doc} is freed by the caller. */
static inline const struct mf_json_value *
item(const char *kind, size_t i, struct mf_json **ret_doc)
{
	struct mf_err err = { 0 };
	struct mf_slice s;
	if (mf_json_parse(mf_slice_str(cli_out), 1 << 20, ret_doc, &err) != MF_OK)
		fail_msg("%s: %s", err.msg, cli_out);
	const struct mf_json_value *root = mf_json_root(*ret_doc);
	assert_true(mf_json_string(mf_json_get(root, "apiVersion"), &s) && mf_slice_eq_str(s, "mayfly/v1"));
	assert_true(mf_json_string(mf_json_get(root, "kind"), &s));
	if (!mf_slice_eq_str(s, kind))
		fail_msg("kind is not %s: %s", kind, cli_out);
	return mf_json_at(mf_json_get(root, "items"), i);
}

static inline void
assert_str(const struct mf_json_value *v, const char *key, const char *want)
{
	struct mf_slice s;
	if (!mf_json_string(mf_json_get(v, key), &s) || !mf_slice_eq_str(s, want))
		fail_msg("%s is not \"%s\": %s", key, want, cli_out);
}
#endif
