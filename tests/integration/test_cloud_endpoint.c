/*
 * The cloud endpoint of agent-front as it is run: its own program, confined by its table, started anew again and again on
 * the same listening socket while programs of the job ask it. Nobody is refused meanwhile: requests wait in the socket.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/cloud_socket.h"
#include "agent/front/cloud_secret.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "front_rig.h"
#include "os/build_id.h"
#include "os/control.h"
#include "os/listen.h"
#include "os/role_start.h"
#include "os/spawn.h"
#include "rpc/pb_check.h"

#define RESTARTS 20
#define TRIES 3 /* as botocore has, of 2 s each */

static struct {
	struct rig *r;
	struct mf_seqpacket *control;
	pid_t pid, client;
	int pidfd, stop; /* writing end: the client goes on until it closes */
	bool ready;
	struct mf_cloud_socket sock;
	uint8_t key[MF_CLOUD_KEY];
	char uri[96], host[32], secret[MF_CLOUD_SECRET_MAX + 1], file[128];
	Mayfly__Agent__V1__CloudOffer offer;
} t;

static void
on_cloud(struct rig *r, const Mayfly__Roles__V1__MintInstanceCloud *q)
{
	Mayfly__Roles__V1__InstanceCloud m = MAYFLY__ROLES__V1__INSTANCE_CLOUD__INIT;
	Mayfly__Agent__V1__CloudGrant g = MAYFLY__AGENT__V1__CLOUD_GRANT__INIT;
	Mayfly__Roles__V1__CloudToken c = MAYFLY__ROLES__V1__CLOUD_TOKEN__INIT;
	static char id[] = "AKIAIOSFODNN7EXAMPLE", key[] = "s3cr3t", session[] = "session", kind[] = "aws",
		    credential[] = "c-1";
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token;
	mf_buf_init(&token, 4096);
	c.kind = MAYFLY__ROLES__V1__CLOUD_TOKEN__KIND__KIND_AWS;
	c.access_key_id = id;
	c.secret_access_key = key;
	c.session_token = session;
	assert_int_equal(mf_pb_pack(&c.base, &token, NULL), MF_OK);
	g.grant = q->grant;
	g.kind = kind;
	g.credential_id = credential;
	g.token = (ProtobufCBinaryData) { token.n, token.p };
	g.effective_expires = g.expires = mf_now().wall_us / 1000000 + 3600;
	m.mint_id = q->mint_id;
	m.grant = &g;
	mf_frig_send(r, MF_MSG_INSTANCE_CLOUD, &m.base);
}

static void
give_link(struct rig *r, int fd)
{
	MF_UNUSED(r);
	assert_int_equal(mf_control_send(t.control, MF_CONTROL_LINK, "attestor", fd, NULL), MF_OK);
}

static bool
has_exited(void *ctx)
{
	MF_UNUSED(ctx);
	struct pollfd f = { .fd = t.pidfd, .events = POLLIN };
	return poll(&f, 1, 0) > 0;
}

static bool
is_ready(void *ctx)
{
	struct mf_control_msg m;
	assert_false(has_exited(ctx));
	if (!t.ready && mf_control_recv(t.control, true, &m, NULL) == MF_OK)
		t.ready = m.type == MF_CONTROL_READY;
	return t.ready;
}

