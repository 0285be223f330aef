/* Cloud tokens in the state: which record may follow which, and what is known after a replay or a snapshot at any place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_jobs.h"

static struct rig_job job;
static struct rig *rig;
static struct mf_state *st; /* replayed from the rig's log, and then on with what the test adds to it */
static int64_t at_us;
static uint64_t next_id;

static void
begin(void)
{
	rig = mf_rig_with_job(&job);
	st = mf_rig_replay(rig, rig->log_n);
	at_us = mf_state_last_us(st);
	next_id = 0;
}

static void
end(void)
{
	mf_rig_check_every_prefix(rig);
	mf_state_free(st);
	mf_rig_free(rig);
}

static struct mf_record
rec(enum mf_record_type t, const char *serial)
{
	struct mf_record r = { .type = t, .ts_us = ++at_us };
	mf_record_set_str(&r, MF_RS_BROKER, "b1");
	mf_record_set_str(&r, MF_RS_BOOT, RIG_BOOT);
	mf_record_set_str(&r, MF_RS_ORIGIN, "o");
	mf_record_set_str(&r, MF_RS_LEASE, job.lease);
	mf_record_set_str(&r, MF_RS_SERIAL, serial);
	return r;
}

/* Into the state, and when it takes it into the log. */
static enum mf_status
put(struct mf_record *r)
{
	char id[24];
	struct mf_buf b;
	struct mf_err err = { 0 };
	(void)snprintf(id, sizeof(id), "added-%llu", (unsigned long long)++next_id);
	mf_record_set_str(r, MF_RS_ID, id);
	mf_buf_init(&b, MF_LIM_RECORD);
	if (mf_record_encode(r, &b, &err) != MF_OK)
		fail_msg("%s", err.msg);
	enum mf_status s = mf_state_apply(st, rig->log_n, r, &err);
	if (s == MF_OK) {
		struct rig_record *log = realloc(rig->log, (rig->log_n + 1) * sizeof(*log));
		assert_non_null(log);
		rig->log = log;
		rig->log_cap = rig->log_n + 1;
		log[rig->log_n].p = malloc(b.n);
		assert_non_null(log[rig->log_n].p);
		memcpy(log[rig->log_n].p, b.p, b.n);
		log[rig->log_n].n = b.n;
		log[rig->log_n++].removal = mf_record_is_removal(r->type);
	}
	mf_buf_fini(&b);
	return s;
}

static enum mf_status
intent_for(const char *serial, const char *grant, uint32_t epoch)
{
	struct mf_record r = rec(MF_REC_CLOUD_INTENT, serial);
	mf_record_set_str(&r, MF_RS_JOB_ID, job.id);
	mf_record_set_str(&r, MF_RS_CLOUD_GRANT, grant);
	mf_record_set_str(&r, MF_RS_CLOUD_TARGET, "lab");
	mf_record_set_str(&r, MF_RS_CLOUD_BACKEND, "aws-sts");
	mf_record_set_str(&r, MF_RS_CLOUD_ROLE, "arn:aws:iam::1:role/r");
	mf_record_set_str(&r, MF_RS_CLOUD_SESSION, "s");
	mf_record_set_str(&r, MF_RS_CLOUD_SCOPE, "{}");
	mf_record_set_str(&r, MF_RS_CLOUD_SCOPE_SHA256, "44");
	mf_record_set_str(&r, MF_RS_ON_END, "deny");
	mf_record_set_num(&r, MF_RN_EPOCH, epoch);
	mf_record_set_num(&r, MF_RN_EXP, at_us / 1000000 + 3600);
	mf_record_set_num(&r, MF_RN_CLOUD_GENERATION, 1);
	return put(&r);
}

static enum mf_status
intent(const char *serial)
{
	return intent_for(serial, "data", job.epoch);
}

static enum mf_status
outcome(enum mf_record_type t, const char *serial)
{
	struct mf_record r = rec(t, serial);
	if (t == MF_REC_CLOUD_FAILED) {
		mf_record_set_str(&r, MF_RS_CLOUD_ERROR, "denied");
		return put(&r);
	}
	mf_record_set_str(&r, MF_RS_SHA256, "aa");
	mf_record_set_str(&r, MF_RS_CLOUD_PRINCIPAL, "arn:aws:sts::1:assumed-role/r/s");
	mf_record_set_str(&r, MF_RS_CLOUD_PROVIDER_SESSION, "AKIA");
	mf_record_set_num(&r, MF_RN_EXP, at_us / 1000000 + 900);
	mf_record_set_num(&r, MF_RN_CLOUD_EFFECTIVE, at_us / 1000000 + 600);
	mf_record_set_num(&r, MF_RN_CLOUD_HANDLE, 1);
	if (t == MF_REC_CLOUD_RECONCILED)
		mf_record_set_str(&r, MF_RS_CAUSE, "late");
	return put(&r);
}

