/*
 * read_model: what operators see, as tables (SQLite) that are applied from durable records of the log.
 *
 * It decides nothing and may be lost at any time: deleted, corrupt or of another release, it is made anew from record
 * 0. A message of records is applied in one transaction together with the applied index, so that a crash leaves a
 * prefix of the log. SVIDs have no row: the notary lists them. The root of the log's tree is kept beside the index,
 * so that a log that was swapped shows.
 *
 * The file lies in the working directory of the process (the role's "db" directory): SQLite wants names, and a
 * relative one needs no access to the directories above. It is held exclusively, so there is no shared memory file.
 * Writes sync only at checkpoints (synchronous=NORMAL): losing the newest applied records is no loss.
 *
 * Thread rule: the loop's thread. Errors: MF_E_IO (disk full, I/O: try again later), MF_E_NOMEM, MF_E_CORRUPT (the
 * file is not what was written, or the records do not follow from those before: rebuild).
 */
#ifndef MF_FRONT_READ_MODEL_H
#define MF_FRONT_READ_MODEL_H
#include "base/buf.h"

#define MF_RM_FILE "read-model.db"
#define MF_RM_ID_MAX 72u      /* bytes of a full id with its NUL (broker/core/state.h) */
#define MF_RM_CANDIDATES 5u   /* named when a prefix is not unique */
#define MF_RM_MATCH_MAX 1024u /* bytes of what a person may type to name a job or node */

struct mf_read_model; /* opaque */

enum mf_rm_how {
	MF_RM_OPENED,
	MF_RM_CREATED,	     /* there was none */
	MF_RM_REBUILD,	     /* it could not be read: deleted, starts from 0 */
	MF_RM_REBUILD_NEWER, /* of another schema: likewise */
};

/*
 * Open or make the file below ${dirfd}, which becomes the working directory. *ret_how says what happened and, for the
 * two rebuilds, ${ret_why} (may be NULL) names the reason.
 */
MF_NODISCARD enum mf_status mf_read_model_open(int dirfd, struct mf_read_model **ret_rm,
    enum mf_rm_how *ret_how, struct mf_err *ret_why, struct mf_err *err);
/* Checkpoints and closes. NULL is a no-op. */
void mf_read_model_free(struct mf_read_model *rm);
MF_DEFINE_CLEANUP(struct mf_read_model, mf_read_model_free)
/* Delete everything: applied is 0 again. */
MF_NODISCARD enum mf_status mf_read_model_reset(struct mf_read_model *rm, struct mf_err *err);

/* Records [0, applied) are in the tables; the root of the log's tree at that size. */
uint64_t mf_read_model_applied(const struct mf_read_model *rm);
void mf_read_model_root(const struct mf_read_model *rm, uint8_t ret_root[32]);
/* The log's verifier key and origin, as its first record says; "" before. */
const char *mf_read_model_vkey(const struct mf_read_model *rm);

/*
 * Apply ${n} records, of which the first has index ${first}: all of them or none. MF_E_STATE: ${first} is not
 * mf_read_model_applied (a gap, or records a second time).
 */
MF_NODISCARD enum mf_status mf_read_model_apply(
    struct mf_read_model *rm, uint64_t first, const struct mf_slice *records, size_t n, struct mf_err *err);
/* Whether nothing but tables shows it: not who may connect, nor the key of the log. */
MF_NODISCARD bool mf_read_model_may_wait(struct mf_slice record);

/* --- reading. Rows and their strings are valid during the callback; it returns false to stop. --- */

