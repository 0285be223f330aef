/* The courier's pure parts: which addresses may be connected to, and how a lane opens and shuts. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker/courier/address.h"
#include "broker/courier/lane.h"

static void
test_addresses(void **state)
{
	MF_UNUSED(state);
	static const struct {
		const char *text;
		bool public, also, only; /* may be connected to, by rule */
	} cases[] = {
		{ "52.1.2.3", true, true, false },
		{ "10.0.0.1", true, true, false },
		{ "127.0.0.1", false, true, true },
		{ "127.8.9.10", false, true, true },
		{ "169.254.169.254", false, false, false },
		{ "169.254.170.2", false, false, false },
		{ "100.100.100.200", false, false, false },
		{ "0.0.0.0", false, false, false },
		{ "224.0.0.1", false, false, false },
		{ "255.255.255.255", false, false, false },
		{ "2a05:d014::1", true, true, false },
		{ "::1", false, true, true },
		{ "::", false, false, false },
		{ "::7f00:1", false, false, false },
		{ "::ffff:127.0.0.1", false, true, true },
		{ "::ffff:169.254.169.254", false, false, false },
		{ "64:ff9b::169.254.169.254", false, false, false },
		{ "fe80::1", false, false, false },
		{ "febf::1", false, false, false },
		{ "fd00:ec2::254", false, false, false },
		{ "fd00::1", true, true, false },
		{ "ff02::1", false, false, false },
	};
	for (size_t i = 0; i < MF_COUNT(cases); i++) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
		bool four = inet_pton(AF_INET, cases[i].text, &v4.sin_addr) == 1;
		if (!four)
			assert_int_equal(inet_pton(AF_INET6, cases[i].text, &v6.sin6_addr), 1);
		const struct sockaddr *a = four ? (const struct sockaddr *)(const void *)&v4
						: (const struct sockaddr *)(const void *)&v6;
		socklen_t n = four ? sizeof(v4) : sizeof(v6);
		if ((mf_address_refused(a, n, MF_ADDRESS_PUBLIC) == NULL) != cases[i].public ||
		    (mf_address_refused(a, n, MF_ADDRESS_ALSO_LOOPBACK) == NULL) != cases[i].also ||
		    (mf_address_refused(a, n, MF_ADDRESS_LOOPBACK) == NULL) != cases[i].only)
			fail_msg("%s", cases[i].text);
		assert_non_null(mf_address_refused(a, 4, MF_ADDRESS_PUBLIC));
	}
	struct sockaddr un = { .sa_family = AF_UNIX };
	assert_non_null(mf_address_refused(&un, sizeof(un), MF_ADDRESS_PUBLIC));
}

static void
test_lane(void **state)
{
	MF_UNUSED(state);
	struct mf_lane l = { 0 };
	uint32_t after = 0;
	for (unsigned i = 0; i < MF_LANE_MOST; i++) {
		assert_int_equal(mf_lane_ask(&l, 0, false, &after), MF_LANE_GO);
		mf_lane_begin(&l, false);
	}
	assert_int_equal(mf_lane_ask(&l, 0, false, &after), MF_LANE_WAIT);
	assert_int_equal(mf_lane_ask(&l, 0, true, &after), MF_LANE_GO); /* its own places */
	for (unsigned i = 0; i < MF_LANE_MOST; i++)
		assert_int_equal(mf_lane_end(&l, 100, false, MF_LANE_FAILED, 0), i + 1 == MF_LANE_FAILURES);
	assert_int_equal(mf_lane_ask(&l, 600, false, &after), MF_LANE_SHUT);
	assert_int_equal(after, 500);
	assert_int_equal(mf_lane_ask(&l, 1100, false, &after), MF_LANE_GO); /* one may try */
	mf_lane_begin(&l, false);
	assert_int_equal(mf_lane_ask(&l, 1100, false, &after), MF_LANE_SHUT);
	assert_false(mf_lane_end(&l, 1200, false, MF_LANE_FAILED, 0));
	assert_int_equal(mf_lane_ask(&l, 3100, false, &after), MF_LANE_SHUT); /* twice as long */
	assert_int_equal(mf_lane_ask(&l, 3200, false, &after), MF_LANE_GO);
	mf_lane_begin(&l, false);
	assert_true(mf_lane_end(&l, 3300, false, MF_LANE_GOOD, 0));
	assert_int_equal(mf_lane_ask(&l, 3300, false, &after), MF_LANE_GO);
	mf_lane_begin(&l, false);
	assert_false(mf_lane_end(&l, 3400, false, MF_LANE_THROTTLED, 2000));
	assert_int_equal(mf_lane_ask(&l, 5300, false, &after), MF_LANE_WAIT);
	assert_int_equal(mf_lane_ask(&l, 5400, false, &after), MF_LANE_GO);
	/* The one that tried was dropped: another one may. */
	l = (struct mf_lane) { .shut_until_ms = 1, .shut_for_ms = 1, .failures = MF_LANE_FAILURES };
	mf_lane_begin(&l, false);
	mf_lane_drop(&l, false);
	assert_int_equal(mf_lane_ask(&l, 10, false, &after), MF_LANE_GO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_lane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
