/*
 * sim: a whole Mayfly (broker and nodes) in one thread, on a clock, a disk, a network and randomness that one seed makes.
 * docs/internals/simulation.md tells what is real and what is not.
 *
 * Everything happens inside an event: at most one role of one host runs, and it sees only its own host's clock. An event
 * of a life that is over (its role crashed meanwhile) does nothing.
 */
#ifndef MF_SIM_H
#define MF_SIM_H
#include <stdio.h>

#include "base/clock.h"
#include "base/heap.h"
#include "broker/notary/engine.h"

#define SIM_TD "example.org"
#define SIM_BROKER "b1"
#define SIM_BUILD "sim"
#define SIM_EPOCH_US (INT64_C(1800000000) * 1000000)

#define SIM_AGENTS 5u	/* of which the last may be a clone of another one */
#define SIM_PROCS 640u	/* of one node, in its whole life */
#define SIM_GROUPS 320u /* cgroups of one node, in its whole life */
#define SIM_MS UINT64_C(1000)
#define SIM_S UINT64_C(1000000)

/* ---- sim_core.c: time, chance, events ---- */

struct sim_host {
	const char *name;
	int64_t drift_ppm; /* of both clocks */
	int64_t wall_us;   /* how far the wall clock is off */
	uint64_t base_ms;  /* of the monotonic clock */
};

struct sim {
	uint64_t seed, t_us, seq, steps;
	uint64_t random, chance; /* what the product draws, and what the history is made of */
	int bug;		 /* 0: none is planted */
	bool trace, failed, healing;
	bool managed;	 /* jobs of a workload manager are among the others */
	bool clouded;	 /* jobs use cloud tokens, and operators freeze */
	bool restores;	 /* the broker comes back from a backup */
	unsigned broken; /* which invariant, when failed */
	struct mf_heap events;
	const struct sim_host *host; /* whose role runs */
	struct sim_agent *agent;     /* when it is an agent's */
	struct sim_notary *notary;
	struct sim_agent *agents[SIM_AGENTS];
	size_t agents_n;
	struct sim_net *net;
	struct sim_observer *observer;
	struct sim_operators *operators;
	struct sim_managers *managers; /* NULL: not managed */
	struct sim_courier *courier;   /* NULL, as the next two: not clouded */
	struct sim_provider *provider;
	struct obs_clouds *clouds;
};
extern struct sim *sim;

