/* What the files of the notary's process share. Nobody else includes this. */
#ifndef MF_NOTARY_NOTARY_INTERNAL_H
#define MF_NOTARY_NOTARY_INTERNAL_H
#include "broker/notary/approvals.h"
#include "broker/notary/assertions.h"
#include "broker/notary/committer.h"
#include "broker/notary/courier_link.h"
#include "broker/notary/crew.h"
#include "broker/notary/evidence.h"
#include "broker/notary/front_link.h"
#include "broker/notary/handles.h"
#include "broker/notary/key_files.h"
#include "broker/notary/notary.h"
#include "broker/notary/oidc_files.h"
#include "broker/notary/removals.h"
#include "broker/notary/sids.h"
#include "broker/notary/store.h"

struct mf_notary {
	struct mf_notary_conf conf;
	struct mf_role *role;
	struct mf_broker_keys *keys;
	struct mf_key_files *key_files;
	struct mf_engine *engine;
	struct mf_crew *crew;
	struct mf_committer *committer;
	struct mf_front_link *front;
	struct mf_courier_link *courier;
	struct mf_assertions *assertions;
	struct mf_handles *handles;
	struct mf_removals *removals;
	struct mf_evidence *evidence; /* NULL: nodes join by tokens only */
	struct mf_sids *sids;
	struct mf_mailbox *crew_box, *commit_box;
	struct mf_store_hook hook;
	struct mf_note_key note_key;
	struct mf_buf origin, prologue;
	int wal_dirfd;
	uint64_t last_status_ms, last_tick_ms, durable;
	bool stopping, failed;
	int exit_code;
	struct mf_approvals *approvals;
	struct mf_oidc_files *oidc;
	struct mf_rand_pool random; /* of the state thread */
};

/* notary_ops.c: what the engine asks for; its context is the struct mf_notary. */
extern const struct mf_engine_ops mf_notary_engine_ops;
#endif
