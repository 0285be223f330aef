/*
 * instances: the table of what runs on this node, and its file. Pure: no kernel, no I/O.
 *
 * An instance is one cgroup, one process or one subreaper's tree. Its name within the node is "cg-<inode>" or
 * "p-<process id>" and means the same thing for this boot only. Ended ones stay in the table until the broker
 * has the end on record: they are the spool, and the file holds both, so that one rename keeps them together.
 * Thread rule: one thread.
 */
#ifndef MF_AGENT_CORE_INSTANCES_H
#define MF_AGENT_CORE_INSTANCES_H
#include <stdio.h>

#include "agent/core/grade.h"
#include "agent/core/job_watch.h"
#include "base/buf.h"
#include "base/map.h"

#define MF_BOOT_ID_LEN 36u
#define MF_INSTANCE_NAME_MAX 24u  /* "cg-" and 20 digits */
#define MF_INSTANCE_TEXT_MAX 256u /* bytes of run name, profile, lease id, user */
#define MF_INSTANCES_FILE_MAX (64u * 1024u * 1024u)

enum mf_instance_kind {
	MF_INSTANCE_PROCESS = 0, /* one process; proc_id */
	MF_INSTANCE_CGROUP,	 /* a cgroup that somebody else made; cgroup_id */
	MF_INSTANCE_RUN,	 /* mayfly run in a cgroup of ours; cgroup_id; proc_id is the runner */
	MF_INSTANCE_TREE,	 /* mayfly run as subreaper; proc_id is the runner */
	MF_INSTANCE_KIND_COUNT
};

/* How an instance ended; the numbers are those of mayfly.agent.v1.EndCause. */
enum mf_end_cause {
	MF_END_NONE = 0,
	MF_END_EMPTY = 1,
	MF_END_PROCESS = 2,
	MF_END_RUNNER = 3,
	MF_END_WHILE_AWAY = 4,
	MF_END_REBOOT = 5,
	MF_END_OPERATOR = 6,
	MF_END_NODE_EVICTED = 7,
	MF_END_DEADLINE = 8,
	MF_END_UNKNOWN_AT_RESYNC = 9,
	MF_END_KEPT_NO_MORE = 10,
	MF_END_MANAGER = 11,
	MF_END_MANAGER_SILENT = 12,
	MF_END_REQUEUED = 13,
	MF_END_OWNER = 14,
	MF_END_COUNT
};
const char *mf_end_cause_name(enum mf_end_cause c); /* "empty", "operator", ...; never NULL */

struct mf_instance {
	uint64_t handle; /* of this node, never used twice */
	enum mf_instance_kind kind;
	enum mf_grade grade;
	enum mf_job_state state;
	uint32_t uid, gid;
	bool interactive;
	bool asked; /* the broker was asked for a lease, or may have been: it must hear of the end */
	uint64_t cgroup_id, proc_id;
	int32_t pid; /* where proc_id was seen last */
	enum mf_end_cause end_cause;
	int64_t end_us; /* wall clock, when the end was seen */
	uint32_t epoch; /* of the lease */
	/* Owned, never NULL (may be ""): */
	char *boot; /* of which boot it is, MF_BOOT_ID_LEN letters */
	char *cgroup_path;
	char *run_name, *profile, *user;
	char *lease_id;	   /* "": none yet */
	char *selectors;   /* lines, each ended by a newline */
	uint8_t *manifest; /* NULL when there is none */
	size_t manifest_n;

	char name[MF_INSTANCE_NAME_MAX]; /* "cg-123", "p-456" */
	char full[MF_BOOT_ID_LEN + 1u +
		  MF_INSTANCE_NAME_MAX]; /* "<boot>/<name>": ids come again after a boot */
	void *owner;			 /* the attestor's own part: watches, descriptors; not stored */
	bool map_oom;
	UT_hash_handle hh, hh_name;
};

struct mf_instances; /* opaque */

MF_NODISCARD enum mf_status
mf_instances_new(const char *boot_id, struct mf_instances **ret_t, struct mf_err *err);
void mf_instances_free(struct mf_instances *t); /* the instances too; owners must be gone */
MF_DEFINE_CLEANUP(struct mf_instances, mf_instances_free)
size_t mf_instances_count(const struct mf_instances *t);
const char *mf_instances_boot(const struct mf_instances *t);

/*
 * A new instance in state ARMING (${kind} RUN) or LIVE, all texts empty. ${id} is cgroup_id for CGROUP and RUN,
 * proc_id otherwise. MF_E_EXISTS: that name is in the table; MF_E_EXHAUSTED: MF_LIM_NODE_INSTANCES; MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status mf_instances_add(struct mf_instances *t, enum mf_instance_kind kind, uint64_t id,
    struct mf_instance **ret_i, struct mf_err *err);
void mf_instances_del(struct mf_instances *t, struct mf_instance *i);
struct mf_instance *mf_instances_by_handle(struct mf_instances *t, uint64_t handle); /* or NULL */
/* Of the table's own boot; PROCESS or TREE for the second. */
struct mf_instance *mf_instances_by_cgroup(struct mf_instances *t, uint64_t cgroup_id);
struct mf_instance *mf_instances_by_process(struct mf_instances *t, uint64_t proc_id);
/* By "local/<node>/<boot>/<name>"; the node part is not looked at. */
struct mf_instance *mf_instances_by_key(struct mf_instances *t, struct mf_slice key);
/* Every instance once, oldest handle first. The body may delete the current one. */
#define MF_INSTANCES_EACH(i, t)                                                                             \
	for (struct mf_instance *i = mf_instances_first(t), *mf_next_##i = mf_instances_next(i); i != NULL; \
	     i = mf_next_##i, mf_next_##i = mf_instances_next(i))
struct mf_instance *mf_instances_first(struct mf_instances *t);
struct mf_instance *mf_instances_next(struct mf_instance *i); /* NULL gives NULL */

/* The next handles are ones that nobody can have been told: of a table that was read, which may be older than they. */
void mf_instances_fresh_handles(struct mf_instances *t);

/* Replace one of the owned texts by a copy of ${s}; MF_E_TOOBIG over ${max}, MF_E_INVALID with a NUL inside. */
MF_NODISCARD enum mf_status mf_instance_set(char **field, struct mf_slice s, size_t max, struct mf_err *err);
MF_NODISCARD enum mf_status
mf_instance_set_manifest(struct mf_instance *i, struct mf_slice bytes, struct mf_err *err);
/* "local/<node>/<boot>/<name>". */
void mf_instance_key_put(struct mf_buf *to, const struct mf_instance *i, struct mf_slice node);

/*
 * The file: everything but owner. ${next handle} is in it, so that handles stay unique over restarts.
 * Parse takes hostile bytes: all of it or MF_E_CORRUPT (MF_E_UNSUPPORTED for a later version, MF_E_NOMEM). Entries keep
 * the boot they are of; the table's own boot id is ${boot_id}, not the file's.
 */
void mf_instances_put(struct mf_buf *to, const struct mf_instances *t);
MF_NODISCARD enum mf_status mf_instances_parse(
    struct mf_slice file, const char *boot_id, struct mf_instances **ret_t, struct mf_err *err);
#endif
