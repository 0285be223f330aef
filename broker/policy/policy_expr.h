/* policy_expr: a condition of the policy file, from its YAML tree to the builder of policy.h. */
#ifndef MF_BROKER_POLICY_EXPR_H
#define MF_BROKER_POLICY_EXPR_H
#include "broker/core/policy.h"
#include "conf/yaml.h"

/*
 * Checks the whole condition ${root} (a map) and adds all its problems; without any it is pushed to ${policy}, whose
 * rule must be open. ${policy} NULL: check only. ${in_nodes}: it stands under `nodes`. True when all went well.
 */
bool mf_policy_expr(
    const struct mf_yaml_node *root, bool in_nodes, struct mf_policy *policy, struct mf_problems *problems);
#endif
