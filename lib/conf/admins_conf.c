/* admins_conf: the table of the admins file, and what no table can say. */
#include "conf/admins_conf.h"

#include <stdlib.h>

#include "base/limits.h"
#include "codec/spiffe_id.h"

#define CONF_BYTES (4u * 1024u * 1024u)

const char *const mf_admins_role_words[] = { "viewer", "revoker", "operator", "admin", NULL };

static const char *
check_spiffe_id(struct mf_slice v)
{
	MF_AUTO(mf_spiffe_id_free) struct mf_spiffe_id *id = NULL;
	if (v.n == 0)
		return NULL;
	if (mf_spiffe_id_parse(v, &id, NULL) != MF_OK || !mf_slice_eq(v, mf_spiffe_id_uri(id)) ||
	    mf_spiffe_id_path(id).n == 0)
		return "must be a whole SPIFFE ID in lowercase, such as spiffe://example.org/ops/alice";
	return NULL;
}

static const char *
check_fingerprint(struct mf_slice v)
{
	for (size_t i = 0; i < v.n; i++)
		if ((v.p[i] < '0' || v.p[i] > '9') && (v.p[i] < 'a' || v.p[i] > 'f'))
			return "must be SHA-256 in lowercase hex, without colons";
	return v.n == 0 || v.n == 64 ? NULL : "must be SHA-256: 64 letters of lowercase hex";
}

#define AT(type, member) offsetof(struct type, member)

static const struct mf_conf_field entry_fields[] = {
	{ .key = "role",
	    .type = MF_CONF_ENUM,
	    .at = AT(mf_admins_entry, role),
	    .required = true,
	    .words = mf_admins_role_words,
	    .help = "what it may do: docs/reference/roles.md" },
	{ .key = "spiffe_id",
	    .type = MF_CONF_STRING,
	    .at = AT(mf_admins_entry, spiffe_id),
	    .check = check_spiffe_id,
	    .help = "an X.509-SVID of this trust domain or of one in bundles" },
	{ .key = "fingerprint",
	    .type = MF_CONF_STRING,
	    .at = AT(mf_admins_entry, fingerprint),
	    .check = check_fingerprint,
	    .help = "SHA-256 of a certificate of the admin CA, lowercase hex" },
	{ .key = "subject",
	    .type = MF_CONF_STRING,
	    .at = AT(mf_admins_entry, subject),
	    .max = MF_LIM_CERT_SUBJECT,
	    .help = "subject of certificates of the admin CA, as openssl x509 -nameopt RFC2253 prints it" },
	{ .type = MF_CONF_SELF, .at = AT(mf_admins_entry, self) },
};
static const struct mf_conf_schema entry_schema = MF_CONF_SCHEMA(entry_fields, struct mf_admins_entry);

static const struct mf_conf_field bundle_fields[] = {
	{ .type = MF_CONF_NAME, .at = AT(mf_admins_bundle, trust_domain) },
	{ .key = "file",
	    .type = MF_CONF_STRING,
	    .at = AT(mf_admins_bundle, file),
	    .required = true,
	    .min = 1,
	    .check = mf_conf_check_path,
	    .help = "the foreign trust domain's CA certificates, PEM" },
};
static const struct mf_conf_schema bundle_schema = MF_CONF_SCHEMA(bundle_fields, struct mf_admins_bundle);

static const struct mf_conf_field fields[] = {
	{ .key = "mayfly_admins",
	    .type = MF_CONF_INT,
	    .at = AT(mf_admins_conf, version),
	    .required = true,
	    .min = 1,
	    .max = 1,
	    .help = "the version of this file's format: 1" },
	{ .key = "ca",
	    .type = MF_CONF_STRING,
	    .at = AT(mf_admins_conf, ca),
	    .check = mf_conf_check_path,
	    .help = "CA certificates (PEM) of administrators whose certificates are no SVIDs" },
	{ .key = "bundles",
	    .type = MF_CONF_MAP,
	    .at = AT(mf_admins_conf, bundles),
	    .max = MF_LIM_ADMIN_BUNDLES,
	    .sub = &bundle_schema,
	    .help = "foreign trust domains whose SVIDs may be named" },
	{ .key = "admins",
	    .type = MF_CONF_OBJECTS,
	    .at = AT(mf_admins_conf, admins),
	    .max = MF_LIM_ADMIN_RULES,
	    .sub = &entry_schema,
	    .help = "who may do what; the highest role of several entries counts" },
};
static const struct mf_conf_schema schema = MF_CONF_SCHEMA(fields, struct mf_admins_conf);

static void
check_entries(const struct mf_admins_conf *c, struct mf_problems *problems)
{
	const struct mf_admins_entry *e = c->admins.v;
	const struct mf_admins_bundle *b = c->bundles.v;
	for (size_t i = 0; i < c->bundles.n; i++) {
		const char *why = mf_conf_check_trust_domain(mf_slice_str(b[i].trust_domain));
		if (why != NULL)
			mf_problems_add(
			    problems, (struct mf_place) { 0 }, "bundles: `%s` %s", b[i].trust_domain, why);
	}
	for (size_t i = 0; i < c->admins.n; i++) {
		int n =
		    (e[i].spiffe_id[0] != '\0') + (e[i].fingerprint[0] != '\0') + (e[i].subject[0] != '\0');
		struct mf_place at = mf_yaml_place(e[i].self);
		if (n != 1)
			mf_problems_add(problems, at,
			    "name whom this role is for by exactly one of spiffe_id, fingerprint and "
			    "subject");
		else if (e[i].spiffe_id[0] == '\0' && c->ca[0] == '\0')
			mf_problems_add(problems, at,
			    "fingerprint and subject need `ca`: without it no such certificate is accepted");
	}
}

enum mf_status
mf_admins_conf_load(
    struct mf_slice file, struct mf_problems *problems, struct mf_admins_conf **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(CONF_BYTES);
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	MF_AUTO(mf_admins_conf_free) struct mf_admins_conf *c = calloc(1, sizeof(*c));
	if (arena == NULL || c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "admins: out of memory");
	MF_TRY(mf_yaml_parse(file, problems, &doc, err));
	/* It clears the whole struct: what c owns is set after it. */
	MF_TRY(mf_conf_read(&schema, mf_yaml_root(doc), arena, problems, c, err));
	c->doc = MF_TAKE(doc);
	c->arena = MF_TAKE(arena);
	if (mf_problems_count(problems) == 0)
		check_entries(c, problems);
	MF_TRY(mf_problems_check(problems, err));
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

void
mf_admins_conf_free(struct mf_admins_conf *c)
{
	if (c == NULL)
		return;
	mf_arena_free(c->arena);
	mf_yaml_free(c->doc);
	free(c);
}
