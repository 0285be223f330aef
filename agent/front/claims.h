/*
 * claims: the claims of a verified token as google.protobuf.Struct.
 *
 * Numbers are exact or not there: a claim that holds a whole number beyond 2^53, nests deeper than the Workload API's
 * readers allow, or does not fit the arena is left out with a count (WAPI-20: "may drop non-SPIFFE claims"); sub, aud,
 * exp, iat and nbf always fit. aud is a list always.
 */
#ifndef MF_AGENT_FRONT_CLAIMS_H
#define MF_AGENT_FRONT_CLAIMS_H
#include "base/arena.h"
#include "codec/json.h"

#include "google/protobuf/struct.pb-c.h"

/* *ret_struct and all below it lie in ${arena}. MF_E_NOMEM when not even the registered claims fit. */
MF_NODISCARD enum mf_status mf_claims_struct(const struct mf_json_value *claims, struct mf_arena *arena,
    Google__Protobuf__Struct **ret_struct, size_t *ret_dropped, struct mf_err *err);
#endif
