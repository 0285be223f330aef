/*
 * Disaster: the broker's disk is lost, and what comes back is a backup: its log, with log.restored as the first record of a
 * new log. What the observer knows of the lost tail it forgets; what was there at the backup must be over.
 */
#include "sim_notary.h"

#include "base/text.h"
#include "broker/keys/broker_keys.h"
#include "broker/verb_record.h"
#include "sim_cloud.h"
#include "sim_observer.h"

#define KEEP_S 5

/* ---- the restore ---- */

static enum mf_status
put_record(const struct sim_notary *n, const char *origin, const struct mf_wal_head *head, struct mf_buf *to,
    struct mf_err *err)
{
	struct mf_verb_record v;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root;
	mf_buf_init(&root, 2 * MF_HASH_SIZE + 1);
	mf_hex_put(&root, mf_slice(head->root, MF_HASH_SIZE));
	mf_verb_record_init(&v, MF_REC_LOG_RESTORED, SIM_BROKER, "restore", origin);
	v.r.ts_us = sim_notary_now(n).wall_us;
	mf_record_set_str(&v.r, MF_RS_CAUSE, MF_CAUSE_TAIL);
	mf_record_set_str(&v.r, MF_RS_VKEY, "v");
	mf_record_set_str(&v.r, MF_RS_PREVIOUS_ORIGIN, mf_buf_cstr((struct mf_buf *)(uintptr_t)&n->origin));
	mf_record_set(&v.r, MF_RS_PREVIOUS_ROOT, mf_buf_slice(&root));
	mf_record_set_num(&v.r, MF_RN_PREVIOUS_SIZE, (int64_t)head->size);
	return mf_record_encode(&v.r, to, err);
}

/* What broker/restore_log.c does to the files, here on the simulated disk. */
static enum mf_status
go_on(struct sim_notary *n, struct mf_wal *wal, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf origin, record;
	MF_AUTO(mf_checkpointer_free) struct mf_checkpointer *heads = NULL;
	struct mf_wal_head head = mf_wal_head(wal);
	uint8_t pub[MF_ED25519_KEY_SIZE];
	uint64_t first;
	mf_buf_init(&origin, 1024);
	mf_buf_init(&record, MF_LIM_RECORD);
	mf_log_origin(SIM_TD, SIM_BROKER, &origin);
	mf_buf_putf(&origin, MF_LOG_RESTORED "%016llx", (unsigned long long)sim_below(UINT64_MAX));
	MF_TRY(put_record(n, mf_buf_cstr(&origin), &head, &record, err));
	struct mf_slice bytes = mf_buf_slice(&record);
	MF_TRY(mf_wal_append_batch(wal, &bytes, 1, MF_WAL_NORMAL, &first, err));
	sim_saw_restore(first);
	MF_TRY(mf_checkpointer_new(
	    sim_disk_io(n->disk), SIM_LOG_DIR, mf_buf_slice(&origin), n->log, NULL, &heads, err));
	head = mf_wal_head(wal);
	MF_TRY(mf_checkpointer_publish(heads, &head, err));
	mf_buf_reset(&n->origin);
	mf_buf_put_slice(&n->origin, mf_buf_slice(&origin));
	mf_ed25519_public(n->log, pub);
	return mf_note_key_init(mf_buf_slice(&n->origin), pub, &n->note, err);
}

static enum mf_status
restore_log(struct sim_notary *n, struct mf_err *err)
{
	const struct mf_store_conf sc = {
		.io = sim_disk_io(n->disk), .log_dirfd = SIM_LOG_DIR, .segment = SEGMENT, .key = &n->note
	};
	struct mf_store_hook hook = { 0 };
	struct mf_store_opened o = { 0 };
	MF_TRY(mf_store_open(&sc, &hook, &o, err));
	enum mf_status s = go_on(n, o.wal, err);
	mf_state_free(o.state);
	mf_wal_free(o.wal);
	return s;
}

/* ---- the backup ---- */

