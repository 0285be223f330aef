/* policy_file: the policy file, from its descriptor into the engine. State thread. */
#ifndef MF_NOTARY_POLICY_FILE_H
#define MF_NOTARY_POLICY_FILE_H
#include "broker/notary/engine.h"
#include "os/role_start.h"

/* What is wrong in it goes to the log, a line for each problem under ${name}; the policy in force stays then. */
MF_NODISCARD enum mf_status
mf_policy_file_load(struct mf_engine *e, const char *name, int fd, struct mf_err *err);
/* The same for a running engine, which is told when the file is refused. Closes ${fd}. */
void mf_policy_file_again(struct mf_engine *e, const char *name, int fd);
/* Ask the supervisor for the file anew; false: it cannot be asked. */
bool mf_policy_file_ask(struct mf_role *role);
#endif
