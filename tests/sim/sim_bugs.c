/*
 * Planted bugs, one for each invariant and more for parts of them: the linker puts these functions before the product's (--wrap), in this program
 * alone. With ${sim->bug} 0 each does what the product's does. Number 1 is in sim_disk.c: the sync that is forgotten.
 */
#include "sim.h"

#include "agent/attestor/classify.h"
#include "broker/core/lease.h"
#include "broker/core/request_facts.h"
#include "broker/core/revocations.h"
#include "broker/core/state_internal.h"
#include "broker/notary/approval.h"
#include "broker/notary/removals.h"
#include "codec/x509_write.h"
#include "log/checkpoint.h"

/* 2: lifetimes are rounded up to whole minutes after the deadline was looked at. */
enum mf_status
__real_mf_x509_tbs_leaf(const struct mf_x509_leaf *leaf, struct mf_buf *to, struct mf_err *err);
enum mf_status
__wrap_mf_x509_tbs_leaf(const struct mf_x509_leaf *leaf, struct mf_buf *to, struct mf_err *err);
enum mf_status
__wrap_mf_x509_tbs_leaf(const struct mf_x509_leaf *leaf, struct mf_buf *to, struct mf_err *err)
{
	struct mf_x509_leaf l = *leaf;
	if (sim->bug == 2)
		l.not_after_s = (l.not_after_s + 59) / 60 * 60;
	return __real_mf_x509_tbs_leaf(&l, to, err);
}

/* 3: nobody looks again whether the lease has ended meanwhile. */
bool __real_mf_lease_may_renew(enum mf_lease_state s);
bool __wrap_mf_lease_may_renew(enum mf_lease_state s);
bool
__wrap_mf_lease_may_renew(enum mf_lease_state s)
{
	return sim->bug == 3 ? s != MF_LEASE_NONE : __real_mf_lease_may_renew(s);
}

/* 4: a decision is made on the first node's attributes. */
enum mf_status __real_mf_request_node(struct mf_facts *f, const struct mf_node *n, struct mf_err *err);
enum mf_status __wrap_mf_request_node(struct mf_facts *f, const struct mf_node *n, struct mf_err *err);
enum mf_status
__wrap_mf_request_node(struct mf_facts *f, const struct mf_node *n, struct mf_err *err)
{
	if (sim->bug == 4)
		n = mf_state_next_node(mf_engine_state(sim_notary_engine(sim->notary)), NULL);
	return __real_mf_request_node(f, n, err);
}

/* 5: whoever is in the cgroup of a job is taken for the job, whatever his uid. */
enum mf_status __real_mf_classify(const struct mf_peer_env *env, struct mf_instances *table,
    const struct mf_caller *c, struct mf_class *ret_k, struct mf_err *err);
enum mf_status __wrap_mf_classify(const struct mf_peer_env *env, struct mf_instances *table,
    const struct mf_caller *c, struct mf_class *ret_k, struct mf_err *err);
enum mf_status
__wrap_mf_classify(const struct mf_peer_env *env, struct mf_instances *table, const struct mf_caller *c,
    struct mf_class *ret_k, struct mf_err *err)
{
	enum mf_status s = __real_mf_classify(env, table, c, ret_k, err);
	struct mf_instance *i = mf_instances_by_cgroup(table, c->cgroup_id);
	if (sim->bug == 5 && s == MF_OK && i != NULL)
		*ret_k =
		    (struct mf_class) { .kind = i->kind, .id = i->cgroup_id, .grade = i->grade, .known = i };
	return s;
}

/* 6: signatures are counted, not persons. */
void __real_mf_approval_job_run(struct mf_approval_job *job);
void __wrap_mf_approval_job_run(struct mf_approval_job *job);
void
__wrap_mf_approval_job_run(struct mf_approval_job *job)
{
	__real_mf_approval_job_run(job);
	if (sim->bug == 6 && job->status == MF_OK)
		for (size_t n = job->call->approval->n_signatures; job->approval.n > 0 && job->approval.n < n;
		     job->approval.n++)
			job->approval.by[job->approval.n] = job->approval.by[0];
}

/* 7: an operator's removal is effective, and nobody keeps it for the next life. */
void __real_mf_removals_keep(struct mf_removals *r, struct mf_slice what);
void __wrap_mf_removals_keep(struct mf_removals *r, struct mf_slice what);
void
__wrap_mf_removals_keep(struct mf_removals *r, struct mf_slice what)
{
	if (sim->bug != 7)
		__real_mf_removals_keep(r, what);
}

