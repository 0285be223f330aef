/*
 * sender: which process wrote a message, as the kernel says (SCM_CREDENTIALS, SCM_PIDFD), and whether two messages
 * are of one process. A process number alone proves nothing once its process may be gone: with pidfs (Linux 6.9) the
 * inode of the pidfd names a process for ever; before it, a pidfd that is still silent proves that its number was
 * not used again; without pidfds the number and the user must do (graded "legacy" by the attestor).
 */
#ifndef MF_AGENT_FRONT_SENDER_H
#define MF_AGENT_FRONT_SENDER_H
#include "net/grpc_conn.h"

struct mf_sender {
	pid_t pid;
	uid_t uid;
	uint64_t inode; /* pidfs; 0: not known */
	int pidfd;	/* own; -1: none */
};
#define MF_SENDER_NONE      \
	{                   \
		.pidfd = -1 \
	}

/* Borrow ${s}'s pidfd for a look: ret_s->pidfd is it. */
void mf_sender_look(const struct mf_net_sender *s, struct mf_sender *ret_s);
/* Keep a look: the pidfd is duplicated. False: out of descriptors. */
MF_NODISCARD bool mf_sender_keep(const struct mf_sender *look, struct mf_sender *ret_s);
void mf_sender_fini(struct mf_sender *s);
/* The same process, proven as well as this kernel can. */
bool mf_sender_same(const struct mf_sender *a, const struct mf_sender *b);
#endif
