#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/svid_cache.h"
#include "agent/front/keys.h"
#include "mint.h"

#define NOW INT64_C(1795000000)
#define KEY "local/n1/boot/cg-1"

struct fix {
	struct mint *mint;
	struct mf_svid_cache *cache;
	struct mf_svid_entry *e;
	struct mf_svid_keys keys;
	struct mf_buf chain[MF_LIM_IDENTITIES];
	struct mint_leaf leaf[MF_LIM_IDENTITIES];
	char id[MF_LIM_IDENTITIES][128];
	struct mf_svid_issued issued[MF_LIM_IDENTITIES];
	struct mf_svid_grant grant;
};

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->mint = mf_mint_new("example.org", NOW);
	assert_int_equal(mf_svid_cache_new("example.org", 0, &f->cache, NULL), MF_OK);
	assert_int_equal(mf_svid_cache_bind(f->cache, KEY, 7, 1, &f->e, NULL), MF_OK);
	assert_int_equal(mf_front_keys_make(&f->keys, MF_LIM_IDENTITIES, NULL), MF_OK);
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++) {
		char path[64];
		(void)snprintf(path, sizeof(path), "/t/job/%zu", i);
		(void)snprintf(f->id[i], sizeof(f->id[i]), "spiffe://example.org%s", path);
		mf_buf_init(&f->chain[i], 65536);
		f->leaf[i] = mf_mint_leaf(
		    f->mint, path, f->keys.points[i], NOW, NOW + 1200 + (int64_t)i, &f->chain[i]);
		f->issued[i] = (struct mf_svid_issued) {
			.point = (uint32_t)i,
			.spiffe_id = mf_slice_str(f->id[i]),
			.hint = mf_slice_str(i == 0   ? "job"
					     : i == 1 ? "run"
						      : ""),
			.serial = mf_slice_str(f->leaf[i].serial),
			.chain = mf_buf_slice(&f->chain[i]),
			.not_before_s = f->leaf[i].not_before_s,
			.not_after_s = f->leaf[i].not_after_s,
		};
	}
	f->grant = (struct mf_svid_grant) {
		.lease_id = mf_slice_str("l-1"),
		.job_id = mf_slice_str("j-abc"),
		.job_key = mf_slice_str(KEY),
		.run_id = mf_slice_str("r-abc"),
		.profile = mf_slice_str("dev"),
		.rule = mf_slice_str("r1"),
		.tenant = mf_slice_str("default"),
		.epoch = 3,
		.instance = 1,
		.deadline_s = NOW + 9000,
		.issued = f->issued,
		.n_issued = 2,
	};
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;
	for (size_t i = 0; i < MF_LIM_IDENTITIES; i++)
		mf_buf_fini(&f->chain[i]);
	mf_svid_keys_fini(&f->keys);
	mf_svid_cache_free(f->cache);
	mf_mint_free(f->mint);
	free(f);
	return 0;
}

static enum mf_status
take(struct fix *f, struct mf_err *err)
{
	return mf_svid_take_grant(f->cache, f->e, &f->grant, &f->keys, NOW, NULL, err);
}

static void
set_bundle(struct fix *f)
{
	bool changed = false;
	assert_int_equal(mf_svid_cache_set_bundle(f->cache, mf_mint_ca(f->mint), &changed, NULL), MF_OK);
	assert_true(changed);
}

