/* CA keys in the engine: published before they sign, one order with issuance, tainted and revoked, kill -9 anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "engine_jobs.h"
#include "engine_keys.h"

#define DAY_MS UINT64_C(86400000)

#define BUNDLE MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_BUNDLE

static void
id_of(unsigned k, char to[41])
{
	(void)snprintf(to, 41, "%040x", k);
}

/* The key maker's answer: key number ${k}. */
static void
made_under(struct rig *r, unsigned k, bool ok, struct mf_slice roots)
{
	char id[41];
	uint8_t der[] = { 0x30, 0x03, 0x02, 0x01, (uint8_t)k };
	id_of(k, id);
	struct mf_key_made m = { .ok = ok,
		.id = id,
		.certificate = mf_slice(der, sizeof(der)),
		.anchor = roots,
		.nbf = r->order.nbf,
		.exp = r->order.exp };
	mf_rig_key_made(r, &m);
}

static void
made(struct rig *r, unsigned k, bool ok)
{
	made_under(r, k, ok, mf_slice(NULL, 0));
}

static void
ask_prepare(struct rig *r)
{
	mf_rig_ask_prepare(r, "");
}

static void
prepare(struct rig *r, unsigned k)
{
	ask_prepare(r);
	made(r, k, true);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEY);
	assert_string_equal(r->reply->key->key->state, "prepared");
}

static const Mayfly__Roles__V1__AdminReply *
activate(struct rig *r, bool force)
{
	return mf_rig_activate_key(r, "", force);
}

static const Mayfly__Roles__V1__AdminReply *
take_away(struct rig *r, unsigned k, bool revoke)
{
	char id[41];
	id_of(k, id);
	return mf_rig_take_key_away(r, id, revoke);
}

static enum mf_key_state
state_of(struct rig *r, unsigned k)
{
	char id[41];
	id_of(k, id);
	return mf_rig_key_state(r, id);
}

/* ---- tests ---- */

static void
test_first(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_PREPARED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_ACTIVATED), 1);
	assert_int_equal(state_of(r, 1), MF_KEY_ACTIVE);
	assert_int_equal(r->bundle_number, 1);
	assert_int_equal(r->bundle_certs, 1);
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	const Mayfly__Agent__V1__Down *w = mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_WELCOME);
	assert_int_equal(w->welcome->bundle->number, 1);
	assert_memory_equal(w->welcome->bundle->sha256.data, r->bundle_sha256, 32);
	/* A restart publishes the same, and records nothing of keys again. */
	mf_rig_crash(r);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_PREPARED), 1);
	assert_int_equal(mf_rig_count(r, MF_REC_KEY_ACTIVATED), 1);
	assert_int_equal(r->bundle_number, 1);
	mf_rig_free(r);
}

/* kill -9 between the two records of the first key, and before any of them. */
static void
test_first_cut(void **state)
{
	MF_UNUSED(state);
	for (unsigned cut = 0; cut < 2; cut++) {
		struct rig *r = mf_rig_new();
		while (mf_rig_count(r, cut == 0 ? MF_REC_KEY_PREPARED : MF_REC_KEY_ACTIVATED) > 0)
			free(r->log[--r->log_n].p);
		r->durable = r->log_n;
		mf_rig_crash(r);
		assert_int_equal(state_of(r, 1), MF_KEY_ACTIVE);
		assert_int_equal(mf_rig_count(r, MF_REC_KEY_PREPARED), 1);
		assert_int_equal(r->bundle_number, 1);
		mf_rig_free(r);
	}
}

