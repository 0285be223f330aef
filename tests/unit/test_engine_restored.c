/*
 * The first start after a restore: what the log knew before is void, every node is accepted once, instances attach anew to
 * the job they were part of, and where records may be missing another CA key signs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine_jobs.h"
#include "engine_keys.h"

#define CODE(x) MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_##x
#define VERDICT(x) MAYFLY__AGENT__V1__VERDICT__VERDICT_##x
#define SECOND_CA "0000000000000000000000000000000000000002"

/* As `mayfly-broker restore` leaves the log: what was durable at ${size}, then one record under another name. */
static void
restore_to(struct rig *r, size_t size, const char *cause)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	struct mf_state *st = mf_rig_replay(r, size);
	struct mf_record rec = { .type = MF_REC_LOG_RESTORED, .ts_us = r->now.wall_us };
	char origin[300];
	mf_buf_init(&b, MF_LIM_RECORD);
	(void)snprintf(origin, sizeof(origin), "%s/r-%zu", mf_state_origin(st), size);
	mf_record_set_str(&rec, MF_RS_ID, "00000000-0000-7000-8000-000000000001");
	mf_record_set_str(&rec, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_str(&rec, MF_RS_BROKER, "b1");
	mf_record_set_str(&rec, MF_RS_BOOT, "restore");
	mf_record_set_str(&rec, MF_RS_ORIGIN, origin);
	mf_record_set_str(&rec, MF_RS_CAUSE, cause);
	mf_record_set_str(&rec, MF_RS_VKEY, "v");
	mf_record_set_str(&rec, MF_RS_PREVIOUS_ORIGIN, mf_state_origin(st));
	mf_record_set_str(&rec, MF_RS_PREVIOUS_ROOT, "00");
	mf_record_set_num(&rec, MF_RN_PREVIOUS_SIZE, (int64_t)size);
	assert_int_equal(mf_record_encode(&rec, &b, NULL), MF_OK);
	mf_state_free(st);
	while (r->log_n > size)
		free(r->log[--r->log_n].p);
	uint8_t *p = malloc(b.n);
	assert_non_null(p);
	memcpy(p, b.p, b.n);
	r->log[r->log_n++] = (struct rig_record) { p, b.n, false };
	r->durable = r->log_n;
	r->bundle_number = r->jwt_number = 0; /* another life of numbers: they are looked at below */
	mf_rig_crash(r);
}

static void
restored(struct rig *r, const char *cause)
{
	mf_rig_commit(r);
	restore_to(r, r->log_n, cause);
}

static const Mayfly__Agent__V1__Down *
hello_with(struct rig *r, uint64_t sid, const uint8_t *value, size_t n)
{
	const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, sid, 1, RIG_BOOT, value, n, NULL);
	return d;
}

static Mayfly__Agent__V1__Verdict
comes_back(struct rig *r, uint64_t sid, const struct rig_job *j)
{
	const char *keys[] = { j->key }, *leases[] = { j->lease };
	const Mayfly__Agent__V1__Down *d = hello_with(r, sid, j->value, sizeof(j->value));
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	d = mf_rig_resync(r, sid, 1, keys, leases, &j->epoch, 1);
	mf_rig_settle(r);
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_RESYNC_ANSWER);
	return d->resync_answer->verdicts[0]->verdict;
}

static size_t
voided(const struct rig *r)
{
	size_t n = 0;
	static const char want[] = "\"cause\":\"restored\"";
	for (size_t i = 0; i < r->log_n; i++)
		n += memmem(r->log[i].p, r->log[i].n, want, sizeof(want) - 1) != NULL &&
		     memmem(r->log[i].p, r->log[i].n, "lease.ended", 11) != NULL;
	return n;
}

