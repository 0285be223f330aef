/*
 * setup: what to create at a provider for one cloud grant of a profile, as commands or as Terraform. Pure: texts in, text out.
 * Everything is as narrow as the grant: the role takes assertions of that profile's jobs only, and may do what the grant's
 * templates can ever mean.
 */
#ifndef MF_CLI_POLICY_SETUP_H
#define MF_CLI_POLICY_SETUP_H
#include "broker/core/policy.h"

enum mf_setup_kind { MF_SETUP_AWS, MF_SETUP_RGW, MF_SETUP_MINIO, MF_SETUP_OAUTH, MF_SETUP_KINDS };
extern const char *const mf_setup_kinds[MF_SETUP_KINDS + 1]; /* "aws", "rgw", "minio", "oauth" */

struct mf_setup {
	enum mf_setup_kind kind;
	const char *trust_domain, *profile, *issuer, *audience;
	const char *endpoint, *revoker_role, *client_id; /* of the target; "" for none */
	const char *subject;				 /* path template of the profile's first identity */
	const struct mf_policy_cloud *grant;
};

/* MF_E_INVALID: what the configuration lacks for that kind, and the cure. */
MF_NODISCARD enum mf_status
mf_setup_commands(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err);
/* aws and rgw only. */
MF_NODISCARD enum mf_status
mf_setup_terraform(const struct mf_setup *s, struct mf_buf *to, struct mf_err *err);
#endif
