#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "rpc/role_links.h"

#include "roles.pb-c.h"

static void
test_tables_are_sane(void **state)
{
	MF_UNUSED(state);
	const struct mf_role_table *const tables[] = { &mf_link_broker, &mf_link_courier, &mf_link_agent,
		&mf_link_verifier, &mf_link_resolver };
	for (size_t i = 0; i < MF_COUNT(tables); i++) {
		struct mf_err err = { 0 };
		if (mf_role_table_check(tables[i], &err) != MF_OK)
			fail_msg("%s: %s", tables[i]->name, err.msg);
	}
}

/* What travels the wrong way, too early or with a descriptor is fatal, whatever its bytes. */
static void
test_direction_state_and_descriptor(void **state)
{
	MF_UNUSED(state);
	const struct mf_role_msg *row;
	ProtobufCMessage *msg;
	const struct mf_slice none = mf_slice(NULL, 0);
	/* the front may not say what the notary says */
	assert_int_equal(mf_role_decode(&mf_link_broker, MF_LINK_INNER, MF_LINK_OPEN, MF_MSG_ADMIN_REPLY,
			     none, false, &row, &msg, NULL),
	    MF_E_DENIED);
	/* nothing but the hello before the hello */
	assert_int_equal(mf_role_decode(&mf_link_broker, MF_LINK_INNER, MF_LINK_HELLO, MF_MSG_ADMIN_CALL,
			     none, false, &row, &msg, NULL),
	    MF_E_STATE);
	/* a job's socket comes with WhoIs and with nothing else */
	assert_int_equal(mf_role_decode(&mf_link_agent, MF_LINK_INNER, MF_LINK_OPEN, MF_MSG_WHO_IS, none,
			     false, &row, &msg, NULL),
	    MF_E_DENIED);
	assert_int_equal(mf_role_decode(&mf_link_agent, MF_LINK_INNER, MF_LINK_OPEN, MF_MSG_CONN_GONE, none,
			     true, &row, &msg, NULL),
	    MF_E_DENIED);
	assert_int_equal(
	    mf_role_decode(&mf_link_broker, MF_LINK_INNER, MF_LINK_OPEN, 999, none, false, &row, &msg, NULL),
	    MF_E_UNSUPPORTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_are_sane),
		cmocka_unit_test(test_direction_state_and_descriptor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