/* FED-16: published before its first use, removed after its last SVID expired. BND-2: the number grows, over restarts too. */
static void
test_life(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX], key[256];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	/* Nothing is out before it is on disk. */
	mf_rig_assert_error(activate(r, true), "mayfly key prepare");
	ask_prepare(r);
	made(r, 2, true);
	assert_int_equal(r->bundle_number, 1);
	assert_null(r->reply);
	mf_rig_assert_error(activate(r, true), "not on disk yet");
	mf_rig_commit(r);
	assert_int_equal(r->bundle_number, 2);
	assert_int_equal(r->bundle_certs, 2);
	const Mayfly__Agent__V1__Down *v = mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_VOUCH);
	assert_int_equal(v->vouch->number, 2);
	assert_memory_equal(v->vouch->sha256.data, r->bundle_sha256, 32);
	ask_prepare(r);
	mf_rig_assert_error(r->reply, "prepared already");
	/* Out for too short a time, then for long enough. */
	mf_rig_assert_error(activate(r, false), "--force");
	mf_rig_advance(r, 1800000);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 2), MF_KEY_PREPARED);
	mf_rig_instance_key(key, node, RIG_BOOT, 2);
	(void)mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	(void)activate(r, false);
	assert_null(r->reply);
	mf_rig_commit(r);
	assert_int_equal(r->reply->what_case, MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_KEY);
	assert_string_equal(r->reply->key->key->state, "active");
	assert_int_equal(state_of(r, 1), MF_KEY_RETIRED);
	assert_int_equal(r->bundle_certs, 2);
	/* The old one signed a node's and a job's certificates of twenty minutes; when they are dead it leaves. */
	const struct mf_key *old = mf_state_next_key(mf_engine_state(r->e), NULL);
	assert_true(old->last_exp > 0);
	int64_t left = old->last_exp + 62 - r->now.wall_us / 1000000;
	mf_rig_advance(r, left > 2 ? (uint64_t)(left - 2) * 1000 : 1000);
	mf_rig_commit(r);
	mf_rig_advance(r, 3000);
	assert_int_equal(r->forgotten_n, 0);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 1), MF_KEY_GONE);
	assert_int_equal(r->forgotten_n, 1);
	assert_string_equal(r->forgotten, RIG_FIRST_CA);
	assert_int_equal(r->bundle_number, 3);
	assert_int_equal(r->bundle_certs, 1);
	/* Numbers go on over a restart; what is gone is said to be so again, in case its file stayed. */
	mf_rig_crash(r);
	assert_int_equal(r->bundle_number, 3);
	assert_int_equal(r->forgotten_n, 2);
	mf_rig_free(r);
}

/* An agent that can confirm holds activation up until it has. */
static void
test_confirmed(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX];
	uint8_t value[16];
	r->features = true;
	mf_rig_join(r, 1, 1, node, value);
	prepare(r, 2);
	mf_rig_advance(r, 1801000);
	mf_rig_assert_error(activate(r, false), "1 of 1 connected agents");
	mf_rig_held(r, 1, 1, BUNDLE, 3); /* of a bundle that it was not told of */
	mf_rig_assert_error(activate(r, false), "1 of 1 connected agents");
	mf_rig_held(r, 1, 1, BUNDLE, 2);
	(void)activate(r, false);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 2), MF_KEY_ACTIVE);
	mf_rig_free(r);
}

/* Signed by one key, recorded after another became active: made anew, never granted. */
static void
test_in_flight(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX], key[256], second[41];
	uint8_t value[16];
	id_of(2, second);
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	prepare(r, 2);
	uint64_t req = mf_rig_attach(r, 1, 1, key, "train", "alice");
	assert_int_equal(r->signing_n, 2);
	assert_string_equal(r->signing[0]->key, RIG_FIRST_CA);
	(void)activate(r, true);
	mf_rig_sign(r, true);
	assert_int_equal(r->signing_n, 2); /* both again */
	for (size_t i = 0; i < 2; i++)
		assert_string_equal(r->signing[i]->key, second);
	assert_int_equal(mf_rig_count(r, MF_REC_SVID_ISSUED), 0);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	const struct mf_key *k = mf_state_key(mf_engine_state(r->e), mf_slice_str(second));
	const struct mf_lease *l = mf_state_next_lease(mf_engine_state(r->e), NULL);
	MF_LIST_EACH(p, &l->creds)
	assert_true(MF_LIST_ITEM(p, struct mf_cred, at)->key == k->index);
	/* The forced act says so in its record. */
	struct mf_record_doc *doc = NULL;
	size_t at = (size_t)k->activated_index;
	assert_int_equal(mf_record_decode(mf_slice(r->log[at].p, r->log[at].n), &doc, NULL), MF_OK);
	const struct mf_record *rec = mf_record_doc_get(doc);
	assert_true(mf_slice_starts(rec->s[MF_RS_REASON], MF_SLICE_LIT("forced: ")));
	assert_int_equal(rec->n[MF_RN_UID], 7);
	assert_int_equal(rec->n[MF_RN_LOGINUID], 9);
	mf_record_doc_free(doc);
	mf_rig_free(r);
}

