/*
 * rig_handles: for engine_rig_cloud: a provider that ends single tokens and says whether they are active, and the notary's disk for their
 * handles, in memory. It does what the test says, when the test says so.
 */
#ifndef MF_TEST_RIG_HANDLES_H
#define MF_TEST_RIG_HANDLES_H
#include "engine_rig_cloud.h"

#define RIG_HANDLES 512u

struct rig_handle {
	char cred[MF_STATE_ID_MAX];
	char secret[64];
	int64_t until;
	bool on_disk;
};

struct rig_handles {
	struct rig_handle all[RIG_HANDLES]; /* written, or being written */
	size_t n;
	char opening[RIG_HANDLES][MF_STATE_ID_MAX];
	size_t opening_n, opened_in_all;
	char probe_of[RIG_HANDLES][64]; /* the handles asked about */
	uint64_t probing[RIG_HANDLES];
	size_t probing_n, probed_in_all;
	bool introspects; /* the target says whether a token is active */
	bool by_key;	  /* the target wants private_key_jwt */
	bool jwt;	  /* tokens are JWTs */
};

/* As mf_rig_with_cloud, with a backend of level 1 and no other; tokens need a handle. */
struct rig *mf_rig_with_handles(struct rig_cloud *c, struct rig_handles *h, struct rig_job *j);
void mf_rig_handles_target(const struct rig_handles *h, Mayfly__Roles__V1__CloudTarget *t);
void mf_rig_handles_result(
    const struct rig_handles *h, const Mayfly__Roles__V1__MintRequest *q, Mayfly__Roles__V1__MintResult *m);
/* The one of ${cred} that is on disk or on its way there; NULL: none. */
const struct rig_handle *mf_rig_handle(const struct rig_handles *h, const char *cred);
size_t mf_rig_on_disk(const struct rig_handles *h);
/* The disk takes what waits (${ok}), or does not. */
void mf_rig_keep_all(struct rig *r, bool ok);
/* It reads what is asked for; ${s} not MF_OK: it fails so. */
void mf_rig_open_all(struct rig *r, enum mf_status s);
/* The provider answers the oldest question. False: there is none. */
bool mf_rig_probed(struct rig *r, bool known, bool active);
/* kill -9: what was not on disk is gone, and so is every question. */
void mf_rig_handles_crash(struct rig *r);
/* Ended at the provider: answers the oldest revocation with level 1. */
bool mf_rig_ended(struct rig *r, const char *error);
#endif
