#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/inner_client.h"

#define BOOT "0f3c9e6a-0000-4000-8000-000000000001"
#define VALUE MF_SLICE_LIT("0123456789abcdef")

/* A fake owner: writes down what it is asked for. */
struct fake {
	struct mf_instances *table;
	struct mf_inner_client *c;
	struct mf_buf log; /* one word an event */
	uint64_t last_id, last_end_id;
	bool store_fails;
	uint64_t now;
};

static struct mf_now
at(const struct fake *f)
{
	return (struct mf_now) { .wall_us = 1, .mono_ms = f->now };
}

static void
on_send(void *ctx, enum mf_ic_what what, uint64_t id, struct mf_instance *const *held, size_t n)
{
	static const char *const names[] = { "hello", "join", "stored", "resync", "heartbeat" };
	struct fake *f = ctx;
	f->last_id = id;
	mf_buf_putf(&f->log, "%s", names[what]);
	for (size_t i = 0; i < n; i++)
		mf_buf_putf(&f->log, "+%s", held[i]->name);
	mf_buf_put_str(&f->log, " ");
}

static void
on_end(void *ctx, uint64_t id, const struct mf_instance *i)
{
	struct fake *f = ctx;
	f->last_end_id = id;
	mf_buf_putf(&f->log, "end+%s ", i->name);
}

static enum mf_status
on_store(void *ctx, struct mf_slice v, struct mf_err *err)
{
	struct fake *f = ctx;
	assert_true(mf_slice_eq(v, VALUE));
	mf_buf_put_str(&f->log, "store ");
	return f->store_fails ? MF_FAIL(err, MF_E_IO, "disk full") : MF_OK;
}

static void
on_verdict(void *ctx, struct mf_instance *i, enum mf_ic_verdict v)
{
	mf_buf_putf(&((struct fake *)ctx)->log, "verdict+%s=%d ", i->name, (int)v);
}

static void
on_recorded(void *ctx, struct mf_instance *i)
{
	struct fake *f = ctx;
	mf_buf_putf(&f->log, "recorded+%s ", i->name);
	mf_instances_del(f->table, i);
}

static void
on_lost(void *ctx, enum mf_ic_kind kind, uint64_t tag)
{
	mf_buf_putf(&((struct fake *)ctx)->log, "lost+%d/%d ", (int)kind, (int)tag);
}

static void
on_phase(void *ctx, enum mf_ic_phase p, const char *reason)
{
	MF_UNUSED(reason);
	mf_buf_putf(&((struct fake *)ctx)->log, "[%s] ", mf_ic_phase_name(p));
}

static void
on_close(void *ctx, const char *reason)
{
	MF_UNUSED(reason);
	mf_buf_put_str(&((struct fake *)ctx)->log, "close ");
}

static void
on_evicted(void *ctx)
{
	mf_buf_put_str(&((struct fake *)ctx)->log, "evicted ");
}

static const struct mf_ic_ops ops = { .send = on_send,
	.send_end = on_end,
	.store = on_store,
	.verdict = on_verdict,
	.recorded = on_recorded,
	.lost = on_lost,
	.phase = on_phase,
	.close = on_close,
	.evicted = on_evicted };

/* What happened since the last look. */
static void
expect(struct fake *f, const char *want)
{
	const char *got = mf_buf_cstr(&f->log);
	if (strcmp(got, want) != 0)
		print_message("got:  %s\nwant: %s\n", got, want);
	assert_string_equal(got, want);
	mf_buf_reset(&f->log);
}

static int
setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	mf_buf_init(&f->log, 65536);
	f->now = 1000;
	assert_int_equal(mf_instances_new(BOOT, &f->table, NULL), MF_OK);
	assert_int_equal(mf_ic_new(&ops, f, f->table, &f->c, NULL), MF_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fake *f = *state;
	mf_ic_free(f->c);
	mf_instances_free(f->table);
	mf_buf_fini(&f->log);
	free(f);
	return 0;
}

