/* notary: the process around the engine. main.c reads its options, takes its descriptors and confines it. */
#ifndef MF_NOTARY_NOTARY_H
#define MF_NOTARY_NOTARY_H
#include "broker/keys/broker_keys.h"
#include "broker/keys/upstream_files.h"
#include "broker/notary/engine.h"
#include "os/role_start.h"

struct mf_notary; /* opaque */

struct mf_notary_conf {
	const char *trust_domain, *broker_id, *release, *build_id;
	const char *address;	 /* for join tokens */
	const char *policy_name; /* of the policy file, for messages */
	uint64_t lease_ttl_ms, heartbeat_ms, manager_wait_ms, node_ttl_ms;
	struct mf_key_times ca;
	struct mf_upstream_ca_fds upstream; /* taken */
	uint64_t segment_bytes;
	size_t threads;
	int log_dirfd, policy_fd, keys_dirfd;	   /* stay the caller's */
	int handles_dirfd;			   /* likewise */
	struct mf_kek *kek;			   /* likewise: seals keys that are made later */
	int cloud_fd;				   /* likewise: a packed CloudConf; -1: none */
	int foreign_fd;				   /* likewise; -1: none */
	int public_dirfd;			   /* likewise, for the OIDC documents; -1: none */
	const char *oidc_issuer, *oidc_x5c_issuer; /* NULL: no documents */
	bool oidc_watch;			   /* others serve them: look at what they show */
	int signers_fd;				   /* likewise; -1: none */
	uint32_t signers_required;		   /* signatures of acts that add access; 0: none */
	int removals_fd;			   /* taken; -1: none */
	int node_ca_fd;		     /* the CA of nodes' own certificates; -1: none. Stays the caller's */
	const char *node_attributes; /* "NAME=SOURCE,..." of them; NULL: none */
};

/* Opens the log, replays it, makes the threads. ${keys} are the notary's on MF_OK. After the confinement. */
MF_NODISCARD enum mf_status mf_notary_new(const struct mf_notary_conf *conf, struct mf_role *role,
    struct mf_broker_keys *keys, struct mf_notary **ret_n, struct mf_err *err);
/* Until told to stop: the exit code. */
int mf_notary_run(struct mf_notary *n);
void mf_notary_free(struct mf_notary *n);
MF_DEFINE_CLEANUP(struct mf_notary, mf_notary_free)
#endif
