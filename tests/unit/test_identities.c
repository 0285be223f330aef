/* identities: who watches an entry, and what hearing of a change may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/front/identities.h"

struct pair {
	struct mf_identities *ids;
	struct mf_identity_watch watch, other;
	unsigned told, other_told;
};

static void
ends_both(struct mf_identity_watch *w)
{
	struct pair *p = MF_CONTAINER_OF(w, struct pair, watch);
	p->told++;
	mf_identity_watch_set(p->ids, &p->other, NULL);
	mf_identity_watch_set(p->ids, &p->watch, NULL);
}

static void
counts(struct mf_identity_watch *w)
{
	MF_CONTAINER_OF(w, struct pair, other)->other_told++;
}

static const struct mf_attestor_link_ops no_ops;

/* A job's connection is closed when its job ends, and what it waits for with it: the next watch in the list. */
static void
test_hearing_ends_the_next_watch(void **state)
{
	struct mf_loop *loop = NULL;
	struct mf_attestor_link *link = NULL;
	struct pair p = { .watch = { .changed = ends_both }, .other = { .changed = counts } };
	struct pair q = { .watch = { .changed = counts }, .other = { .changed = counts } };
	struct mf_svid_entry *e = NULL;
	Mayfly__Roles__V1__InstanceEnded m = MAYFLY__ROLES__V1__INSTANCE_ENDED__INIT;
	MF_UNUSED(state);
	assert_int_equal(mf_loop_new(&loop, NULL), MF_OK);
	assert_int_equal(mf_attestor_link_new(loop, "test", &no_ops, NULL, &link, NULL), MF_OK);
	const struct mf_identities_config conf = { .loop = loop,
		.link = link,
		.trust_domain = "example.org",
		.refusal_ms = 1000,
		.adopt_ms = 1000 };
	assert_int_equal(mf_identities_new(&conf, &p.ids, NULL), MF_OK);
	assert_int_equal(mf_identities_bind(p.ids, "local/n/b/cg-1", 7, 1000, &e, NULL), MF_OK);
	mf_identity_watch_set(p.ids, &p.watch, e);
	mf_identity_watch_set(p.ids, &p.other, e);
	mf_identity_watch_set(p.ids, &q.other, e);
	m.handle = 7;
	mf_identities_on_ended(p.ids, &m);
	assert_int_equal(p.told, 1);
	assert_int_equal(p.other_told, 0);
	assert_int_equal(q.other_told, 1); /* who came after it has heard of it */
	assert_null(p.watch.entry);
	mf_identity_watch_set(p.ids, &q.other, NULL);
	mf_identities_free(p.ids);
	mf_attestor_link_free(link);
	mf_loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hearing_ends_the_next_watch) };
	return cmocka_run_group_tests_name("identities", tests, NULL, NULL);
}
