/* The tables behind mf_state: for state.c, state_apply.c and nobody else. */
#ifndef MF_BROKER_STATE_INTERNAL_H
#define MF_BROKER_STATE_INTERNAL_H
#include "broker/core/state.h"

struct mf_state {
	struct mf_node *nodes, *nodes_by_inner, *nodes_by_evidence;
	struct mf_token *tokens;
	struct mf_job *jobs, *jobs_by_key;
	struct mf_lease *leases, *leases_by_key;
	struct mf_list broker_creds;
	struct mf_list ended;	 /* leases, oldest end first */
	struct mf_list nonces;	 /* struct mf_nonce.at, oldest use first */
	struct mf_list freezes;	 /* struct mf_freeze.at, oldest first */
	struct mf_list sessions; /* struct mf_sessions.at, oldest first */
	struct mf_list keys;	 /* struct mf_key.at, by index */
	uint64_t bundle[MF_KEY_BUNDLES];
	struct mf_managed *managed;
	struct mf_list managed_waiting, managed_over;
	size_t managed_over_n;
	struct mf_run *runs, *runs_by_last, *runs_by_line;
	struct mf_list runs_idle;
	struct mf_cloud_cred *clouds;
	struct mf_list clouds_order; /* struct mf_cloud_cred.at: which are looked at next */
	uint64_t size;
	int64_t last_us;
	uint32_t open;
	bool loading;
	uint64_t restored; /* index of the last log.restored */
	bool tail_missing;
	char *origin, *trust_domain;
	char policy[65];
};

/* Copies for the tables: NULL only when out of memory. An empty slice gives "". */
char *mf_state_dup(struct mf_slice s);
char **mf_state_dup_list(const struct mf_slice *v, size_t n);
void mf_state_free_list(char **v, size_t n);
/* Into a fixed field; false when it does not fit. */
bool mf_state_copy(char *to, size_t cap, struct mf_slice from);

/* state_jobs.c: announced ends and deadlines; managers' words and runs are passed on. */
MF_NODISCARD enum mf_status
mf_state_apply_job(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
/* Jobs whose start is all there is of them, and which were ended. */
void mf_state_forget_stillborn(struct mf_state *st);
/* state_managers.c */
MF_NODISCARD enum mf_status
mf_state_apply_manager(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
/* Its job is here: the word lives as long as the job. False when it may not begin. */
MF_NODISCARD bool mf_state_managed_begins(struct mf_state *st, const struct mf_job *j);
void mf_state_managed_ends(struct mf_state *st, const struct mf_job *j);
void mf_state_forget_managed(struct mf_state *st, struct mf_managed *m);
void mf_state_forget_old_managed(struct mf_state *st);
void mf_state_free_managed(struct mf_state *st);
void mf_managed_free(struct mf_managed *m);
/* state_runs.c */
MF_NODISCARD enum mf_status
mf_state_apply_run(struct mf_state *st, uint64_t index, const struct mf_record *rec, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_state_run_begins(struct mf_state *st, uint64_t index, const struct mf_record *rec, struct mf_err *err);
void mf_state_run_ends(struct mf_state *st, const struct mf_job *j);
void mf_state_forget_runs(struct mf_state *st);
void mf_state_free_runs(struct mf_state *st);
void mf_run_free(struct mf_run *r);
/* The deadline that job.started says, or, in logs of before, that of its first lease. */
void mf_state_job_deadline(struct mf_job *j, const struct mf_lease *first);
/* state_keys.c: the records of keys. */
MF_NODISCARD enum mf_status
mf_state_apply_key(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
/* Which key signed ${c}, the credential of record ${r}. */
MF_NODISCARD enum mf_status mf_state_signed_by(
    struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_cred *c, struct mf_err *err);
void mf_state_forget_tokens(struct mf_state *st); /* whose time is over */
void mf_state_forget_keys(struct mf_state *st);	  /* tombstones whose time is over */
struct mf_snapshot_out {
	struct mf_buf *to;
	void (*line)(struct mf_buf *to, uint64_t index, struct mf_record *r, int64_t ts_us);
};
void mf_state_put_keys(const struct mf_state *st, struct mf_snapshot_out *out);
void mf_key_free(struct mf_key *k);

/* state_restored.c */
MF_NODISCARD enum mf_status
mf_state_apply_restored(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
/* It is void: its key is free for the instance's next lease. */
void mf_state_free_instance(struct mf_state *st, struct mf_lease *l);
/* state_cloud.c */
/* By record ${index} it is to be taken back; again is fine. */
void mf_state_cloud_end(struct mf_cloud_cred *c, int64_t ts_us, uint64_t index);
void mf_state_cloud_lease_over(struct mf_lease *l, int64_t ts_us, uint64_t index);
void mf_state_cloud_orphan(struct mf_lease *l); /* the lease is forgotten */
void mf_state_put_clouds(const struct mf_state *st, struct mf_snapshot_out *out);
void mf_state_free_clouds(struct mf_state *st);
void mf_cloud_cred_free(struct mf_cloud_cred *c);

/* state_sessions.c */
void mf_state_put_sessions(const struct mf_state *st, struct mf_snapshot_out *out);
void mf_state_free_sessions(struct mf_state *st);

/* state_ended.c */
/* What was ended of a lease that goes on, for a snapshot. */
void mf_state_put_ended(const struct mf_lease *l, struct mf_snapshot_out *out);
void mf_state_free_finals(struct mf_lease *l);

/* state_nonces.c */
MF_NODISCARD enum mf_status
mf_state_use_nonce(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
void mf_state_free_nonces(struct mf_state *st);
/* state_freezes.c */
MF_NODISCARD enum mf_status
mf_state_apply_freeze(struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
void mf_state_free_freezes(struct mf_state *st);
void mf_cred_free(struct mf_cred *c);
void mf_node_free(struct mf_node *n);
void mf_token_free(struct mf_token *t);
void mf_state_forget_session(struct mf_node *n); /* the next session value is accepted, whatever it is */
void mf_job_free(struct mf_job *j);
void mf_lease_free(struct mf_lease *l);
/* Out of all tables and lists, then freed; its job goes with its last lease. */
void mf_state_forget_lease(struct mf_state *st, struct mf_lease *l);
#endif
