/*
 * admins_conf: the file that `admins` of broker.yaml names: who administers the broker from elsewhere, as what, and
 * which authorities vouch for them. It is read at the start and again at every reload (SIGHUP).
 *
 *   mayfly_admins: 1
 *   ca: /etc/mayfly/admin-ca.pem            # for certificates that are no SVIDs
 *   bundles:                                # foreign trust domains
 *     corp.example: {file: /etc/mayfly/corp.pem}
 *   admins:
 *     - {role: viewer, spiffe_id: "spiffe://corp.example/alice"}
 *     - {role: operator, subject: "CN=bob,O=Example"}
 *     - {role: admin, fingerprint: 64 letters of hex}
 *
 * The struct never changes once loaded; its strings live as long as it does.
 */
#ifndef MF_CONF_ADMINS_CONF_H
#define MF_CONF_ADMINS_CONF_H
#include "conf/schema.h"

enum mf_admins_role { MF_ADMINS_VIEWER, MF_ADMINS_REVOKER, MF_ADMINS_OPERATOR, MF_ADMINS_ADMIN };

struct mf_admins_entry {
	int role;				       /* enum mf_admins_role */
	const char *spiffe_id, *fingerprint, *subject; /* exactly one is not "" */
	const struct mf_yaml_node *self;
};
struct mf_admins_bundle {
	const char *trust_domain;
	const char *file; /* PEM */
};

struct mf_admins_conf {
	struct mf_arena *arena;
	struct mf_yaml *doc;
	int64_t version;
	const char *ca;		      /* "": none */
	struct mf_conf_items bundles; /* struct mf_admins_bundle */
	struct mf_conf_items admins;  /* struct mf_admins_entry */
};

extern const char *const mf_admins_role_words[];

/* MF_E_INVALID with everything that is wrong in ${problems}; MF_E_NOMEM. */
MF_NODISCARD enum mf_status mf_admins_conf_load(
    struct mf_slice file, struct mf_problems *problems, struct mf_admins_conf **ret_c, struct mf_err *err);
void mf_admins_conf_free(struct mf_admins_conf *c); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_admins_conf, mf_admins_conf_free)
#endif