static struct mf_instance *
add(struct fake *f, uint64_t id, const char *lease, bool ended)
{
	struct mf_instance *i = NULL;
	assert_int_equal(mf_instances_add(f->table, MF_INSTANCE_CGROUP, id, &i, NULL), MF_OK);
	assert_int_equal(mf_instance_set(&i->lease_id, mf_slice_str(lease), 99, NULL), MF_OK);
	i->asked = true;
	if (ended) {
		i->state = MF_JOB_ENDED;
		i->end_cause = MF_END_EMPTY;
	}
	return i;
}

static enum mf_status
welcome(struct fake *f, uint64_t id, struct mf_err *err)
{
	const struct mf_ic_welcome w = { .version = 1, .session_value = VALUE, .heartbeat_ms = 500 };
	return mf_ic_welcome(f->c, id, &w, at(f), err);
}

static void
make_ready(struct fake *f)
{
	mf_ic_opened(f->c, false, at(f));
	assert_int_equal(welcome(f, f->last_id, NULL), MF_OK);
	assert_int_equal(mf_ic_resync_answer(f->c, f->last_id, NULL, 0, at(f), NULL), MF_OK);
	assert_int_equal(mf_ic_phase(f->c), MF_IC_READY);
	mf_buf_reset(&f->log);
}

#define KEY(name) MF_SLICE_LIT("local/n/" BOOT "/" name)

/* Order of a session: value on disk, confirmed, spooled ends, then the resync of what lives. */
static void
test_order(void **state)
{
	struct fake *f = *state;
	add(f, 1, "l-1", false);
	add(f, 2, "", false)->asked = false; /* nothing to judge */
	add(f, 5, "", false);		     /* its grant may be on the way, its lease open over there */
	add(f, 3, "l-3", true);
	add(f, 4, "l-4", false);
	mf_ic_opened(f->c, true, at(f));
	expect(f, "[greeting] join ");
	uint64_t id = 0;
	assert_int_equal(mf_ic_request(f->c, MF_IC_ATTACH, 1, at(f), &id, NULL), MF_E_UNAVAILABLE);
	assert_int_equal(welcome(f, f->last_id, NULL), MF_OK);
	expect(f, "store [resyncing] stored end+cg-3 resync+cg-1+cg-5+cg-4 ");
	/* One that ends now is told at once, and its verdict does not matter any more. */
	struct mf_instance *four = mf_instances_by_cgroup(f->table, 4);
	four->state = MF_JOB_ENDED;
	four->end_cause = MF_END_EMPTY;
	mf_ic_end(f->c, four);
	mf_ic_end_answer(f->c, KEY("cg-3"), false); /* effective only: kept */
	mf_ic_end_answer(f->c, KEY("cg-3"), true);
	mf_ic_end_answer(f->c, KEY("cg-3"), true);
	mf_ic_end_answer(f->c, KEY("cg-1"), true); /* lives: not to be ended by an answer */
	const struct mf_ic_verdict_in v[] = { { KEY("cg-1"), MF_IC_SUSPENDED },
		{ KEY("cg-5"), MF_IC_UNKNOWN }, { KEY("cg-4"), MF_IC_KEEP } };
	assert_int_equal(mf_ic_resync_answer(f->c, f->last_id, v, 3, at(f), NULL), MF_OK);
	expect(f, "end+cg-4 recorded+cg-3 verdict+cg-1=2 verdict+cg-5=4 [ready] ");
	assert_int_equal(mf_ic_request(f->c, MF_IC_ATTACH, 1, at(f), &id, NULL), MF_OK);
}

