/*
 * token_backend: the kinds of places that give out cloud tokens, each a const table of functions in a folder of its own
 * with its page (README.md). All run through one conformance test (tests/unit/test_token_backends.c).
 *
 * A backend has two halves, in two processes, and neither does I/O:
 *
 *   notary   ${caps} says what the provider can do; ${render_scope} makes the provider's form of a scope. The notary hashes
 *            those bytes into cloud.intent before anybody sees an assertion.
 *   courier  ${start} and ${next} turn one task into HTTP requests and their replies into a result. Replies are hostile
 *            bytes: capped by whoever reads them, parsed strictly here, and nothing of a body goes into a text.
 *
 * Pure: no I/O, no clock, no randomness of its own (what is needed comes in the task). One thread per struct mf_cloud_op.
 * Layer: broker/backends; lib/codec and lib/crypto below it.
 */
#ifndef MF_TOKEN_BACKEND_H
#define MF_TOKEN_BACKEND_H
#include "base/buf.h"
#include "base/err.h"
#include "broker/core/scope.h"

#include "roles.pb-c.h"

/* What a revocation reaches (docs/internals/cloud.md). A bit each. */
enum mf_revoke_level {
	MF_REVOKE_STOPPED = 1u << 0,	/* L0: no longer served, nor renewed. Always */
	MF_REVOKE_CREDENTIAL = 1u << 1, /* L1: the provider ended that credential */
	MF_REVOKE_DENIED = 1u << 2,	/* L2: the provider denies by a tag that it carries */
	MF_REVOKE_SESSIONS = 1u << 3,	/* L3: all sessions of the shared principal; a person's act */
	MF_REVOKE_TRUST = 1u << 4,	/* L4: the provider trusts the issuer no more; blocks new ones only */
};

struct mf_backend_caps {
	const char *kind;     /* of the token: "aws", "bearer" */
	const char *audience; /* of assertions where the target names none; NULL: the target must */
	uint32_t ttl_min_s, ttl_max_s, ttl_default_s;
	bool ttl_settable; /* false: the provider decides */
	bool bomb;	   /* a scope can end permissions at a given second */
	bool tags;	   /* the assertion carries mayfly-job, -lease, -cred where a deny list sees them */
	bool needs_handle; /* L1 needs the token itself: kept sealed (handles) */
	bool needs_public_issuer; /* the provider fetches our keys */
	unsigned levels;	  /* enum mf_revoke_level */
	uint32_t
	    deny_latency_s; /* documented, from the confirmation of L2 to where it holds everywhere; 0: next request */
};

struct mf_http_header {
	const char *name, *value;
};
/* One request of the courier. Texts live until the next call of ${next} or the end of the op. */
struct mf_http_request {
	const char *method; /* "GET", "POST" */
	const char *url;    /* of the target's endpoints only: checked by the courier */
	const struct mf_http_header *headers;
	size_t headers_n;
	struct mf_slice body; /* may hold secrets */
};
struct mf_http_reply {
	unsigned status;       /* 0: no reply */
	const char *transport; /* without a reply: why */
	bool refused; /* not for this moment only: TLS does not verify, or the address may not be spoken to */
	bool sent;    /* the request may have reached the provider: the outcome is unknown */
	uint32_t retry_after_s;
	const char *date;     /* of the reply, for "clock"; may be NULL */
	struct mf_slice body; /* capped */
	bool cut;	      /* the body was longer than the cap, or ended early */
};

enum mf_cloud_task { MF_CLOUD_MINT, MF_CLOUD_REVOKE, MF_CLOUD_PROBE };

struct mf_cloud_op; /* one task under way; each backend has its own */

enum mf_cloud_step { MF_CLOUD_SEND, MF_CLOUD_DONE };

/* Only one is set, as the task says. Live as long as the op. */
struct mf_cloud_job {
	const Mayfly__Roles__V1__CloudTarget *target;
	const Mayfly__Roles__V1__MintRequest *mint;
	const Mayfly__Roles__V1__CloudRevokeRequest *revoke;
	const Mayfly__Roles__V1__CloudProbeRequest *probe;
	int64_t now_s; /* wall clock, for SigV4 */
};

struct mf_token_backend {
	const char *name; /* in broker.yaml, records and pages */
	struct mf_backend_caps caps;
	/* Those of ${caps.levels} that this target can reach. NULL: all of them. */
	unsigned (*levels)(const Mayfly__Roles__V1__CloudTarget *t);
	/* Is the target whole? MF_E_INVALID names the key and the cure. */
	enum mf_status (*check)(const Mayfly__Roles__V1__CloudTarget *t, struct mf_err *err);
	/*
	 * Notary. Append the provider's form of ${s} to ${to}; ${not_after} > 0: permissions end then. MF_E_TOOBIG: it has
	 * no room for it; MF_E_INVALID: it cannot say this.
	 */
	enum mf_status (*render_scope)(const Mayfly__Roles__V1__CloudTarget *t, const struct mf_scope *s,
	    int64_t not_after, struct mf_buf *to, struct mf_err *err);
	/* Courier. The op, whose first request ${next} gives with ${reply} NULL. */
	enum mf_status (*start)(enum mf_cloud_task task, const struct mf_cloud_job *job,
	    struct mf_cloud_op **ret_op, struct mf_err *err);
	/* MF_CLOUD_SEND: do ${ret_req}, and come back with its reply. MF_CLOUD_DONE: ${result} has it. */
	enum mf_cloud_step (*next)(
	    struct mf_cloud_op *op, const struct mf_http_reply *reply, struct mf_http_request *ret_req);
	/* After DONE: fill the message of the task (texts and bytes are the op's). */
	void (*mint_result)(const struct mf_cloud_op *op, Mayfly__Roles__V1__MintResult *to);
	void (*revoke_result)(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudRevokeResult *to);
	void (*probe_result)(const struct mf_cloud_op *op, Mayfly__Roles__V1__CloudProbeResult *to);
	void (*free)(struct mf_cloud_op *op); /* wipes; NULL is a no-op */
};

static inline unsigned
mf_token_backend_levels(const struct mf_token_backend *b, const Mayfly__Roles__V1__CloudTarget *t)
{
	return b->levels == NULL ? b->caps.levels : b->levels(t);
}

extern const struct mf_token_backend mf_backend_aws_sts, mf_backend_oauth;
extern const struct mf_token_backend *const mf_token_backends[]; /* NULL-terminated */
/* NULL: there is none of that name. */
const struct mf_token_backend *mf_token_backend_find(const char *name);
#endif
