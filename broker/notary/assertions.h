/*
 * assertions: JWTs for cloud providers, signed in the crew's threads. The engine gives fields; the token comes back to it
 * alone. State thread, but for the signing.
 */
#ifndef MF_NOTARY_ASSERTIONS_H
#define MF_NOTARY_ASSERTIONS_H
#include "broker/notary/crew.h"

struct mf_assertions; /* opaque */

MF_NODISCARD enum mf_status mf_assertions_new(struct mf_assertions **ret_a, struct mf_err *err);
void mf_assertions_free(struct mf_assertions *a); /* after the crew */
MF_DEFINE_CLEANUP(struct mf_assertions, mf_assertions_free)
/* Takes ${req}; answered through mf_assertions_done by mf_engine_assertion_signed. */
void mf_assertions_sign(struct mf_assertions *a, struct mf_crew *c, struct mf_assertion_request *req);
/* What MF_CREW_DONE brought; false: it is not one of these. */
bool mf_assertions_done(struct mf_assertions *a, struct mf_engine *e, struct mf_now now, void *arg);
#endif
