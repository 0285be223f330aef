/*
 * cloud_conf: the tables of `oidc` and `cloud_targets` in broker.yaml: where cloud tokens come from. What a backend needs
 * beyond the form of its values is checked by that backend (broker/backends), at the start.
 */
#ifndef MF_CONF_CLOUD_CONF_H
#define MF_CONF_CLOUD_CONF_H
#include "conf/schema.h"

enum mf_cloud_conf_backend { MF_CLOUD_CONF_AWS_STS, MF_CLOUD_CONF_OAUTH };

/* Who answers at the issuer's URL. */
enum mf_cloud_conf_public { MF_CLOUD_CONF_ELSEWHERE, MF_CLOUD_CONF_PUBLISHER };

struct mf_cloud_conf_oidc {
	const char *issuer;	/* ""; no assertions but where a target has an issuer of its own */
	const char *x5c_issuer; /* "": no issuer, else never empty once loaded */
	int public;		/* enum mf_cloud_conf_public */
	const char *listen, *certificate, *key; /* of the publisher; listen "": it does not run */
};

/* One of cloud_targets; "" where nothing is said. Fields: CloudTarget of proto/roles.proto. */
struct mf_cloud_conf_target {
	const char *name;
	int backend; /* enum mf_cloud_conf_backend */
	const char *endpoint, *admin_endpoint, *region, *audience, *revoker_role;
	const char *client_id, *flow, *client_auth, *revocation_endpoint, *introspection_endpoint;
	const char *ca_file, *service_endpoint, *issuer, *algorithm;
	bool loopback;
	int64_t deny_bytes;		      /* 0: the backend's */
	const char *revoker_key_file;	      /* "ACCESS:SECRET" */
	const char *client_cert, *client_key; /* PEM files, for client_auth tls_client_auth */
	const struct mf_yaml_node *self;
};

extern const struct mf_conf_schema mf_cloud_conf_oidc_schema, mf_cloud_conf_target_schema;
/* The names of backends, as enum mf_cloud_conf_backend counts. */
extern const char *const mf_cloud_conf_backends[];

/* What the tables cannot say. */
void mf_cloud_conf_check(
    const struct mf_cloud_conf_oidc *oidc, const struct mf_conf_items *targets, struct mf_problems *problems);
#endif
