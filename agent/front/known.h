/*
 * known: callers that are recognised without the attestor. What it said about a process is remembered under that
 * process's pidfs inode, which no other process of this boot has; a new connection of the same process is known by it
 * as long as the kernel says the same of it: alive, same ids and groups, same cgroup. No file of /proc is read.
 *
 * Where everything in an instance's own watched cgroup is the instance, whoever asks (the attestor says so:
 * cgroup_wide), a process that was never seen is known by the number of its cgroup. A refusal is remembered for a while
 * too, so that a process that reconnects in a loop costs the attestor nothing.
 *
 * Not seen: that a known process took a terminal after it was attested.
 * Needs PIDFD_GET_INFO (Linux 6.13); without it nobody is known and the attestor is asked.
 * Thread rule: the loop's thread.
 */
#ifndef MF_AGENT_FRONT_KNOWN_H
#define MF_AGENT_FRONT_KNOWN_H
#include <sys/types.h>

#include "base/err.h"

#include "roles.pb-c.h"

#define MF_KNOWN_MAX 1024u  /* processes and cgroups; the oldest makes room */
#define MF_KNOWN_GROUPS 64u /* whoever is in more is not known */

/* What the kernel says of the process that connected. */
struct mf_known_look {
	uint64_t inode, cgroup_id;
	pid_t pid;
	uint32_t uid, gid; /* at connect and now */
	uint32_t groups[MF_KNOWN_GROUPS];
	size_t n_groups;
};
/* Look at the peer of ${sock}. False: the kernel cannot say all of it, or the process is not simply itself (set-id). */
bool mf_known_look(int sock, struct mf_known_look *ret_look);

struct mf_known;
struct mf_known *mf_known_new(void); /* NULL: out of memory */
void mf_known_free(struct mf_known *k);
MF_DEFINE_CLEANUP(struct mf_known, mf_known_free)

/*
 * Remember ${m}, the attestor's answer about the process of ${look}, if it is one to remember. A "no" counts until
 * ${no_until_ms}. Running out of memory only means that nothing is remembered.
 */
void mf_known_learn(struct mf_known *k, const struct mf_known_look *look, const Mayfly__Roles__V1__Caller *m,
    uint64_t no_until_ms);
/* The answer about ${look}: *ret_m borrows from ${k} until the next call. False: ask the attestor. */
bool mf_known_find(
    struct mf_known *k, const struct mf_known_look *look, uint64_t now_ms, Mayfly__Roles__V1__Caller *ret_m);
/* Forget what belongs to the instance ${handle}; mf_known_clear: everything (another attestor). */
void mf_known_forget(struct mf_known *k, uint64_t handle);
void mf_known_clear(struct mf_known *k);
size_t mf_known_count(const struct mf_known *k);
#endif
