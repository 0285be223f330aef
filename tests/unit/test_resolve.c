/* The broker's name: the front's end of a resolver (agent/front/resolve.c), addresses, and what a resolver answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/front/resolve.h"
#include "agent/resolver/answer.h"
#include "base/clock.h"
#include "os/seqpacket.h"

#include "roles.pb-c.h"

#define BUILD "test-1"
#define HANG_MS 60000

static struct world {
	struct mf_loop *l;
	struct mf_resolve *r;
	unsigned starts, answers;
	bool start_fails, inside;
	char first[64], second[64], why[200];
	size_t n;
	struct mf_seqpacket *helper;
} w;

static enum mf_status
start(void *ctx, struct mf_err *err)
{
	MF_UNUSED(ctx);
	w.starts++;
	return w.start_fails ? MF_FAIL(err, MF_E_IO, "the supervisor is deaf") : MF_OK;
}

static void
done(void *ctx, const char *const *addresses, size_t n, const char *why)
{
	MF_UNUSED(ctx);
	assert_false(w.inside);
	w.answers++;
	w.n = n;
	(void)snprintf(w.first, sizeof(w.first), "%s", n > 0 ? addresses[0] : "");
	(void)snprintf(w.second, sizeof(w.second), "%s", n > 1 ? addresses[1] : "");
	(void)snprintf(w.why, sizeof(w.why), "%s", why);
}

static void
begin(uint32_t patience_ms)
{
	memset(&w, 0, sizeof(w));
	assert_int_equal(mf_loop_new(&w.l, NULL), MF_OK);
	const struct mf_resolve_config cfg = {
		.loop = w.l, .build_id = BUILD, .patience_ms = patience_ms, .start = start, .done = done
	};
	assert_int_equal(mf_resolve_new(&cfg, &w.r, NULL), MF_OK);
}

static void
end(void)
{
	mf_resolve_free(w.r);
	mf_seqpacket_free(w.helper);
	mf_loop_free(w.l);
}

static void
ask(void)
{
	w.inside = true;
	mf_resolve_ask(w.r, "broker.test");
	w.inside = false;
}

/* A helper's process has started; this is its end of the link. */
static void
helper(void)
{
	int fds[2];
	mf_seqpacket_free(w.helper);
	assert_int_equal(mf_seqpacket_pair(fds, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_new(fds[0], 65536, &w.helper, NULL), MF_OK);
	mf_resolve_link(w.r, fds[1]);
}

static void
say(uint16_t type, const ProtobufCMessage *m)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	assert_int_equal(mf_role_encode(&mf_link_resolver, MF_LINK_FRONT, type, m, false, &b, NULL), MF_OK);
	assert_int_equal(mf_seqpacket_send(w.helper, type, mf_buf_slice(&b), -1, NULL), MF_OK);
}

static void
say_hello(const char *build)
{
	Mayfly__Roles__V1__ResolverHello h = MAYFLY__ROLES__V1__RESOLVER_HELLO__INIT;
	h.build_id = (char *)(uintptr_t)build;
	say(MF_MSG_RESOLVER_HELLO, &h.base);
}

static void
until_answered(unsigned n)
{
	for (uint64_t over = mf_now().mono_ms + HANG_MS; w.answers < n && mf_now().mono_ms < over;) {
		assert_int_equal(mf_loop_turn(w.l, false, NULL), MF_OK);
		(void)usleep(1000);
	}
	assert_int_equal(w.answers, n);
}

static void
test_answer(void **state)
{
	MF_UNUSED(state);
	struct mf_packet p;
	const struct mf_role_msg *row;
	ProtobufCMessage *msg = NULL;
	Mayfly__Roles__V1__Resolved m = MAYFLY__ROLES__V1__RESOLVED__INIT;
	char one[] = "192.0.2.1", bad[] = "evil.example", six[] = "2001:db8::1", *list[] = { one, bad, six };
	begin(HANG_MS);
	ask();
	ask(); /* one is out already */
	assert_int_equal(w.starts, 1);
	helper();
	assert_int_equal(mf_seqpacket_recv(w.helper, &p, NULL), MF_OK);
	assert_int_equal(mf_role_decode(&mf_link_resolver, MF_LINK_FRONT, MF_LINK_HELLO, p.type, p.payload,
			     false, &row, &msg, NULL),
	    MF_OK);
	assert_string_equal(((Mayfly__Roles__V1__Resolve *)(void *)msg)->host, "broker.test");
	mf_pb_free(msg);
	say_hello(BUILD);
	m.addresses = list;
	m.n_addresses = 3;
	say(MF_MSG_RESOLVED, &m.base);
	until_answered(1);
	assert_int_equal(w.n, 2); /* what is no address is none of ours */
	assert_string_equal(w.first, one);
	assert_string_equal(w.second, six);
	/* The next question has a process of its own; the name is not known. */
	char why[] = "Name or service not known";
	m.n_addresses = 0;
	m.reason = why;
	ask();
	assert_int_equal(w.starts, 2);
	helper();
	say_hello(BUILD);
	say(MF_MSG_RESOLVED, &m.base);
	until_answered(2);
	assert_int_equal(w.n, 0);
	assert_string_equal(w.why, why);
	end();
}

