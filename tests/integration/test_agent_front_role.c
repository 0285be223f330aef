/*
 * agent-front as it is run: its own program, confined by its table, started the way the supervisor does, between a fake
 * attestor (on a link given by the control channel) and a fake broker (TLS on loopback).
 */
#include <poll.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "fake_broker.h"
#include "front_rig.h"
#include "os/build_id.h"
#include "os/control.h"
#include "os/listen.h"
#include "os/role_start.h"
#include "os/spawn.h"

struct program {
	struct rig *r;
	struct fake_broker *b;
	struct mf_seqpacket *control;
	pid_t pid;
	int pidfd;
	uint16_t metrics;
	bool ready, stopped;
};

static void
give_link(struct rig *r, int fd)
{
	struct program *p = r->ctx;
	assert_int_equal(mf_control_send(p->control, MF_CONTROL_LINK, "attestor", fd, NULL), MF_OK);
}

static int
listen_somewhere(uint16_t *ret_port)
{
	int fd = -1;
	char address[32];
	for (*ret_port = 23300; *ret_port < 23400; (*ret_port)++) {
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", *ret_port);
		if (mf_listen_tcp(address, &fd, NULL) == MF_OK)
			return fd;
	}
	fail_msg("no free port");
	return -1;
}

static int setup(void **state);

/* test_stop is told by it to use the signal. */
static int
setup_signal(void **state)
{
	int rc = setup(state);
	((struct program *)*state)->stopped = true;
	return rc;
}

static bool
has_exited(void *ctx)
{
	struct pollfd f = { .fd = ((struct program *)ctx)->pidfd, .events = POLLIN };
	return poll(&f, 1, 0) > 0;
}

static bool
is_ready(void *ctx)
{
	struct program *p = ctx;
	struct mf_control_msg m;
	assert_false(has_exited(p));
	if (!p->ready && mf_control_recv(p->control, true, &m, NULL) == MF_OK) {
		assert_int_equal(m.type, MF_CONTROL_READY);
		p->ready = true;
	}
	return p->ready;
}

static void
spawn_front(struct program *p, const char *const *args, const struct mf_named_fd *fds, size_t n)
{
	int exe = -1;
	struct mf_err err = { 0 };
	assert_int_equal(mf_spawn_open_role("agent-front", &exe, &err), MF_OK);
	const struct mf_spawn how = { .name = "agent-front",
		.exe_fd = exe,
		.fds = fds,
		.fd_count = n,
		.args = args,
		.change_user = geteuid() == 0, /* as the supervisor does: the role refuses to be root */
		.uid = 64101,
		.gid = 64101 };
	if (mf_spawn_role(&how, &p->pid, &p->pidfd, &err) != MF_OK)
		fail_msg("%s", err.msg);
	(void)close(exe);
}

static void
program_start(struct program *p)
{
	struct rig *r = p->r;
	int control[2], metrics = listen_somewhere(&p->metrics), workload = -1;
	char build[128], boss[64], broker[64], pin[128];
	uint8_t sum[MF_SHA256_SIZE];
	struct mf_buf hex;
	struct mf_listen_unix how = { .path = r->path, .mode = 0666, .group = (gid_t)-1, .senders = true };
	assert_int_equal(mf_listen_unix(&how, &workload, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &p->control, NULL), MF_OK);
	mf_buf_init(&hex, 128);
	mf_sha256(mf_mint_ca(r->mint), sum);
	mf_hex_put(&hex, mf_slice(sum, sizeof(sum)));
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	(void)snprintf(broker, sizeof(broker), "--opt=broker_address=127.0.0.1:%u", p->b->port);
	(void)snprintf(pin, sizeof(pin), "--opt=ca_pin=%s", mf_buf_cstr(&hex));
	mf_buf_fini(&hex);
	const char *args[] = { build, boss, "--opt=trust_domain=example.org", broker, pin,
		"--opt=hold_ms=500", "--opt=reconnect_min_ms=20", NULL };
	const struct mf_named_fd fds[] = { { "control", control[1] }, { "workload", workload },
		{ "metrics", metrics } };
	spawn_front(p, args, fds, MF_COUNT(fds));
	(void)close(control[1]);
	(void)close(workload);
	(void)close(metrics);
	assert_true(mf_frig_until(r, is_ready, p));
	mf_frig_attestor(r);
}

static int
setup(void **state)
{
	struct program *p = calloc(1, sizeof(*p));
	assert_non_null(p);
	p->r = mf_frig_new();
	p->r->ctx = p;
	p->r->give_link = give_link;
	p->r->build = mf_build_id();
	p->b = mf_fake_broker_new(p->r->loop, p->r->mint);
	program_start(p);
	*state = p;
	return 0;
}

/* It must have ended by itself and in order: a violation of its table would have been a signal. */
static void
assert_exits(struct program *p, int code)
{
	int st = 0;
	assert_true(mf_frig_until(p->r, has_exited, p));
	assert_int_equal(waitpid(p->pid, &st, 0), p->pid);
	if (!WIFEXITED(st))
		fail_msg("ended by signal %d", WTERMSIG(st));
	assert_int_equal(WEXITSTATUS(st), code);
	(void)close(p->pidfd);
}