static void
test_resync_mistakes(void **state)
{
	struct fake *f = *state;
	add(f, 1, "l-1", false);
	add(f, 2, "l-2", false);
	struct mf_err err = { 0 };
	mf_ic_opened(f->c, false, at(f));
	assert_int_equal(
	    mf_ic_resync_answer(f->c, f->last_id, NULL, 0, at(f), NULL), MF_E_INVALID); /* too early */
	assert_int_equal(welcome(f, f->last_id + 1, NULL), MF_E_INVALID);		/* not ours */
	const struct mf_ic_welcome bad = { .version = 2, .session_value = VALUE },
				   bad2 = { .version = 1, .session_value = MF_SLICE_LIT("short") };
	assert_int_equal(mf_ic_welcome(f->c, f->last_id, &bad, at(f), &err), MF_E_INVALID);
	assert_int_equal(mf_ic_welcome(f->c, f->last_id, &bad2, at(f), &err), MF_E_INVALID);
	assert_int_equal(welcome(f, f->last_id, NULL), MF_OK);
	assert_int_equal(welcome(f, f->last_id, NULL), MF_E_INVALID); /* twice */
	mf_buf_reset(&f->log);
	const struct mf_ic_verdict_in swapped[] = { { KEY("cg-2"), MF_IC_KEEP },
		{ KEY("cg-1"), MF_IC_KEEP } },
				      senseless[] = { { KEY("cg-1"), (enum mf_ic_verdict)9 },
					      { KEY("cg-2"), MF_IC_KEEP } };
	assert_int_equal(mf_ic_resync_answer(f->c, f->last_id, swapped, 1, at(f), &err), MF_E_INVALID);
	assert_int_equal(mf_ic_resync_answer(f->c, f->last_id, swapped, 2, at(f), &err), MF_E_INVALID);
	assert_int_equal(mf_ic_resync_answer(f->c, f->last_id, senseless, 2, at(f), &err), MF_E_INVALID);
	expect(f, ""); /* nothing was believed in part */
	assert_int_equal(mf_ic_phase(f->c), MF_IC_RESYNCING);
}

/* A value that is not on disk is not confirmed. */
static void
test_store_fails(void **state)
{
	struct fake *f = *state;
	add(f, 3, "l-3", true);
	f->store_fails = true;
	mf_ic_opened(f->c, false, at(f));
	assert_int_equal(welcome(f, f->last_id, NULL), MF_E_IO);
	expect(f, "[greeting] hello store ");
	mf_ic_closed(f->c, "x", at(f));
	expect(f, "[down] ");
}

static void
test_requests(void **state)
{
	struct fake *f = *state;
	make_ready(f);
	uint64_t a = 0, b = 0, d = 0, tag = 0;
	enum mf_ic_kind kind;
	assert_int_equal(mf_ic_request(f->c, MF_IC_ATTACH, 11, at(f), &a, NULL), MF_OK);
	assert_int_equal(mf_ic_request(f->c, MF_IC_RENEW, 12, at(f), &b, NULL), MF_OK);
	assert_int_equal(mf_ic_request(f->c, MF_IC_CERTIFY, 0, at(f), &d, NULL), MF_OK);
	assert_true(a != b && b != d);
	/* A grant answers attach and renew only, and once. */
	assert_int_equal(
	    mf_ic_answered(f->c, d, 1u << MF_IC_ATTACH | 1u << MF_IC_RENEW, &tag, NULL), MF_E_INVALID);
	assert_int_equal(mf_ic_answered(f->c, a, 1u << MF_IC_ATTACH | 1u << MF_IC_RENEW, &tag, NULL), MF_OK);
	assert_int_equal(tag, 11);
	assert_int_equal(mf_ic_answered(f->c, a, 1u << MF_IC_ATTACH, &tag, NULL), MF_E_INVALID);
	assert_int_equal(mf_ic_refusal(f->c, b, 1, "no", &kind, &tag, at(f), NULL), MF_OK);
	assert_int_equal(kind, MF_IC_RENEW);
	assert_int_equal(tag, 12);
	assert_int_equal(mf_ic_refusal(f->c, 999, 1, "no", &kind, &tag, at(f), NULL), MF_E_INVALID);
	expect(f, "");
	/* What is unanswered when the session ends is lost, and ids start anew. */
	mf_ic_closed(f->c, "cut", at(f));
	expect(f, "lost+3/0 [down] ");
	mf_ic_closed(f->c, "cut", at(f));
	expect(f, "");
}

