/*
 * record: one entry of the log, typed, and its canonical JSON form (docs/internals/records.md).
 *
 * The bytes of a record are its leaf in the log: an object with sorted keys, no white space, no floats, at most
 * MF_LIM_RECORD bytes. Encoding writes exactly the fields that are set; decoding refuses unknown fields, missing
 * required ones and any bytes that the encoder would not have written (decode, encode, compare). What a type needs
 * stands in one table in record.c.
 *
 * Strings are slices: the maker of a record keeps their bytes alive; a decoded record points into its mf_record_doc.
 * Pure: no I/O, no clock.
 */
#ifndef MF_BROKER_RECORD_H
#define MF_BROKER_RECORD_H
#include "base/buf.h"

enum mf_record_type {
	MF_REC_LOG_OPENED,
	MF_REC_LOG_RECOVERED,
	MF_REC_BROKER_STARTED,
	MF_REC_BROKER_STOPPED,
	MF_REC_POLICY_LOADED,
	MF_REC_SNAPSHOT_WRITTEN,
	MF_REC_TOKEN_CREATED,
	MF_REC_NODE_REGISTERED,
	MF_REC_NODE_SESSION,   /* a session value was given (its hash) */
	MF_REC_NODE_CONFIRMED, /* and stored by the attestor */
	MF_REC_NODE_EVICTED,
	/* The same evidence with a new inner key: the same node. */
	MF_REC_NODE_REATTESTED,
	MF_REC_NODE_REFUSED, /* a join, clone or version that was turned away */
	MF_REC_JOB_STARTED,
	MF_REC_JOB_ENDED,
	MF_REC_LEASE_OPENED,
	MF_REC_LEASE_RESUMED,
	MF_REC_LEASE_SUSPENDED,
	MF_REC_LEASE_ENDED,
	MF_REC_SVID_ISSUED,
	MF_REC_SVID_RENEWED, /* compact, at most 250 bytes: all else is inherited from the record ${of} */
	MF_REC_AUTHZ_DENIED,
	MF_REC_REVOKE_REQUESTED,
	MF_REC_CLOCK_REFUSED, /* issuance stopped by the clock guard */
	MF_REC_NODE_READMITTED, /* an eviction is over; whatever session value the node holds is accepted once */
	MF_REC_JOB_ENDING,	/* the end was announced: its leases drain until ${until} */
	MF_REC_JOB_EXTENDED,	/* a later deadline */
	MF_REC_JOB_SHORTENED,	/* a sooner one */
	MF_REC_JWT_ISSUED,	/* a JWT-SVID; serial is its jti */
	MF_REC_SIGNERS_LOADED,	/* whose signatures acts that add access need */
	MF_REC_ADMIN_APPROVED,	/* the signatures that the next record, an act, was done with */
	MF_REC_CLOCK_CONFIRMED, /* an operator believes the wall clock after a jump */
	MF_REC_KEY_PREPARED,	/* made, and in the bundle from here on */
	MF_REC_KEY_ACTIVATED,	/* it signs; the one before it is retired */
	MF_REC_KEY_TAINTED,	/* what it signed is to be renewed */
	MF_REC_KEY_REVOKED,	/* out of the bundle although credentials of it may live */
	MF_REC_KEY_REMOVED,	/* its last credential is dead: gone */
	MF_REC_MANAGER_STARTED, /* a manager's word: owner, deadline, nodes (attributes) */
	MF_REC_MANAGER_ENDED,	/* the end of a job that no instance had attached to */
	MF_REC_RUN_KEPT,	/* in snapshots only: a run that outlives its jobs */
	MF_REC_FREEZE_SET,	/* nothing is issued for ${subject}, "profile:train", until it is lifted */
	MF_REC_FREEZE_LIFTED,
	MF_REC_LOG_RESTORED, /* the first record of a new log that continues a copy of another one */
	MF_REC_CLOUD_INTENT, /* a cloud token is about to be asked for: closed by one of the next three */
	MF_REC_CLOUD_PROBE,  /* the intent of a test token that nobody gets: closed by one of the last two */
	MF_REC_CLOUD_ISSUED,
	MF_REC_CLOUD_FAILED,	 /* the provider refused: there is none */
	MF_REC_CLOUD_RECONCILED, /* there is or may be one, and nobody gets it: to be taken back */
	MF_REC_CLOUD_KEPT,	 /* in snapshots only: a cloud token as far as it is known */
	MF_REC_REVOKE_CLOUD,	 /* what a provider said to a revocation */
	MF_REC_REVOKE_COMPLETED, /* of one credential: the level reached, and when it is truly dead */
	MF_REC_CREDENTIAL_ENDED, /* one credential, before its lease: by a person, or because policy took its grant */
	MF_REC_SESSIONS_ENDED, /* all sessions of a role at a provider that began before a time: by a person only */
	MF_REC_GRANT_ENDED, /* ${subject} is refused to this lease from now on, and what it has of it is over */
	MF_RECORD_TYPES
};