static void
test_grant(void **state)
{
	struct fix *f = *state;
	struct mf_err err = { 0 };
	uint64_t v = f->e->version;
	mf_svid_pend(f->e);
	assert_int_equal(f->e->state, MF_SVID_PENDING);
	assert_false(mf_svid_servable(f->cache, f->e, NOW));
	assert_int_equal(take(f, &err), MF_OK);
	assert_false(mf_svid_servable(f->cache, f->e, NOW)); /* the bundle is not known */
	set_bundle(f);
	assert_true(mf_svid_servable(f->cache, f->e, NOW));
	assert_true(f->e->version > v);
	assert_int_equal(f->e->n_identities, 2);
	assert_string_equal(f->e->identities[0].spiffe_id, f->id[0]);
	assert_string_equal(f->e->identities[0].hint, "job");
	assert_string_equal(f->e->identities[1].hint, "run");
	assert_string_equal(f->e->identities[0].serial, f->leaf[0].serial);
	assert_int_equal(mf_secret_size(f->e->identities[0].key), 138);
	assert_null(f->keys.pkcs8[0]); /* moved */
	assert_non_null(f->keys.pkcs8[2]);
	assert_string_equal(f->e->job.job_id, "j-abc");
	assert_int_equal(f->e->job.epoch, 3);
	assert_int_equal(mf_svid_expires_s(f->e), NOW + 1200);
	assert_true(mf_svid_servable(f->cache, f->e, NOW + 1199));
	assert_false(mf_svid_servable(f->cache, f->e, NOW + 1200));
	/* the same keys are gone: a grant cannot be taken twice */
	assert_int_equal(take(f, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "grant: identity 0: no key 0 was offered");
}

/* One broken thing each; nothing may change. P-6, P-9, P-10 */
static void
test_bad_grants(void **state)
{
	struct fix *f = *state;
	struct mf_buf two, cut;
	mf_buf_init(&two, 65536);
	mf_buf_init(&cut, 65536);
	mf_buf_put_slice(&two, f->issued[0].chain);
	mf_buf_put_slice(&two, f->issued[1].chain); /* a leaf where a signing certificate should stand */
	mf_buf_put(&cut, f->chain[0].p, f->chain[0].n - 1);
	struct mf_svid_issued good = f->issued[0];
	const struct {
		const char *want;
		struct mf_svid_issued is;
	} t[] = {
		{ "leaf says another SPIFFE ID",
		    { .spiffe_id = mf_slice_str("spiffe://example.org/other") } },
		{ "SPIFFE ID of another trust domain",
		    { .spiffe_id = mf_slice_str("spiffe://evil.org/t/job/0") } },
		{ "SPIFFE ID without a path", { .spiffe_id = mf_slice_str("spiffe://example.org") } },
		{ "SPIFFE ID is not in its folded form",
		    { .spiffe_id = mf_slice_str("SPIFFE://example.org/t/job/0") } },
		{ "spiffe id", { .spiffe_id = mf_slice_str("http://example.org/t") } },
		{ "bad byte", { .spiffe_id = mf_slice("spiffe://example.org/t\0x", 24) } },
		{ "leaf has another serial", { .serial = mf_slice_str("00ff") } },
		{ "bad serial", { .serial = mf_slice_str("") } },
		{ "leaf has other dates", { .not_after_s = NOW + 5000 } },
		{ "leaf has other dates", { .not_before_s = NOW } },
		{ "no key 9 was offered", { .point = 9 } },
		{ "leaf is for another key", { .point = 3 } },
		{ "bad hint", { .hint = mf_slice("\xff\xfe", 2) } },
		{ "is no signing certificate", { .chain = mf_buf_slice(&two) } },
		{ "grant: identity 0", { .chain = mf_buf_slice(&cut) } },
	};
	uint64_t v = f->e->version;
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		struct mf_err err = { 0 };
		struct mf_svid_issued is = good;
		if (t[i].is.spiffe_id.p != NULL)
			is.spiffe_id = t[i].is.spiffe_id;
		if (t[i].is.serial.p != NULL)
			is.serial = t[i].is.serial;
		if (t[i].is.hint.p != NULL)
			is.hint = t[i].is.hint;
		if (t[i].is.chain.p != NULL)
			is.chain = t[i].is.chain;
		if (t[i].is.not_after_s != 0)
			is.not_after_s = t[i].is.not_after_s;
		if (t[i].is.not_before_s != 0)
			is.not_before_s = t[i].is.not_before_s;
		if (t[i].is.point != 0)
			is.point = t[i].is.point;
		f->issued[0] = is;
		assert_int_equal(take(f, &err) == MF_OK, false);
		if (strstr(err.msg, t[i].want) == NULL)
			fail_msg("case %zu: %s", i, err.msg);
		assert_int_equal(f->e->version, v);
		assert_int_equal(f->e->n_identities, 0);
		assert_non_null(f->keys.pkcs8[0]);
	}
	f->issued[0] = good;
	mf_buf_fini(&two);
	mf_buf_fini(&cut);
}

