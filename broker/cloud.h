/*
 * cloud: cloud_targets of broker.yaml, with the files they name, made into what the notary and the courier are given: a packed
 * mayfly.roles.v1.CloudConf in a memfd. Supervisors only: blocking, one thread.
 */
#ifndef MF_BROKER_CLOUD_H
#define MF_BROKER_CLOUD_H
#include "conf/broker_conf.h"

/*
 * ${secrets}: with the administrators' keys and our client keys, for the courier. Errors name the target, the file and
 * the cure.
 */
MF_NODISCARD enum mf_status
mf_broker_cloud(const struct mf_broker_conf *conf, bool secrets, int *ret_fd, struct mf_err *err);
#endif
