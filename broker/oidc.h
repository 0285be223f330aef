/* oidc: what `mayfly-broker run` gives to the notary and the publisher for the OIDC documents. */
#ifndef MF_BROKER_OIDC_H
#define MF_BROKER_OIDC_H
#include "conf/broker_conf.h"
#include "os/supervisor.h"

#define MF_BROKER_PUBLISHER "publisher"

/* Does the publisher run? */
bool mf_broker_publishes(const struct mf_broker_conf *conf);
/* The issuers, for the notary; of the publisher, if it runs: its socket, STATE/public (below ${state_fd}) and its options. */
MF_NODISCARD enum mf_status mf_broker_oidc(
    const struct mf_broker_conf *conf, struct mf_supervisor *sup, int state_fd, struct mf_err *err);
/* The publisher's certificate and key; at a reload again. */
MF_NODISCARD enum mf_status
mf_broker_oidc_files(const struct mf_broker_conf *conf, struct mf_supervisor *sup, struct mf_err *err);
#endif
