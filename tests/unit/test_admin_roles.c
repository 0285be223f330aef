/* The tables of admin roles against the protobuf descriptors: no RPC and no admin call without a row, no row without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker/core/admin_roles.h"

#include "admin.pb-c.h"
#include "roles.pb-c.h"

#define CURE "add its row to broker/core/admin_roles.c (and to docs/reference/roles.md)"

static void
test_every_rpc(void **state)
{
	const ProtobufCServiceDescriptor *d = &mayfly__admin__v1__admin__descriptor;
	(void)state;
	for (unsigned i = 0; i < d->n_methods; i++)
		if (mf_admin_rpc_rule(mf_slice_str(d->methods[i].name)) == NULL)
			fail_msg("mayfly.admin.v1.Admin/%s says no role that may call it: " CURE,
			    d->methods[i].name);
	for (size_t i = 0; i < mf_admin_rpc_count; i++)
		if (protobuf_c_service_descriptor_get_method_by_name(d, mf_admin_rpcs[i].name) == NULL)
			fail_msg("%s has a role, but admin.proto has no such RPC", mf_admin_rpcs[i].name);
	assert_int_equal(mf_admin_rpc_count, d->n_methods); /* none twice */
}

static bool
is_act(const ProtobufCFieldDescriptor *f)
{
	return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

static void
test_every_act(void **state)
{
	const ProtobufCMessageDescriptor *d = &mayfly__roles__v1__admin_call__descriptor;
	size_t n = 0;
	(void)state;
	for (unsigned i = 0; i < d->n_fields; i++) {
		n += is_act(&d->fields[i]);
		if (is_act(&d->fields[i]) && mf_admin_act_rule(mf_slice_str(d->fields[i].name)) == NULL)
			fail_msg("AdminCall.%s says no role that may ask for it: " CURE, d->fields[i].name);
	}
	for (size_t i = 0; i < mf_admin_act_count; i++) {
		const ProtobufCFieldDescriptor *f =
		    protobuf_c_message_descriptor_get_field_by_name(d, mf_admin_acts[i].name);
		if (f == NULL || !is_act(f))
			fail_msg("%s has a role, but AdminCall has no such member", mf_admin_acts[i].name);
	}
	assert_int_equal(mf_admin_act_count, n);
}

/* An RPC and the act that carries the same request ask for the same. */
static void
test_tables_agree(void **state)
{
	const ProtobufCServiceDescriptor *d = &mayfly__admin__v1__admin__descriptor;
	const ProtobufCMessageDescriptor *c = &mayfly__roles__v1__admin_call__descriptor;
	size_t n = 0;
	(void)state;
	for (unsigned i = 0; i < d->n_methods; i++)
		for (unsigned k = 0; k < c->n_fields; k++) {
			if (!is_act(&c->fields[k]) || c->fields[k].descriptor != d->methods[i].input)
				continue;
			const struct mf_admin_rule *rpc = mf_admin_rpc_rule(mf_slice_str(d->methods[i].name)),
						   *act = mf_admin_act_rule(mf_slice_str(c->fields[k].name));
			assert_non_null(rpc);
			assert_non_null(act);
			if (rpc->least != act->least || rpc->adds != act->adds)
				fail_msg("%s and AdminCall.%s carry one request and ask for different things",
				    rpc->name, act->name);
			n++;
		}
	assert_true(n >= 5);
}

static void
test_rules_make_sense(void **state)
{
	const struct mf_admin_rule *const t[] = { mf_admin_rpcs, mf_admin_acts };
	const size_t n[] = { mf_admin_rpc_count, mf_admin_act_count };
	(void)state;
	for (size_t k = 0; k < MF_COUNT(t); k++)
		for (size_t i = 0; i < n[k]; i++) {
			assert_in_range(t[k][i].least, MF_ADMIN_VIEWER, MF_ADMIN_ADMIN);
			/* Who may only look or remove cannot add, signed or not. */
			if (t[k][i].adds && t[k][i].least < MF_ADMIN_OPERATOR)
				fail_msg("%s adds access, but a %s may do it", t[k][i].name,
				    mf_admin_role_name(t[k][i].least));
			if (i > 0 && strcmp(t[k][i - 1].name, t[k][i].name) >= 0)
				fail_msg("%s stands in the wrong place: the table is sorted", t[k][i].name);
		}
}

static void
test_words(void **state)
{
	enum mf_admin_role r = MF_ADMIN_NOBODY;
	(void)state;
	for (int i = MF_ADMIN_VIEWER; i < MF_ADMIN_ROLES; i++) {
		assert_true(mf_admin_role_parse(mf_slice_str(mf_admin_role_name((enum mf_admin_role)i)), &r));
		assert_int_equal(r, i);
	}
	assert_false(mf_admin_role_parse(MF_SLICE_LIT("nobody"), &r));
	assert_false(mf_admin_role_parse(MF_SLICE_LIT("Admin"), &r));
	assert_false(mf_admin_role_parse(MF_SLICE_LIT("admin\0"), &r));
	assert_false(mf_admin_role_parse(MF_SLICE_LIT(""), &r));
	assert_null(mf_admin_rpc_rule(MF_SLICE_LIT("Foo")));
	assert_null(mf_admin_rpc_rule(MF_SLICE_LIT("")));
	assert_string_equal(mf_admin_role_name(MF_ADMIN_ROLES), "nobody");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_rpc),
		cmocka_unit_test(test_every_act),
		cmocka_unit_test(test_tables_agree),
		cmocka_unit_test(test_rules_make_sense),
		cmocka_unit_test(test_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
