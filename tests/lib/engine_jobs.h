/* engine_jobs: what operators and managers say to the engine in engine_rig, and what is asked of it about jobs. */
#ifndef MF_TEST_ENGINE_JOBS_H
#define MF_TEST_ENGINE_JOBS_H
#include "engine_rig.h"

/* An open job of alice's on node key 1, session 1. */
struct rig_job {
	char node[MF_STATE_ID_MAX], key[256], lease[MF_STATE_ID_MAX], id[MF_STATE_ID_MAX];
	uint8_t value[16];
	uint32_t epoch;
	int64_t deadline; /* as granted: with the drain */
};
struct rig *mf_rig_with_job(struct rig_job *j);
const struct mf_job *mf_rig_job(const struct rig *r, const char *id); /* fails the test when there is none */
const struct mf_lease *mf_rig_lease(const struct rig *r, const char *id);

/* `mayfly job end`: the answer, when the log has it. */
const Mayfly__Admin__V1__RemovalResponse *mf_rig_end_job(struct rig *r, const char *job, bool drain);
/* `mayfly job extend`: the reply, settled. error_code tells whether it was done. */
const Mayfly__Roles__V1__AdminReply *
mf_rig_extend(struct rig *r, const char *job, int64_t by_s, int64_t until, const char *reason);
/* Pushes of ${kind} that the session got. */
size_t mf_rig_pushes(const struct rig *r, uint64_t sid, Mayfly__Agent__V1__Down__BodyCase kind);
/* The state equals a replay of the log, and its snapshot reads back as itself. */
void mf_rig_check_replay(const struct rig *r);
/* At every record: snapshot, read back, and the tail, equal a replay from zero. */
void mf_rig_check_every_prefix(const struct rig *r);
/* An Attach with more than mf_rig_attach says. */
struct rig_attach {
	const char *key, *profile, *user;
	const char *job_key;  /* NULL: a local job */
	const char *grade;    /* of the claim; NULL: "M" */
	const char *selector; /* a second one; NULL: none */
	const char *manifest;
	uint32_t uid; /* 0: not said, no selector unix.uid */
};
uint64_t mf_rig_attach_as(struct rig *r, uint64_t sid, unsigned k, const struct rig_attach *as);
/* A node joined with one more attribute ("manager", "slurm/c1"); NULL: none. */
void mf_rig_join_with(
    struct rig *r, uint64_t sid, unsigned k, const char *name, const char *value, char *ret_node);
uint64_t mf_rig_word(struct rig *r, uint64_t sid, unsigned k, const char *job_key, int64_t uid,
    int64_t deadline, const char *node); /* uid < 0: not known; node NULL: none named */
uint64_t mf_rig_word_end(
    struct rig *r, uint64_t sid, unsigned k, const char *job_key, Mayfly__Agent__V1__ManagerEndKind kind);
/* Answered by ManagerAnswer. */
bool mf_rig_word_taken(const struct rig *r, uint64_t sid, uint64_t request);
void mf_rig_forget_answers(struct rig *r);
#endif
