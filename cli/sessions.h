/* sessions: `mayfly revoke --target T --role R`: all sessions of a provider's role. */
#ifndef MF_CLI_SESSIONS_H
#define MF_CLI_SESSIONS_H
#include "admin.pb-c.h"
#include "cli/cli.h"
#include "codec/json_write.h"

/* The whole verb. An exit code. */
int mf_cli_revoke_sessions(struct mf_cli *c);
/* How a removal says it: lines for people; an object for programs, empty when ${s} is NULL. */
void mf_cli_sessions_put(struct mf_buf *to, const Mayfly__Admin__V1__EndedSessions *s);
void mf_cli_sessions_json(struct mf_jw *w, const Mayfly__Admin__V1__EndedSessions *s);
#endif