/* No type can require those from the 65th on. */
enum mf_record_str {
	MF_RS_ACTOR_KIND, /* "agent", "operator", "broker" */
	MF_RS_BOOT,	  /* this start of the broker */
	MF_RS_BROKER,
	MF_RS_CA_SHA256, /* hex, of the DER of the root that the CA certificate leads to: itself without an upstream CA */
	MF_RS_CAUSE,
	MF_RS_EFFECT, /* decision.effect: "permit" or "deny" */
	MF_RS_POLICY, /* decision.policy: sha256 of the policy file, hex */
	MF_RS_RULE,   /* decision.rule */
	MF_RS_DER,    /* base64url SHA-256 of a certificate */
	MF_RS_GRADE,
	MF_RS_HINT,
	MF_RS_HOLDER, /* "job", "node", "broker" */
	MF_RS_HOSTNAME,
	MF_RS_ID,    /* UUIDv7 */
	MF_RS_INNER, /* hex of a static inner public key */
	MF_RS_INSTANCE_KEY,
	MF_RS_JOB_ID,
	MF_RS_JOB_KEY,
	MF_RS_JOB_MANIFEST, /* sha256 hex of the bytes as submitted */
	MF_RS_JOB_NAME,
	MF_RS_JOB_PROFILE,
	MF_RS_JOB_RUN,
	MF_RS_LEASE,
	/* How a node proved what it is ("x509pop"; absent: by a join token), and hex SHA-256 of what is the node. */
	MF_RS_ATTESTOR,
	MF_RS_EVIDENCE,
	MF_RS_NODE_BOOT,
	MF_RS_NODE_ID,
	MF_RS_ON_END, /* "deny" or "expire" */
	MF_RS_ORIGIN,
	MF_RS_PERSON,
	MF_RS_REASON,
	MF_RS_RELEASE,
	MF_RS_SERIAL,
	MF_RS_SESSION, /* hex SHA-256 of a session value */
	MF_RS_SHA256,  /* hex, of a file the record is about */
	MF_RS_SPIFFE_ID,
	MF_RS_SPKI,    /* base64url SHA-256 of the public point */
	MF_RS_SUBJECT, /* what a revocation names, in full */
	MF_RS_TENANT,
	MF_RS_TOKEN_HASH, /* hex */
	MF_RS_TOKEN_ID,
	MF_RS_TRUST_DOMAIN,
	MF_RS_VKEY,	  /* the log's verifier key (C2SP) */
	MF_RS_ACTOR_CERT, /* hex SHA-256 of an administrator's certificate */
	MF_RS_ACTOR_ROLE,
	MF_RS_ACTOR_SPIFFE_ID,
	MF_RS_ACTOR_SUBJECT, /* of a certificate that is no SVID */
	MF_RS_KID,	     /* of the key that signed a JWT */
	MF_RS_NONCE,	     /* of signatures: used once */
	MF_RS_KEY_ID,
	MF_RS_KEY_USE,	   /* key_use.h: "x509", "jwt-svid-es256", ... */
	MF_RS_CERTIFICATE, /* base64url: DER of the signing certificate, then of its intermediates */
	MF_RS_ANCHOR, /* base64url: DER of what the bundle holds for it; absent: the certificate itself */
	MF_RS_JWK,    /* the public half of a JWT key: the JWK of RFC 7638 3.2, whose SHA-256 is its id */
	MF_RS_PREVIOUS_ORIGIN, /* of the log that is continued: its name, */
	MF_RS_PREVIOUS_ROOT,   /* and hex of its tree's root where it is */
	MF_RS_CLOUD_GRANT, /* the profile's name for it; serial is the credential's id, sha256 its token's */
	MF_RS_CLOUD_TARGET,
	MF_RS_CLOUD_BACKEND,
	MF_RS_CLOUD_SCOPE_SHA256, /* hex, of what the provider is sent */
	MF_RS_CLOUD_ERROR,	  /* MintResult.error */
	MF_RS_CLOUD_STATE,	  /* in snapshots only */
	MF_RS_CLOUD_ROLE,
	MF_RS_CLOUD_SESSION, /* our name for the provider's session */
	MF_RS_CLOUD_SCOPE,
	MF_RS_CLOUD_PRINCIPAL,
	MF_RS_CLOUD_PROVIDER_SESSION, /* the provider's: access key id, jti */
	MF_RS_CLOUD_REQUEST_ID,
	MF_RS_CLOUD_TOKEN_FORMAT, /* "opaque"; "jwt": who verifies it by itself hears of no revocation */
	MF_RS_CLOUD_PROBE, /* what the provider says of a revoked token: "inactive"; "unknown": it did not say */
	MF_RS_COUNT
};

