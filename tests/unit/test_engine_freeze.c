/* Freezes: what matches ends, nothing is issued for it, until somebody, or its time, lifts it. Over crashes too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "engine_jobs.h"

#define WHAT(x) MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_##x
#define ANSWER(x) MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_##x

static void
ask(struct rig *r, Mayfly__Roles__V1__AdminCall *call)
{
	size_t before = r->replies;
	call->call_id = 3;
	call->uid = 7;
	call->loginuid = 4711;
	mf_engine_admin(r->e, r->now, call);
	mf_rig_commit(r);
	assert_int_equal(r->replies, before + 1);
}

static const Mayfly__Roles__V1__AdminReply *
freeze(struct rig *r, const char *kind, const char *name, int64_t for_s)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	char k[32], n[256], why[] = "leaked on a wiki";
	(void)snprintf(k, sizeof(k), "%s", kind);
	(void)snprintf(n, sizeof(n), "%s", name);
	q.kind = k;
	q.name = n;
	q.reason = why;
	q.for_s = for_s;
	call.what_case = WHAT(FREEZE);
	call.freeze = &q;
	ask(r, &call);
	return r->reply;
}

static const Mayfly__Roles__V1__AdminReply *
unfreeze(struct rig *r, const char *kind, const char *name)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__UnfreezeRequest q = MAYFLY__ADMIN__V1__UNFREEZE_REQUEST__INIT;
	char k[32], n[256];
	(void)snprintf(k, sizeof(k), "%s", kind);
	(void)snprintf(n, sizeof(n), "%s", name);
	q.kind = k;
	q.name = n;
	call.what_case = WHAT(UNFREEZE);
	call.unfreeze = &q;
	ask(r, &call);
	return r->reply;
}

static const Mayfly__Admin__V1__ListFreezesResponse *
list(struct rig *r)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ListFreezesRequest q = MAYFLY__ADMIN__V1__LIST_FREEZES_REQUEST__INIT;
	call.what_case = WHAT(LIST_FREEZES);
	call.list_freezes = &q;
	ask(r, &call);
	assert_int_equal(r->reply->what_case, ANSWER(FREEZES));
	return r->reply->freezes;
}

/* Asks for a new instance; NULL: granted. */
static const Mayfly__Agent__V1__Refusal *
attach(struct rig *r, const struct rig_job *j, unsigned i)
{
	char key[256];
	mf_rig_instance_key(key, j->node, RIG_BOOT, i);
	uint64_t q = mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	if (mf_rig_grant(r, 1, q) != NULL)
		return NULL;
	const Mayfly__Agent__V1__Down *d = mf_rig_answer(r, 1, q);
	assert_non_null(d);
	assert_int_equal(d->body_case, MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL);
	return d->refusal;
}

static const char *
rule_of(const struct rig *r, const struct rig_job *j)
{
	return mf_rig_job(r, j->id)->rule;
}

/* Each kind ends the job that it means and no other, refuses by its name, and lets go. */
static void
test_each_kind(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *kind, *name, *other;
	} kinds[] = { { "profile", "train", "shell" }, { "rule", NULL, "no-such-rule" },
		{ "person", "unix:alice", "unix:bob" }, { "tenant", "default", "other" },
		{ "all", "", NULL } };
	for (size_t i = 0; i < MF_COUNT(kinds); i++) {
		struct rig_job j;
		struct rig *r = mf_rig_with_job(&j);
		char rule[128];
		(void)snprintf(rule, sizeof(rule), "%s", rule_of(r, &j));
		const char *name = kinds[i].name == NULL ? rule : kinds[i].name;
		if (kinds[i].other != NULL) {
			assert_int_equal(
			    freeze(r, kinds[i].kind, kinds[i].other, 0)->what_case, ANSWER(REMOVAL));
			assert_int_equal(r->reply->removal->jobs, 0);
			assert_false(mf_rig_job(r, j.id)->ended);
			assert_null(attach(r, &j, 2));
		}
		const Mayfly__Roles__V1__AdminReply *a = freeze(r, kinds[i].kind, name, 0);
		assert_int_equal(a->what_case, ANSWER(REMOVAL));
		assert_true(a->removal->effective && a->removal->jobs > 0 && a->removal->n_credentials > 0);
		assert_true(mf_rig_job(r, j.id)->ended);
		const Mayfly__Agent__V1__Refusal *no = attach(r, &j, 3);
		assert_non_null(no);
		assert_int_equal(no->code, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_DENIED);
		assert_non_null(strstr(no->reason, "froze"));
		assert_non_null(strstr(no->reason, "mayfly unfreeze --"));
		assert_null(strstr(no->reason, "wiki")); /* the operator's words are for operators */
		assert_int_equal(unfreeze(r, kinds[i].kind, name)->what_case, ANSWER(UNFROZEN));
		assert_null(attach(r, &j, 4));
		assert_true(mf_rig_job(r, j.id)->ended); /* for good */
		mf_rig_check_replay(r);
		mf_rig_free(r);
	}
}