uint64_t sim_below(uint64_t n); /* [0, n) */
bool sim_one_in(uint64_t n);
uint64_t sim_between(uint64_t from, uint64_t to); /* both included */
typedef void sim_fn(void *arg, uint64_t x);
/* ${life}: a counter that the owner of ${arg} moves when what the event is for is over; NULL: it always happens. */
void sim_after(uint64_t us, sim_fn *fn, void *arg, uint64_t x, const uint64_t *life);
/* Run until ${until_us} or a violation. */
void sim_run(uint64_t until_us);
void sim_drop_events(void);
struct mf_now sim_now_of(const struct sim_host *h);
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An invariant is broken: the history ends here. */
void sim_violated(unsigned invariant, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The simulation itself is wrong. */
void sim_abort(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void *sim_alloc(size_t n);

/* ---- sim_disk.c: the broker's disk ---- */
#define SIM_LOG_DIR 10
struct sim_disk;
struct sim_disk *sim_disk_new(uint64_t seed);
void sim_disk_free(struct sim_disk *d);
const struct mf_log_io *sim_disk_io(struct sim_disk *d);
void sim_disk_exit(struct sim_disk *d);	 /* the process is gone */
void sim_disk_power(struct sim_disk *d); /* the machine is */
void sim_disk_full(struct sim_disk *d, bool full);
struct sim_disk *sim_disk_backup(const struct sim_disk *d);	    /* what lies there now */
void sim_disk_restore(struct sim_disk *d, struct sim_disk *backup); /* takes it; nobody has files open */
/* One of the next calls fails (and with ${power} all after it: then sim_disk_power follows). */
void sim_disk_trouble(struct sim_disk *d, bool power);
/* Whether a power loss now would leave ${what} in the log. */
bool sim_disk_holds(const struct sim_disk *d, struct mf_slice what);

/* ---- sim_notary.c ---- */
struct sim_notary;
struct sim_notary *sim_notary_new(void);
void sim_notary_free(struct sim_notary *n);
void sim_notary_crash(struct sim_notary *n, bool power); /* starts again by itself */
bool sim_notary_up(const struct sim_notary *n);
struct mf_engine *sim_notary_engine(struct sim_notary *n);
void sim_notary_origin(struct mf_buf *to); /* of its log, as it is now */
struct sim_disk *sim_notary_disk(struct sim_notary *n);
struct sim_host *sim_notary_host(struct sim_notary *n);
/* Slow the disk: syncs take so long, for a while. */
void sim_notary_slow(struct sim_notary *n, uint64_t us);
void sim_notary_admin(struct sim_notary *n, const Mayfly__Roles__V1__AdminCall *call);
void sim_notary_policy(struct sim_notary *n, unsigned version); /* its file is this one now */
/* The ${k}-th credential of a lease, counted round; false: there is none, or the notary is not there. */
bool sim_notary_credential(const struct sim_notary *n, uint64_t k, char ret_id[MF_STATE_ID_MAX]);
void sim_notary_settle(struct sim_notary *n);		   /* what trouble is still to come, comes now */
void sim_notary_trouble(struct sim_notary *n, bool power); /* one of the next calls of the disk fails */
#define SIM_SIGNERS_FD 7000000
/* From the front. */
void sim_notary_open(uint64_t outer);
void sim_notary_data(uint64_t outer, bool handshake, struct mf_slice body);
void sim_notary_credit(uint64_t outer, uint32_t chunks);
void sim_notary_close(uint64_t outer);
void sim_notary_front_gone(void);
struct mf_slice sim_notary_bundle(uint64_t *ret_number);

/* ---- sim_heads.c: how soon heads are signed ---- */
void sim_heads_signed(uint64_t size);
void sim_heads_excuse(uint64_t us); /* the disk is bad for so long */
void sim_heads_full(bool full);

/* ---- sim_net.c: outer sessions between agent fronts and the broker's ---- */
struct sim_net *sim_net_new(void);
void sim_net_free(struct sim_net *n);
/* The agent dials; sim_agent_up follows when it works. */
void sim_net_dial(struct sim_agent *a, const uint64_t *life);
void sim_net_up(uint64_t conn, bool handshake, struct mf_slice body);	/* agent to broker */
void sim_net_down(uint64_t conn, bool handshake, struct mf_slice body); /* broker to agent */
void sim_net_hang_up(uint64_t conn, bool by_agent);
void sim_net_documents(void); /* the bundle changed */
void sim_net_cut(size_t agent, uint64_t us);
void sim_net_hostile(uint64_t us); /* the carrier loses, repeats and reorders for a while */
void sim_net_front_crash(void);
void sim_net_notary_gone(
    void); /* its front tells nobody yet: agents keep their outer sessions for a new handshake */
int sim_net_agent(uint64_t conn); /* index, or -1 */

/* ---- sim_kernel.c: cgroups and processes of a node ---- */
struct sim_group {
	uint64_t id; /* inode; 0: not used */
	char path[64];
	bool there;
	size_t live;   /* processes inside */
	uint32_t uid;  /* whose job it is */
	uint64_t made; /* sim time */
};
struct sim_proc {
	int32_t pid;
	uint64_t proc_id; /* 0: not used */
	uint32_t uid;
	size_t group;
	bool alive;
};
struct sim_kernel {
	struct sim_group groups[SIM_GROUPS];
	struct sim_proc procs[SIM_PROCS];
	uint64_t next_id;
	int32_t next_pid;
	char boot[37];
	bool lost; /* it was rebooted: tokens of before mean nothing */
};
void sim_kernel_boot(struct sim_kernel *k);
/* A new job: its cgroup (path ${slot}, which may have been another's) and first process. Index of the process, or -1. */
int sim_kernel_job(struct sim_kernel *k, unsigned slot, uint32_t uid, bool own_cgroup);
int sim_kernel_fork(struct sim_kernel *k, size_t group, uint32_t uid);
void sim_kernel_exit(struct sim_kernel *k, size_t proc);
/* Is there, in this boot, somebody alive in the instance of this name, with that uid? */
bool sim_kernel_lives(const struct sim_kernel *k, const char *name, uint32_t *ret_uid);
const char *sim_user(uint32_t uid);

/* ---- sim_files.c: small files of a node ---- */
#define SIM_FILES 4u
struct sim_file {
	char name[32];
	struct mf_buf bytes;
};
struct sim_files {
	struct sim_file state[SIM_FILES], run[SIM_FILES];
	bool failing;
};
void sim_files_fini(struct sim_files *f);
void sim_files_forget_run(struct sim_files *f);
void sim_files_copy(struct sim_files *to, const struct sim_files *from); /* the state directory */
int sim_files_dir(size_t agent, bool run);

/* ---- sim_link.c: the role link of a node (os/seqpacket.h) ---- */
/* Two ends; ${wake} is called, as an event, when there is something to read. */
void sim_link_pair(sim_fn *wake0, void *arg0, const uint64_t *life0, sim_fn *wake1, void *arg1,
    const uint64_t *life1, int ret_fds[2]);
void sim_link_drop_all(void);

/* ---- sim_loop.c: net/loop.h ---- */
struct mf_loop;
void sim_loop_readable(struct mf_loop *l, int fd);
void sim_loop_bury(void); /* at the very end: handles that events might still have come for */

/* ---- sim_agent.c ---- */
/* It begins with its token, or with another node's files. */
struct sim_agent *sim_agent_new(size_t index, const char *pool, const struct sim_agent *clone_of);
void sim_agent_token(struct sim_agent *a, const char *token);
void sim_agent_boot(struct sim_agent *a);
void sim_agent_exited(struct sim_agent *a, size_t proc); /* a process: its sockets are closed */
void sim_agent_free(struct sim_agent *a);
void sim_agent_opened(struct sim_agent *a, uint64_t conn); /* the outer session is up */
void sim_agent_data(struct sim_agent *a, uint64_t conn, bool handshake, struct mf_slice body);
void sim_agent_closed(struct sim_agent *a, uint64_t conn, const char *why);
void sim_agent_document(struct sim_agent *a, uint64_t conn, Mayfly__Agent__V1__DocumentKind kind,
    uint64_t number, struct mf_slice body);
void sim_jwt_deliver(struct sim_agent *a, uint64_t conn); /* sim_bundles.c: the JWT bundle, likewise */
void sim_agent_crash(struct sim_agent *a, bool attestor, bool front);
void sim_agent_reboot(struct sim_agent *a);
void sim_agent_kernel_event(struct sim_agent *a); /* something that may be watched has changed */
size_t sim_agent_index(const struct sim_agent *a);
struct sim_kernel *sim_agent_kernel(struct sim_agent *a);
struct sim_files *sim_agent_files(struct sim_agent *a);
struct sim_host *sim_agent_host(struct sim_agent *a);
const char *sim_agent_pool(const struct sim_agent *a);
const char *sim_agent_node(const struct sim_agent *a); /* id, "" before it has joined */
void sim_agent_call(struct sim_agent *a, size_t proc); /* the process connects and waits for its identities */
void sim_agent_jwt(struct sim_agent *a, size_t proc);  /* it asks for a token */
struct sim_proc *sim_agent_caller(struct sim_agent *a, int sock); /* of an accepted connection; NULL: none */
void sim_agent_say(struct sim_agent *a, char to[256]);		  /* in what state it is, for people */
bool sim_agent_holds_dead(
    struct sim_agent *a, char why[256]); /* its front holds an identity of a job that is over */

/* ---- sim_operators.c ---- */
struct sim_operators *sim_operators_new(void);
void sim_operators_free(struct sim_operators *o);
void sim_operators_act(struct sim_operators *o); /* something, by chance */
void sim_operators_calm(struct sim_operators *o);
void sim_operators_reply(const Mayfly__Roles__V1__AdminReply *reply);
/* A join token for agent ${index}; it is made when the answer comes. */
void sim_operators_token(struct sim_operators *o, size_t index, const char *pool);
uint32_t sim_operators_required(void);	       /* persons whose signatures are needed */
void sim_operators_signers(struct mf_buf *to); /* the file of SIM_SIGNERS_FD */
void sim_operators_notary_gone(void);

/* ---- sim_managers.c: a workload manager, in some histories ---- */
struct sim_managers;
struct sim_managers *sim_managers_new(void);
void sim_managers_free(struct sim_managers *m); /* NULL is a no-op */
void sim_managers_start(void);			/* it starts a job somewhere */
/* The file ${name} of the node's simulated manager; false: it is not there. */
bool sim_managers_read(size_t agent, const char *name, struct mf_buf *to);
void sim_managers_removed(size_t agent); /* its word was taken, or refused */
/* A ManagerAnswer left: for an end that is final, or for what was said of a beginning. */
void sim_managers_answered(const char *key, bool final);
struct sim_managed {
	bool over;		 /* it was told that the end is on record */
	uint64_t owner_since_us; /* and since when owner and deadline are; UINT64_MAX: not */
	uint32_t owner;
	int64_t deadline;
};
void sim_managers_forget(void); /* what it was told is in a part of the log that is lost */
struct sim_managed sim_managers_know(const char *key);

/* ---- sim_policy.c: what policy gives, twice: to the product, and as the observer knows it ---- */
struct mf_policy *sim_policy_make(unsigned version);
#define SIM_MAX_TTL_S 60
#define SIM_JWT_TTL_S 20
#define SIM_MAX_JOB_S 240
#define SIM_DRAIN_S 15
#define SIM_CA_TTL_S 900
/* Is it the rule of that name by which the user has the profile there? */
bool sim_policy_is_rule(const char *name, const char *pool, const char *user, const char *profile);
bool sim_policy_permits(unsigned version, const char *pool, const char *user, const char *profile);

/* ---- sim_observer.c: knows what is true ---- */
struct sim_observer *sim_observer_new(void);
void sim_observer_free(struct sim_observer *o);
void sim_saw_up(uint64_t sid, int agent, const Mayfly__Agent__V1__Up *up);
void sim_saw_down(uint64_t sid, int agent, const Mayfly__Agent__V1__Down *down);
void sim_saw_record(uint64_t index, struct mf_slice record, bool removal);
void sim_saw_session_gone(uint64_t sid);
void sim_saw_notary_start(bool power, uint64_t log_size); /* before it acts */
void sim_saw_removal_asked(const char *id, bool node);
void sim_saw_removal_answered(const char *id, bool node, bool recorded);
void sim_saw_removal_refused(const char *id, bool node);
void sim_saw_readmitted(const char *node);
void sim_saw_policy(unsigned version);
/* What operators froze: they were told that it is effective; asked for it; and that it does not stand. */
void sim_saw_freeze(const char *kind, const char *name, uint64_t index, bool recorded);
void sim_saw_freeze_asked(const char *kind, const char *name);
void sim_saw_not_frozen(const char *kind, const char *name);
/* One that may stand; false: none does. */
bool sim_some_freeze(size_t from, const char **ret_kind, const char **ret_name);
/* An act that adds access was done, with the signatures of so many different persons. */
void sim_saw_act(const char *act, unsigned persons);
void sim_saw_token_told(struct mf_slice token_id);
/* A job's process was handed this identity. */
void sim_saw_served(
    struct sim_agent *a, const struct sim_proc *p, const char *key, const char *job_id, struct mf_slice leaf);
/* Instances that were ever asked for; the job of the n-th, or NULL. */
const char *sim_job_id(size_t n);
size_t sim_jobs(void);
void sim_saw_clone(size_t of);	       /* of this agent there is a copy */
void sim_saw_peace(uint64_t since_us); /* jobs have asked everywhere since then */
struct sim_counts {
	uint64_t grants, renewals, jwts, served, ended, suspended, refused, crashes, powers, removals, acts,
	    words, tokens, uses, completed;
};
extern struct sim_counts sim_counts;

/* ---- sim_history.c ---- */
void sim_history(void); /* makes the world, lives it, takes it down */
#endif