struct mf_rm_job {
	uint64_t index; /* of job.started: the order of the list, and where a page ends */
	const char *id, *key, *run, *tenant, *person, *profile, *rule, *name, *manifest;
	const char
	    *state; /* "open" (a manager's job may be without an instance), "ending", "suspended", "ended" */
	const char *cause, *reason;
	int64_t started_us, ended_us, deadline; /* deadline: unix seconds, without the drain */
	int64_t drain_ms, ending; /* ending: unix seconds, the drain is over; 0: not announced */
	uint32_t instances, live;
};
struct mf_rm_instance {
	const char *job, *lease, *key, *node, *state, *grade, *cause;
	uint32_t n, epoch;
	int64_t opened_us, ended_us;
	const struct mf_slice *selectors;
	size_t selectors_n;
};
struct mf_rm_node {
	uint64_t index; /* of node.registered */
	const char *id, *spiffe_id, *hostname, *token_id;
	const char *attestor, *evidence;	   /* evidence: hex, "" for a token */
	const char *boot, *evict_reason, *refused; /* refused: why it was last turned away; "" */
	int64_t registered_us, evicted_us;	   /* evicted 0: no */
	int64_t session_us, readmitted_us, refused_us;
	uint32_t live;
	const struct mf_slice *attributes; /* "key=value" */
	size_t attributes_n;
};

/* Newest first. ${before}: only rows with a smaller index; UINT64_MAX for the first page. */
MF_NODISCARD enum mf_status mf_read_model_jobs(struct mf_read_model *rm, bool all, uint64_t before,
    uint32_t limit, bool (*fn)(void *ctx, const struct mf_rm_job *j), void *ctx, struct mf_err *err);
/* One job by full id. MF_E_NOTFOUND. */
MF_NODISCARD enum mf_status mf_read_model_job(struct mf_read_model *rm, const char *id,
    bool (*fn)(void *ctx, const struct mf_rm_job *j), void *ctx, struct mf_err *err);
/* By their number, from ${from} on. */
MF_NODISCARD enum mf_status mf_read_model_instances(struct mf_read_model *rm, const char *job, uint32_t from,
    bool (*fn)(void *ctx, const struct mf_rm_instance *i), void *ctx, struct mf_err *err);
/* Oldest first. ${from}: only rows with this index or a greater one. */
MF_NODISCARD enum mf_status mf_read_model_nodes(struct mf_read_model *rm, bool all, uint64_t from,
    uint32_t limit, bool (*fn)(void *ctx, const struct mf_rm_node *n), void *ctx, struct mf_err *err);
/* One node by full id. MF_E_NOTFOUND. */
MF_NODISCARD enum mf_status mf_read_model_node(struct mf_read_model *rm, const char *id,
    bool (*fn)(void *ctx, const struct mf_rm_node *n), void *ctx, struct mf_err *err);

/*
 * The full id of the job that ${typed} names: its id or key (of several with one key the newest), else the only job
 * whose id or key begins so. MF_E_INVALID: empty, too long, or several begin so (the text lists some); MF_E_NOTFOUND.
 */
MF_NODISCARD enum mf_status mf_read_model_match_job(
    struct mf_read_model *rm, const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err);
/* The same for nodes, by id, SPIFFE ID or hostname (of several with one hostname: refused, listing them). */
MF_NODISCARD enum mf_status mf_read_model_match_node(
    struct mf_read_model *rm, const char *typed, char ret_id[MF_RM_ID_MAX], struct mf_err *err);
/* False as well for a node that is not known (yet): the notary decides. */
bool mf_read_model_evicted(struct mf_read_model *rm, const char *node);

/* What was asked for when a cloud token was made, as text, and the provider's name for that request. MF_E_NOTFOUND. */
MF_NODISCARD enum mf_status mf_read_model_cloud(struct mf_read_model *rm, const char *id,
    struct mf_buf *ret_scope, struct mf_buf *ret_request_id, struct mf_err *err);

struct mf_rm_counts {
	uint32_t nodes, jobs_live, leases_open;
};
MF_NODISCARD enum mf_status
mf_read_model_counts(struct mf_read_model *rm, struct mf_rm_counts *ret_counts, struct mf_err *err);

/* Every row of every table, in order, as text: for comparing in tests and for `doctor`. */
MF_NODISCARD enum mf_status
mf_read_model_dump(struct mf_read_model *rm, struct mf_buf *to, struct mf_err *err);
#endif