/* A freeze that comes while a first certificate is being signed. */
static void
test_in_flight(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	char key[256];
	mf_rig_instance_key(key, j.node, RIG_BOOT, 2);
	uint64_t q = mf_rig_attach(r, 1, 1, key, "train", "alice");
	uint64_t again = mf_rig_renew(r, 1, 1, j.lease, j.epoch);
	(void)freeze(r, "profile", "train", 0);
	mf_rig_settle(r);
	assert_null(mf_rig_grant(r, 1, q));
	assert_null(mf_rig_grant(r, 1, again));
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

static void
test_for_a_time(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	int64_t now_s = r->now.wall_us / 1000000;
	(void)freeze(r, "profile", "train", 60);
	const Mayfly__Admin__V1__ListFreezesResponse *l = list(r);
	assert_int_equal(l->n_freezes, 1);
	assert_string_equal(l->freezes[0]->subject, "profile:train");
	assert_string_equal(l->freezes[0]->reason, "leaked on a wiki");
	assert_int_equal(l->freezes[0]->until, now_s + 60);
	/* Said again for less: it does not get shorter. */
	(void)freeze(r, "profile", "train", 5);
	assert_int_equal(list(r)->freezes[0]->until, now_s + 60);
	for (unsigned i = 0; i < 59; i++)
		mf_rig_advance(r, 1000);
	assert_non_null(attach(r, &j, 2));
	mf_rig_advance(r, 2000);
	mf_rig_settle(r);
	assert_int_equal(list(r)->n_freezes, 0);
	assert_null(attach(r, &j, 3));
	assert_int_equal(mf_rig_count(r, MF_REC_FREEZE_LIFTED), 1);
	/* Without an end, then with one: without. */
	(void)freeze(r, "profile", "train", 0);
	(void)freeze(r, "profile", "train", 5);
	assert_int_equal(list(r)->freezes[0]->until, 0);
	mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

/* Cut after any record of a freeze: the next start ends what is left, and it stays frozen. */
static void
test_crash(void **state)
{
	MF_UNUSED(state);
	for (size_t cut = 0;; cut++) {
		struct rig_job j;
		char kept[128];
		struct rig *r = mf_rig_with_job(&j);
		assert_null(attach(r, &j, 2));
		size_t before = r->log_n;
		Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
		Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
		char kind[] = "profile", name[] = "train";
		q.kind = kind;
		q.name = name;
		call.call_id = 3;
		call.what_case = WHAT(FREEZE);
		call.freeze = &q;
		mf_engine_admin(r->e, r->now, &call);
		size_t all = r->log_n - before;
		assert_true(all > 2);
		(void)snprintf(kept, sizeof(kept), "%s", r->kept);
		assert_string_equal(kept, "freeze 0 profile:train");
		r->durable = before + cut;
		mf_rig_crash(r);
		mf_engine_redo_removal(r->e, r->now, mf_slice_str(kept));
		mf_rig_settle(r);
		assert_non_null(mf_state_freeze(mf_engine_state(r->e), mf_slice_str("profile:train")));
		for (const struct mf_job *k = mf_state_next_job(mf_engine_state(r->e), NULL); k != NULL;
		     k = mf_state_next_job(mf_engine_state(r->e), k))
			assert_true(k->ended);
		mf_rig_check_replay(r);
		mf_rig_free(r);
		if (cut == all)
			break;
	}
}

static void
test_bad_requests(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	char longer[256];
	memset(longer, 'x', 201);
	longer[201] = '\0';
	static const struct {
		const char *kind, *name;
		int64_t for_s;
	} bad[] = { { "profile", "", 0 }, { "", "train", 0 }, { "all", "train", 0 }, { "job", "j-1", 0 },
		{ "profile", "a\nb", 0 }, { "profile", "train", -1 }, { "profile", "train", 367 * 86400 } };
	for (size_t i = 0; i < MF_COUNT(bad); i++) {
		assert_string_equal(freeze(r, bad[i].kind, bad[i].name, bad[i].for_s)->error_code, "invalid");
		assert_int_equal(mf_rig_count(r, MF_REC_FREEZE_SET), 0);
	}
	assert_string_equal(freeze(r, "profile", longer, 0)->error_code, "invalid");
	assert_string_equal(unfreeze(r, "profile", "train")->error_code, "not_found");
	assert_false(mf_rig_job(r, j.id)->ended);
	/* No room but for removals: it is frozen all the same, and stays so. */
	mf_engine_log_room(r->e, false);
	assert_int_equal(freeze(r, "profile", "train", 0)->what_case, ANSWER(REMOVAL));
	assert_string_equal(unfreeze(r, "profile", "train")->error_code, "unavailable");
	assert_true(mf_rig_job(r, j.id)->ended);
	mf_rig_free(r);
}

/* SHA-256 of the last certificate of a job in the log, as its record has it. */
static void
last_certificate(const struct rig *r, uint8_t ret[32])
{
	bool found = false;
	for (size_t i = r->log_n; i-- > 0 && !found;) {
		struct mf_record_doc *doc = NULL;
		assert_int_equal(mf_record_decode(mf_slice(r->log[i].p, r->log[i].n), &doc, NULL), MF_OK);
		const struct mf_record *rec = mf_record_doc_get(doc);
		found = rec->type == MF_REC_SVID_ISSUED && mf_slice_eq_str(rec->s[MF_RS_HOLDER], "job");
		if (found) {
			MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
			mf_buf_init(&b, 64);
			assert_int_equal(mf_base64url_get(rec->s[MF_RS_DER], &b, NULL), MF_OK);
			assert_int_equal(b.n, 32);
			memcpy(ret, b.p, 32);
		}
		mf_record_doc_free(doc);
	}
	assert_true(found);
}

static const Mayfly__Roles__V1__AdminReply *
end_leaked(struct rig *r, uint8_t *hash, size_t n, char *key_id)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndLeakedRequest q = MAYFLY__ADMIN__V1__END_LEAKED_REQUEST__INIT;
	Mayfly__Admin__V1__LeakedCredential leak = MAYFLY__ADMIN__V1__LEAKED_CREDENTIAL__INIT;
	uint8_t other[32] = { 7 };
	ProtobufCBinaryData v[2] = { { 32, other }, { n, hash } };
	char why[] = "on a wiki";
	leak.n_sha256 = 2;
	leak.sha256 = v;
	leak.n_access_key_ids = key_id == NULL ? 0 : 1;
	leak.access_key_ids = &key_id;
	q.leaked = &leak;
	q.reason = why;
	call.what_case = WHAT(END_LEAKED);
	call.end_leaked = &q;
	ask(r, &call);
	return r->reply;
}

/* What leaked ends its job, by its own bytes; a hash of something else finds nobody. */
static void
test_leaked(void **state)
{
	MF_UNUSED(state);
	struct rig_job j;
	struct rig *r = mf_rig_with_job(&j);
	uint8_t hash[32], wrong[32];
	char id[] = "AKIAIOSFODNN7EXAMPLE";
	last_certificate(r, hash);
	memcpy(wrong, hash, sizeof(wrong));
	wrong[31] ^= 1;
	assert_string_equal(end_leaked(r, wrong, 32, NULL)->error_code, "not_found");
	assert_string_equal(end_leaked(r, hash, 31, id)->error_code, "not_found");
	assert_false(mf_rig_job(r, j.id)->ended);
	const Mayfly__Roles__V1__AdminReply *a = end_leaked(r, hash, 32, NULL);
	assert_int_equal(a->what_case, ANSWER(REMOVAL));
	assert_string_equal(a->removal->subject, j.id);
	assert_true(mf_rig_job(r, j.id)->ended);
	assert_non_null(strstr(mf_rig_job(r, j.id)->reason, "leaked x509-svid "));
	mf_rig_check_replay(r);
	mf_rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_kind),
		cmocka_unit_test(test_in_flight), cmocka_unit_test(test_for_a_time),
		cmocka_unit_test(test_crash), cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_leaked) };
	return cmocka_run_group_tests_name("engine_freeze", tests, NULL, NULL);
}
