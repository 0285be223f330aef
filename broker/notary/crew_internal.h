/* What the files of the crew share. Nobody else includes this. */
#ifndef MF_NOTARY_CREW_INTERNAL_H
#define MF_NOTARY_CREW_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "broker/notary/crew.h"
#include "broker/notary/crew_key.h"

/*
 * Handed over at a time: a thread that is woken for each task costs more than the task. Whoever waits for the first of these waits
 * for so many signatures at most.
 */
#define TOGETHER 32u

enum task_kind {
	TASK_HANDSHAKE,
	TASK_SEALED,
	TASK_SEND,
	TASK_CREDIT,
	TASK_CLOSE,
	TASK_CLOSE_ALL,
	TASK_SIGN,
	TASK_JWT,
	TASK_CHECK,
	TASK_ADD_KEY,
	TASK_DROP_KEY,
	TASK_ERRAND
};

struct task {
	struct mf_list at;
	enum task_kind kind;
	uint64_t sid;
	enum mf_engine_lane lane;
	uint64_t coalesce;
	uint32_t credit;
	bool flush;
	struct mf_sign_request *sign;
	struct mf_jwt_request *jwt;
	struct mf_approval_job *job;
	struct mf_crew_key *key; /* TASK_ADD_KEY */
	char key_id[MF_CA_KEY_ID + 1];
	mf_crew_errand_fn errand;
	void *arg;
	size_t n;
	uint8_t bytes[];
};

struct inner_session;

struct worker {
	pthread_t thread;
	bool running;
	struct mf_crew *crew;
	struct mf_mailbox *box;
	/* of the thread that gives tasks */
	struct mf_list held; /* tasks that are not in the box yet */
	unsigned n_held;
	uint64_t given;
	/* of whoever holds this: its own thread for a turn, or the giver (mf_crew_here) */
	pthread_mutex_t at_work;
	bool here;		    /* the giver holds it, who takes the answers itself */
	atomic_uint_least64_t done; /* of those that were given */
	struct mf_list out;	    /* events that are not in the inbox yet */
	unsigned n_out;
	struct mf_jwt_signer *jwt;
	struct mf_list keys; /* struct mf_crew_key.at */
	struct inner_session *sessions;
	uint64_t swept_ms;
};

struct mf_crew {
	struct mf_crew_conf conf;
	struct mf_buf prologue;
	struct worker *workers;
	size_t n, next;
};

/* crew.c: do all of ${todo}, with w->at_work held. */
void mf_crew_work(struct worker *w, struct mf_list *todo);
/* crew_give.c: hand over what is held for it. */
void mf_crew_push_one(struct worker *w);
#endif
