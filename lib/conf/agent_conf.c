/* agent_conf: the table of agent.yaml, and what no table can say. */
#include "conf/agent_conf.h"

#include <stdlib.h>

#include "base/limits.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define CONF_BYTES (16u * 1024u * 1024u)

#define AT(member) offsetof(struct mf_agent_conf, member)

static const char *
check_cgroup_root(struct mf_slice v)
{
	return mf_slice_eq_str(v, "auto") || mf_conf_check_path(v) == NULL
		   ? NULL
		   : "must be `auto` or an absolute path below /sys/fs/cgroup";
}

static const struct mf_conf_field user_fields[] = {
	{ .key = "front",
	    .type = MF_CONF_STRING,
	    .at = AT(users.front) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-agent",
	    .help = "Unix user of the front role, when started as root" },
	{ .key = "resolver",
	    .type = MF_CONF_STRING,
	    .at = AT(users.resolver) - AT(users),
	    .check = mf_conf_check_user,
	    .def = "mayfly-resolver",
	    .help = "Unix user of the process that looks up the broker's name, when started as root" },
};
static const struct mf_conf_schema user_schema = { user_fields, MF_COUNT(user_fields),
	sizeof(((struct mf_agent_conf *)0)->users), false };

static const struct mf_conf_field x509pop_fields[] = {
	{ .key = "cert",
	    .type = MF_CONF_STRING,
	    .at = AT(join.x509pop.cert) - AT(join.x509pop),
	    .required = true,
	    .check = mf_conf_check_path,
	    .help = "the node's certificate and its intermediates, PEM, its own first" },
	{ .key = "key",
	    .type = MF_CONF_STRING,
	    .at = AT(join.x509pop.key) - AT(join.x509pop),
	    .required = true,
	    .check = mf_conf_check_path,
	    .help = "its key, PKCS#8 in PEM, readable by root only" },
};
static const struct mf_conf_schema x509pop_schema = { x509pop_fields, MF_COUNT(x509pop_fields),
	sizeof(((struct mf_agent_conf *)0)->join.x509pop), true };
static const struct mf_conf_field join_fields[] = {
	{ .key = "x509pop",
	    .type = MF_CONF_OBJECT,
	    .at = AT(join.x509pop) - AT(join),
	    .sub = &x509pop_schema },
};
static const struct mf_conf_schema join_schema = { join_fields, MF_COUNT(join_fields),
	sizeof(((struct mf_agent_conf *)0)->join), true };

#define STRING(name, ...)                                                         \
	{                                                                         \
		.key = #name, .type = MF_CONF_STRING, .at = AT(name), __VA_ARGS__ \
	}
#define DURATION(name, member, lo, hi, ...)                                                         \
	{                                                                                           \
		.key = #name, .type = MF_CONF_DURATION, .at = AT(member), .min = (lo), .max = (hi), \
		__VA_ARGS__                                                                         \
	}

const char *const mf_agent_caller_checks[] = { "auto", "procfs", "legacy", NULL };

