/* broker_conf: the table of broker.yaml, and what no table can say. */
#include "conf/broker_conf.h"

#include <stdlib.h>

#include "base/attribute.h"
#include "base/limits.h"
#include "codec/x509_pop.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (INT64_C(24) * HOUR)
#define CONF_BYTES (16u * 1024u * 1024u)

#define AT(member) offsetof(struct mf_broker_conf, member)

static const struct mf_conf_field user_fields[] = {
	{ .key = "front",
	    .type = MF_CONF_STRING,
	    .at = AT(users.front) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-front",
	    .help = "Unix user of the front role, when started as root" },
	{ .key = "notary",
	    .type = MF_CONF_STRING,
	    .at = AT(users.notary) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-notary",
	    .help = "Unix user of the notary role, when started as root" },
	{ .key = "verifier",
	    .type = MF_CONF_STRING,
	    .at = AT(users.verifier) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-verifier",
	    .help = "Unix user of the verifiers of node evidence, when started as root" },
	{ .key = "publisher",
	    .type = MF_CONF_STRING,
	    .at = AT(users.publisher) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-publisher",
	    .help = "Unix user of the publisher of OIDC documents, when started as root" },
	{ .key = "courier",
	    .type = MF_CONF_STRING,
	    .at = AT(users.courier) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-courier",
	    .help = "Unix user of the courier, which speaks to clouds, when started as root" },
};
static const struct mf_conf_schema user_schema = { user_fields, MF_COUNT(user_fields),
	sizeof(((struct mf_broker_conf *)0)->users), false };

static const struct mf_conf_field signers_fields[] = {
	{ .key = "required",
	    .type = MF_CONF_INT,
	    .at = AT(admin_signers.required) - AT(admin_signers),
	    .min = 0,
	    .max = 16,
	    .def = "0",
	    .help = "so many persons must sign acts that add access; 0 for none" },
	{ .key = "file",
	    .type = MF_CONF_STRING,
	    .at = AT(admin_signers.file) - AT(admin_signers),
	    .check = mf_conf_check_path,
	    .help = "their keys, in OpenSSH's allowed signers format; read again at a reload" },
};
static const struct mf_conf_schema signers_schema = { signers_fields, MF_COUNT(signers_fields),
	sizeof(((struct mf_broker_conf *)0)->admin_signers), false };

static const struct mf_conf_field upstream_fields[] = {
	{ .key = "cert",
	    .type = MF_CONF_STRING,
	    .at = AT(upstream_ca.cert) - AT(upstream_ca),
	    .check = mf_conf_check_path,
	    .help = "certificate of the CA that signs ours, then what is between it and the root; read again "
		    "at a "
		    "reload" },
	{ .key = "key",
	    .type = MF_CONF_STRING,
	    .at = AT(upstream_ca.key) - AT(upstream_ca),
	    .check = mf_conf_check_path,
	    .help = "its key, readable by root only; read when a CA key is prepared" },
	{ .key = "bundle",
	    .type = MF_CONF_STRING,
	    .at = AT(upstream_ca.bundle) - AT(upstream_ca),
	    .check = mf_conf_check_path,
	    .help = "the roots that verifiers trust; empty: cert is one itself" },
};
static const struct mf_conf_schema upstream_schema = { upstream_fields, MF_COUNT(upstream_fields),
	sizeof(((struct mf_broker_conf *)0)->upstream_ca), false };

static const struct mf_conf_field kek_fields[] = {
	{ .key = "file",
	    .type = MF_CONF_STRING,
	    .at = AT(kek.file) - AT(kek),
	    .check = mf_conf_check_path,
	    .help = "file with the key that seals the state, readable by root only" },
	{ .key = "credential",
	    .type = MF_CONF_STRING,
	    .at = AT(kek.credential) - AT(kek),
	    .check = mf_conf_check_name,
	    .help = "name of the systemd credential with that key" },
	{ .key = "passphrase_fd",
	    .type = MF_CONF_INT,
	    .at = AT(kek.passphrase_fd) - AT(kek),
	    .min = -1,
	    .max = 1023,
	    .def = "-1",
	    .help = "descriptor to read a passphrase from; -1 for none" },
};
static const struct mf_conf_schema kek_schema = { kek_fields, MF_COUNT(kek_fields),
	sizeof(((struct mf_broker_conf *)0)->kek), false };

