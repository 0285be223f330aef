/*
 * cloud_env: the environment in which a job's SDKs find their cloud credentials, and the files that it names. Whoever
 * starts the job sets the one and writes the others (mayfly run), or prints it (mayfly env).
 */
#ifndef MF_AGENT_FRONT_CLOUD_ENV_H
#define MF_AGENT_FRONT_CLOUD_ENV_H
#include "agent/front/cloud_http.h"

#include "job.pb-c.h"

#define MF_CLOUD_SECRET_FILE "secret"

/*
 * For the grants of ${e}. ${http} NULL: there is no endpoint here, so only files. *ret_m is the caller's, freed by
 * mf_pb_free; without grants it is empty. MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_cloud_env(const struct mf_cloud_http *http, struct mf_svid_entry *e,
    Mayfly__Job__V1__CloudEnvironment **ret_m, struct mf_err *err);
/* What stands in the file of a bearer token; empty: none is held. */
MF_NODISCARD enum mf_status
mf_cloud_bearer_put(const struct mf_cloud_item *i, struct mf_buf *to, struct mf_err *err);
#endif