static void
start_front(void)
{
	struct rig *r = t.r;
	int control[2], workload = -1, exe = -1;
	char build[128], boss[64], pin[128];
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	uint8_t sum[MF_SHA256_SIZE];
	struct mf_listen_unix how = { .path = r->path, .mode = 0666, .group = (gid_t)-1, .senders = true };
	(void)unlink(r->path);
	assert_int_equal(mf_listen_unix(&how, &workload, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_pair(control, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(control[0], MF_CONTROL_QUEUE, &t.control, NULL), MF_OK);
	mf_buf_init(&hex, 128);
	mf_sha256(mf_mint_ca(r->mint), sum);
	mf_hex_put(&hex, mf_slice(sum, sizeof(sum)));
	(void)snprintf(build, sizeof(build), "--build-id=%s", mf_build_id());
	(void)snprintf(boss, sizeof(boss), "--supervisor=%d", (int)getpid());
	(void)snprintf(pin, sizeof(pin), "--opt=ca_pin=%s", mf_buf_cstr(&hex));
	const char *args[] = { build, boss, "--opt=trust_domain=example.org",
		"--opt=broker_address=127.0.0.1:9", pin, NULL };
	const struct mf_named_fd fds[] = { { "control", control[1] }, { "workload", workload },
		{ "cloud", t.sock.listen_fd }, { "cloud-key", t.sock.key_fd },
		{ "cloud-diag", t.sock.diag_fd } };
	assert_int_equal(mf_spawn_open_role("agent-front", &exe, &err), MF_OK);
	const struct mf_spawn spawn = { .name = "agent-front",
		.exe_fd = exe,
		.fds = fds,
		.fd_count = MF_COUNT(fds),
		.args = args,
		.change_user = geteuid() == 0,
		.uid = 64101,
		.gid = 64101 };
	if (mf_spawn_role(&spawn, &t.pid, &t.pidfd, &err) != MF_OK)
		fail_msg("%s", err.msg);
	(void)close(exe);
	(void)close(control[1]);
	(void)close(workload);
	t.ready = false;
	assert_true(mf_frig_until(r, is_ready, NULL));
	mf_frig_attestor(r);
}

static void
stop_front(int by_signal)
{
	int st = 0;
	if (by_signal != 0)
		assert_int_equal(kill(t.pid, by_signal), 0);
	else
		assert_int_equal(mf_control_send(t.control, MF_CONTROL_STOP, NULL, -1, NULL), MF_OK);
	assert_true(mf_frig_until(t.r, has_exited, NULL));
	assert_int_equal(waitpid(t.pid, &st, 0), t.pid);
	if (by_signal != SIGKILL && (!WIFEXITED(st) || WEXITSTATUS(st) != 0))
		fail_msg("it ended with %x: a violation of its table?", (unsigned)st);
	(void)close(t.pidfd);
	mf_seqpacket_free(MF_TAKE(t.control));
	mf_frig_attestor_dies(t.r);
}

static int
setup(void **state)
{
	MF_UNUSED(state);
	char ip[INET_ADDRSTRLEN];
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf secret;
	memset(&t, 0, sizeof(t));
	t.r = mf_frig_new();
	t.r->give_link = give_link;
	t.r->build = mf_build_id();
	int dir = open(t.r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mf_cloud_socket_open(dir, -1, &t.sock, NULL), MF_OK);
	(void)close(dir);
	assert_int_equal(pread(t.sock.key_fd, t.key, sizeof(t.key), 0), sizeof(t.key));
	assert_int_equal(getsockname(t.sock.listen_fd, (struct sockaddr *)&at, &n), 0);
	struct in_addr a = mf_cloud_address(t.key, t.r->key);
	(void)snprintf(t.host, sizeof(t.host), "%s:%u", inet_ntop(AF_INET, &a, ip, sizeof(ip)),
	    (unsigned)ntohs(at.sin_port));
	(void)snprintf(t.uri, sizeof(t.uri), "http://%s/v1/aws/data", t.host);
	mf_buf_init(&secret, MF_CLOUD_SECRET_MAX);
	mf_cloud_secret_put(t.key, t.r->key, &secret);
	memcpy(t.secret, secret.p, secret.n);
	(void)snprintf(t.file, sizeof(t.file), "%s/secret", t.r->dir);
	int fd = open(t.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	assert_int_equal(write(fd, t.secret, strlen(t.secret)), strlen(t.secret));
	(void)close(fd);
	t.offer = (Mayfly__Agent__V1__CloudOffer)MAYFLY__AGENT__V1__CLOUD_OFFER__INIT;
	t.offer.grant = (char *)(uintptr_t) "data";
	t.offer.kind = (char *)(uintptr_t) "aws";
	t.r->offers[0] = &t.offer;
	t.r->n_offers = 1;
	t.r->on_cloud = on_cloud;
	start_front();
	return 0;
}

static int
teardown(void **state)
{
	MF_UNUSED(state);
	char path[160];
	stop_front(0);
	(void)unlink(t.file);
	(void)snprintf(path, sizeof(path), "%s/cloud-endpoint", t.r->dir);
	(void)unlink(path);
	mf_frig_free(t.r);
	mf_cloud_socket_close(&t.sock);
	return 0;
}

/* --- the job's program, in a process of its own --- */

/* One try, with a connection of its own: 200 within 2 s. */
static bool
ask_once(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct timeval limit = { .tv_sec = 2 };
	char text[512], in[2048];
	size_t n = 0;
	char *colon = strchr(t.host, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	at.sin_addr = mf_cloud_address(t.key, t.r->key);
	at.sin_port = htons((uint16_t)atoi(colon + 1));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)snprintf(text, sizeof(text),
	    "GET /v1/aws/data HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nConnection: close\r\n\r\n", t.host,
	    t.secret);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
		(void)close(fd);
		return false;
	}
	ssize_t got;
	while (n < sizeof(in) - 1 && (got = recv(fd, in + n, sizeof(in) - 1 - n, 0)) > 0)
		n += (size_t)got;
	in[n] = '\0';
	(void)close(fd);
	return strstr(in, " 200 OK") != NULL && strstr(in, "AKIAIOSFODNN7EXAMPLE") != NULL;
}

/* Until ${stop} closes. Exit code 0: not one call failed, and there were some. */
static _Noreturn void
plain_client(int stop)
{
	struct pollfd over = { .fd = stop, .events = POLLIN };
	unsigned calls = 0, failed = 0;
	while (poll(&over, 1, 5) == 0) {
		bool good = false;
		for (int k = 0; k < TRIES && !good; k++)
			good = ask_once();
		calls++;
		failed += !good;
	}
	(void)fprintf(stderr, "# %u calls, %u failed\n", calls, failed);
	_exit(failed == 0 && calls > 0 ? 0 : 1);
}

static _Noreturn void
boto_client(int stop)
{
	static const char script[] =
	    "import botocore.session, os, select, sys\n"
	    "calls = failed = 0\n"
	    "while not select.select([int(sys.argv[1])], [], [], 0)[0]:\n"
	    "    calls += 1\n"
	    "    try:\n"
	    "        c = botocore.session.Session().get_credentials().get_frozen_credentials()\n"
	    "        failed += c.access_key != 'AKIAIOSFODNN7EXAMPLE'\n"
	    "    except Exception as e:\n"
	    "        failed += 1\n"
	    "        print('#', type(e).__name__, str(e)[:300], file=sys.stderr)\n"
	    "print('#', calls, 'calls by botocore,', failed, 'failed', file=sys.stderr)\n"
	    "sys.exit(failed != 0 or calls == 0)\n";
	char number[16];
	(void)snprintf(number, sizeof(number), "%d", stop);
	(void)fcntl(stop, F_SETFD, 0);
	(void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", t.uri, 1);
	(void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", t.file, 1);
	(void)setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	(void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	(void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	static const char *const others[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN" };
	for (size_t k = 0; k < MF_COUNT(others); k++)
		(void)unsetenv(others[k]);
	(void)execlp("python3", "python3", "-c", script, number, (char *)NULL);
	_exit(127);
}

static void
begin_client(void (*client)(int stop))
{
	int p[2];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	t.client = fork();
	assert_true(t.client >= 0);
	if (t.client == 0) {
		(void)close(p[1]);
		client(p[0]);
	}
	(void)close(p[0]);
	t.stop = p[1];
}

static bool
client_gone(void *ctx)
{
	return waitpid(t.client, ctx, WNOHANG) == t.client;
}

static void
end_client(void)
{
	int st = 0;
	(void)close(t.stop);
	assert_true(mf_frig_until(t.r, client_gone, &st));
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
}

static bool
asked_again(void *ctx)
{
	return t.r->cloud_mints > *(unsigned *)ctx;
}

static void
restart_under(void (*client)(int stop))
{
	unsigned before = 0;
	begin_client(client);
	assert_true(mf_frig_until(t.r, asked_again, &before));
	for (int k = 0; k < RESTARTS; k++) {
		before = t.r->cloud_mints;
		/* In order, by the signal that service managers send, and by one that nobody can prepare for. */
		stop_front(k % 3 == 0 ? 0 : k % 3 == 1 ? SIGTERM : SIGKILL);
		start_front();
		/* What a front held is gone with it: the next one asks again for who asks it. */
		assert_true(mf_frig_until(t.r, asked_again, &before));
	}
	end_client();
}

static void
test_restarts(void **state)
{
	MF_UNUSED(state);
	restart_under(plain_client);
}

static void
test_restarts_boto(void **state)
{
	MF_UNUSED(state);
	if (system("python3 -c 'import botocore' 2>/dev/null") != 0) {
		(void)fprintf(stderr, "skipped restarts_boto: python3 has no botocore\n");
		skip();
	}
	restart_under(boto_client);
}

int
main(void)
{
	if (mf_instrumented(NULL))
		assert_int_equal(setenv("ASAN_OPTIONS", "detect_leaks=0", 1), 0);
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restarts_boto, setup, teardown) };
	return cmocka_run_group_tests_name("cloud_endpoint", tests, NULL, NULL);
}