static const char *
check_rule(struct mf_slice v)
{
	return mf_pop_rule_check(v);
}

#define X509POP(member)                                           \
	(offsetof(struct mf_conf_node_attestor, x509pop.member) - \
	    offsetof(struct mf_conf_node_attestor, x509pop))
static const struct mf_conf_field x509pop_fields[] = {
	{ .key = "ca_file",
	    .type = MF_CONF_STRING,
	    .at = X509POP(ca_file),
	    .required = true,
	    .check = mf_conf_check_path,
	    .help = "certificates of the CA that gives nodes theirs; read again at a reload" },
	{ .key = "attributes",
	    .type = MF_CONF_STRINGS,
	    .at = X509POP(attributes),
	    .max = (int64_t)MF_ATTRIBUTES,
	    .check = check_rule,
	    .help = "which parts of the certificate become node attributes" },
};
static const struct mf_conf_schema x509pop_schema =
    MF_CONF_SCHEMA(x509pop_fields, ((struct mf_conf_node_attestor *)0)->x509pop);
static const struct mf_conf_field node_attestor_fields[] = {
	{ .key = "x509pop",
	    .type = MF_CONF_OBJECT,
	    .at = offsetof(struct mf_conf_node_attestor, x509pop),
	    .required = true,
	    .sub = &x509pop_schema },
};
static const struct mf_conf_schema node_attestor_schema =
    MF_CONF_SCHEMA(node_attestor_fields, struct mf_conf_node_attestor);

#define STRING(name, ...)                                                         \
	{                                                                         \
		.key = #name, .type = MF_CONF_STRING, .at = AT(name), __VA_ARGS__ \
	}
#define DURATION(name, member, lo, hi, ...)                                                         \
	{                                                                                           \
		.key = #name, .type = MF_CONF_DURATION, .at = AT(member), .min = (lo), .max = (hi), \
		__VA_ARGS__                                                                         \
	}

static const struct mf_conf_field foreign_fields[] = {
	{ .key = "trust_domain",
	    .type = MF_CONF_STRING,
	    .at = offsetof(struct mf_broker_foreign, trust_domain),
	    .required = true,
	    .check = mf_conf_check_trust_domain,
	    .help = "the name of the other trust domain" },
	{ .key = "file",
	    .type = MF_CONF_STRING,
	    .at = offsetof(struct mf_broker_foreign, file),
	    .required = true,
	    .min = 1,
	    .check = mf_conf_check_path,
	    .help = "its SPIFFE bundle document (JSON)" },
};
static const struct mf_conf_schema foreign_schema = MF_CONF_SCHEMA(foreign_fields, struct mf_broker_foreign);

