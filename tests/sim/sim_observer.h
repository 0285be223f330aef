/* What the observer's files share: the truth, as far as it has shown. */
#ifndef MF_SIM_OBSERVER_H
#define MF_SIM_OBSERVER_H
#include "broker/core/record.h"
#include "sim.h"

#define OBS_JOBS 1024u /* instances */
#define OBS_CREDS 8192u
#define OBS_ASKED 512u
#define OBS_NODES 64u
#define OBS_SESSIONS 256u
#define OBS_GIVEN 64u
#define NEVER UINT64_MAX

/* One instance: what a node asked for, and what the log says became of it. */
struct obs_job {
	char key[256];
	int agent;
	uint32_t uid;
	char manager_key[64]; /* of the manager's job that it claims to be of; "": none */
	char lease[MF_STATE_ID_MAX], job[MF_STATE_ID_MAX], node[MF_STATE_ID_MAX];
	char profile[16];
	int64_t granted_s;    /* broker's wall clock at the first grant; 0: none */
	int64_t ending_until; /* announced; 0: not */
	uint64_t opened, ended, suspended, resumed, ending; /* indices of records; NEVER */
	struct mf_buf end_record;
	bool voided;   /* by a restore: its instance may attach anew */
	bool end_told; /* the node was told that its end is recorded */
	/* Of the operators' ends: asked for, effective, recorded. */
	bool asked, removed, recorded;
};

struct obs_cred {
	char id[48];	     /* serial or jti */
	struct obs_job *job; /* NULL: a node's own */
	int64_t exp;
	uint64_t index;
	struct mf_buf record;
	bool sent;
	bool told; /* a record said that it is void */
};

struct obs_node {
	char id[MF_STATE_ID_MAX];
	int agent;
	uint64_t evicted; /* index; NEVER */
	bool asked, removed, recorded;
	uint64_t readmitted, evicted_before; /* a crash may take the first back */
	/* Session values, as hex of their hashes: the last one that the node confirmed, and those given since. */
	char confirmed[65]; /* "": none, or a crash took the word of it back */
	uint64_t confirmed_at;
	char given[OBS_GIVEN][65];
	size_t given_n;
};

struct obs_asked {
	uint64_t sid, request;
	struct obs_job *job;
	unsigned policy; /* in force then */
	uint64_t at_us;
	bool final, announced; /* a manager's word that ends a job, now or soon */
	int64_t wall_s;	       /* and the broker's clock, which may have been set back since */
	bool jwt;
};

struct obs_session {
	uint64_t sid;
	char hello[65]; /* hash of the value it showed; "" none */
	char node[MF_STATE_ID_MAX];
	bool joins;
};

struct sim_observer {
	struct obs_job jobs[OBS_JOBS];
	size_t jobs_n;
	struct obs_cred creds[OBS_CREDS];
	size_t creds_n;
	struct obs_node nodes[OBS_NODES];
	size_t nodes_n;
	struct obs_asked asked[OBS_ASKED];
	size_t asked_n;
	struct obs_session sessions[OBS_SESSIONS];
	size_t sessions_n;
	int64_t
	    last_s; /* the latest time of any record: what was over by it is over, though the clock is set back */
	unsigned policy, since; /* the version in force; acts are judged by any since their request */
	bool clones[SIM_AGENTS];
	uint64_t served_by[SIM_AGENTS]; /* sim time of the last time a job was served there */
	uint64_t restored;		/* so many records had the backup that came back; 0: none did */
	bool ca_replaced;		/* since then */
	struct obs_freezes *freezes;	/* NULL: nobody freezes in this history */
};

struct obs_job *obs_job_by_key(const char *key);
struct obs_job *obs_job_by_lease(struct mf_slice lease);
struct obs_node *obs_node(struct mf_slice id, bool make);
struct obs_cred *obs_cred(const char *id);
struct obs_session *obs_session(uint64_t sid);
int64_t obs_wall_s(void); /* the broker's wall clock */
/* Nobody may get anything for it any more. */
void obs_check_dead(const struct obs_job *j, const char *what);
/* sim_bundles.c */
void obs_jwt_key(const char *token);
void obs_jwt_peace(size_t agent); /* a whole node */
/* sim_restore.c */
void sim_saw_restore(uint64_t size);
void sim_saw_restored_start(void);
/* sim_freezes.c */
void sim_saw_freezes_lost(void);
struct obs_freezes *sim_freezes_new(void);
void sim_freezes_free(struct obs_freezes *f);
void obs_check_frozen(const struct obs_job *j, const char *what);
void sim_saw_freeze_record(uint64_t index, const struct mf_record *r);
void sim_saw_freezes_restart(bool power, uint64_t size);
bool obs_durable(const struct mf_buf *record);
void obs_hex(struct mf_slice bytes, char to[65]); /* of their SHA-256 */
/* sim_credential.c: a certificate or token that leaves the notary. */
void obs_certificate(
    struct obs_job *j, int64_t now_s, const Mayfly__Agent__V1__Grant *g, const Mayfly__Agent__V1__Issued *c);
#endif