/* The lease is void; the instance attaches anew, to the same job, under another lease. */
static void
test_leases_are_void(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	restored(r, MF_CAUSE_WHOLE);
	assert_int_equal(mf_rig_lease(r, j.lease)->state, MF_LEASE_ENDED);
	assert_string_equal(mf_rig_lease(r, j.lease)->cause, "restored");
	assert_int_equal(voided(r), 1);
	assert_false(mf_rig_job(r, j.id)->ended);
	assert_int_equal(comes_back(r, 2, &j), VERDICT(UNKNOWN));
	/* What it holds is renewed no more. */
	uint64_t req = mf_rig_renew(r, 2, 1, j.lease, j.epoch);
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(ENDED));
	req = mf_rig_attach(r, 2, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	const Mayfly__Agent__V1__Grant *g = mf_rig_grant(r, 2, req);
	assert_non_null(g);
	assert_string_not_equal(g->lease_id, j.lease);
	const struct mf_lease *l = mf_state_lease_by_key(mf_engine_state(r->e), mf_slice_str(j.key));
	assert_non_null(l);
	assert_string_equal(l->job->id, j.id);
	assert_int_equal(l->n, 2);
	mf_rig_check_every_prefix(r);
	/* And ends as ever: with its job. */
	(void)mf_rig_end(r, 2, 1, j.key, l->id);
	mf_rig_settle(r);
	assert_true(mf_rig_job(r, j.id)->ended);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* A crash between the records of the first start: the next one goes on, and says nothing twice. */
static void
test_crash_while_voiding(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	char key[256];
	for (unsigned i = 1; i < 4; i++) {
		mf_rig_instance_key(key, j.node, RIG_BOOT, 100 + i);
		(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
		mf_rig_settle(r);
	}
	mf_rig_commit(r);
	size_t size = r->log_n;
	restored(r, MF_CAUSE_WHOLE);
	assert_int_equal(voided(r), 4);
	for (size_t cut = size + 1; cut < size + 5; cut++) {
		r->durable = cut;
		mf_rig_crash(r);
		assert_int_equal(voided(r), 4);
		assert_int_equal(mf_state_leases_open(mf_engine_state(r->e)), 0);
		mf_rig_check_replay(r);
	}
	mf_rig_free(r);
}

/* Whatever session value the node holds is taken, once; the second one is a clone as ever. */
static void
test_each_node_once(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	uint8_t other[16] = { 7 };
	restored(r, MF_CAUSE_TAIL);
	const Mayfly__Agent__V1__Down *d = hello_with(r, 2, other, sizeof(other));
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	const char *none = NULL;
	(void)mf_rig_resync(r, 2, 1, &none, &none, NULL, 0); /* stores the value that it was given */
	mf_rig_settle(r);
	d = hello_with(r, 3, other, sizeof(other));
	assert_true(d != NULL && d->body_case == MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	assert_int_equal(d->refusal->code, CODE(CLONE));
	mf_rig_free(r);
}

/* Nobody comes back: the job ends by itself, with that reason. */
static void
test_nobody_comes_back(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	restored(r, MF_CAUSE_WHOLE);
	for (unsigned s = 0; s < 1300 && !mf_rig_job(r, j.id)->ended; s++) {
		if (s == 60) /* a start in between changes nothing */
			mf_rig_crash(r);
		mf_rig_advance(r, 1000);
		mf_rig_commit(r);
	}
	assert_true(mf_rig_job(r, j.id)->ended);
	assert_string_equal(mf_rig_job(r, j.id)->cause, "restored");
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

/* The end was announced before: it is over with the restore, and nobody joins it. */
static void
test_ending_job(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	assert_true(mf_rig_end_job(r, j.id, true)->ending_until > 0);
	restored(r, MF_CAUSE_WHOLE);
	assert_true(mf_rig_job(r, j.id)->ended);
	(void)comes_back(r, 2, &j);
	uint64_t req = mf_rig_attach(r, 2, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_int_equal(mf_rig_refusal(r, 2, req), CODE(ENDED));
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

/* Tokens may have been spent in the records that are lost; when none are, they are as good as before. */
static void
test_join_tokens(void **state)
{
	static const char *const causes[] = { MF_CAUSE_WHOLE, MF_CAUSE_TAIL };
	MF_UNUSED(state);
	for (size_t i = 0; i < MF_COUNT(causes); i++) {
		struct rig *r = mf_rig_new();
		char *token = mf_rig_token(r, 1, 3600);
		mf_rig_settle(r);
		restored(r, causes[i]);
		const Mayfly__Agent__V1__Down *d = mf_rig_hello(r, 5, 5, RIG_BOOT, NULL, 0, token);
		assert_non_null(d);
		assert_int_equal(d->body_case,
		    i == 0 ? MAYFLY__AGENT__V1__DOWN__BODY_WELCOME : MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
		free(token);
		mf_rig_free(r);
	}
}

static void
make_key(struct rig *r, const char *id, uint8_t last)
{
	uint8_t der[] = { 0x30, 0x03, 0x02, 0x01, last };
	struct mf_key_made m = { .ok = true,
		.id = id,
		.certificate = mf_slice(der, sizeof(der)),
		.nbf = r->order.nbf,
		.exp = r->order.exp };
	mf_rig_key_made(r, &m);
	mf_rig_settle(r);
}

static void
ticks(struct rig *r, unsigned seconds)
{
	for (unsigned s = 0; s < seconds; s++) {
		mf_rig_advance(r, 1000);
		mf_rig_settle(r);
	}
}

/* Records may be missing: another key is made and signs at once, the one of before is tainted and stays a day. */
static void
test_ca_is_replaced(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	mf_rig_commit(r);
	uint64_t before = mf_state_bundle(mf_engine_state(r->e), MF_KEY_IN_X509);
	restored(r, MF_CAUSE_TAIL);
	/* Agents may hold numbers that this log has never heard of. */
	assert_true(r->bundle_number > before + 1000000);
	ticks(r, 2);
	assert_true(r->order.ticket != 0 && r->order.outlive == 0);
	assert_int_equal(mf_rig_key_state(r, RIG_FIRST_CA), MF_KEY_ACTIVE);
	/* A crash while it is made. */
	r->order.ticket = 0;
	mf_rig_crash(r);
	ticks(r, 2);
	assert_true(r->order.ticket != 0);
	make_key(r, SECOND_CA, 2);
	ticks(r, 3);
	assert_int_equal(mf_rig_key_state(r, SECOND_CA), MF_KEY_ACTIVE);
	assert_int_equal(mf_rig_key_state(r, RIG_FIRST_CA), MF_KEY_TAINTED);
	assert_int_equal(r->order.ticket, 0);
	assert_int_equal(r->bundle_certs, 2);
	assert_int_equal(r->distrusted_n, 1);
	/* No more than that, however long: and what was signed in the lost records is dead when the old one leaves. */
	const struct mf_key *old = mf_state_key(mf_engine_state(r->e), MF_SLICE_LIT(RIG_FIRST_CA));
	assert_true(old->last_exp >= r->now.wall_us / 1000000 + 86000);
	mf_rig_crash(r);
	ticks(r, 5);
	assert_int_equal(r->order.ticket, 0);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_PREPARED), 2);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* A key that was prepared before is not the one: it may have signed in the records that are lost. */
static void
test_prepared_key_is_not_used(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	mf_rig_settle(r);
	mf_rig_ask_prepare(r, "");
	make_key(r, SECOND_CA, 2);
	assert_int_equal(mf_rig_key_state(r, SECOND_CA), MF_KEY_PREPARED);
	restored(r, MF_CAUSE_TAIL);
	ticks(r, 2);
	assert_int_equal(mf_rig_key_state(r, SECOND_CA), MF_KEY_TAINTED);
	make_key(r, "0000000000000000000000000000000000000003", 3);
	ticks(r, 3);
	assert_int_equal(mf_rig_key_state(r, "0000000000000000000000000000000000000003"), MF_KEY_ACTIVE);
	assert_int_equal(mf_rig_key_state(r, RIG_FIRST_CA), MF_KEY_TAINTED);
	mf_rig_free(r);
}

/* Nothing is missing: the key stays. */
static void
test_whole_keeps_the_ca(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	mf_rig_settle(r);
	restored(r, MF_CAUSE_WHOLE);
	ticks(r, 10);
	assert_int_equal(r->order.ticket, 0);
	assert_int_equal(mf_rig_key_state(r, RIG_FIRST_CA), MF_KEY_ACTIVE);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_TAINTED), 0);
	mf_rig_free(r);
}

/* Twice: the second one continues the log of the first. */
static void
test_twice(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	restored(r, MF_CAUSE_WHOLE);
	(void)comes_back(r, 2, &j);
	uint64_t req = mf_rig_attach(r, 2, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 2, req));
	restored(r, MF_CAUSE_WHOLE);
	assert_int_equal(voided(r), 2);
	assert_int_equal(comes_back(r, 3, &j), VERDICT(UNKNOWN));
	req = mf_rig_attach(r, 3, 1, j.key, "train", "alice");
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 3, req));
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* A record that continues another log, or another size of this one, is refused. */
static void
test_foreign_link(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	mf_rig_commit(r);
	size_t size = r->log_n;
	restored(r, MF_CAUSE_WHOLE);
	struct mf_state *st = mf_rig_replay(r, size);
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	struct mf_err err = { 0 };
	assert_int_equal(mf_record_decode(mf_slice(r->log[size].p, r->log[size].n), &doc, NULL), MF_OK);
	struct mf_record rec = *mf_record_doc_get(doc);
	rec.n[MF_RN_PREVIOUS_SIZE]--;
	assert_int_equal(mf_state_apply(st, size, &rec, &err), MF_E_CORRUPT);
	rec.n[MF_RN_PREVIOUS_SIZE]++;
	mf_record_set_str(&rec, MF_RS_PREVIOUS_ORIGIN, "another/log");
	assert_int_equal(mf_state_apply(st, size, &rec, &err), MF_E_CORRUPT);
	mf_record_set_str(&rec, MF_RS_PREVIOUS_ORIGIN, mf_state_origin(st));
	mf_record_set_str(&rec, MF_RS_ORIGIN, mf_state_origin(st));
	assert_int_equal(mf_state_apply(st, size, &rec, &err), MF_E_CORRUPT);
	mf_state_free(st);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leases_are_void),
		cmocka_unit_test(test_crash_while_voiding),
		cmocka_unit_test(test_each_node_once),
		cmocka_unit_test(test_nobody_comes_back),
		cmocka_unit_test(test_ending_job),
		cmocka_unit_test(test_join_tokens),
		cmocka_unit_test(test_ca_is_replaced),
		cmocka_unit_test(test_prepared_key_is_not_used),
		cmocka_unit_test(test_whole_keeps_the_ca),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_foreign_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
