/* admin_signers in the notary: signatures over this act, of enough persons, in time, under this policy, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/core/snapshot.h"
#include "broker/notary/approval.h"
#include "codec/sshsig.h"
#include "engine_rig.h"
#include "lib/sign_kit.h"
#include "rpc/admin_text.h"

#define NONCE "00112233445566778899aabbccddeeff"

struct world {
	struct rig *r;
	struct sign_key p[4]; /* alice, alice's second key, bob, nobody */
	struct mf_buf signers;
	struct mf_approval_job *job; /* the last one */
};

static char *
str(const char *s)
{
	return (char *)(uintptr_t)s;
}

static int
setup(void **state)
{
	static const char *const names[] = { "alice", "alice", "bob" };
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->r = mf_rig_new();
	mf_buf_init(&w->signers, MF_LIM_SIGNERS_FILE);
	for (size_t i = 0; i < MF_COUNT(w->p); i++) {
		mf_sign_key_init(&w->p[i]);
		if (i < 3)
			mf_sign_key_line(&w->p[i], names[i], &w->signers);
	}
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	mf_approval_job_free(w->job);
	for (size_t i = 0; i < MF_COUNT(w->p); i++) {
		mf_sign_key_fini(&w->p[i]);
	}
	mf_buf_fini(&w->signers);
	mf_rig_free(w->r);
	free(w);
	return 0;
}

/* How one call differs from a good one. */
struct
try {
	const char *who; /* "02": keys that sign */
	const char *nonce, *policy, *log, *name_space;
	int64_t valid_s;      /* 0: an hour */
	uint32_t signed_uses; /* in the text; 0: as in the call */
	bool cut;	      /* a byte of the first signature is missing */
};

static const char *
policy_of(const struct rig *r)
{
	return mf_state_policy(mf_engine_state(r->e));
}

/* Ask for a token with 3 uses; "" or the refusal. */
static const char *
ask(struct world *w, struct try t)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Roles__V1__AdminApproval ap = MAYFLY__ROLES__V1__ADMIN_APPROVAL__INIT;
	ProtobufCBinaryData sigs[8];
	struct mf_buf text, blobs[8];
	size_t n = 0;
	call.call_id = 5;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call.create_join_token = &q;
	call.loginuid = UINT32_MAX;
	ap.nonce = str(t.nonce == NULL ? NONCE : t.nonce);
	ap.policy_sha256 = str(t.policy == NULL ? policy_of(w->r) : t.policy);
	ap.not_after = w->r->now.wall_us / 1000000 + (t.valid_s == 0 ? 3600 : t.valid_s);
	const struct mf_admin_head head = { .log = t.log == NULL ? mf_state_origin(mf_engine_state(w->r->e))
								 : t.log,
		.policy = ap.policy_sha256,
		.nonce = ap.nonce,
		.not_after_s = ap.not_after };
	mf_buf_init(&text, MF_LIM_ADMIN_TEXT);
	q.uses = t.signed_uses == 0 ? 3 : t.signed_uses;
	if (strlen(ap.nonce) == MF_ADMIN_NONCE)
		assert_int_equal(mf_admin_text(&head, &q.base, &text, NULL), MF_OK);
	q.uses = 3;
	for (const char *who = t.who; *who != '\0'; who++, n++) {
		mf_buf_init(&blobs[n], MF_LIM_SSHSIG);
		mf_sign_text(&w->p[*who - '0'], t.name_space == NULL ? MF_ADMIN_NAMESPACE : t.name_space,
		    mf_buf_slice(&text), &blobs[n]);
		sigs[n] = (ProtobufCBinaryData) { blobs[n].n - (t.cut && n == 0), blobs[n].p };
	}
	ap.n_signatures = n;
	ap.signatures = sigs;
	call.approval = &ap;
	mf_approval_job_free(MF_TAKE(w->job));
	assert_int_equal(
	    mf_approval_job_new(&call, mf_buf_slice(&w->signers), mf_state_origin(mf_engine_state(w->r->e)),
		w->r->now.wall_us / 1000000, &w->job, NULL),
	    MF_OK);
	mf_approval_job_run(w->job);
	mf_engine_admin_checked(w->r->e, w->r->now, w->job->call, &w->job->approval,
	    w->job->status == MF_OK ? NULL : &w->job->err);
	mf_rig_settle(w->r);
	for (size_t i = 0; i < n; i++)
		mf_buf_fini(&blobs[i]);
	mf_buf_fini(&text);
	return w->r->reply->error;
}