static const struct mf_conf_field fields[] = {
	STRING(trust_domain, .required = true, .check = mf_conf_check_trust_domain,
	    .help = "SPIFFE trust domain"),
	STRING(broker_id, .min = 1, .max = 16, .check = mf_conf_check_name, .def = "b1",
	    .help = "name of this broker in the trust domain, never reused"),
	STRING(state_dir, .min = 1, .check = mf_conf_check_path, .def = "/var/lib/mayfly/broker",
	    .help = "keys, log and database"),
	STRING(run_dir, .min = 1, .max = 96, .check = mf_conf_check_path, .def = "/run/mayfly",
	    .help = "sockets"),
	STRING(listen, .min = 1, .check = mf_conf_check_address, .def = "0.0.0.0:8461",
	    .help = "agents connect here"),
	STRING(advertise, .check = mf_conf_check_address,
	    .help = "address that join tokens give to agents; empty: listen"),
	STRING(admin_socket, .max = 107, .check = mf_conf_check_path,
	    .help = "admin socket; empty: RUN_DIR/admin.sock"),
	STRING(admin_group, .check = mf_conf_check_user, .def = "mayfly-admin",
	    .help = "group that may use the admin socket beside root; empty for none"),
	{ .key = "admin_uids",
	    .type = MF_CONF_INTS,
	    .at = AT(admin_uids),
	    .help = "user ids that may use the admin socket beside root" },
	STRING(admin_listen, .check = mf_conf_check_address,
	    .help = "remote administrators connect here, by mutual TLS; empty turns it off"),
	STRING(admins, .check = mf_conf_check_path,
	    .help = "file with the roles of remote administrators; read again at a reload"),
	{ .key = "admin_signers", .type = MF_CONF_OBJECT, .at = AT(admin_signers), .sub = &signers_schema },
	STRING(metrics_listen, .check = mf_conf_check_address, .def = "127.0.0.1:8463",
	    .help = "/metrics, /healthz, /readyz; empty turns it off"),
	STRING(policy, .min = 1, .check = mf_conf_check_path, .def = "/etc/mayfly/policy.yaml",
	    .help = "policy file"),
	{ .key = "foreign_bundles",
	    .type = MF_CONF_OBJECTS,
	    .at = AT(foreign),
	    .max = MF_LIM_FOREIGN,
	    .sub = &foreign_schema,
	    .help = "a list of {trust_domain: TD, file: PATH}: bundles of other trust domains; read again at "
		    "a reload" },
	{ .key = "oidc", .type = MF_CONF_OBJECT, .at = AT(oidc), .sub = &mf_cloud_conf_oidc_schema },
	{ .key = "cloud_targets",
	    .type = MF_CONF_OBJECTS,
	    .at = AT(cloud_targets),
	    .max = MF_LIM_CLOUD_TARGETS,
	    .sub = &mf_cloud_conf_target_schema },
	STRING(persons, .check = mf_conf_check_path, .help = "persons file; empty for none"),
	DURATION(lease_ttl, lease_ttl_ms, 1 * SECOND, DAY, .def = "5m",
	    .help = "silence of an agent after which its leases are suspended"),
	DURATION(heartbeat, heartbeat_ms, 100, HOUR, .def = "30s",
	    .help = "heartbeats of agents; at most a third of lease_ttl"),
	DURATION(manager_wait, manager_wait_ms, 100, DAY / 2, .def = "10m",
	    .help = "when all instances of a manager's job have ended: how long for the manager's word"),
	DURATION(node_ttl, node_ttl_ms, 10 * SECOND, 30 * DAY, .def = "1h",
	    .help = "lifetime of a node's certificate"),
	DURATION(ca_ttl, ca_ttl_ms, HOUR, 3660 * DAY, .def = "90d", .help = "lifetime of the CA certificate"),
	{ .key = "upstream_ca", .type = MF_CONF_OBJECT, .at = AT(upstream_ca), .sub = &upstream_schema },
	{ .key = "ca_rotation",
	    .type = MF_CONF_BOOL,
	    .at = AT(ca_rotation),
	    .def = "true",
	    .help = "prepare and activate CA keys by schedule; false: only `mayfly key`" },
	DURATION(ca_prepare_before, ca_prepare_before_ms, 0, 3660 * DAY,
	    .help =
		"so long before the CA certificate ends the next key is prepared; default: half of ca_ttl"),
	DURATION(ca_activate_before, ca_activate_before_ms, 0, 3660 * DAY,
	    .help = "and so long before its end it is activated; default: a third of ca_ttl"),
	DURATION(key_publish, key_publish_ms, 0, 30 * DAY, .def = "30m",
	    .help = "a key is in the bundle for so long before it signs, unless forced"),
	DURATION(join_token_ttl, join_token_ttl_ms, MINUTE, 30 * DAY, .def = "1h",
	    .help = "lifetime of a join token when none is asked for"),
	{ .key = "signer_threads",
	    .type = MF_CONF_INT,
	    .at = AT(signer_threads),
	    .min = 1,
	    .max = 64,
	    .def = "2",
	    .help = "threads that sign certificates" },
	{ .key = "wal_segment",
	    .type = MF_CONF_SIZE,
	    .at = AT(wal_segment_bytes),
	    .min = 1024 * 1024,
	    .max = MF_LIM_WAL_SEGMENT,
	    .def = "64MiB",
	    .help = "size of one file of the log; a snapshot is written at each" },
	{ .key = "node_attestors",
	    .type = MF_CONF_OBJECTS,
	    .at = AT(node_attestors),
	    .max = 1, /* as many as there are kinds */
	    .sub = &node_attestor_schema },
	{ .key = "users", .type = MF_CONF_OBJECT, .at = AT(users), .sub = &user_schema },
	{ .key = "kek", .type = MF_CONF_OBJECT, .at = AT(kek), .sub = &kek_schema },
};
static const struct mf_conf_schema schema = { fields, MF_COUNT(fields), sizeof(struct mf_broker_conf), true };