static void
test_taint_and_revoke(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX], key[256];
	uint8_t value[16];
	mf_rig_join(r, 1, 1, node, value);
	mf_rig_instance_key(key, node, RIG_BOOT, 1);
	uint64_t req = mf_rig_attach(r, 1, 1, key, "train", "alice");
	mf_rig_settle(r);
	char lease[MF_STATE_ID_MAX];
	(void)snprintf(lease, sizeof(lease), "%s", mf_rig_grant(r, 1, req)->lease_id);
	mf_rig_assert_error(take_away(r, 1, false), "activate --force");
	mf_rig_assert_error(take_away(r, 1, true), "taint it first");
	mf_rig_assert_error(take_away(r, 9, false), "no such key");
	prepare(r, 2);
	(void)activate(r, true);
	mf_rig_commit(r);
	/* Tainted: the agents know at once, whatever the disk does; the answer waits. */
	(void)take_away(r, 1, false);
	assert_null(r->reply);
	assert_string_equal(r->kept, "taint-key " RIG_FIRST_CA);
	const Mayfly__Agent__V1__Down *d = mf_rig_push(r, 1, MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST);
	assert_int_equal(d->distrust->n_key_ids, 1);
	assert_int_equal(d->distrust->key_ids[0].len, 20);
	assert_int_equal(d->distrust->key_ids[0].data[19], 1);
	assert_true(d->distrust->spread_ms >= 1000 && d->distrust->spread_ms < 60000);
	assert_int_equal(r->distrusted_n, 1);
	mf_rig_commit(r);
	assert_true(r->reply->removal->recorded);
	assert_int_equal(r->reply->removal->leases, 1);
	assert_int_equal(r->bundle_certs, 2); /* nobody is cut off yet */
	mf_rig_assert_error(take_away(r, 1, false), "already");
	/* It renews: with the new key. One that was away hears at its resync. */
	req = mf_rig_renew(r, 1, 1, lease, 1);
	mf_rig_settle(r);
	assert_non_null(mf_rig_grant(r, 1, req));
	char node2[MF_STATE_ID_MAX];
	mf_rig_join(r, 2, 2, node2, value);
	assert_int_equal(mf_rig_push(r, 2, MAYFLY__AGENT__V1__DOWN__BODY_DISTRUST)->distrust->n_key_ids, 1);
	/* Revoked: out of the bundle when that is on disk, and only then answered. */
	(void)take_away(r, 1, true);
	mf_rig_advance(r, 5000);
	assert_null(r->reply);
	assert_int_equal(r->bundle_certs, 2);
	mf_rig_commit(r);
	assert_non_null(r->reply);
	assert_true(r->reply->removal->recorded);
	assert_int_equal(r->bundle_certs, 1);
	assert_int_equal(r->forgotten_n, 1);
	/* Distrusted until the last of it is dead, then forgotten, without another bundle. */
	uint64_t number = r->bundle_number;
	mf_rig_advance(r, 3700000);
	mf_rig_settle(r);
	assert_int_equal(state_of(r, 1), MF_KEY_GONE);
	assert_int_equal(r->bundle_number, number);
	assert_int_equal(r->distrusted_n, 0);
	mf_rig_free(r);
}

/* A removal that was kept is done after a crash, once. */
static void
test_redo(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	prepare(r, 2);
	(void)activate(r, true);
	mf_rig_commit(r);
	(void)take_away(r, 1, false);
	mf_rig_crash(r);
	assert_int_equal(state_of(r, 1), MF_KEY_RETIRED);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(r->kept));
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(r->kept));
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 1), MF_KEY_TAINTED);
	(void)take_away(r, 1, true);
	mf_rig_crash(r);
	mf_engine_redo_removal(r->e, r->now, mf_slice_str(r->kept));
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 1), MF_KEY_REVOKED);
	assert_int_equal(r->bundle_certs, 1);
	mf_rig_free(r);
}

