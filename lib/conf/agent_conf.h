/*
 * agent_conf: /etc/mayfly/agent.yaml, MAYFLY_* and the flags of mayfly-agent. Rules as in broker_conf.h.
 */
#ifndef MF_CONF_AGENT_CONF_H
#define MF_CONF_AGENT_CONF_H
#include "conf/schema.h"

#define MF_AGENT_CONF_FILE "/etc/mayfly/agent.yaml"

/* Weaker ways are for tests, and for who wants to see what an older kernel would show. */
enum mf_caller_check { MF_CALLER_AUTO = 0, MF_CALLER_PROCFS, MF_CALLER_LEGACY };
extern const char *const mf_agent_caller_checks[]; /* their names, NULL at the end */

struct mf_agent_conf {
	struct mf_arena *arena;
	struct mf_yaml *doc;
	const char *join_token_file; /* read once, at the first start; "" when the node is registered */
	struct {
		struct {
			const char *cert, *key; /* PEM; "": join by token */
		} x509pop;
	} join;
	const char *broker; /* "host:port"; "": as in the join token */
	const char *state_dir, *run_dir;
	const char *socket;	    /* Workload API and mayfly.job.v1 */
	const char *node_name;	    /* the node's claim; "": the host name */
	const char *cluster;	    /* of `local` jobs and managers; "": none */
	const char *cgroup_root;    /* where `mayfly run` makes cgroups; "auto" */
	bool legacy_peercred;	    /* also where the kernel has no SO_PEERPIDFD: recorded as weaker */
	int caller_check;	    /* enum mf_caller_check */
	const char *metrics_listen; /* "" turns it off */
	uint64_t connect_timeout_ms, request_timeout_ms;
	uint64_t reconnect_min_ms, reconnect_max_ms; /* bounds of the backoff, jittered */
	uint64_t hold_ms; /* how long an undecided caller waits before UNAVAILABLE */
	int64_t max_instances;
	struct {
		const char *front, *resolver;
	} users;
};

MF_NODISCARD enum mf_status mf_agent_conf_load(struct mf_slice file, char *const *env, char *const *argv,
    const char *const *own, struct mf_problems *problems, struct mf_agent_conf **ret_c, struct mf_err *err);
void mf_agent_conf_free(struct mf_agent_conf *c); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_agent_conf, mf_agent_conf_free)
void mf_agent_conf_print(const struct mf_agent_conf *c, struct mf_buf *to);
void mf_agent_conf_help(struct mf_buf *to);
#endif
