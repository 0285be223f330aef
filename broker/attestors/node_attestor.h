/*
 * node_attestor: the ways in which a node proves to the notary what it is, each a const table of functions in a folder
 * of its own with its page (README.md). All run through one conformance test (tests/unit/test_node_attestors.c).
 *
 * Two steps. ${check} looks at what came with Join without parsing anything that a stranger made, and may refuse at
 * once. Where it says so (verified), the evidence then goes to a verifier process, whose answer ${decide} judges: the
 * verifier may have been taken over by the evidence, so everything it says is checked again for form, and nothing that
 * it says can name another node than the one this evidence belongs to.
 *
 * Pure: no I/O, no clock. State thread.
 */
#ifndef MF_NODE_ATTESTOR_H
#define MF_NODE_ATTESTOR_H
#include "base/attribute.h"
#include "base/limits.h"
#include "broker/core/state.h"

#define MF_ATTEST_EVIDENCE 65 /* hex SHA-256, with NUL */

/* What the operator configured. The strings live as long as the notary. */
struct mf_attest_conf {
	bool x509pop;		      /* there is a node CA */
	const struct mf_slice *rules; /* "NAME=SOURCE" (codec/x509_pop.h) */
	size_t rules_n;
};

/* What came: fields of Join. */
struct mf_attest_claim {
	const struct mf_state *state;
	const struct mf_attest_conf *conf;
	int64_t wall_us;
	const char *token_id;
	struct mf_slice token_secret;
	const struct mf_slice *certificates;
	size_t certificates_n;
	struct mf_slice signature;
};

/* What a node may be registered with. Texts point into the claim, the state, the configuration or the verifier's answer. */
struct mf_attested {
	char evidence[MF_ATTEST_EVIDENCE]; /* not empty: the same evidence is the same node */
	const char *token_id;		   /* not "": spends one use of it */
	struct mf_slice attributes[MF_ATTRIBUTES];
	size_t attributes_n;
};

struct mf_node_attestor {
	const char *name; /* in Join, records and node.attestor */
	bool verified;	  /* a verifier must see the evidence */
	/* NULL: fill ${ret} as far as it is known now. Else why not, with the cure. */
	const char *(*check)(const struct mf_attest_claim *c, struct mf_attested *ret);
	/* ${said}: the verifier's attributes. NULL: ${ret} is complete. Only where verified. */
	const char *(*decide)(const struct mf_attest_conf *conf, const struct mf_slice *said, size_t said_n,
	    struct mf_attested *ret);
};

extern const struct mf_node_attestor mf_attestor_join_token, mf_attestor_x509pop;
extern const struct mf_node_attestor *const mf_node_attestors[]; /* NULL-terminated */
/* By the name in Join; "" is join_token. NULL: there is none. */
const struct mf_node_attestor *mf_node_attestor_find(const char *name);
#endif