static void
test_failures(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	/* The disk takes no key. */
	ask_prepare(r);
	ask_prepare(r);
	mf_rig_assert_error(r->reply, "is being made");
	made(r, 2, false);
	mf_rig_assert_error(r->reply, "the disk is full");
	assert_int_equal(r->forgotten_n, 0);
	/* The log is full when the key is there: its file goes. */
	ask_prepare(r);
	mf_engine_log_room(r->e, false);
	made(r, 2, true);
	mf_rig_assert_error(r->reply, "disk is full");
	assert_int_equal(r->forgotten_n, 1);
	ask_prepare(r);
	mf_rig_assert_error(r->reply, "disk is full");
	mf_rig_assert_error(activate(r, true), "mayfly key prepare");
	mf_engine_log_room(r->e, true);
	/* kill -9 while a key is made, and when its record is not on disk: the next one is made from scratch. */
	ask_prepare(r);
	mf_rig_crash(r);
	ask_prepare(r);
	made(r, 3, true);
	mf_rig_crash(r);
	assert_int_equal(r->bundle_number, 1);
	prepare(r, 4);
	assert_int_equal(r->bundle_number, 2);
	/* Its private half is lost: it never signs, forced or not, but it can be put away. */
	char id[41];
	id_of(4, id);
	mf_engine_key_lost(r->e, id);
	mf_rig_assert_error(activate(r, true), "not among the broker's files");
	(void)take_away(r, 4, false);
	mf_rig_commit(r);
	mf_rig_advance(r, 61000); /* it never signed */
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 4), MF_KEY_GONE);
	prepare(r, 5);
	mf_rig_free(r);
}

/* Ten years by themselves: keys follow one another, each in the bundle before it signs, and all old ones leave. */
static void
test_schedule(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	unsigned next = 2;
	r->scheduled = true;
	mf_rig_crash(r);
	for (unsigned day = 0; day < 3650; day++) {
		mf_rig_advance(r, DAY_MS / 2);
		if (r->order.ticket != 0)
			made(r, next++, true);
		mf_rig_commit(r);
		mf_rig_advance(r, DAY_MS / 2);
		mf_rig_commit(r);
		assert_true(r->bundle_certs >= 1 && r->bundle_certs <= 3);
		const struct mf_key *k = mf_state_active_key(mf_engine_state(r->e), MF_KEY_USE_X509);
		assert_true(k->exp - r->now.wall_us / 1000000 > 28 * 86400);
		if (day % 100 == 99)
			mf_rig_crash(r);
	}
	/* Each of 90 days, the next one made when 45 are left. */
	assert_in_range(next, 3650 / 46, 3650 / 44 + 2);
	mf_rig_free(r);
}

/* ---- an upstream CA ---- */

static void
rotate_to(struct rig *r, unsigned k, struct mf_slice roots)
{
	ask_prepare(r);
	made_under(r, k, true, roots);
	mf_rig_commit(r);
	(void)activate(r, true);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, k), MF_KEY_ACTIVE);
}

/*
 * Intermediates of one root: the bundle's content stays, and a tainted one is not called revoked while its root is trusted for
 * others. A new root comes before it is used; the old one can then be taken out, and the state is the same from a snapshot.
 */
static void
test_under_a_root(void **state)
{
	MF_UNUSED(state);
	static const uint8_t first[] = { 0x30, 0x03, 0x02, 0x01, 0x71 },
			     second[] = { 0x30, 0x03, 0x02, 0x01, 0x72, 0x30, 0x03, 0x02, 0x01, 0x73 };
	struct mf_slice root = mf_slice(first, sizeof(first)), next = mf_slice(second, sizeof(second));
	struct rig *r = mf_rig_new();
	rotate_to(r, 2, root);
	assert_int_equal(r->bundle_certs, 2); /* the own root of init is retired, and published */
	rotate_to(r, 3, root);
	assert_int_equal(r->bundle_certs, 2);
	(void)take_away(r, 2, false);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 2), MF_KEY_TAINTED);
	mf_rig_assert_error(take_away(r, 2, true), "have the upstream CA revoke the certificate");
	assert_int_equal(state_of(r, 2), MF_KEY_TAINTED);
	/* The own root stands alone: it can be taken out. */
	(void)take_away(r, 1, false);
	(void)take_away(r, 1, true);
	mf_rig_commit(r);
	assert_int_equal(state_of(r, 1), MF_KEY_REVOKED);
	assert_int_equal(r->bundle_certs, 1);
	/* Another root, and a second one beside it in the file. */
	ask_prepare(r);
	made_under(r, 4, true, next);
	mf_rig_commit(r);
	assert_int_equal(r->bundle_certs, 3);
	assert_int_equal(state_of(r, 3), MF_KEY_ACTIVE);
	(void)activate(r, true);
	mf_rig_commit(r);
	(void)take_away(r, 3, false);
	mf_rig_commit(r);
	(void)take_away(r, 3, true); /* 2 is tainted under the same root, if it is there still */
	mf_rig_commit(r);
	mf_rig_crash(r);
	mf_rig_check_every_prefix(r);
	/* What died leaves; the roots of the active key alone are left. */
	mf_rig_advance(r, 90000000);
	mf_rig_commit(r);
	assert_int_equal(r->bundle_certs, 2);
	mf_rig_free(r);
}