static enum mf_status
complete(const char *serial, int64_t dead_at)
{
	struct mf_record r = rec(MF_REC_REVOKE_COMPLETED, serial);
	mf_record_set_num(&r, MF_RN_CLOUD_LEVEL, 2);
	mf_record_set_num(&r, MF_RN_CLOUD_DEAD_AT, dead_at);
	return put(&r);
}

static enum mf_status
over(enum mf_record_type t)
{
	struct mf_record r = rec(t, "");
	mf_record_set_str(&r, MF_RS_JOB_ID, job.id);
	mf_record_set_str(&r, MF_RS_CAUSE, "empty");
	mf_record_set_num(&r, MF_RN_EPOCH, job.epoch);
	return put(&r);
}

static const struct mf_cloud_cred *
get(const char *serial)
{
	const struct mf_cloud_cred *c = mf_state_cloud(st, mf_slice_str(serial));
	assert_non_null(c);
	return c;
}

static void
test_a_token_and_its_next_one(void **state)
{
	MF_UNUSED(state);
	begin();
	assert_int_equal(intent("c-1"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_INTENT);
	assert_true(get("c-1")->deny_on_end);
	assert_true(mf_cloud_may_work(get("c-1"), at_us / 1000000)); /* nobody knows that it does not */
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-1"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_ACTIVE);
	assert_string_equal(get("c-1")->provider_session, "AKIA");
	assert_int_equal(get("c-1")->exp - get("c-1")->effective, 300);
	assert_true(get("c-1")->handle);
	/* Another grant's is no generation of it. */
	assert_int_equal(intent_for("c-2", "wandb", job.epoch), MF_OK);
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-2"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_ACTIVE);
	assert_int_equal(intent("c-3"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_ACTIVE); /* until there is another */
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-3"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_SUPERSEDED);
	assert_int_equal(over(MF_REC_LEASE_ENDED), MF_OK);
	assert_int_equal(
	    get("c-1")->state, MF_CLOUD_ENDED); /* it works until its end, so it is taken back too */
	assert_int_equal(get("c-2")->state, MF_CLOUD_ENDED);
	assert_int_equal(get("c-3")->state, MF_CLOUD_ENDED);
	assert_int_equal(get("c-3")->ended_us, at_us);
	assert_int_equal(complete("c-3", at_us / 1000000), MF_OK);
	assert_int_equal(get("c-3")->state, MF_CLOUD_COMPLETED);
	assert_int_equal(get("c-3")->level, 2);
	assert_false(mf_cloud_may_work(get("c-3"), at_us / 1000000));
	assert_true(mf_cloud_may_work(get("c-2"), at_us / 1000000));
	assert_int_equal(complete("c-3", at_us / 1000000), MF_OK); /* again is fine */
	end();
}

static void
test_nothing_is_issued_out_of_order(void **state)
{
	MF_UNUSED(state);
	begin();
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-1"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_FAILED, "c-1"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_RECONCILED, "c-1"), MF_E_CORRUPT);
	assert_int_equal(intent_for("c-1", "data", job.epoch + 1), MF_E_CORRUPT);
	assert_int_equal(intent("c-1"), MF_OK);
	assert_int_equal(intent("c-1"), MF_E_CORRUPT);
	assert_int_equal(complete("c-1", 1), MF_E_CORRUPT); /* it was not ended */
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-1"), MF_OK);
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-1"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_FAILED, "c-1"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_RECONCILED, "c-1"), MF_E_CORRUPT);
	/* A failed one is gone, id and all. */
	assert_int_equal(intent("c-2"), MF_OK);
	assert_int_equal(outcome(MF_REC_CLOUD_FAILED, "c-2"), MF_OK);
	assert_null(mf_state_cloud(st, MF_SLICE_LIT("c-2")));
	/* Those that are asked for when the lease ends can only be taken back. */
	assert_int_equal(intent("c-3"), MF_OK);
	assert_int_equal(intent("c-4"), MF_OK);
	assert_int_equal(over(MF_REC_LEASE_ENDED), MF_OK);
	assert_int_equal(get("c-3")->state, MF_CLOUD_INTENT);
	assert_true(get("c-3")->ended_us != 0);
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-3"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_RECONCILED, "c-3"), MF_OK);
	assert_true(get("c-3")->orphan && get("c-3")->state == MF_CLOUD_ENDED);
	assert_int_equal(outcome(MF_REC_CLOUD_FAILED, "c-4"), MF_OK);
	assert_int_equal(intent("c-5"), MF_E_CORRUPT);
	struct mf_record k = rec(MF_REC_CLOUD_KEPT, "c-9");
	mf_record_set_str(&k, MF_RS_JOB_ID, job.id);
	mf_record_set_str(&k, MF_RS_CLOUD_GRANT, "data");
	mf_record_set_str(&k, MF_RS_CLOUD_TARGET, "lab");
	mf_record_set_str(&k, MF_RS_CLOUD_BACKEND, "aws-sts");
	mf_record_set_str(&k, MF_RS_CLOUD_SCOPE_SHA256, "44");
	mf_record_set_str(&k, MF_RS_CLOUD_STATE, "active");
	mf_record_set_num(&k, MF_RN_EPOCH, job.epoch);
	mf_record_set_num(&k, MF_RN_EXP, 1);
	mf_record_set_num(&k, MF_RN_CLOUD_GENERATION, 1);
	assert_int_equal(put(&k), MF_E_CORRUPT); /* in snapshots only */
	end();
}

static void
test_a_suspension_takes_the_epoch(void **state)
{
	MF_UNUSED(state);
	begin();
	assert_int_equal(intent("c-1"), MF_OK);
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-1"), MF_OK);
	assert_int_equal(intent("c-2"), MF_OK);
	assert_int_equal(over(MF_REC_LEASE_SUSPENDED), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_ENDED);
	struct mf_record r = rec(MF_REC_LEASE_RESUMED, "");
	mf_record_set_str(&r, MF_RS_RULE, "r");
	mf_record_set_str(&r, MF_RS_POLICY, "p");
	mf_record_set_num(&r, MF_RN_EPOCH, job.epoch + 1);
	assert_int_equal(put(&r), MF_OK);
	/* What was asked for before does not come back with the lease. */
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-2"), MF_E_CORRUPT);
	assert_int_equal(outcome(MF_REC_CLOUD_RECONCILED, "c-2"), MF_OK);
	assert_int_equal(intent("c-3"), MF_E_CORRUPT);
	job.epoch++;
	assert_int_equal(intent("c-3"), MF_OK);
	assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, "c-3"), MF_OK);
	assert_int_equal(get("c-1")->state, MF_CLOUD_ENDED);
	assert_int_equal(get("c-3")->state, MF_CLOUD_ACTIVE);
	end();
}

