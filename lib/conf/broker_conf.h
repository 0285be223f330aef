/*
 * broker_conf: /etc/mayfly/broker.yaml, MAYFLY_* and the flags of mayfly-broker.
 *
 * A flag wins over the environment, that over the file, that over the default. The struct never changes once loaded;
 * its strings live as long as it does.
 */
#ifndef MF_CONF_BROKER_CONF_H
#define MF_CONF_BROKER_CONF_H
#include "conf/cloud_conf.h"
#include "conf/schema.h"

#define MF_BROKER_CONF_FILE "/etc/mayfly/broker.yaml"

/* A foreign trust domain and the file with its bundle (SPIFFE bundle document). */
struct mf_broker_foreign {
	const char *trust_domain, *file;
};

/* One of node_attestors. */
struct mf_conf_node_attestor {
	struct {
		const char *ca_file;		   /* PEM; "": this entry is none of x509pop */
		struct mf_conf_strings attributes; /* "NAME=SOURCE" (codec/x509_pop.h) */
	} x509pop;
};

struct mf_broker_conf {
	struct mf_arena *arena;
	struct mf_yaml *doc;
	const char *trust_domain; /* "example.org" */
	const char *broker_id;	  /* "b1": in lease ids and node paths */
	const char *state_dir, *run_dir;
	const char *listen;		/* agents, gRPC over TLS; "host:port" */
	const char *advertise;		/* what join tokens tell agents; "" : listen */
	const char *admin_socket;	/* "" is never here: RUN_DIR/admin.sock by default */
	const char *admin_group;	/* may use the admin socket, beside uid 0; "" for none */
	struct mf_conf_ints admin_uids; /* likewise */
	const char *admin_listen;	/* the admin API by mutual TLS; "": off */
	const char *admins;		/* file: roles of those who come that way; "": nobody */
	const char *metrics_listen;	/* /metrics, /healthz, /readyz; "" turns it off */
	const char *policy, *persons;	/* files; persons "" for none */
	struct mf_cloud_conf_oidc oidc;
	struct mf_conf_items cloud_targets; /* struct mf_cloud_conf_target */
	struct mf_conf_items foreign;	    /* struct mf_broker_foreign: whom jobs may know beside our own */
	uint64_t lease_ttl_ms;		    /* silence of an agent beyond this suspends its leases */
	uint64_t heartbeat_ms;		    /* asked of agents; at most a third of lease_ttl */
	uint64_t manager_wait_ms; /* for a manager's word when all instances of its job have ended */
	uint64_t node_ttl_ms;	  /* lifetime of a node's SVID */
	struct {
		int64_t required; /* signatures of acts that add access; 0: none */
		const char *file; /* OpenSSH's allowed signers */
	} admin_signers;
	uint64_t ca_ttl_ms;
	/* Files of the CA that signs ours; "" in all: ours is self-signed. */
	struct {
		const char *cert, *key, *bundle;
	} upstream_ca;
	struct mf_conf_items node_attestors; /* struct mf_conf_node_attestor: at most one of each kind */
	uint64_t join_token_ttl_ms;	     /* default of `mayfly node token` */
	bool ca_rotation;		     /* CA keys follow one another by schedule */
	uint64_t ca_prepare_before_ms,
	    ca_activate_before_ms; /* before the active one's end; 0 in the file: derived */
	uint64_t key_publish_ms;   /* a key has been in the bundle for so long before it signs */
	int64_t signer_threads;
	uint64_t wal_segment_bytes;
	struct {
		const char *front, *notary, *verifier, *courier,
		    *publisher; /* Unix users of the roles; used when started as root */
	} users;
	/* Where the key that seals the state comes from: exactly one is set. */
	struct {
		const char *file;	/* root-only file */
		const char *credential; /* name of a systemd credential */
		int64_t passphrase_fd;	/* -1: none */
	} kek;
};

/*
 * ${file} is the content of the file named ${file_name} (n == 0: no file). ${env}, ${argv} and ${own} as in
 * mf_conf_override. MF_E_INVALID with everything that is wrong in ${problems}; MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_broker_conf_load(struct mf_slice file, char *const *env, char *const *argv,
    const char *const *own, struct mf_problems *problems, struct mf_broker_conf **ret_c, struct mf_err *err);
void mf_broker_conf_free(struct mf_broker_conf *c); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_broker_conf, mf_broker_conf_free)
/* For --print-config and --help. */
void mf_broker_conf_print(const struct mf_broker_conf *c, struct mf_buf *to);
void mf_broker_conf_help(struct mf_buf *to);
#endif
