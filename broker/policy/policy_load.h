/*
 * policy_load: the policy file (design 9) made into a policy.
 *
 * YAML or JSON as yaml.h takes it, with `mayfly_policy: 1`, `profiles` and `rules`. Everything that is wrong is told
 * at once, each with line, column and cure. The digest of the file is the caller's to take, over the bytes given here.
 */
#ifndef MF_BROKER_POLICY_LOAD_H
#define MF_BROKER_POLICY_LOAD_H
#include "broker/core/policy.h"
#include "conf/problem.h"

/* MF_OK with a sealed policy of the caller; MF_E_INVALID with all problems added; MF_E_TOOBIG, MF_E_NOMEM. */
MF_NODISCARD enum mf_status mf_policy_load(
    struct mf_slice file, struct mf_problems *problems, struct mf_policy **ret_p, struct mf_err *err);
#endif