static void
test_bad_helpers(void **state)
{
	MF_UNUSED(state);
	Mayfly__Roles__V1__Resolved m = MAYFLY__ROLES__V1__RESOLVED__INIT;
	begin(HANG_MS);
	ask();
	helper();
	say_hello("another");
	until_answered(1);
	assert_non_null(strstr(w.why, "another build"));
	ask();
	helper();
	say(MF_MSG_RESOLVED, &m.base); /* without its hello */
	until_answered(2);
	assert_int_equal(w.n, 0);
	ask();
	helper();
	assert_int_equal(mf_seqpacket_send(w.helper, 99, MF_SLICE_LIT("?"), -1, NULL), MF_OK);
	until_answered(3);
	ask();
	helper();
	mf_seqpacket_free(MF_TAKE(w.helper)); /* it dies */
	until_answered(4);
	assert_non_null(strstr(w.why, "ended without an answer"));
	/* A link that nobody waits for is closed. */
	struct mf_packet p;
	helper();
	assert_int_equal(mf_seqpacket_recv(w.helper, &p, NULL), MF_E_CLOSED);
	assert_int_equal(w.answers, 4);
	end();
}

static void
test_nobody(void **state)
{
	MF_UNUSED(state);
	begin(50);
	w.start_fails = true;
	ask();
	assert_int_equal(w.answers, 0);
	until_answered(1);
	assert_string_equal(w.why, "the supervisor is deaf");
	w.start_fails = false;
	ask(); /* no process comes */
	until_answered(2);
	assert_string_equal(w.why, "no answer in time");
	ask();
	helper(); /* it hangs */
	until_answered(3);
	ask();
	end(); /* with a question that is out */
}

/* ---- addresses ---- */

static void
test_addresses(void **state)
{
	MF_UNUSED(state);
	struct mf_front_address a;
	struct mf_err err = { 0 };
	assert_int_equal(mf_front_address_parse("broker.example:8461", &a, &err), MF_OK);
	assert_string_equal(a.name, "broker.example");
	assert_int_equal(a.n, 0);
	assert_int_equal(a.port, 8461);
	assert_int_equal(mf_front_address_parse("192.0.2.1:8461,[2001:db8::1]:8461", &a, &err), MF_OK);
	assert_string_equal(a.name, "");
	assert_int_equal(a.n, 2);
	assert_string_equal(a.host[1], "2001:db8::1");
	static const char *const bad[] = { "", "broker.example", "broker.example:0",
		"broker.example:1,192.0.2.1:1", "192.0.2.1:1,broker.example:1", "192.0.2.1:1,192.0.2.2:2",
		"[broker]:x", ":8461" };
	for (size_t i = 0; i < MF_COUNT(bad); i++)
		if (mf_front_address_parse(bad[i], &a, &err) == MF_OK)
			fail_msg("%s was taken", bad[i]);
	assert_true(mf_front_address_literal("::1"));
	assert_false(mf_front_address_literal("localhost"));
	assert_false(mf_front_address_literal("1.2.3"));
}

/* ---- the resolver's part ---- */

static Mayfly__Roles__V1__Resolved *
resolved(const char *host)
{
	Mayfly__Roles__V1__Resolve q = MAYFLY__ROLES__V1__RESOLVE__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, answer;
	const struct mf_role_msg *row;
	ProtobufCMessage *msg = NULL;
	mf_buf_init(&b, 4096);
	mf_buf_init(&answer, 8192);
	q.host = (char *)(uintptr_t)host;
	assert_int_equal(
	    mf_role_encode(&mf_link_resolver, MF_LINK_INNER, MF_MSG_RESOLVE, &q.base, false, &b, NULL),
	    MF_OK);
	assert_int_equal(mf_resolver_answer(MF_MSG_RESOLVE, mf_buf_slice(&b), false, &answer, NULL), MF_OK);
	assert_int_equal(mf_role_decode(&mf_link_resolver, MF_LINK_INNER, MF_LINK_OPEN, MF_MSG_RESOLVED,
			     mf_buf_slice(&answer), false, &row, &msg, NULL),
	    MF_OK);
	return (Mayfly__Roles__V1__Resolved *)(void *)msg;
}

static void
test_resolver(void **state)
{
	MF_UNUSED(state);
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf answer;
	mf_buf_init(&answer, 8192);
	/* No server is asked for any of these. */
	Mayfly__Roles__V1__Resolved *m = resolved("127.0.0.1");
	assert_int_equal(m->n_addresses, 1);
	assert_string_equal(m->addresses[0], "127.0.0.1");
	mf_pb_free(&m->base);
	m = resolved("localhost");
	assert_true(m->n_addresses >= 1 && m->n_addresses <= 2);
	mf_pb_free(&m->base);
	m = resolved("");
	assert_int_equal(m->n_addresses, 0);
	assert_true(m->reason[0] != '\0');
	mf_pb_free(&m->base);
	assert_int_equal(
	    mf_resolver_answer(MF_MSG_RESOLVE, MF_SLICE_LIT("\xff\xff"), false, &answer, &err), MF_E_INVALID);
	assert_true(mf_resolver_answer(MF_MSG_RESOLVED, MF_SLICE_LIT(""), false, &answer, &err) != MF_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answer), cmocka_unit_test(test_bad_helpers),
		cmocka_unit_test(test_nobody), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_resolver) };
	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