enum mf_record_num {
	MF_RN_LOGINUID,
	MF_RN_PID,
	MF_RN_UID,
	MF_RN_BYTES,
	MF_RN_DEADLINE,	   /* unix seconds: of a job without, of a lease with the drain */
	MF_RN_DETECTED_US, /* wall clock of the node */
	MF_RN_DRAIN_MS,
	MF_RN_EPOCH,
	MF_RN_EXP,	   /* unix seconds */
	MF_RN_EXPIRES,	   /* unix seconds */
	MF_RN_INSTANCE,	   /* n of j-.../n<n> */
	MF_RN_NBF,	   /* unix seconds */
	MF_RN_OF,	   /* index of the svid.issued that this continues */
	MF_RN_OIDC_BUNDLE, /* in snapshots only: number of the last OIDC documents */
	MF_RN_RULES,
	MF_RN_SIZE, /* log size (records) a snapshot stands for */
	MF_RN_SLOT, /* which identity of the profile, from 0 */
	MF_RN_USES,
	MF_RN_UNTIL,		/* unix seconds: the drain is over */
	MF_RN_CA,		/* index of the key.prepared of the key that signed */
	MF_RN_BUNDLE,		/* number of the bundle from this record on */
	MF_RN_LAST_EXP,		/* unix seconds: the end of the last credential that a key signed */
	MF_RN_OWNER,		/* uid that a manager names as owner */
	MF_RN_JWT_BUNDLE,	/* in snapshots only: number of the last JWT bundle */
	MF_RN_PREVIOUS_SIZE,	/* records of the log that is continued */
	MF_RN_CLOUD_GENERATION, /* of the grant on its lease, from 1 */
	MF_RN_CLOUD_EFFECTIVE,	/* unix seconds: its permissions end then; at most exp */
	MF_RN_CLOUD_HANDLE,	/* 1: a revocation needs a secret, which is kept sealed */
	MF_RN_CLOUD_LEVEL,	/* of a revocation, 0 to 4 */
	MF_RN_CLOUD_DEAD_AT,	/* unix seconds */
	MF_RN_CLOUD_ISSUED_US,	/* in snapshots only, as the next */
	MF_RN_CLOUD_ENDED_US,
	MF_RN_CLOUD_BEFORE, /* unix seconds: sessions that began before it are over */
	MF_RN_CLOUD_ISSUED, /* in snapshots only: indices of records */
	MF_RN_CLOUD_ENDED,
	MF_RN_CLOUD_COMPLETED,
	MF_RN_COUNT
};

/* What an end or suspension takes with it, and how long it works on where nobody is told. */
struct mf_record_cred {
	struct mf_slice serial;
	int64_t exp;
};

struct mf_record {
	enum mf_record_type type;
	int64_t ts_us; /* wall clock of the broker when it was made */
	struct mf_slice s[MF_RS_COUNT];
	int64_t n[MF_RN_COUNT];
	uint64_t n_set;			   /* bit i: n[i] is there */
	const struct mf_slice *attributes; /* "key=value" */
	size_t attributes_n;
	const struct mf_slice *selectors;
	size_t selectors_n;
	const struct mf_record_cred *creds;
	size_t creds_n;
	const struct mf_slice *aud; /* audiences of a JWT, in its order */
	size_t aud_n;
};

const char *mf_record_type_name(enum mf_record_type t);
MF_NODISCARD bool mf_record_type_parse(struct mf_slice name, enum mf_record_type *ret_t);
/* True for ends, suspensions, evictions, revocations and what goes with them: they may use the log's reserve. */
bool mf_record_is_removal(enum mf_record_type t);

/* "actor.kind, subject": what records of this type must have beside the envelope; for the reference pages. */
void mf_record_required(enum mf_record_type t, struct mf_buf *to);

static inline void
mf_record_set(struct mf_record *r, enum mf_record_str f, struct mf_slice v)
{
	r->s[f] = v;
}
static inline void
mf_record_set_str(struct mf_record *r, enum mf_record_str f, const char *v)
{
	r->s[f] = mf_slice_str(v);
}
static inline void
mf_record_set_num(struct mf_record *r, enum mf_record_num f, int64_t v)
{
	r->n[f] = v;
	r->n_set |= UINT64_C(1) << f;
}
static inline bool
mf_record_has_num(const struct mf_record *r, enum mf_record_num f)
{
	return (r->n_set & UINT64_C(1) << f) != 0;
}

/* Append the canonical bytes to ${to}. MF_E_INTERNAL when a required field is missing (a bug of the maker). */
MF_NODISCARD enum mf_status
mf_record_encode(const struct mf_record *r, struct mf_buf *to, struct mf_err *err);

struct mf_record_doc; /* a decoded record with what it points into */
MF_NODISCARD enum mf_status
mf_record_decode(struct mf_slice bytes, struct mf_record_doc **ret_doc, struct mf_err *err);
const struct mf_record *mf_record_doc_get(const struct mf_record_doc *doc);
void mf_record_doc_free(struct mf_record_doc *doc);
MF_DEFINE_CLEANUP(struct mf_record_doc, mf_record_doc_free)

/* 36 letters and a NUL: UUIDv7 of ${wall_us} and 10 random bytes (RFC 9562 5.7). */
void mf_uuid7(int64_t wall_us, const uint8_t random[10], char ret_text[37]);
#endif