/* "${dir}/${name}" in the arena. */
static const char *
join(struct mf_arena *arena, const char *dir, const char *name)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 8192);
	mf_buf_putf(&b, "%s/%s", dir, name);
	return b.failed != MF_OK ? NULL : mf_arena_str(arena, mf_buf_slice(&b));
}

/* Where to point when a value is at fault that may come from file, variable or flag. */
static struct mf_place
place_of(const struct mf_yaml *doc, const char *key)
{
	const struct mf_yaml_node *n = doc == NULL ? NULL : mf_yaml_get(mf_yaml_root(doc), key);
	return n == NULL ? (struct mf_place) { 0 } : mf_yaml_place(n);
}

static void
check_rotation(const struct mf_broker_conf *c, struct mf_problems *problems)
{
	uint64_t prepare = c->ca_prepare_before_ms != 0 ? c->ca_prepare_before_ms : c->ca_ttl_ms / 2;
	uint64_t activate = c->ca_activate_before_ms != 0 ? c->ca_activate_before_ms : c->ca_ttl_ms / 3;
	if (prepare >= c->ca_ttl_ms)
		mf_problems_add(problems, place_of(c->doc, "ca_prepare_before"),
		    "`ca_prepare_before` must be less than `ca_ttl`: a new key would be succeeded at once");
	else if (activate >= prepare || prepare - activate < c->key_publish_ms)
		mf_problems_add(problems, place_of(c->doc, "ca_activate_before"),
		    "between `ca_prepare_before` and `ca_activate_before` there must be `key_publish` at "
		    "least: "
		    "a key is in the bundle for so long before it signs");
}

