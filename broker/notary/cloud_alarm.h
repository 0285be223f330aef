/*
 * cloud_alarm: what a person should look at: a provider that does not answer, outcomes that nobody knows, tokens that should be dead
 * and are not confirmed. For log lines, metrics and `mayfly status`; decides nothing. Forgotten with the process: the state
 * says anew what is late.
 */
#ifndef MF_NOTARY_CLOUD_ALARM_H
#define MF_NOTARY_CLOUD_ALARM_H
#include "broker/notary/engine_internal.h"

/*
 * What came of a request to ${target}. ${error}: its word, "" for a good one; ${reason} for people. Three in a row without an answer
 * that can be used are told as cloud.unreachable, the first one after it as cloud.reachable.
 */
void mf_cloud_heard(struct mf_engine *e, const char *target, const char *error, const char *reason);
/* An outcome that is not known; ${credential} may work. */
void mf_cloud_unknown(struct mf_engine *e, const char *target, const char *credential);
/* Now and then: what has ended and is not confirmed. A minute is long: cloud.revoke_late, and cloud.revoke_done when nothing is. */
void mf_cloud_alarm_tick(struct mf_engine *e, struct mf_now now);
void mf_cloud_alarm_status(const struct mf_engine *e, struct mf_engine_status *s);
#endif