static void
lose_disk(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	MF_UNUSED(x);
	if (sim->healing)
		return;
	struct mf_err err = { 0 };
	sim_trace("the broker's disk is lost; the backup comes back");
	sim_notary_crash(n, true);
	sim_notary_enter(n);
	sim_disk_restore(n->disk, n->backup);
	n->backup = NULL;
	n->restoring = true;
	n->durable_size = n->unsigned_us = 0;
	if (restore_log(n, &err) != MF_OK)
		sim_violated(7, "the backup's log is not gone on with: %s", err.msg);
}

static void
back_up(void *arg, uint64_t x)
{
	struct sim_notary *n = arg;
	bool all = sim_notary_up(n);
	MF_UNUSED(x);
	for (size_t i = 0; i < sim->agents_n; i++)
		all = all && sim_agent_node(sim->agents[i])[0] != '\0';
	if (sim->healing)
		return;
	if (!all) {
		sim_after(KEEP_S * SIM_S, back_up, n, 0, NULL);
		return;
	}
	sim_trace("backup");
	n->backup = sim_disk_backup(n->disk);
	sim_after(sim_between(1, 60) * SIM_S, lose_disk, n, 0, NULL);
}

void
sim_restore_plan(struct sim_notary *n)
{
	if (sim->restores)
		sim_after(sim_between(20, 60) * SIM_S, back_up, n, 0, NULL);
}

/* ---- the observer ---- */

static void
cut(uint64_t *index, uint64_t size)
{
	if (*index != NEVER && *index >= size)
		*index = NEVER;
}

static void
restore_job(struct obs_job *j, uint64_t size)
{
	if (j->opened != NEVER && j->opened >= size) {
		j->opened = NEVER;
		j->lease[0] = '\0';
		j->granted_s = 0;
		j->profile[0] = '\0';
	}
	cut(&j->ended, size);
	cut(&j->suspended, size);
	cut(&j->resumed, size);
	cut(&j->ending, size);
	if (j->ending == NEVER)
		j->ending_until = 0;
	/* Whoever was told of something in the lost tail was told wrong: the runbook says what to say again. */
	j->asked = j->removed = j->recorded = j->end_told = false;
}

static void
restore_node(struct obs_node *n, uint64_t size)
{
	cut(&n->evicted, size);
	if (n->readmitted != NEVER && n->readmitted >= size) {
		n->readmitted = NEVER;
		n->evicted = n->evicted_before;
		cut(&n->evicted, size);
	}
	n->asked = n->removed = n->recorded = false;
	n->confirmed[0] = '\0'; /* it is let in once, whatever it holds */
	n->confirmed_at = NEVER;
	n->given_n = 0;
}

void
sim_saw_restore(uint64_t size)
{
	struct sim_observer *o = sim->observer;
	size_t kept = 0;
	sim_trace("restored to %llu records", (unsigned long long)size);
	o->restored = size;
	o->ca_replaced = false;
	for (size_t i = 0; i < o->jobs_n; i++)
		restore_job(&o->jobs[i], size);
	for (size_t i = 0; i < o->creds_n; i++) {
		if (o->creds[i].index >= size) {
			mf_buf_fini(&o->creds[i].record);
			continue;
		}
		if (kept != i) {
			o->creds[kept] = o->creds[i];
			o->creds[i].record = (struct mf_buf) { 0 };
		}
		kept++;
	}
	o->creds_n = kept;
	for (size_t i = 0; i < o->nodes_n; i++)
		restore_node(&o->nodes[i], size);
	sim_saw_freezes_lost();
	sim_saw_clouds_lost(size);
	sim_managers_forget();
}

/* Its first act, before anybody can ask. */
void
sim_saw_restored_start(void)
{
	const struct sim_observer *o = sim->observer;
	for (size_t i = 0; i < o->jobs_n; i++) {
		const struct obs_job *j = &o->jobs[i];
		if (j->opened != NEVER && j->opened < o->restored && j->ended == NEVER)
			sim_violated(2, "lease %s of before the restore goes on", j->lease);
	}
}
