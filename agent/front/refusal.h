/*
 * refusal: what the code of a refusal (mayfly.agent.v1.RefusalCode) means for who asked.
 */
#ifndef MF_AGENT_FRONT_REFUSAL_H
#define MF_AGENT_FRONT_REFUSAL_H
#include "agent/front/keys.h"

/* Whether the same request may go through later, without anything about the job having changed. */
bool mf_refusal_may_pass(uint32_t code);
/* Whether a first request that offered ${n} keys may have been refused for want of more. */
bool mf_refusal_wants_keys(uint32_t code, size_t n);
#endif
