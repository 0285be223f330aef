/*
 * run: mayfly-agent, the supervisor of attestor and agent-front.
 *
 * What the roles get (os/role_start.h):
 *   attestor     descriptors state, run (directories), cgroup (the cgroup2 tree, when there is one), join-token (a
 *                file, when configured and there); options socket hostname cgroup cluster legacy-peercred
 *   agent-front  descriptors workload (listening Unix socket), metrics (listening TCP socket); options trust_domain
 *                broker_address (IP:port, commas) ca_pin hold_ms max_instances connect_timeout_ms request_timeout_ms
 *                reconnect_min_ms reconnect_max_ms
 *   link         attestor and agent-front, by their names
 *
 * STATE/broker keeps what is public of the last join token (the token with a zero secret), so that an agent starts
 * after its token file is gone: address, trust domain and CA pin are no secrets.
 */
#ifndef MF_AGENT_RUN_H
#define MF_AGENT_RUN_H
#include "conf/agent_conf.h"
#include "os/supervisor.h"

/* The front's user on a machine that has none of that name: an id that neither Debian nor systemd hand out. */
#define MF_AGENT_FRONT_UID 60803u
#define MF_AGENT_RESOLVER_UID 60805u

/* MF_E_NOTFOUND when this node knows no broker, neither by a token nor from before: to start would be in vain. */
MF_NODISCARD enum mf_status mf_agent_check(const struct mf_agent_conf *conf, struct mf_err *err);
/* Until SIGTERM or SIGINT. ${debug}: roles log debug lines. ${conf} outlives the call. */
MF_NODISCARD enum mf_status mf_agent_run(const struct mf_agent_conf *conf, bool debug, struct mf_err *err);
#endif