static void
refused(struct world *w, struct try t, const char *says)
{
	size_t tokens = mf_rig_count(w->r, MF_REC_TOKEN_CREATED),
	       used = mf_rig_count(w->r, MF_REC_ADMIN_APPROVED);
	const char *error = ask(w, t);
	if (strstr(error, says) == NULL)
		fail_msg("wanted \"%s\", got \"%s\"", says, error);
	assert_int_equal(mf_rig_count(w->r, MF_REC_TOKEN_CREATED), tokens);
	assert_int_equal(mf_rig_count(w->r, MF_REC_ADMIN_APPROVED), used);
}

static void
test_rules(void **state)
{
	struct world *w = *state;
	Mayfly__Roles__V1__AdminCall bare = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	bare.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	bare.create_join_token = &q;
	mf_engine_signers(w->r->e, w->r->now, 2, 2, "ab");
	assert_int_equal(mf_rig_count(w->r, MF_REC_SIGNERS_LOADED), 1);
	mf_engine_admin(w->r->e, w->r->now, &bare);
	assert_non_null(strstr(w->r->reply->error, "needs signatures of 2 person(s)"));
	refused(w, (struct try) { .who = "" }, "0 of 2 persons");
	refused(w, (struct try) { .who = "0" }, "1 of 2 persons have signed: alice");
	refused(w, (struct try) { .who = "01" }, "1 of 2 persons"); /* one person with two keys */
	refused(w, (struct try) { .who = "00" }, "1 of 2 persons");
	refused(w, (struct try) { .who = "023" }, "signature 3: its key is nobody's");
	refused(w, (struct try) { .who = "02", .signed_uses = 4 }, "another text");
	refused(w, (struct try) { .who = "02", .log = "other/log" }, "another text");
	refused(w, (struct try) { .who = "02", .name_space = "git" }, "another purpose");
	refused(w, (struct try) { .who = "02", .cut = true }, "signature 1");
	refused(w, (struct try) { .who = "02", .policy = "abcd" }, "policy has changed");
	refused(w, (struct try) { .who = "02", .valid_s = -1 }, "expired");
	refused(w, (struct try) { .who = "02", .valid_s = 8 * 86400 }, "a week at most");
	refused(w, (struct try) { .who = "02", .nonce = "short" }, "nonce");
	assert_string_equal(ask(w, (struct try) { .who = "02" }), "");
	assert_non_null(w->r->reply->join_token);
	assert_int_equal(mf_rig_count(w->r, MF_REC_ADMIN_APPROVED), 1);
	refused(w, (struct try) { .who = "02" }, "used before");
	refused(w, (struct try) { .who = "20" }, "used before");
	assert_string_equal(
	    ask(w, (struct try) { .who = "20", .nonce = "ffffffffffffffffffffffffffffffff" }), "");
}

/* The record says who signed what, and stands before the act's. */
static void
test_record(void **state)
{
	struct world *w = *state;
	mf_engine_signers(w->r->e, w->r->now, 2, 2, "ab");
	assert_string_equal(ask(w, (struct try) { .who = "120" }), "");
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *a = NULL, *b = NULL;
	const struct rig_record *last = &w->r->log[w->r->log_n - 1], *before = last - 1;
	assert_int_equal(mf_record_decode(mf_slice(before->p, before->n), &a, NULL), MF_OK);
	assert_int_equal(mf_record_decode(mf_slice(last->p, last->n), &b, NULL), MF_OK);
	const struct mf_record *r = mf_record_doc_get(a);
	assert_int_equal(r->type, MF_REC_ADMIN_APPROVED);
	assert_int_equal(mf_record_doc_get(b)->type, MF_REC_TOKEN_CREATED);
	assert_true(mf_slice_eq_str(r->s[MF_RS_SUBJECT], "create_join_token"));
	assert_true(mf_slice_eq_str(r->s[MF_RS_SHA256], w->job->approval.text_sha256));
	assert_int_equal(r->attributes_n, 2);
	assert_true(mf_slice_starts(r->attributes[0], MF_SLICE_LIT("alice=SHA256:")));
	assert_true(mf_slice_starts(r->attributes[1], MF_SLICE_LIT("bob=SHA256:")));
}

