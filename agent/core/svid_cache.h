/*
 * svid_cache: what the agent's front holds for the instances of its node: identities with their private keys, the
 * trust domain's bundle, or why there is nothing. Pure: no I/O, no libcrypto; grants come as plain fields.
 *
 * An instance is found by its key (which lasts) or its handle (which the attestor may change when it starts again).
 * A grant is checked before it is taken: each leaf must be for the key that we made, say the SPIFFE ID and the times
 * that stand beside it, and lie in our trust domain; so nothing reaches a job that its library would choke on.
 * What is replaced, refused, suspended or ended is wiped at once. Every change that a job can see moves a version.
 * Thread rule: one thread.
 */
#ifndef MF_AGENT_CORE_SVID_CACHE_H
#define MF_AGENT_CORE_SVID_CACHE_H
#include "agent/core/cloud_cache.h"
#include "agent/core/jwt_cache.h"
#include "agent/core/rotation.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/secret.h"

#define MF_SVID_POINT 65u
#define MF_SVID_SERIAL 40u    /* letters of a serial, at most */
#define MF_SVID_TEXT_MAX 512u /* bytes of an id, profile, rule, tenant; reasons are cut to it */

enum mf_svid_state {
	MF_SVID_UNKNOWN = 0, /* nothing asked yet, lapsed, or suspended */
	MF_SVID_PENDING,     /* the first request is out */
	MF_SVID_GRANTED,
	MF_SVID_REFUSED, /* policy said no; asked again when somebody wants it later */
	MF_SVID_ENDED,	 /* over: this instance gets nothing any more */
	MF_SVID_STATE_COUNT
};
const char *mf_svid_state_name(enum mf_svid_state s); /* "pending", ...; never NULL */

struct mf_svid_identity {
	char *spiffe_id; /* folded, as in the leaf */
	char *hint;	 /* "" when there is none */
	char serial[MF_SVID_SERIAL + 1];
	int64_t not_before_s, not_after_s;
	struct mf_buf chain;   /* DER, leaf first */
	struct mf_secret *key; /* PKCS#8 */
};

/* What a grant says about the job. All strings owned, NULL before the first grant. */
struct mf_svid_job {
	char *lease_id, *job_id, *job_key, *run_id, *profile, *rule, *tenant;
	uint32_t epoch, instance, drain_ms;
	int64_t deadline_s;
};

struct mf_svid_entry {
	uint64_t handle;
	uint32_t generation; /* of the attestor's link under which the handle is good */
	uint32_t uid;	     /* whose instance it is, once has_uid */
	bool has_uid;
	char *key; /* instance_key */
	enum mf_svid_state state;
	uint64_t version; /* of what a job sees: state, identities, bundle */
	struct mf_svid_identity identities[MF_LIM_IDENTITIES];
	size_t n_identities;
	size_t n_keys; /* that the last grant used: as many are offered at a renewal */
	struct mf_svid_job job;
	int64_t ending_until_s; /* the end was announced: the drain is over then; 0: not announced */
	uint32_t refusal_code;	/* as mayfly.agent.v1.RefusalCode; REFUSED only */
	char reason[MF_SVID_TEXT_MAX + 1]; /* of a refusal, a failure that may pass, or the end's cause */
	char refusal_rule[MF_SVID_TEXT_MAX + 1];
	struct mf_jwt_cache jwts;     /* wiped with the identities */
	struct mf_cloud_cache clouds; /* likewise, but it outlives a lapse: what it holds has its own time */
	struct mf_rotation rotation;
	void *owner; /* the front's own part */
	bool map_oom;
	UT_hash_handle hh, hh_handle;
};

struct mf_svid_cache; /* opaque */

/* ${max_instances} 0: MF_LIM_NODE_INSTANCES. */
MF_NODISCARD enum mf_status mf_svid_cache_new(
    const char *trust_domain, size_t max_instances, struct mf_svid_cache **ret_c, struct mf_err *err);
/* The entries too; owners must be gone. */
void mf_svid_cache_free(struct mf_svid_cache *c);
MF_DEFINE_CLEANUP(struct mf_svid_cache, mf_svid_cache_free)
size_t mf_svid_cache_count(const struct mf_svid_cache *c);
const char *mf_svid_cache_trust_domain(const struct mf_svid_cache *c);

/*
 * The entry of instance ${key}, made if there is none, and now under ${handle} and ${generation}. An ended entry
 * stays ended. MF_E_EXHAUSTED: max_instances; MF_E_INVALID: no key, or another instance has this handle
 * in this generation; MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_svid_cache_bind(struct mf_svid_cache *c, const char *key, uint64_t handle,
    uint32_t generation, struct mf_svid_entry **ret_e, struct mf_err *err);
/*
 * The instance is user ${uid}'s. When it was another's, what is held is forgotten: a cgroup has one key whoever is seen in it first, and
 * an attestor that lost its table may see another user first. True: it was.
 */