/* The schedule wants a key that lives longer than the active one; a person may have any. */
static void
test_outlive(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_rig_new();
	r->scheduled = true;
	mf_rig_crash(r);
	ask_prepare(r);
	assert_int_equal(r->order.outlive, 0);
	made(r, 2, false);
	for (unsigned day = 0; day < 60 && r->order.ticket == 0; day++) {
		mf_rig_advance(r, DAY_MS);
		mf_rig_commit(r);
	}
	assert_true(r->order.ticket != 0);
	const struct mf_key *active = mf_state_active_key(mf_engine_state(r->e), MF_KEY_USE_X509);
	assert_non_null(active);
	assert_int_equal(r->order.outlive, active->exp);
	/* Not again within the hour when another try would find the same files. */
	struct mf_key_made m = { .later = true, .why = "the upstream CA's certificates end" };
	uint64_t ticket = r->order.ticket;
	mf_rig_key_made(r, &m);
	mf_rig_advance(r, 600000);
	assert_true(r->order.ticket == 0 || r->order.ticket == ticket);
	mf_rig_advance(r, 3600000);
	assert_true(r->order.ticket > ticket);
	mf_rig_free(r);
}

/* ---- snapshots, and random histories ---- */

static uint64_t
draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (*seed >> 33) % below;
}

/*
 * Whatever comes between: preparing, activating, tainting, revoking, issuance in flight, syncs, crashes. The state
 * refuses a certificate that is not signed by the key that is active at its place, and the rig a bundle whose number
 * stood for something else; here it is only made to happen.
 */
static void
one_history(uint64_t seed, bool thorough)
{
	struct rig *r = mf_rig_new();
	char node[MF_STATE_ID_MAX], key[256];
	uint8_t value[16];
	unsigned next = 2, boots = 0;
	uint64_t sid = 1;
	r->features = seed % 2 == 0;
	mf_rig_join(r, sid, 1, node, value);
	for (unsigned step = 0; step < 120; step++) {
		switch (draw(&seed, 10)) {
		case 0:
			ask_prepare(r);
			break;
		case 1:
			if (r->order.ticket != 0)
				made(r, next++, draw(&seed, 4) != 0);
			break;
		case 2:
			(void)activate(r, draw(&seed, 2) == 0);
			break;
		case 3:
			(void)take_away(r, (unsigned)draw(&seed, next) + 1, draw(&seed, 2) == 0);
			break;
		case 4:
		case 5:
			mf_rig_instance_key(key, node, RIG_BOOT, step);
			(void)mf_rig_attach(r, sid, 1, key, "train", "alice");
			break;
		case 6:
			mf_rig_sign(r, true);
			break;
		case 7:
			mf_rig_commit(r);
			break;
		case 8:
			mf_rig_advance(r, draw(&seed, 3000) * 1000);
			break;
		default:
			if (boots++ % 3 != 0)
				break;
			mf_rig_crash(r);
			sid++;
			mf_rig_join(r, sid, (unsigned)sid + 100, node, value);
			break;
		}
	}
	mf_rig_settle(r);
	assert_false(r->sent_undurable);
	if (thorough)
		mf_rig_check_every_prefix(r);
	mf_rig_free(r);
}

static void
test_histories(void **state)
{
	MF_UNUSED(state);
	for (uint64_t i = 1; i <= 300; i++)
		one_history(i * UINT64_C(7919), i % 30 == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_first_cut),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_confirmed),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_taint_and_revoke),
		cmocka_unit_test(test_under_a_root),
		cmocka_unit_test(test_outlive),
		cmocka_unit_test(test_redo),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_histories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
