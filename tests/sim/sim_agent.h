/* What sim_agent.c and sim_front.c share. */
#ifndef MF_SIM_AGENT_H
#define MF_SIM_AGENT_H
#include "agent/attestor/attestor.h"
#include "agent/front/bundles.h"
#include "agent/front/identities.h"
/* Broker and agent, which meet nowhere else in one program, have a constant of the same name each. */
#define MF_CLOUD_ENDED SIM_CLOUD_RESULT_ENDED
#include "agent/front/clouds.h"
#undef MF_CLOUD_ENDED
#include "net/loop.h"
#include "sim.h"

#define SIM_CALLS 256u

/* A connection of a job's process to the front, with one open stream. */
struct sim_call {
	uint64_t id; /* 0: free */
	size_t proc;
	uint64_t proc_id;
	bool asked;
	struct mf_identity_watch watch;
	struct mf_identity_use use;
	struct sim_agent *agent;
	uint64_t mint_id; /* a token that it waits for */
	struct mf_cloud_wait cloud;
	char grant[MF_CLOUD_NAME_MAX + 1]; /* that it uses; "": none */
};

struct sim_agent {
	size_t index;
	char pool[16], token[4096], node[MF_STATE_ID_MAX];
	struct sim_host host;
	struct sim_kernel kernel;
	struct sim_files files;
	/* These move when the role dies: what was under way for it means nothing then. */
	uint64_t attestor_life, front_life, turn_life;
	struct mf_attestor *attestor; /* NULL: down */
	/* the front */
	struct mf_loop *loop;
	struct mf_attestor_link *link;
	struct mf_identities *ids;
	struct mf_clouds *clouds; /* NULL: no history with cloud tokens */
	struct mf_bundles *bundles;
	uint64_t jwt_number; /* of the JWT bundle that it holds */
	struct sim_call calls[SIM_CALLS];
	uint64_t next_call, next_mint;
	uint64_t conn; /* outer session; 0: none */
	bool told;     /* the attestor knows of it */
};

void sim_agent_enter(struct sim_agent *a);
void sim_agent_front_init(struct sim_agent *a);
void sim_agent_front_fini(struct sim_agent *a);
void sim_agent_front_wake(void *arg, uint64_t fd);
void sim_call_close(struct sim_call *c);
/* sim_bundles.c */
void sim_jwt_front_init(struct sim_agent *a);
void sim_jwt_front_document(struct sim_agent *a, const Mayfly__Roles__V1__TrustDocument *m);
/* sim_cloud_front.c */
void sim_cloud_front_init(struct sim_agent *a);
void sim_cloud_call(
    struct sim_call *c); /* of a connection that has its identity: perhaps it wants cloud tokens, too */
#endif
