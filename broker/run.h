/*
 * run: `mayfly-broker run`, the supervisor of notary and broker-front.
 *
 * What the roles get (os/role_start.h):
 *   notary        descriptors keys, log, handles (directories), policy, persons, kek (files), removals (a memfd that
 *                 outlives the notary); options trust_domain broker_id advertise policy_name kek_kind (raw or
 *                 passphrase) lease_ttl_ms heartbeat_ms node_ttl_ms join_token_ttl_ms wal_segment_bytes
 *                 signer_threads; reloads of policy and persons
 *   broker-front  descriptors db (directory), agents, admin, metrics (listening sockets); options trust_domain
 *                 broker_id advertise admin_uids (comma list) admin_gid (absent: no group)
 *   courier       descriptor cloud (with keys); reloads of it. Only where cloud_targets are configured
 *   publisher     where broker.yaml has oidc.listen: descriptors public (directory), oidc (listening socket), oidc_cert and
 *                 oidc_key (files); options issuer_path x5c_path; reloads of the files
 *   link          notary and courier; notary and broker-front, by their names
 * Absent configuration leaves the descriptor or option out.
 */
#ifndef MF_BROKER_RUN_H
#define MF_BROKER_RUN_H
#include "conf/broker_conf.h"
#include "os/supervisor.h"

/* Users on a machine that has not been given any (deploy/): ids that neither Debian nor systemd hand out. */
#define MF_BROKER_NOTARY_UID 60801u
#define MF_BROKER_FRONT_UID 60802u
#define MF_BROKER_VERIFIER_UID 60804u
#define MF_BROKER_COURIER_UID 60806u
#define MF_BROKER_PUBLISHER_UID 60807u

/* Until SIGTERM or SIGINT. ${debug}: roles log debug lines. ${conf} outlives the call. */
MF_NODISCARD enum mf_status mf_broker_run(const struct mf_broker_conf *conf, bool debug, struct mf_err *err);
#endif