/* 8: a cloud token waits for the record of its intent only. */
struct release *__real_mf_release_down(struct mf_engine *e, struct mf_now now, uint64_t index, uint64_t sid,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane);
struct release *__wrap_mf_release_down(struct mf_engine *e, struct mf_now now, uint64_t index, uint64_t sid,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane);
struct release *
__wrap_mf_release_down(struct mf_engine *e, struct mf_now now, uint64_t index, uint64_t sid,
    const Mayfly__Agent__V1__Down *down, enum mf_engine_lane lane)
{
	if (sim->bug == 8 && down->body_case == MAYFLY__AGENT__V1__DOWN__BODY_CLOUD_GRANT)
		index = 0;
	return __real_mf_release_down(e, now, index, sid, down, lane);
}

/* 9: the last entry of a deny list is forgotten. */
size_t __real_mf_denies(const struct mf_state *st, const char *target, const char *role, unsigned levels,
    int64_t now_s, struct mf_deny *ret_v, size_t cap);
size_t __wrap_mf_denies(const struct mf_state *st, const char *target, const char *role, unsigned levels,
    int64_t now_s, struct mf_deny *ret_v, size_t cap);
size_t
__wrap_mf_denies(const struct mf_state *st, const char *target, const char *role, unsigned levels,
    int64_t now_s, struct mf_deny *ret_v, size_t cap)
{
	size_t n = __real_mf_denies(st, target, role, levels, now_s, ret_v, cap);
	return sim->bug == 9 && n > 1 ? n - 1 : n;
}

/* 10: what a crash cut between intent and outcome is forgotten. */
void __real_mf_engine_cloud_start(struct mf_engine *e, struct mf_now now);
void __wrap_mf_engine_cloud_start(struct mf_engine *e, struct mf_now now);
void
__wrap_mf_engine_cloud_start(struct mf_engine *e, struct mf_now now)
{
	if (sim->bug != 10)
		__real_mf_engine_cloud_start(e, now);
}

/* 11: freezes that stand in a snapshot are not read. */
enum mf_status __real_mf_state_apply_freeze(
    struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
enum mf_status __wrap_mf_state_apply_freeze(
    struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err);
enum mf_status
__wrap_mf_state_apply_freeze(
    struct mf_state *st, uint64_t index, const struct mf_record *r, struct mf_err *err)
{
	if (sim->bug == 11 && st->loading && r->type == MF_REC_FREEZE_SET)
		return MF_OK;
	return __real_mf_state_apply_freeze(st, index, r, err);
}

/* 12: every second head is not signed. And each that is signed is seen here. */
enum mf_status
__real_mf_checkpointer_publish(struct mf_checkpointer *c, const struct mf_wal_head *head, struct mf_err *err);
enum mf_status
__wrap_mf_checkpointer_publish(struct mf_checkpointer *c, const struct mf_wal_head *head, struct mf_err *err);
enum mf_status
__wrap_mf_checkpointer_publish(struct mf_checkpointer *c, const struct mf_wal_head *head, struct mf_err *err)
{
	if (sim->bug == 12 && head->size % 2 == 1)
		return MF_OK;
	enum mf_status s = __real_mf_checkpointer_publish(c, head, err);
	if (s == MF_OK)
		sim_heads_signed(head->size);
	return s;
}

/* 13: a restore leaves leases as they were. */
void __real_mf_engine_void_leases(struct mf_engine *e, struct mf_now now);
void __wrap_mf_engine_void_leases(struct mf_engine *e, struct mf_now now);
void
__wrap_mf_engine_void_leases(struct mf_engine *e, struct mf_now now)
{
	if (sim->bug != 13)
		__real_mf_engine_void_leases(e, now);
}

/* The boot id of the node whose attestor asks; every other file of /proc is not simulated. */
enum mf_status __wrap_mf_procfile_read(int dirfd, const char *path, struct mf_buf *to, struct mf_err *err);
enum mf_status
__wrap_mf_procfile_read(int dirfd, const char *path, struct mf_buf *to, struct mf_err *err)
{
	MF_UNUSED(dirfd);
	if (strcmp(path, "sys/kernel/random/boot_id") != 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s is not simulated", path);
	mf_buf_put_str(to, sim_agent_kernel(sim->agent)->boot);
	mf_buf_put_u8(to, '\n');
	return mf_buf_check(to, err);
}
