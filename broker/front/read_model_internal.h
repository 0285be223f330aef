/* read_model's own parts: the connection and its prepared statements. Only read_model*.c include it. */
#ifndef MF_FRONT_READ_MODEL_INTERNAL_H
#define MF_FRONT_READ_MODEL_INTERNAL_H
#include <sqlite3.h>

#include "broker/front/read_model.h"
#include "log/merkle.h"

enum mf_rm_stmt {
	MF_RM_BEGIN,
	MF_RM_COMMIT,
	MF_RM_ROLLBACK,
	MF_RM_META_PUT,
	MF_RM_TOKEN_ADD,
	MF_RM_TOKEN_FORGET,
	MF_RM_TOKEN_USE,
	MF_RM_NODE_ADD,
	MF_RM_NODE_SESSION,
	MF_RM_NODE_EVICT,
	MF_RM_NODE_READMIT,
	MF_RM_NODE_REATTEST,
	MF_RM_NODE_REFUSE,
	MF_RM_NODE_LIVE,
	MF_RM_JOB_ADD,
	MF_RM_JOB_END,
	MF_RM_JOB_ENDING,
	MF_RM_JOB_ENDING_LEASES,
	MF_RM_JOB_DEADLINE,
	MF_RM_JOB_LEASE_OPENED,
	MF_RM_JOB_LEASE_MOVED,
	MF_RM_LEASE_ADD,
	MF_RM_LEASE_GET,
	MF_RM_LEASE_RESUME,
	MF_RM_LEASE_SUSPEND,
	MF_RM_LEASE_END,
	MF_RM_CLOUD_ADD,
	MF_RM_CLOUD_KNOWN,
	MF_RM_CLOUD_FORGET,
	MF_RM_Q_CLOUD,
	MF_RM_Q_JOBS_ALL,
	MF_RM_Q_JOBS_LIVE,
	MF_RM_Q_JOB,
	MF_RM_Q_INSTANCES,
	MF_RM_Q_NODES_ALL,
	MF_RM_Q_NODES_LIVE,
	MF_RM_Q_NODE,
	MF_RM_Q_JOB_EXACT,
	MF_RM_Q_JOB_PREFIX,
	MF_RM_Q_NODE_EXACT,
	MF_RM_Q_NODE_PREFIX,
	MF_RM_Q_EVICTED,
	MF_RM_Q_COUNTS,
	MF_RM_STMTS
};

struct mf_read_model {
	sqlite3 *db;
	sqlite3_stmt *st[MF_RM_STMTS];
	struct mf_merkle tree; /* of the records that are applied; its size is the applied index */
	char *vkey;	       /* "" before log.opened */
};

/* Turn SQLite's last error on ${rm} into ours; ${what} is what was being done. */
enum mf_status mf_rm_fail(struct mf_read_model *rm, int rc, const char *what, struct mf_err *err);
/* The statement, prepared, reset and unbound. */
MF_NODISCARD enum mf_status
mf_rm_stmt(struct mf_read_model *rm, enum mf_rm_stmt which, sqlite3_stmt **ret_st, struct mf_err *err);
/* Reset after use, so that no read transaction stays open. */
void mf_rm_done(sqlite3_stmt **st);
/* Binding; ${at} from 1. The bytes must live until the statement is done. A failure shows at the step. */
void mf_rm_bind_text(sqlite3_stmt *st, int at, struct mf_slice v);
void mf_rm_bind_int(sqlite3_stmt *st, int at, int64_t v);
/* The first step of a statement that was bound so, and each other one. */
int mf_rm_step(sqlite3_stmt *st);
/* Never NULL. */
const char *mf_rm_text(sqlite3_stmt *st, int column);

/* The rows of ${k}=${v} in table meta. */
MF_NODISCARD enum mf_status
mf_rm_meta_blob(struct mf_read_model *rm, const char *k, struct mf_slice v, struct mf_err *err);
#endif