static void
test_many_requests(void **state)
{
	struct fake *f = *state;
	make_ready(f);
	uint64_t id = 0;
	for (unsigned i = 0; i < MF_IC_REQUESTS_MAX; i++)
		assert_int_equal(mf_ic_request(f->c, MF_IC_RENEW, i, at(f), &id, NULL), MF_OK);
	assert_int_equal(mf_ic_request(f->c, MF_IC_RENEW, 1, at(f), &id, NULL), MF_E_EXHAUSTED);
}

static void
test_refused(void **state)
{
	struct fake *f = *state;
	enum mf_ic_kind kind = MF_IC_RENEW;
	uint64_t tag = 5;
	mf_ic_opened(f->c, false, at(f));
	assert_int_equal(
	    mf_ic_refusal(f->c, f->last_id, MF_IC_R_NODE_EVICTED, "evicted", &kind, &tag, at(f), NULL),
	    MF_OK);
	assert_int_equal(kind, 0);
	expect(f, "[greeting] hello [refused] evicted close ");
	mf_ic_closed(f->c, "closed", at(f));
	expect(f, ""); /* stays refused until the next session */
	mf_ic_opened(f->c, false, at(f));
	assert_int_equal(
	    mf_ic_refusal(f->c, f->last_id, MF_IC_R_UNAVAILABLE, "busy", &kind, &tag, at(f), NULL), MF_OK);
	expect(f, "[greeting] hello [down] close ");
	assert_int_equal(
	    mf_ic_refusal(f->c, f->last_id, MF_IC_R_CLONE, "x", &kind, &tag, at(f), NULL), MF_E_INVALID);
	make_ready(f);
	assert_int_equal(mf_ic_refusal(f->c, 0, MF_IC_R_CLONE, "clone", &kind, &tag, at(f), NULL), MF_OK);
	expect(f, "[refused] close ");
}

static void
test_time(void **state)
{
	struct fake *f = *state;
	assert_true(mf_ic_due(f->c) == UINT64_MAX);
	mf_ic_opened(f->c, false, at(f));
	assert_true(mf_ic_due(f->c) == f->now + MF_IC_GREETING_MS);
	f->now = mf_ic_due(f->c) - 1;
	mf_ic_tick(f->c, at(f));
	expect(f, "[greeting] hello ");
	f->now++;
	mf_ic_tick(f->c, at(f));
	expect(f, "close ");
	mf_ic_closed(f->c, "", at(f));
	make_ready(f);
	for (int i = 0; i < 3; i++) {
		f->now = mf_ic_due(f->c);
		mf_ic_tick(f->c, at(f));
		expect(f, "heartbeat ");
		mf_ic_tick(f->c, at(f));
		expect(f, "");
	}
	uint64_t id = 0;
	assert_int_equal(mf_ic_request(f->c, MF_IC_RENEW, 7, at(f), &id, NULL), MF_OK);
	f->now += MF_IC_REQUEST_MS;
	mf_ic_tick(f->c, at(f));
	expect(f, "lost+2/7 heartbeat ");
	f->now += MF_IC_SESSION_MS;
	mf_ic_tick(f->c, at(f));
	expect(f, "close ");
}

/* A session that is replaced while things are under way leaves nothing behind. */
static void
test_replaced(void **state)
{
	struct fake *f = *state;
	make_ready(f);
	uint64_t id = 0;
	assert_int_equal(mf_ic_request(f->c, MF_IC_RENEW, 7, at(f), &id, NULL), MF_OK);
	mf_ic_opened(f->c, false, at(f));
	expect(f, "lost+2/7 [down] [greeting] hello ");
	struct mf_instance *i = add(f, 9, "l-9", true);
	mf_ic_end(f->c, i); /* not before the value is confirmed */
	expect(f, "");
	assert_int_equal(welcome(f, f->last_id, NULL), MF_OK);
	expect(f, "store [resyncing] stored end+cg-9 resync ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resync_mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
