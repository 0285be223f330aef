/*
 * peer: who is at the other end of a job's socket, as the kernel says (attestation.md 1: the sandwich).
 *
 * pidfd of the peer, its facts, /proc, its facts again, then poll: a process number cannot be used again while
 * its process is unreaped, so a pidfd that is silent *after* the reads proves that every read hit the process
 * that connected. What this does not prove: that the program did not change in between (execve; ${exe} is
 * therefore weak), and who writes on the socket (descriptors are inherited): mf_peer_sender_ok is for that.
 * Thread rule: an environment is not changed after init and may be shared; a caller belongs to one thread.
 */
#ifndef MF_ATTESTOR_PEER_H
#define MF_ATTESTOR_PEER_H
#include <sys/types.h>

#include "agent/attestor/cgroup.h"
#include "agent/attestor/procfile.h"
#include "agent/core/grade.h"

/* Signs that a caller is a person who looks in, not the job: interactive.h. */
enum mf_interactive {
	MF_INTERACTIVE_NO = 0,
	MF_INTERACTIVE_TTY,    /* a controlling terminal */
	MF_INTERACTIVE_EXEC,   /* put into a container from outside */
	MF_INTERACTIVE_EXTERN, /* Slurm's step for ssh logins */
	MF_INTERACTIVE_COUNT
};

struct mf_peer_env {
	const char *listen_path;	    /* borrowed: what an accepted socket must be bound to */
	int proc_fd;			    /* /proc; borrowed */
	const struct mf_cgroup_fs *cgroups; /* borrowed; NULL: no cgroup2 on this machine */
	bool legacy_peercred;		    /* before Linux 6.5: accept SO_PEERCRED, graded "legacy" */
	bool no_peerpidfd;		    /* behave as before 6.5 (tests) */
	bool no_ioctl;	/* do without PIDFD_GET_INFO (tests of the way of older kernels) */
	bool ids_whole; /* every uid is mapped here, so 65534 is a real user */
	uint32_t overflow_uid, overflow_gid;
	uint64_t ns_user;     /* the agent's own user namespace; 0: not known */
	const char *runc_dir; /* borrowed: where root's runc keeps its containers; NULL: not looked at */
};

struct mf_caller {
	int pidfd; /* owned */
	pid_t pid, ppid;
	uint32_t uid, gid;   /* effective, at connect and now; real and saved ones are the same */
	uint64_t proc_id;    /* no other process of this boot has it: the pidfs inode, or see peer.c */
	uint64_t start_time; /* clock ticks since boot */
	enum mf_interactive
	    interactive;	 /* from mf_peer_attest: TTY or NO; mf_interactive_look tells the rest */
	unsigned ns_levels;	 /* PID namespaces from ours down to its own, at least 1 */
	pid_t ns_inside;	 /* its number in the first one below ours; 0: it is in ours */
	enum mf_grade grade;	 /* MF_GRADE_PIDFD or MF_GRADE_LEGACY; classify may raise it */
	uint64_t cgroup_id;	 /* 0: no cgroup2, or not to be known */
	struct mf_cgroup cgroup; /* fd -1: not known */
	char *exe;		 /* owned; path as the process sees it, weak; NULL: not known */
	uint32_t *groups;	 /* owned; supplementary, sorted as the kernel has them */
	size_t n_groups;
	uint64_t ns_user; /* inode; 0: not to be read */
};
#define MF_CALLER_NONE                                \
	{                                             \
		.pidfd = -1, .cgroup = MF_CGROUP_NONE \
	}
void mf_caller_fini(struct mf_caller *c); /* leaves MF_CALLER_NONE */

/* Fill ${ret_env} from ${proc_fd}: whether all ids are mapped. Nothing is owned: no fini. */
MF_NODISCARD enum mf_status mf_peer_env_init(struct mf_peer_env *ret_env, const char *listen_path,
    int proc_fd, const struct mf_cgroup_fs *cgroups, struct mf_err *err);

/*
 * Attest the peer of ${sock}, a connected AF_UNIX stream socket that was accepted on env->listen_path. When the
 * facts change while they are read it starts over once, then refuses.
 * Errors: MF_E_INVALID (not such a socket), MF_E_NOTFOUND (the caller is gone), MF_E_UNAUTH (the facts do not
 * agree, or cannot be seen from here), MF_E_DENIED (set-id process, unmapped id), MF_E_UNSUPPORTED (old
 * kernel), MF_E_TOOBIG, MF_E_NOMEM, MF_E_IO. Nothing but MF_OK may be taken for an answer.
 */
MF_NODISCARD enum mf_status
mf_peer_attest(const struct mf_peer_env *env, int sock, struct mf_caller *ret_c, struct mf_err *err);
/* The same for a process that is known by pidfd (the sender of a message); ${pidfd} is duplicated. */
MF_NODISCARD enum mf_status
mf_peer_attest_pidfd(const struct mf_peer_env *env, int pidfd, struct mf_caller *ret_c, struct mf_err *err);

/*
 * Whether a message may count as the attested caller's own: its sender (SCM_CREDENTIALS ${pid}, ${uid}) is the
 * caller, which must be alive. With ${pidfd} >= 0 (SCM_PIDFD) the process is compared, not its number.
 * False: attest the sender on its own (mf_peer_attest_pidfd) and compare instances.
 */
bool mf_peer_sender_ok(const struct mf_caller *c, pid_t pid, uint32_t uid, int pidfd);
#endif