/* A nonce is used once over restarts, and in a state read from a snapshot; forgotten when nobody could use it. */
static void
test_nonces_last(void **state)
{
	struct world *w = *state;
	mf_engine_signers(w->r->e, w->r->now, 1, 2, "ab");
	assert_string_equal(ask(w, (struct try) { .who = "0" }), "");
	mf_rig_crash(w->r);
	mf_engine_signers(w->r->e, w->r->now, 1, 2, "ab");
	refused(w, (struct try) { .who = "0" }, "used before");
	/* The state from a snapshot, and from zero. */
	MF_AUTO(mf_state_free) struct mf_state *replayed = mf_rig_replay(w->r, w->r->log_n), *read = NULL;
	char *live = mf_rig_snapshot(mf_engine_state(w->r->e)), *zero = mf_rig_snapshot(replayed);
	assert_string_equal(live, zero);
	assert_int_equal(mf_state_new(&read, NULL), MF_OK);
	assert_int_equal(mf_snapshot_read(mf_slice_str(live), read, NULL), MF_OK);
	assert_true(mf_state_nonce(read, MF_SLICE_LIT(NONCE)));
	assert_false(mf_state_nonce(read, MF_SLICE_LIT("ffffffffffffffffffffffffffffffff")));
	free(live);
	free(zero);
	/* After its hour the next use sweeps it. */
	mf_rig_advance(w->r, 60000);
	w->r->now.wall_us += INT64_C(240) * 1000000;
	mf_rig_advance(w->r, 1000);
	for (int i = 0; i < 20; i++) { /* no jump: both clocks go on */
		w->r->now.mono_ms += 240000;
		w->r->now.wall_us += INT64_C(240) * 1000000;
		mf_rig_advance(w->r, 1000);
	}
	assert_string_equal(
	    ask(w, (struct try) { .who = "0", .nonce = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee" }), "");
	assert_string_equal(
	    ask(w, (struct try) { .who = "0", .nonce = "dddddddddddddddddddddddddddddddd" }), "");
	assert_false(mf_state_nonce(mf_engine_state(w->r->e), MF_SLICE_LIT(NONCE)));
}

/* Removals never wait for signatures; nor does looking. */
static void
test_removals_do_not_wait(void **state)
{
	struct world *w = *state;
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	mf_rig_join(w->r, 1, 1, node, value);
	mf_engine_signers(
	    w->r->e, w->r->now, 3, 2, "ab"); /* more than there are persons: nothing can be added */
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest e = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	e.match = node;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &e;
	mf_engine_admin(w->r->e, w->r->now, &call);
	mf_rig_settle(w->r);
	assert_string_equal(w->r->reply->error, "");
	assert_true(w->r->reply->removal->effective);
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_GET_STATUS;
	call.get_status = &q;
	mf_engine_admin(w->r->e, w->r->now, &call);
	assert_int_equal(w->r->reply->status->signers_required, 3);
	assert_int_equal(w->r->reply->status->signers_persons, 2);
	refused(w, (struct try) { .who = "02" }, "2 of 3 persons");
}

static void
test_clock_confirm(void **state)
{
	struct world *w = *state;
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ConfirmClockRequest q = MAYFLY__ADMIN__V1__CONFIRM_CLOCK_REQUEST__INIT;
	struct rig *r = w->r;
	call.loginuid = UINT32_MAX;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CONFIRM_CLOCK;
	call.confirm_clock = &q;
	mf_engine_admin(r->e, r->now, &call);
	assert_non_null(strstr(r->reply->error, "not in doubt"));
	r->now.wall_us += INT64_C(3600) * 1000000;
	mf_rig_advance(r, 1000);
	assert_false(mf_engine_status(r->e, r->now).issuing);
	assert_non_null(strstr(mf_engine_status(r->e, r->now).reason, "mayfly clock confirm"));
	q.wall_s = r->now.wall_us / 1000000 - 3600; /* the operator's clock says that ours is wrong */
	mf_engine_admin(r->e, r->now, &call);
	assert_non_null(strstr(r->reply->error, "apart from yours"));
	assert_false(mf_engine_status(r->e, r->now).issuing);
	q.wall_s = r->now.wall_us / 1000000 + 3;
	q.reason = str("NTP was off");
	size_t before = r->replies;
	mf_engine_admin(r->e, r->now, &call);
	assert_int_equal(r->replies, before); /* not before it is recorded */
	mf_rig_settle(r);
	assert_string_equal(r->reply->error, "");
	assert_int_equal(r->reply->clock->wall_us, r->now.wall_us);
	assert_int_equal(mf_rig_count(r, MF_REC_CLOCK_CONFIRMED), 1);
	assert_true(mf_engine_status(r->e, r->now).issuing);
	/* With signers it is an act that adds access. */
	mf_engine_signers(r->e, r->now, 1, 2, "ab");
	r->now.wall_us += INT64_C(3600) * 1000000;
	mf_rig_advance(r, 1000);
	q.wall_s = 0;
	mf_engine_admin(r->e, r->now, &call);
	assert_non_null(strstr(r->reply->error, "needs signatures"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rules),
		T(test_record),
		T(test_nonces_last),
		T(test_removals_do_not_wait),
		T(test_clock_confirm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
