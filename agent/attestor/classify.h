/*
 * classify: which instance a caller belongs to, and what is said about it (attestation.md 7a).
 *
 *   run      it is in a cgroup below our base: the job of `mayfly run` that this cgroup was made for
 *   cgroup   it is in a cgroup of its own, or below one (a service, a container, a job of Slurm): that cgroup
 *   tree     a chain of living parents leads to the runner of a `mayfly run` that is a subreaper
 *   process  it shares its cgroup (the root, a session, a slice, a daemon that starts others' work): it alone
 *
 * What the place of a cgroup says is place.h's; here it is put together with what is known already. One
 * instance has one uid, gid and set of groups, and is not interactive unless its first caller was: who comes
 * from the same cgroup with other ones is a process of its own.
 */
#ifndef MF_ATTESTOR_CLASSIFY_H
#define MF_ATTESTOR_CLASSIFY_H
#include "agent/attestor/peer.h"
#include "agent/attestor/place.h"
#include "agent/attestor/users.h"
#include "agent/core/instances.h"

#define MF_TREE_DEPTH_MAX 256u /* parents that are followed up to a runner */

/* What places look like from here: for mf_place_of. Borrows ${env}. */
struct mf_place_env mf_classify_places(const struct mf_peer_env *env);

struct mf_class {
	enum mf_instance_kind kind;
	uint64_t id; /* cgroup id or process id of the instance: its name */
	enum mf_grade grade;
	size_t
	    prefix; /* so much of the caller's cgroup path names the instance's cgroup; 0 for processes, trees */
	struct mf_instance *known; /* it is in the table; else NULL and it may be added */
};

/* Decide for ${c}. Reads the kernel only for trees. MF_E_NOTFOUND: it died meanwhile. */
MF_NODISCARD enum mf_status mf_classify(const struct mf_peer_env *env, struct mf_instances *table,
    const struct mf_caller *c, struct mf_class *ret_k, struct mf_err *err);

/* Of what selectors are made; all is borrowed. */
struct mf_selected {
	enum mf_instance_kind kind;
	const struct mf_caller *caller; /* the first one */
	uint64_t cgroup_id;		/* of the instance, or of a single process; 0: not known */
	const char *cgroup_path;	/* of the hierarchy; NULL: not known */
	const char *user;		/* NULL: the uid has no name */
	const char *run_name;		/* of RUN and TREE, and of a process inside of a run; NULL: none */
};
/*
 * The selectors of an instance, one a line, "key:value", without the "attested." of policies: unix.uid, unix.gid,
 * unix.user, unix.sup_gid, unix.userns, cgroup.path, cgroup.id, mayfly.run, what the place of the cgroup tells
 * (place.h), interactive ("true" and the cause), and for single processes process.exe (weak: a program may have been
 * replaced since). A fact that is no plain UTF-8, or too long, is left out: a rule that needs it does not permit.
 */
MF_NODISCARD enum mf_status mf_selectors_put(
    struct mf_buf *to, const struct mf_peer_env *env, const struct mf_selected *what, struct mf_err *err);
/* Whether ${c} may share ${i}: same ids and groups, and interactive only where that was told. */
bool mf_classify_may_share(const struct mf_instance *i, const struct mf_caller *c);
#endif
