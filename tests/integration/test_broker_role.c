/*
 * The broker as it is run: mayfly-broker with its two roles, confined by their tables, an agent that joins it, an
 * administrator on its socket, and the deaths of each role.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "os/sandbox.h"
#include "rpc/grpc_sync.h"

#include "admin.pb-c.h"

#define HANG_MS 60000

struct world {
	char bin[3800], dir[64], socket[128], log[128];
	pid_t broker, agent;
	struct mf_grpc_sync *admin;
	char line[4096]; /* the last that logged() found */
};
static struct world w;

/* ---- processes ---- */

static const char *
in_dir(const char *before, const char *name)
{
	static char text[16][256];
	static size_t next;
	char *t = text[next++ % 16];
	(void)snprintf(t, sizeof(text[0]), "%s%s/%s", before, w.dir, name);
	return t;
}

static pid_t
start(const char *program, const char *const *args, const char *log)
{
	char path[4000];
	char *argv[24];
	size_t n = 0;
	(void)snprintf(path, sizeof(path), "%s/%s", w.bin, program);
	argv[n++] = path;
	for (; *args != NULL && n < MF_COUNT(argv) - 1; args++)
		argv[n++] = strdup(*args);
	argv[n] = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		(void)dup2(fd, 1);
		(void)dup2(fd, 2);
		(void)execv(path, argv);
		_exit(127);
	}
	for (size_t i = 1; i < n; i++)
		free(argv[i]);
	return pid;
}

static int
end_of(pid_t *pid, int sig)
{
	int st = 0;
	if (sig != 0)
		(void)kill(*pid, sig);
	assert_int_equal(waitpid(*pid, &st, 0), *pid);
	*pid = 0;
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static void
nap(void)
{
	(void)poll(NULL, 0, 20);
}

/* How many lines of ${path} have ${a} and ${b}; the last of them is in w.line. */
static unsigned
count_in(const char *path, const char *a, const char *b)
{
	FILE *f = fopen(path, "r");
	char line[4096];
	unsigned n = 0;
	w.line[0] = '\0';
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, a) != NULL && strstr(line, b) != NULL) {
			memcpy(w.line, line, sizeof(line));
			n++;
		}
	if (f != NULL)
		(void)fclose(f);
	return n;
}

/* The last line of the broker's log that has ${a} and ${b}; NULL when there is none. */
static const char *
logged(const char *a, const char *b)
{
	return count_in(w.log, a, b) == 0 ? NULL : w.line;
}

/* Process id of the role, from the supervisor's last word about it. */
static pid_t
role_pid(const char *role)
{
	char of[64];
	uint64_t pid = 0;
	(void)snprintf(of, sizeof(of), "\"of\":\"%s\"", role);
	const char *line = logged("\"event\":\"role.ready\"", of),
		   *at = line == NULL ? NULL : strstr(line, "\"pid\":");
	if (at != NULL && !mf_parse_u64(mf_slice(at + 6, strspn(at + 6, "0123456789")), &pid))
		pid = 0;
	return (pid_t)pid;
}

#define UNTIL(what)                                                              \
	do {                                                                     \
		int u_left = HANG_MS / 20;                                       \
		while (!(what) && u_left-- > 0)                                  \
			nap();                                                   \
		if (u_left < 0)                                                  \
			fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #what); \
	} while (0)

/* ---- the administrator ---- */

#define METHOD(name, q, r)                                                                                   \
	static const struct mf_grpc_method name = { "/mayfly.admin.v1.Admin/" #name,                         \
		&mayfly__admin__v1__##q##__descriptor, &mayfly__admin__v1__##r##__descriptor, MF_GRPC_UNARY, \
		NULL, 0 }
METHOD(GetStatus, get_status_request, status);
METHOD(ListJobs, list_jobs_request, list_jobs_response);
METHOD(ListNodes, list_nodes_request, list_nodes_response);
METHOD(CreateJoinToken, create_join_token_request, create_join_token_response);
METHOD(EvictNode, evict_node_request, removal_response);
METHOD(GetBundle, get_bundle_request, get_bundle_response);

/* NULL: it failed, w.line says why. A connection that is gone is made anew. */
static ProtobufCMessage *
ask(const struct mf_grpc_method *m, const ProtobufCMessage *q)
{
	struct mf_err err = { 0 };
	ProtobufCMessage *r = NULL;
	if (w.admin == NULL && mf_grpc_sync_connect(w.socket, 0, HANG_MS, &w.admin, &err) != MF_OK) {
		(void)snprintf(w.line, sizeof(w.line), "%s", err.msg);
		return NULL;
	}
	if (mf_grpc_sync_unary(w.admin, m, q, &r, &err) == MF_OK)
		return r;
	(void)snprintf(w.line, sizeof(w.line), "%s", err.msg);
	mf_grpc_sync_free(MF_TAKE(w.admin));
	return NULL;
}

static bool
issuing(bool want)
{
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&GetStatus, &q.base);
	const Mayfly__Admin__V1__Status *s = (const void *)r;
	return s != NULL && s->issuing == want && (!want || s->applied_index == s->log_size);
}

