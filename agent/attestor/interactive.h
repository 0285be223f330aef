/*
 * interactive: whether a caller is somebody who looks into a job rather than the job: it has a terminal, was put into
 * a container from outside (runc exec, docker exec, nsenter), or sits in Slurm's extern step. Policy refuses such
 * callers unless a profile says otherwise.
 *
 * This keeps honest people from working with a job's rights by habit. It is no wall between processes of one uid in one
 * cgroup: an orphan of an exec session becomes a child of the container's first process and is its own from then on,
 * and a container without a PID namespace of its own shows no sessions.
 * Thread rule: no state; the caller belongs to one thread.
 */
#ifndef MF_ATTESTOR_INTERACTIVE_H
#define MF_ATTESTOR_INTERACTIVE_H
#include "agent/attestor/peer.h"

const char *mf_interactive_name(enum mf_interactive i); /* "tty", "exec", "slurm-extern"; never NULL */
/*
 * Complete ${c}, which was attested and knows of its terminal. Errors: MF_E_NOTFOUND (it is gone), MF_E_AGAIN (its
 * parents keep changing: ask again), MF_E_NOMEM, MF_E_IO.
 */
MF_NODISCARD enum mf_status
mf_interactive_look(const struct mf_peer_env *env, struct mf_caller *c, struct mf_err *err);
/*
 * A pidfd of the parent of ${pidfd}, proven to have been its parent while both lived. MF_E_NOTFOUND: it has none that
 * can be seen from here but the first process; MF_E_AGAIN: it keeps changing.
 */
MF_NODISCARD enum mf_status
mf_ancestry_parent(const struct mf_peer_env *env, int pidfd, int *ret_parent, struct mf_err *err);
#endif