static const struct mf_conf_field fields[] = {
	STRING(join_token_file, .check = mf_conf_check_path,
	    .help = "file with the join token, for the first start; empty when registered"),
	/* MAYFLY_BROKER is the administrators' (cli/remote.h): set for a shell, it must not move a node to another broker. */
	STRING(broker, .check = mf_conf_check_address, .env = "agent_broker",
	    .help = "the broker's name or address, with port; empty: as in the join token"),
	STRING(state_dir, .min = 1, .check = mf_conf_check_path, .def = "/var/lib/mayfly/agent",
	    .help = "the node's key and trust"),
	STRING(run_dir, .min = 1, .check = mf_conf_check_path, .def = "/run/mayfly/agent",
	    .help = "what lives until the next boot"),
	STRING(socket, .min = 1, .max = 107, .check = mf_conf_check_path, .def = "/run/mayfly/agent.sock",
	    .help = "socket that jobs connect to"),
	STRING(node_name, .check = mf_conf_check_name, .help = "name of this node; empty: the host name"),
	STRING(cluster, .check = mf_conf_check_name, .help = "name of the cluster; empty for none"),
	STRING(cgroup_root, .min = 1, .check = check_cgroup_root, .def = "auto",
	    .help = "cgroup below which `mayfly run` makes its own"),
	{ .key = "caller_check",
	    .type = MF_CONF_ENUM,
	    .at = AT(caller_check),
	    .words = mf_agent_caller_checks,
	    .def = "auto",
	    .help = "how callers are looked at: `auto` as well as the kernel allows, `procfs` as before "
		    "Linux 6.13, "
		    "`legacy` as before 6.5" },
	{ .key = "legacy_peercred",
	    .type = MF_CONF_BOOL,
	    .at = AT(legacy_peercred),
	    .def = "false",
	    .help = "serve on kernels without SO_PEERPIDFD; recorded as weaker evidence" },
	STRING(metrics_listen, .check = mf_conf_check_address,
	    .help = "/metrics, /healthz, /readyz; empty turns it off"),
	DURATION(connect_timeout, connect_timeout_ms, 100, 10 * MINUTE, .def = "10s",
	    .help = "time to reach the broker"),
	DURATION(request_timeout, request_timeout_ms, 100, 10 * MINUTE, .def = "20s",
	    .help = "time for one answer of the broker"),
	DURATION(reconnect_min, reconnect_min_ms, 10, HOUR, .def = "500ms",
	    .help = "shortest wait before a new try"),
	DURATION(
	    reconnect_max, reconnect_max_ms, 10, HOUR, .def = "15s", .help = "longest wait before a new try"),
	DURATION(hold, hold_ms, 10, 10 * MINUTE, .def = "15s",
	    .help = "how long a job that is not yet decided waits for its answer"),
	{ .key = "max_instances",
	    .type = MF_CONF_INT,
	    .at = AT(max_instances),
	    .min = 1,
	    .max = MF_LIM_NODE_INSTANCES,
	    .def = "1024",
	    .help = "jobs served at the same time" },
	{ .key = "join", .type = MF_CONF_OBJECT, .at = AT(join), .sub = &join_schema },
	{ .key = "users", .type = MF_CONF_OBJECT, .at = AT(users), .sub = &user_schema },
};
static const struct mf_conf_schema schema = { fields, MF_COUNT(fields), sizeof(struct mf_agent_conf), true };

static void
check_whole(const struct mf_agent_conf *c, struct mf_problems *problems)
{
	const struct mf_yaml_node *n =
	    c->doc == NULL ? NULL : mf_yaml_get(mf_yaml_root(c->doc), "reconnect_min");
	if ((c->join.x509pop.cert[0] == '\0') != (c->join.x509pop.key[0] == '\0'))
		mf_problems_add(
		    problems, (struct mf_place) { 0 }, "`join.x509pop` needs both, `cert` and `key`");
	if (c->reconnect_min_ms > c->reconnect_max_ms)
		mf_problems_add(problems, n == NULL ? (struct mf_place) { 0 } : mf_yaml_place(n),
		    "`reconnect_min` must not be over `reconnect_max`");
}

enum mf_status
mf_agent_conf_load(struct mf_slice file, char *const *env, char *const *argv, const char *const *own,
    struct mf_problems *problems, struct mf_agent_conf **ret_c, struct mf_err *err)
{
	MF_AUTO(mf_arena_free) struct mf_arena *arena = mf_arena_new(CONF_BYTES);
	MF_AUTO(mf_yaml_free) struct mf_yaml *doc = NULL;
	MF_AUTO(mf_agent_conf_free) struct mf_agent_conf *c = calloc(1, sizeof(*c));
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
	*ret_c = MF_TAKE(c);
	return MF_OK;
}

void
mf_agent_conf_free(struct mf_agent_conf *c)
{
	if (c == NULL)
		return;
	mf_arena_free(c->arena);
	mf_yaml_free(c->doc);
	free(c);
}

void
mf_agent_conf_print(const struct mf_agent_conf *c, struct mf_buf *to)
{
	mf_conf_print(&schema, c, to);
}

void
mf_agent_conf_help(struct mf_buf *to)
{
	mf_conf_help(&schema, to);
}
