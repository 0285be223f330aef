/*
 * wait: `mayfly revoke --wait`: until each credential of a removal is dead, or it is known when it will be. What is shown
 * stands on record, with the record's index: the verified log is the evidence, not this program's word.
 */
#ifndef MF_CLI_WAIT_H
#define MF_CLI_WAIT_H
#include "admin.pb-c.h"
#include "cli/cli.h"

/* ${r} is effective and recorded. Progress on stderr, the outcome on stdout. An exit code: 0 or 4, as the verb's help says. */
int mf_cli_wait(struct mf_cli *c, const Mayfly__Admin__V1__RemovalResponse *r);
#endif