static void
test_bad_sets(void **state)
{
	struct fix *f = *state;
	struct mf_err err = { 0 };
	f->grant.n_issued = 0;
	assert_int_equal(take(f, &err), MF_E_INVALID);
	f->grant.n_issued = 5;
	assert_int_equal(take(f, &err), MF_E_INVALID);
	f->grant.n_issued = 2;
	struct mf_svid_issued keep = f->issued[1];
	f->issued[1] = f->issued[0];
	assert_int_equal(take(f, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "grant: one key for two identities");
	f->issued[1] = keep;
	/* expired on arrival */
	assert_int_equal(
	    mf_svid_take_grant(f->cache, f->e, &f->grant, &f->keys, NOW + 1200, NULL, &err), MF_E_INVALID);
	assert_int_equal(take(f, &err), MF_OK);
}

/* Hints are unique in a response, the first stays, and as many keys as before are offered at a renewal (WAPI-10).
 * P-18 */
static void
test_hint_twice(void **state)
{
	struct fix *f = *state;
	size_t dropped = 0;
	f->grant.n_issued = 4; /* hints: job, job, "", "" */
	f->issued[1].hint = mf_slice_str("job");
	assert_int_equal(mf_svid_take_grant(f->cache, f->e, &f->grant, &f->keys, NOW, &dropped, NULL), MF_OK);
	assert_int_equal(dropped, 1);
	assert_int_equal(f->e->n_identities, 3);
	assert_int_equal(f->e->n_keys, 4);
	assert_string_equal(f->e->identities[0].spiffe_id, f->id[0]);
	assert_string_equal(f->e->identities[1].spiffe_id, f->id[2]);
	assert_string_equal(f->e->identities[2].spiffe_id, f->id[3]);
}

static void
test_states(void **state)
{
	struct fix *f = *state;
	struct mf_err err = { 0 };
	struct mf_svid_entry *e = f->e;
	mf_svid_pend(e);
	mf_svid_refuse(e, 1, mf_slice_str("no rule"), mf_slice_str("deny-all"));
	assert_int_equal(e->state, MF_SVID_REFUSED);
	assert_string_equal(e->reason, "no rule");
	assert_string_equal(e->refusal_rule, "deny-all");
	mf_svid_pend(e);
	assert_int_equal(e->state, MF_SVID_PENDING);
	assert_int_equal(take(f, &err), MF_OK);
	mf_svid_pend(e); /* a renewal does not stop what is served */
	assert_int_equal(e->state, MF_SVID_GRANTED);
	mf_svid_forget(e, mf_slice_str("suspended"));
	assert_int_equal(e->state, MF_SVID_UNKNOWN);
	assert_int_equal(e->n_identities, 0);
	assert_string_equal(e->job.job_id, "j-abc"); /* for people, until the next grant */
	uint64_t v = e->version;
	mf_svid_end(e, mf_slice_str("empty"));
	assert_true(e->version > v);
	v = e->version;
	mf_svid_end(e, mf_slice_str("again"));
	mf_svid_refuse(e, 1, mf_slice_str("x"), mf_slice_str("x"));
	mf_svid_forget(e, mf_slice_str("x"));
	mf_svid_pend(e);
	assert_int_equal(e->state, MF_SVID_ENDED);
	assert_string_equal(e->reason, "empty");
	assert_int_equal(e->version, v);
	mf_svid_keys_fini(&f->keys);
	assert_int_equal(mf_front_keys_make(&f->keys, 4, NULL), MF_OK);
	assert_int_equal(
	    take(f, &err), MF_E_STATE); /* no grant after the end, whatever races (invariant 3) */
	for (int s = 0; s <= MF_SVID_STATE_COUNT; s++)
		assert_non_null(mf_svid_state_name((enum mf_svid_state)s));
}

/* Of a cgroup whose processes are several users': what one was given, another one never sees (invariant 5). */
static void
test_another_user(void **state)
{
	struct fix *f = *state;
	struct mf_err err = { 0 };
	set_bundle(f);
	assert_false(mf_svid_set_uid(f->e, 1001));
	mf_svid_pend(f->e);
	assert_int_equal(take(f, &err), MF_OK);
	assert_false(mf_svid_set_uid(f->e, 1001));
	assert_true(mf_svid_servable(f->cache, f->e, NOW));
	assert_true(mf_svid_set_uid(f->e, 1003));
	assert_false(mf_svid_servable(f->cache, f->e, NOW));
	assert_int_equal(f->e->n_identities, 0);
	assert_int_equal(f->e->state, MF_SVID_UNKNOWN);
	assert_false(mf_svid_set_uid(f->e, 1003));
}

static void
test_bind(void **state)
{
	struct fix *f = *state;
	struct mf_svid_entry *e = NULL, *two = NULL;
	assert_int_equal(mf_svid_cache_bind(f->cache, KEY, 7, 1, &e, NULL), MF_OK);
	assert_ptr_equal(e, f->e);
	/* the attestor came back: another handle, the same instance */
	assert_int_equal(mf_svid_cache_bind(f->cache, KEY, 9, 2, &e, NULL), MF_OK);
	assert_ptr_equal(e, f->e);
	assert_null(mf_svid_cache_by_handle(f->cache, 7));
	assert_ptr_equal(mf_svid_cache_by_handle(f->cache, 9), e);
	assert_ptr_equal(mf_svid_cache_by_key(f->cache, KEY), e);
	/* one handle, two instances: a lie within one generation, a reuse across two */
	assert_int_equal(mf_svid_cache_bind(f->cache, "local/n1/boot/cg-2", 9, 2, &two, NULL), MF_E_INVALID);
	assert_int_equal(mf_svid_cache_bind(f->cache, "local/n1/boot/cg-2", 9, 3, &two, NULL), MF_OK);
	assert_ptr_not_equal(two, e);
	assert_ptr_equal(mf_svid_cache_by_handle(f->cache, 9), two);
	assert_int_equal(mf_svid_cache_count(f->cache), 2);
	mf_svid_cache_del(f->cache, e); /* its stale handle must not take the other's place along */
	assert_ptr_equal(mf_svid_cache_by_handle(f->cache, 9), two);
	assert_int_equal(mf_svid_cache_bind(f->cache, "", 1, 3, &e, NULL), MF_E_INVALID);
	char name[64];
	enum mf_status s = MF_OK;
	for (unsigned i = 100; s == MF_OK && i < 100 + 2 * MF_LIM_NODE_INSTANCES; i++) {
		(void)snprintf(name, sizeof(name), "local/n1/boot/p-%u", i);
		s = mf_svid_cache_bind(f->cache, name, i, 3, &e, NULL);
	}
	assert_int_equal(s, MF_E_EXHAUSTED);
	assert_int_equal(mf_svid_cache_count(f->cache), MF_LIM_NODE_INSTANCES);
}

static void
test_bundle(void **state)
{
	struct fix *f = *state;
	bool changed = true;
	struct mf_err err = { 0 };
	assert_int_equal(mf_svid_cache_set_bundle(f->cache, mf_slice(NULL, 0), &changed, &err), MF_E_INVALID);
	assert_int_equal(
	    mf_svid_cache_set_bundle(f->cache, mf_buf_slice(&f->chain[0]), &changed, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "bundle: certificate 0 is no signing certificate");
	struct mint *evil = mf_mint_new("evil.org", NOW);
	assert_int_equal(mf_svid_cache_set_bundle(f->cache, mf_mint_ca(evil), &changed, &err), MF_E_INVALID);
	assert_string_equal(err.msg, "bundle: certificate 0 is of another trust domain");
	mf_mint_free(evil);
	assert_int_equal(mf_svid_cache_bundle(f->cache).n, 0);
	uint64_t v = f->e->version;
	set_bundle(f);
	assert_true(f->e->version > v);
	v = f->e->version;
	assert_int_equal(mf_svid_cache_set_bundle(f->cache, mf_mint_ca(f->mint), &changed, NULL), MF_OK);
	assert_false(changed); /* what is identical is not pushed */
	assert_int_equal(f->e->version, v);
	assert_int_equal(mf_svid_cache_bundle_version(f->cache), 1);
}

static void
test_texts(void **state)
{
	struct fix *f = *state;
	char long_text[2 * MF_SVID_TEXT_MAX], out[MF_SVID_TEXT_MAX + 1];
	memset(long_text, 'x', sizeof(long_text));
	memcpy(long_text + MF_SVID_TEXT_MAX - 1, "\xc3\xa4", 2); /* a character across the cut */
	mf_svid_text(out, mf_slice(long_text, sizeof(long_text)));
	assert_int_equal(strlen(out), MF_SVID_TEXT_MAX - 1);
	mf_svid_text(out, mf_slice(NULL, 0));
	assert_string_equal(out, "");
	mf_svid_set_reason(f->e, mf_slice_str("broker away"));
	assert_string_equal(f->e->reason, "broker away");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_grant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_grants, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hint_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bundle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
