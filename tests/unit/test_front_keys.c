/* The agent's front: how many keys a request for an identity brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "front_rig.h"

/* A first request offers as many keys as grants have used so far; if that is too few, all that a profile may have. */
static void
test_keys_offered(void **state)
{
	MF_UNUSED(state);
	struct rig *r = mf_frig_new();
	struct rig_client c;
	static const struct {
		unsigned identities, attach, points;
	} steps[] = { { 1, 1, 4 }, { 1, 1, 1 }, { 3, 2, 4 }, { 2, 1, 3 }, { 1, 1, 3 } };
	mf_frig_start(r);
	mf_frig_open(r, &c, &mf_frig_fetch);
	for (size_t i = 0; i < MF_COUNT(steps); i++) {
		r->identities = steps[i].identities;
		unsigned before = r->attach;
		if (i > 0)
			mf_frig_ended(r, r->handle, true);
		const ProtobufCMessage *m = mf_frig_next(&c);
		assert_non_null(m);
		assert_int_equal(((const X509SVIDResponse *)(const void *)m)->n_svids, steps[i].identities);
		assert_int_equal(r->attach - before, steps[i].attach);
		assert_int_equal(r->last_points, steps[i].points);
	}
	assert_false(r->point_twice);
	mf_frig_close(&c);
	mf_frig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_offered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
