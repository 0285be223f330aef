/* Whose login a local administrator's is: asked for at the connect, told to the notary with every act. */
#include <sys/socket.h>
#include <unistd.h>

#include "front_world.h"

static struct {
	uint32_t number;
	unsigned times, refuse; /* refuse: this time it cannot be asked */
	int pid;
} asked;

static enum mf_status
on_ask_login(void *ctx, uint32_t number, int sock, struct mf_err *err)
{
	MF_UNUSED(ctx);
	struct ucred peer = { 0 };
	socklen_t n = sizeof(peer);
	assert_int_equal(getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &n), 0);
	asked.number = number;
	asked.pid = peer.pid;
	asked.times++;
	return asked.refuse == asked.times ? MF_FAIL(err, MF_E_IO, "the supervisor is deaf") : MF_OK;
}

static int
setup(void **state)
{
	struct fw *w = malloc(sizeof(*w));
	assert_non_null(w);
	mf_fw_init(w);
	memset(&asked, 0, sizeof(asked));
	w->conf.ask_login = on_ask_login;
	w->conf.login_ms = 100;
	mf_fw_serve(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	mf_fw_fini(*state);
	free(*state);
	return 0;
}

static void
ask(struct fw_client *c, struct fw_unary *u)
{
	Mayfly__Admin__V1__ListKeysRequest q = MAYFLY__ADMIN__V1__LIST_KEYS_REQUEST__INIT;
	mf_fw_call(c, "ListKeys", &q.base, &mayfly__admin__v1__list_keys_response__descriptor, u);
}

/* The call that was asked reaches the notary; the login that it is told. */
static uint32_t
told(struct fw *w, struct fw_unary *u, size_t nth)
{
	FW_UNTIL(w, mf_fn_count(w, MF_MSG_ADMIN_CALL) == nth);
	const Mayfly__Roles__V1__AdminCall *call = mf_fn_last(w, MF_MSG_ADMIN_CALL);
	uint32_t uid = call->loginuid;
	assert_int_equal(call->pid, getpid());
	mf_fn_fail(&w->n, call->call_id, "denied", "enough");
	FW_UNTIL(w, u->over);
	mf_fw_unary_fini(u);
	return uid;
}

static void
test_told(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	mf_fw_admin(w, &c);
	FW_UNTIL(w, asked.times == 1);
	assert_int_equal(asked.pid, getpid());
	mf_broker_front_login(w->f, asked.number + 1, 7); /* not a question of ours */
	mf_broker_front_login(w->f, asked.number, 1000);
	ask(&c, &u);
	assert_int_equal(told(w, &u, 1), 1000);
	mf_broker_front_login(w->f, asked.number, 1001); /* twice: the first one counts */
	ask(&c, &u);
	assert_int_equal(told(w, &u, 2), 1000);
	assert_int_equal(asked.times, 1); /* once for a connection */
}

/* Nothing that the caller says is looked at meanwhile. */
static void
test_held(void **state)
{
	struct fw *w = *state;
	static struct fw_client c;
	struct fw_unary u;
	mf_fw_stop_front(w);
	w->conf.login_ms = FW_HANG_MS;
	mf_fn_unlink(w);
	mf_fn_forget(w);
	mf_fw_serve(w);
	mf_fw_admin(w, &c);
	ask(&c, &u);
	FW_UNTIL(w, asked.times == 1);
	mf_fw_settle(w);
	assert_int_equal(mf_fn_count(w, MF_MSG_ADMIN_CALL), 0);
	mf_broker_front_login(w->f, asked.number, UINT32_MAX); /* nobody logged in */
	assert_int_equal(told(w, &u, 1), UINT32_MAX);
}

/* Ending access does not wait for who cannot say it. And who goes before the answer leaves nothing behind. */
static void
test_no_answer(void **state)
{
	struct fw *w = *state;
	static struct fw_client c, deaf, gone;
	struct fw_unary u;
	mf_fw_admin(w, &c);
	ask(&c, &u);
	assert_int_equal(told(w, &u, 1), UINT32_MAX);
	mf_broker_front_login(w->f, asked.number, 1000); /* too late */
	ask(&c, &u);
	assert_int_equal(told(w, &u, 2), UINT32_MAX);
	asked.refuse = 2;
	mf_fw_admin(w, &deaf);
	ask(&deaf, &u);
	assert_int_equal(told(w, &u, 3), UINT32_MAX);
	assert_int_equal(asked.times, 2);
	mf_fw_admin(w, &gone);
	FW_UNTIL(w, asked.times == 3);
	mf_fw_hang_up(w, &gone);
	mf_fw_settle(w);
	mf_broker_front_login(w->f, asked.number, 1000);
	mf_fw_settle(w);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(test_told), TEST(test_held), TEST(test_no_answer) };
	return cmocka_run_group_tests_name("front_admin_login", tests, NULL, NULL);
}