static int
teardown(void **state)
{
	struct program *p = *state;
	if (!p->stopped)
		assert_int_equal(mf_control_send(p->control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
	assert_exits(p, MF_ROLE_EXIT_OK);
	mf_seqpacket_free(p->control);
	mf_fake_broker_free(p->b);
	mf_frig_free(p->r);
	free(p);
	return 0;
}

static void
until_at_least(struct program *p, const unsigned *what, unsigned at_least)
{
	for (uint64_t end = mf_now().mono_ms + RIG_HANG_MS; *what < at_least && mf_now().mono_ms < end;)
		mf_frig_turn(p->r);
	assert_true(*what >= at_least);
}

/* The body of a page, or what there is of it. */
static void
get(struct program *p, const char *path, char *to, size_t size)
{
	char ask[128];
	struct sockaddr_in sa = {
		.sin_family = AF_INET, .sin_port = htons(p->metrics), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	int n = snprintf(ask, sizeof(ask), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
	assert_int_equal(send(fd, ask, (size_t)n, MSG_NOSIGNAL), n);
	size_t have = 0;
	ssize_t got;
	while (have + 1 < size && (got = recv(fd, to + have, size - 1 - have, 0)) > 0)
		have += (size_t)got;
	to[have] = '\0';
	(void)close(fd);
}

static void
certify_front(struct rig *r)
{
	Mayfly__Roles__V1__OuterCertificate m = MAYFLY__ROLES__V1__OUTER_CERTIFICATE__INIT;
	struct mf_buf chain;
	int64_t now_s = mf_now().wall_us / 1000000;
	mf_buf_init(&chain, 65536);
	(void)mf_mint_leaf(r->mint, "/mayfly/node/n-test", r->outer_point, now_s, now_s + 3600, &chain);
	m.chain = (ProtobufCBinaryData) { chain.n, chain.p };
	m.not_after = now_s + 3600;
	mf_frig_send(r, MF_MSG_OUTER_CERTIFICATE, &m.base);
	mf_buf_fini(&chain);
}

/* Keys, TLS, gRPC on both sides, renewal, metrics: all of it inside the table. */
static void
test_confined(void **state)
{
	struct program *p = *state;
	struct rig *r = p->r;
	struct rig_client a, who;
	static char page[16384];
	until_at_least(p, &p->b->sessions, 1);
	until_at_least(p, &r->outer_key, 1);
	certify_front(r);
	r->ttl_s = 4;
	mf_frig_open(r, &a, &mf_frig_fetch);
	const X509SVIDResponse *m = (const void *)mf_frig_next(&a);
	if (m == NULL)
		fail_msg("%s: %s", mf_grpc_code_name(a.code), a.text);
	assert_string_equal(m->svids[0]->spiffe_id, "spiffe://example.org/default/job/7-0");
	assert_int_equal(r->fd_ok, 1);
	r->ttl_s = 1200;
	assert_non_null(mf_frig_next(&a)); /* renewed */
	assert_int_equal(r->renew, 1);
	assert_false(r->point_twice);
	mf_frig_open(r, &who, &mf_frig_whoami);
	assert_non_null(mf_frig_next(&who));
	mf_frig_close(&who);
	/* the broker goes and comes: this time the front shows its certificate */
	mf_net_listener_free(MF_TAKE(p->b->ln));
	until_at_least(p, &r->outer_closed, 1);
	mf_fake_broker_back(p->b);
	until_at_least(p, &p->b->with_certificate, 1);
	assert_string_equal(p->b->client, "spiffe://example.org/mayfly/node/n-test");
	/* a new attestor by the control channel */
	mf_frig_attestor(r);
	until_at_least(p, &r->hellos, 2);
	until_at_least(p, &r->who_is, 3);
	get(p, "/readyz", page, sizeof(page));
	assert_non_null(strstr(page, "200 OK"));
	get(p, "/healthz", page, sizeof(page));
	assert_non_null(strstr(page, "ok\n"));
	get(p, "/metrics", page, sizeof(page));
	assert_non_null(strstr(page, "mayfly_agent_streams 1\n"));
	mf_frig_ended(r, r->handle, false);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_PERMISSION_DENIED);
	mf_frig_close(&a);
}

/* Stopped by the supervisor or by SIGTERM: streams end with UNAVAILABLE (never OK), the program with 0 (see teardown). */
static void
test_stop(void **state)
{
	struct program *p = *state;
	bool by_signal = p->stopped;
	struct rig_client a;
	mf_frig_open(p->r, &a, &mf_frig_fetch);
	assert_non_null(mf_frig_next(&a));
	p->stopped = true;
	if (by_signal)
		assert_int_equal(kill(p->pid, SIGTERM), 0);
	else
		assert_int_equal(mf_control_send(p->control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
	assert_int_equal(mf_frig_end(&a), MF_GRPC_UNAVAILABLE);
	mf_frig_close(&a);
}

/* What can never work is refused with the code that says so. */
static void
test_refused(void **state)
{
	MF_UNUSED(state);
	static const char *const bad[][3] = {
		{ NULL }, { "--opt=trust_domain=example.org", NULL },
		{ "--opt=trust_domain=Bad..org", "--opt=broker_address=127.0.0.1:1", NULL },
		{ "--opt=trust_domain=example.org", "--opt=broker_address=broker:1", NULL },
		{ "--opt=trust_domain=example.org", "--opt=broker_address=127.0.0.1:1",
		    NULL }, /* no socket */
	};
	char build[128], boss[64];
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	struct program p = { .r = mf_frig_new() };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		int control[2];
		const char *args[] = { build, boss, bad[i][0], bad[i][0] == NULL ? NULL : bad[i][1], NULL };
		assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
		const struct mf_named_fd fds[] = { { "control", control[1] } };
		spawn_front(&p, args, fds, 1);
		assert_exits(&p, MF_ROLE_EXIT_REFUSED);
		(void)close(control[0]);
		(void)close(control[1]);
	}
	mf_frig_free(p.r);
}

int
main(void)
{
	/* The search for leaks stops a process by ptrace, which a confined role forbids; unit/test_front* search. */
	if (mf_instrumented(NULL))
		assert_int_equal(setenv("ASAN_OPTIONS", "detect_leaks=0", 1), 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_confined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		{ "test_stop_by_signal", test_stop, setup_signal, teardown, NULL },
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
