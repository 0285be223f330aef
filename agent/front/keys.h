/*
 * keys: fresh P-256 keys for one request. A key is made for one request and never offered again.
 */
#ifndef MF_AGENT_FRONT_KEYS_H
#define MF_AGENT_FRONT_KEYS_H
#include "agent/core/svid_cache.h"

/* ${ret} holds none before, or MF_E_STATE. On failure it holds none. */
MF_NODISCARD enum mf_status mf_front_keys_make(struct mf_svid_keys *ret, size_t n, struct mf_err *err);
#endif