/* The state of the only node; "" when there is none. */
static const char *
node_state(char ret_id[80])
{
	static char state[32];
	Mayfly__Admin__V1__ListNodesRequest q = MAYFLY__ADMIN__V1__LIST_NODES_REQUEST__INIT;
	q.all = true;
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&ListNodes, &q.base);
	const Mayfly__Admin__V1__ListNodesResponse *l = (const void *)r;
	state[0] = '\0';
	if (l == NULL || l->n_nodes != 1)
		return state;
	(void)snprintf(state, sizeof(state), "%s", l->nodes[0]->state);
	if (ret_id != NULL)
		(void)snprintf(ret_id, 80, "%s", l->nodes[0]->id);
	return state;
}

/* ---- start and end ---- */

static void
broker_args(const char *args[16], const char *verb)
{
	size_t n = 0;
	args[n++] = verb;
	args[n++] = "--config=/dev/null";
	args[n++] = "--trust-domain=example.org";
	args[n++] = in_dir("--state-dir=", "state");
	args[n++] = in_dir("--run-dir=", "run");
	args[n++] = in_dir("--kek-file=", "kek");
	args[n++] = in_dir("--policy=", "policy.yaml");
	args[n++] = "--listen=127.0.0.1:23861";
	args[n++] = "--metrics-listen=127.0.0.1:23863";
	args[n++] = "--admin-group=";
	args[n] = NULL;
}

static void
broker_up(void)
{
	const char *args[16];
	broker_args(args, "run");
	w.broker = start("mayfly-broker", args, w.log);
	UNTIL(issuing(true));
}

static int
setup(void **state)
{
	static const char policy[] =
	    "mayfly_policy: 1\n"
	    "profiles:\n"
	    "  p:\n"
	    "    purpose: test\n"
	    "    owner: tests\n"
	    "    max_job: 1h\n"
	    "    drain: 0s\n"
	    "    identities:\n"
	    "      - {path: \"/{tenant}/p/job/{job}\", hint: job, x509_ttl: 20m}\n"
	    "    on_end: deny\n"
	    "rules:\n"
	    "  - {id: p, effect: permit, profile: p, owner: tests, review_by: 2099-01-01, nodes: any, "
	    "when: {contains: [attested.unix.uid, \"0\"]}}\n";
	const char *args[16];
	(void)state;
	ssize_t n = readlink("/proc/self/exe", w.bin, sizeof(w.bin) - 8);
	assert_true(n > 0);
	w.bin[n] = '\0';
	*strrchr(w.bin, '/') = '\0';
	memcpy(strrchr(w.bin, '/'), "/bin", 5);
	memcpy(w.dir, "/tmp/mf-broker-XXXXXX", 22);
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(chmod(w.dir, 0755), 0);
	(void)snprintf(w.socket, sizeof(w.socket), "%s/run/admin.sock", w.dir);
	(void)snprintf(w.log, sizeof(w.log), "%s/log", w.dir);
	int fd = open(in_dir("", "policy.yaml"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, policy, sizeof(policy) - 1), sizeof(policy) - 1);
	(void)close(fd);
	broker_args(args, "init");
	pid_t pid = start("mayfly-broker", args, w.log);
	assert_int_equal(end_of(&pid, 0), 0);
	broker_up();
	return 0;
}

static int
teardown(void **state)
{
	char *rm[] = { (char[]) { "rm" }, (char[]) { "-rf" }, w.dir, NULL };
	(void)state;
	mf_grpc_sync_free(w.admin);
	if (w.agent > 0)
		(void)end_of(&w.agent, SIGKILL);
	if (w.broker > 0)
		(void)end_of(&w.broker, SIGTERM);
	if (getenv("MF_TEST_KEEP") != NULL) { /* to look at the logs */
		print_message("kept: %s\n", w.dir);
		return 0;
	}
	pid_t pid = fork();
	if (pid == 0) {
		(void)execvp("rm", rm);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

/* ---- tests: one life, in this order ---- */

static void
test_confined(void **state)
{
	const char *instrumented = NULL;
	(void)state;
	assert_non_null(logged("\"event\":\"role.confined\"", "\"table\":\"broker-front\""));
	if (mf_instrumented(&instrumented))
		print_message("instrumented: %s: the table is wider\n", instrumented);
	else if (mf_landlock_abi() > 0)
		assert_null(strstr(w.line, "\"landlock_abi\":0"));
	Mayfly__Admin__V1__GetBundleRequest q = MAYFLY__ADMIN__V1__GET_BUNDLE_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&GetBundle, &q.base);
	assert_non_null(r);
	assert_true(((const Mayfly__Admin__V1__GetBundleResponse *)(const void *)r)->ca_der.len > 200);
}

static void
test_agent_joins(void **state)
{
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	const char *args[16];
	size_t n = 0;
	(void)state;
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&CreateJoinToken, &q.base);
	if (r == NULL)
		fail_msg("%s", w.line);
	const char *token = ((const Mayfly__Admin__V1__CreateJoinTokenResponse *)(const void *)r)->token;
	int fd = open(in_dir("", "token"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, token, strlen(token)), strlen(token));
	(void)close(fd);
	args[n++] = "run";
	args[n++] = "--config=/dev/null";
	args[n++] = in_dir("--join-token-file=", "token");
	args[n++] = in_dir("--state-dir=", "agent");
	args[n++] = in_dir("--run-dir=", "agent-run");
	args[n++] = in_dir("--socket=", "agent.sock");
	args[n] = NULL;
	w.agent = start("mayfly-agent", args, in_dir("", "agent.log"));
	UNTIL(node_state(NULL)[0] != '\0');
	assert_non_null(logged("\"event\":\"session.opened\"", "\"node\":\"\"")); /* by the lane */
	/* On that lane still: the notary says who it is. */
	UNTIL(strcmp(node_state(NULL), "connected") == 0);
}

