/* The admins file: what it may say, and what it is told when it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/admins_conf.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
test_good(void **state)
{
	static const char file[] = "mayfly_admins: 1\n"
				   "ca: /etc/mayfly/admin-ca.pem\n"
				   "bundles:\n"
				   "  corp.example: {file: /etc/mayfly/corp.pem}\n"
				   "admins:\n"
				   "  - {role: viewer, spiffe_id: \"spiffe://corp.example/alice\"}\n"
				   "  - {role: admin, fingerprint: \"" HEX "\"}\n"
				   "  - {role: revoker, subject: \"CN=bob,O=Example\"}\n";
	MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("admins.yaml");
	MF_AUTO(mf_admins_conf_free) struct mf_admins_conf *c = NULL;
	(void)state;
	assert_int_equal(mf_admins_conf_load(mf_slice_str(file), p, &c, NULL), MF_OK);
	assert_string_equal(c->ca, "/etc/mayfly/admin-ca.pem");
	const struct mf_admins_bundle *b = c->bundles.v;
	assert_int_equal(c->bundles.n, 1);
	assert_string_equal(b->trust_domain, "corp.example");
	assert_string_equal(b->file, "/etc/mayfly/corp.pem");
	const struct mf_admins_entry *e = c->admins.v;
	assert_int_equal(c->admins.n, 3);
	assert_int_equal(e[0].role, MF_ADMINS_VIEWER);
	assert_string_equal(e[0].spiffe_id, "spiffe://corp.example/alice");
	assert_string_equal(e[0].subject, "");
	assert_int_equal(e[1].role, MF_ADMINS_ADMIN);
	assert_string_equal(e[1].fingerprint, HEX);
	assert_string_equal(e[2].subject, "CN=bob,O=Example");
	assert_string_equal(mf_admins_role_words[e[2].role], "revoker");
}

static void
test_bad(void **state)
{
	static const struct {
		const char *file, *says;
	} t[] = {
		{ "", "mayfly_admins" },
		{ "mayfly_admins: 2\n", "must be 1" },
		{ "mayfly_admins: 1\nadmin: []\n", "admin" },
		{ "mayfly_admins: 1\nca: admin.pem\n", "`ca`" },
		{ "mayfly_admins: 1\nadmins: [{role: root, spiffe_id: \"spiffe://a/b\"}]\n", "role" },
		{ "mayfly_admins: 1\nadmins: [{spiffe_id: \"spiffe://a/b\"}]\n", "role" },
		{ "mayfly_admins: 1\nadmins: [{role: viewer}]\n", "exactly one" },
		{ "mayfly_admins: 1\nadmins: [{role: viewer, spiffe_id: \"spiffe://a\"}]\n", "SPIFFE ID" },
		{ "mayfly_admins: 1\nadmins: [{role: viewer, spiffe_id: \"spiffe://A/b\"}]\n", "lowercase" },
		{ "mayfly_admins: 1\nadmins: [{role: viewer, spiffe_id: \"https://a/b\"}]\n", "SPIFFE ID" },
		{ "mayfly_admins: 1\nadmins: [{role: viewer, subject: \"CN=a\"}]\n", "need `ca`" },
		{ "mayfly_admins: 1\nca: /a\nadmins: [{role: viewer, fingerprint: \"AB:CD\"}]\n", "hex" },
		{ "mayfly_admins: 1\nca: /a\nadmins: [{role: viewer, fingerprint: \"abcd\"}]\n", "64" },
		{ "mayfly_admins: 1\nca: /a\nadmins: [{role: viewer, subject: \"CN=a\", spiffe_id: "
		  "\"spiffe://a/b\"}]\n",
		    "exactly one" },
		{ "mayfly_admins: 1\nbundles: {corp.example: {}}\n", "file" },
		{ "mayfly_admins: 1\nbundles: {Corp: {file: /a}}\n", "Corp" },
	};
	(void)state;
	for (size_t i = 0; i < MF_COUNT(t); i++) {
		MF_AUTO(mf_problems_free) struct mf_problems *p = mf_problems_new("f");
		MF_AUTO(mf_admins_conf_free) struct mf_admins_conf *c = NULL;
		struct mf_err err = { 0 };
		if (mf_admins_conf_load(mf_slice_str(t[i].file), p, &c, &err) != MF_E_INVALID)
			fail_msg("accepted: %s", t[i].file);
		if (strstr(err.msg, t[i].says) == NULL)
			fail_msg("%s: %s", t[i].file, err.msg);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