static void
test_it_is_forgotten_when_it_is_dead(void **state)
{
	char id[16];
	MF_UNUSED(state);
	begin();
	for (unsigned i = 0; i < 6; i++) {
		(void)snprintf(id, sizeof(id), "c-%u", i);
		assert_int_equal(intent(id), MF_OK);
		assert_int_equal(outcome(MF_REC_CLOUD_ISSUED, id), MF_OK);
	}
	at_us += INT64_C(901) * 1000000; /* all of them are expired; the last one is the grant's latest */
	assert_int_equal(intent("d-1"), MF_OK);
	assert_int_equal(intent("d-2"), MF_OK);
	assert_int_equal(intent("d-3"), MF_OK);
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(id, sizeof(id), "c-%u", i);
		assert_null(mf_state_cloud(st, mf_slice_str(id)));
	}
	assert_int_equal(get("c-5")->state, MF_CLOUD_ACTIVE);
	assert_int_equal(over(MF_REC_LEASE_ENDED), MF_OK);
	/* Expired: nothing to take back. */
	assert_int_equal(get("c-5")->state, MF_CLOUD_COMPLETED);
	assert_int_equal(get("c-5")->level, 0);
	assert_int_equal(get("c-5")->dead_at, get("c-5")->exp);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_token_and_its_next_one),
		cmocka_unit_test(test_nothing_is_issued_out_of_order),
		cmocka_unit_test(test_a_suspension_takes_the_epoch),
		cmocka_unit_test(test_it_is_forgotten_when_it_is_dead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