/* Reading goes on, the session comes back by itself, the front stays who it is. */
static void
test_notary_dies(void **state)
{
	Mayfly__Admin__V1__ListJobsRequest q = MAYFLY__ADMIN__V1__LIST_JOBS_REQUEST__INIT;
	(void)state;
	pid_t front = role_pid("broker-front"), notary = role_pid("notary");
	assert_true(front > 0 && notary > 0);
	assert_int_equal(kill(notary, SIGKILL), 0);
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&ListJobs, &q.base);
	assert_non_null(r);
	UNTIL(role_pid("notary") != notary && issuing(true));
	UNTIL(strcmp(node_state(NULL), "connected") == 0);
	assert_int_equal(role_pid("broker-front"), front);
	assert_int_equal(kill(front, 0), 0);
}

static void
test_front_dies(void **state)
{
	(void)state;
	pid_t front = role_pid("broker-front"), notary = role_pid("notary");
	assert_int_equal(kill(front, SIGKILL), 0);
	UNTIL(role_pid("broker-front") != front && issuing(true));
	UNTIL(strcmp(node_state(NULL), "connected") == 0);
	assert_int_equal(role_pid("notary"), notary);
}

/* Stopped in order; the file is then replaced by rubbish: the next start builds it anew and knows the node. */
static void
test_tables_are_rebuilt(void **state)
{
	char id[80], again[80];
	static const char junk[5000] = "not a database";
	(void)state;
	(void)node_state(id);
	assert_int_equal(end_of(&w.broker, SIGTERM), 0);
	mf_grpc_sync_free(MF_TAKE(w.admin));
	int fd = open(in_dir("", "state/db/read-model.db"), O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	(void)close(fd);
	broker_up();
	assert_non_null(logged("\"event\":\"read_model.opened\"", "built anew"));
	UNTIL(strcmp(node_state(again), "connected") == 0);
	assert_string_equal(id, again);
}

static void
test_eviction(void **state)
{
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	char id[80], reason[] = "test";
	(void)state;
	(void)node_state(id);
	q.match = id;
	q.reason = reason;
	/* With its certificate: who joins is turned away by the notary, not by the front. */
	UNTIL(count_in(in_dir("", "agent.log"), "\"event\":\"outer.connected\"", "") > 0 &&
	      strstr(w.line, "\"certificate\":true") != NULL && strcmp(node_state(NULL), "connected") == 0);
	unsigned served = count_in(w.log, "\"event\":\"front.serving\"", "");
	MF_AUTO(mf_pb_free) ProtobufCMessage *r = ask(&EvictNode, &q.base);
	if (r == NULL)
		fail_msg("%s", w.line);
	const Mayfly__Admin__V1__RemovalResponse *done = (const void *)r;
	assert_true(done->effective && done->recorded);
	assert_string_equal(done->subject, id);
	assert_string_equal(node_state(NULL), "evicted"); /* at once: the answer waited for the tables */
	/* Its connection is closed and its next one refused; without its certificate the notary turns it away. */
	UNTIL(logged("\"event\":\"agent.refused\"", "was evicted") != NULL);
	assert_int_equal(kill(role_pid("broker-front"), SIGKILL), 0);
	UNTIL(count_in(w.log, "\"event\":\"front.serving\"", "") > served);
	unsigned refused = count_in(w.log, "\"event\":\"session.refused\"", "was evicted");
	UNTIL(count_in(w.log, "\"event\":\"session.refused\"", "was evicted") > refused);
	UNTIL(issuing(true));
}

static void
test_end(void **state)
{
	(void)state;
	assert_int_equal(end_of(&w.broker, SIGTERM), 0);
	assert_null(logged("\"event\":\"role.violation\"", ""));
	assert_null(logged("\"event\":\"confinement.violation\"", ""));
	assert_null(logged("\"event\":\"role.killed\"", ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_confined),
		cmocka_unit_test(test_agent_joins),
		cmocka_unit_test(test_notary_dies),
		cmocka_unit_test(test_front_dies),
		cmocka_unit_test(test_tables_are_rebuilt),
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_end),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