bool mf_svid_set_uid(struct mf_svid_entry *e, uint32_t uid);
struct mf_svid_entry *mf_svid_cache_by_handle(struct mf_svid_cache *c, uint64_t handle); /* or NULL */
struct mf_svid_entry *mf_svid_cache_by_key(struct mf_svid_cache *c, const char *key);
/* Wipes. */
void mf_svid_cache_del(struct mf_svid_cache *c, struct mf_svid_entry *e);
/* Every entry, oldest first. The body may delete the current one. */
struct mf_svid_entry *mf_svid_cache_first(struct mf_svid_cache *c);
struct mf_svid_entry *mf_svid_cache_next(struct mf_svid_entry *e); /* NULL gives NULL */
#define MF_SVID_EACH(e, c)                                                                           \
	for (struct mf_svid_entry *e = mf_svid_cache_first(c), *mf_next_##e = mf_svid_cache_next(e); \
	     e != NULL; e = mf_next_##e, mf_next_##e = mf_svid_cache_next(e))

/* One identity of a grant. Slices are borrowed. */
struct mf_svid_issued {
	uint32_t point; /* index into the keys of the request */
	struct mf_slice spiffe_id, hint, serial, chain;
	int64_t not_before_s, not_after_s;
};
struct mf_svid_grant {
	struct mf_slice lease_id, job_id, job_key, run_id, profile, rule, tenant;
	uint32_t epoch, instance, drain_ms;
	int64_t deadline_s;
	const struct mf_svid_issued *issued;
	size_t n_issued;
};
/* The keys of one request: what the front made for it. */
struct mf_svid_keys {
	struct mf_secret *pkcs8[MF_LIM_IDENTITIES]; /* owned; NULL: taken */
	uint8_t points[MF_LIM_IDENTITIES][MF_SVID_POINT];
	size_t n;
};
void mf_svid_keys_fini(struct mf_svid_keys *k); /* wipes, leaves none */

/*
 * Take a grant for the keys ${k}; those that are used move into the entry. On failure nothing changes.
 * A hint that stood before in the same grant is left out with its identity (Workload API: hints are unique);
 * *ret_dropped (may be NULL) counts them. MF_E_STATE: ended. MF_E_INVALID names the rule that the grant breaks.
 */
MF_NODISCARD enum mf_status
mf_svid_take_grant(struct mf_svid_cache *c, struct mf_svid_entry *e, const struct mf_svid_grant *g,
    struct mf_svid_keys *k, int64_t now_s, size_t *ret_dropped, struct mf_err *err);
/* The first request is on its way. */
void mf_svid_pend(struct mf_svid_entry *e);
/* Wipes; final until asked again. No-op when ended. */
void mf_svid_refuse(struct mf_svid_entry *e, uint32_t code, struct mf_slice reason, struct mf_slice rule);
/* Nothing is held any more, but it may be asked for: suspended, not seen again. Wipes. No-op when ended. */
void mf_svid_forget(struct mf_svid_entry *e, struct mf_slice reason);
/* The identities expired: they are wiped, cloud tokens stay. No-op when ended. */
void mf_svid_lapse(struct mf_svid_entry *e, struct mf_slice reason);
/* Wipes, for good. */
void mf_svid_end(struct mf_svid_entry *e, struct mf_slice cause);
/* Why the last try gave nothing; does not touch what is held. */
void mf_svid_set_reason(struct mf_svid_entry *e, struct mf_slice reason);
/* A copy of ${s}, cut to MF_SVID_TEXT_MAX bytes between characters. */
void mf_svid_text(char ret_text[MF_SVID_TEXT_MAX + 1], struct mf_slice s);

/* True when its identities may be served at ${now_s}: granted, none expired, and the bundle is known. */
bool mf_svid_servable(const struct mf_svid_cache *c, const struct mf_svid_entry *e, int64_t now_s);
/* The earliest notAfter of its identities; INT64_MAX without any. */
int64_t mf_svid_expires_s(const struct mf_svid_entry *e);

/*
 * The trust domain's bundle (concatenated DER). *ret_changed: the bytes are new, and every entry's version moved.
 * MF_E_INVALID: no certificates, or not CA certificates of ours; the old one stays.
 */
MF_NODISCARD enum mf_status
mf_svid_cache_set_bundle(struct mf_svid_cache *c, struct mf_slice der, bool *ret_changed, struct mf_err *err);
struct mf_slice mf_svid_cache_bundle(const struct mf_svid_cache *c); /* empty: not known yet */
uint64_t mf_svid_cache_bundle_version(const struct mf_svid_cache *c);
#endif