static void
check_whole(const struct mf_broker_conf *c, struct mf_problems *problems)
{
	if (c->heartbeat_ms > c->lease_ttl_ms / 3)
		mf_problems_add(problems, place_of(c->doc, "heartbeat"),
		    "`heartbeat` must be at most a third of `lease_ttl`: two lost heartbeats must not "
		    "suspend a lease");
	const struct mf_broker_foreign *f = c->foreign.v;
	for (size_t i = 0; i < c->foreign.n; i++) {
		bool twice = strcmp(f[i].trust_domain, c->trust_domain) == 0;
		for (size_t k = 0; k < i; k++)
			twice |= strcmp(f[i].trust_domain, f[k].trust_domain) == 0;
		if (twice)
			mf_problems_add(problems, place_of(c->doc, "foreign_bundles"),
			    "`foreign_bundles`: %s is our own trust domain, or named twice",
			    f[i].trust_domain);
	}
	if (c->admin_listen[0] != '\0' && c->admins[0] == '\0')
		mf_problems_add(problems, place_of(c->doc, "admin_listen"),
		    "`admin_listen` needs `admins`: without that file nobody has a role there");
	if ((c->admin_signers.required > 0) != (c->admin_signers.file[0] != '\0'))
		mf_problems_add(problems, place_of(c->doc, "admin_signers"),
		    "`admin_signers` needs both: `required`, how many persons sign, and `file`, their keys");
	mf_cloud_conf_check(&c->oidc, &c->cloud_targets, problems);
	bool cert = c->upstream_ca.cert[0] != '\0';
	if (cert != (c->upstream_ca.key[0] != '\0') || (!cert && c->upstream_ca.bundle[0] != '\0'))
		mf_problems_add(problems, place_of(c->doc, "upstream_ca"),
		    "`upstream_ca` needs both `cert` and `key`: who signs our CA certificate, and with what");
	if (c->ca_rotation)
		check_rotation(c, problems);
	unsigned sources = c->kek.file[0] != '\0' ? 1 : 0;
	sources += c->kek.credential[0] != '\0' ? 1 : 0;
	sources += c->kek.passphrase_fd >= 0 ? 1 : 0;
	if (sources > 1)
		mf_problems_add(problems, place_of(c->doc, "kek"),
		    "`kek` must name one source only: file, credential or passphrase_fd");
	if (c->kek.passphrase_fd >= 0 && c->kek.passphrase_fd < 3)
		mf_problems_add(
		    problems, place_of(c->doc, "kek"), "`passphrase_fd` must be 3 or more, or -1 for none");
}

static enum mf_status
fill_derived(struct mf_broker_conf *c, struct mf_err *err)
{
	if (c->admin_socket[0] == '\0')
		c->admin_socket = join(c->arena, c->run_dir, "admin.sock");
	if (c->kek.file[0] == '\0' && c->kek.credential[0] == '\0' && c->kek.passphrase_fd < 0)
		c->kek.file = join(c->arena, c->state_dir, "kek");
	if (c->ca_prepare_before_ms == 0)
		c->ca_prepare_before_ms = c->ca_ttl_ms / 2;
	if (c->ca_activate_before_ms == 0)
		c->ca_activate_before_ms = c->ca_ttl_ms / 3;
	if (c->oidc.issuer[0] != '\0' && c->oidc.x5c_issuer[0] == '\0')
		c->oidc.x5c_issuer = join(c->arena, c->oidc.issuer, "x5c");
	if (c->admin_socket == NULL || c->kek.file == NULL || c->oidc.x5c_issuer == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "configuration: out of memory");
	return MF_OK;
}

enum mf_status
mf_broker_conf_load(struct mf_slice file, char *const *env, char *const *argv, const char *const *own,
    struct mf_problems *problems, struct mf_broker_conf **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(CONF_BYTES);
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	MF_AUTO(mf_broker_conf_free) struct mf_broker_conf *c = calloc(1, sizeof(*c));
	if (arena == NULL || c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "configuration: out of memory");
	if (file.n > 0)
		MF_TRY(mf_yaml_parse(file, problems, &doc, err));
	MF_TRY(mf_conf_read(&schema, doc == NULL ? NULL : mf_yaml_root(doc), arena, problems, c, err));
	c->doc = MF_TAKE(doc);
	c->arena = MF_TAKE(arena);
	MF_TRY(mf_conf_override(&schema, env, argv, own, c->arena, problems, c, err));
	mf_conf_complete(&schema, c->doc == NULL ? NULL : mf_yaml_root(c->doc), c, problems);
	check_whole(c, problems);
	MF_TRY(mf_problems_check(problems, err));
	MF_TRY(fill_derived(c, err));
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

void
mf_broker_conf_free(struct mf_broker_conf *c)
{
	if (c == NULL)
		return;
	mf_arena_free(c->arena);
	mf_yaml_free(c->doc);
	free(c);
}

void
mf_broker_conf_print(const struct mf_broker_conf *c, struct mf_buf *to)
{
	mf_conf_print(&schema, c, to);
}

void
mf_broker_conf_help(struct mf_buf *to)
{
	mf_conf_help(&schema, to);
}
