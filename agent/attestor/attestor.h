/*
 * attestor: the process that says what is so. It holds the node's inner key, looks at callers and at cgroups,
 * keeps the table of instances, and speaks to the notary through the agent's front, which carries what it
 * cannot read.
 *
 * This object is the whole process but main: main confines itself, makes one, gives it the front's link and
 * turns it. One turn takes what is there, writes the table when it changed, and only then lets statements leave:
 * what the broker hears of is on disk.
 * Thread rule: one thread.
 */
#ifndef MF_ATTESTOR_ATTESTOR_H
#define MF_ATTESTOR_ATTESTOR_H
#include "agent/attestor/store.h"

struct mf_attestor; /* opaque; its parts: attestor_internal.h */

struct mf_attestor_conf {
	const char *listen_path;		   /* the agent's socket as the front bound it; copied */
	const char *passwd;			   /* "/etc/passwd"; copied */
	const char *build_id, *release, *hostname; /* copied */
	int state_fd, run_fd;			   /* directories, borrowed for its life */
	const char *cgroup_base;  /* name of the directory for jobs' cgroups; NULL: make none */
	bool legacy_peercred;	  /* see peer.h */
	const char *caller_check; /* NULL or "auto", "procfs", "legacy": see docs/internals/attestor.md */
};

/*
 * Read the files, find cgroup2, adopt what still lives from the table of before and end what does not.
 * Errors: MF_E_CORRUPT (key, session or trust), MF_E_DENIED (modes of the files), MF_E_IO, MF_E_NOMEM.
 */
MF_NODISCARD enum mf_status
mf_attestor_new(const struct mf_attestor_conf *conf, struct mf_attestor **ret_a, struct mf_err *err);
void mf_attestor_free(struct mf_attestor *a); /* without a word to anybody */
MF_DEFINE_CLEANUP(struct mf_attestor, mf_attestor_free)

/* The last act of an orderly stop: remove what cgroups of jobs are empty. What lives is adopted by the next start. */
void mf_attestor_stop(struct mf_attestor *a);

/* A join token, used when the node's key is not registered (a public one tells where the broker is). Taken on MF_OK. MF_E_IO: trust cannot be stored. */
MF_NODISCARD enum mf_status
mf_attestor_join(struct mf_attestor *a, struct mf_join_token *token, struct mf_err *err);
struct mf_node_proof;
/* The node's own certificate, used where there is no token when its key is not registered. Taken. */
void mf_attestor_prove(struct mf_attestor *a, struct mf_node_proof *proof);
/* A new link to the front; the old one and all that belonged to it is dropped. Takes ${fd} on MF_OK. */
MF_NODISCARD enum mf_status mf_attestor_link(struct mf_attestor *a, int fd, struct mf_err *err);

/* Poll these; -1 where there is none. */
struct mf_attestor_poll {
	int link_fd, watch_fd;
	bool link_writes; /* also for POLLOUT */
	uint64_t due_ms;  /* turn at this mono_ms at the latest; UINT64_MAX: when something comes */
};
void mf_attestor_poll(const struct mf_attestor *a, struct mf_attestor_poll *ret_p);
/* Take what is there without waiting. Errors of the link drop the link; only the machinery's own are returned. */
MF_NODISCARD enum mf_status mf_attestor_turn(struct mf_attestor *a, struct mf_err *err);
/* For tests and for people. */
const struct mf_instances *mf_attestor_instances(const struct mf_attestor *a);
bool mf_attestor_ready(const struct mf_attestor *a); /* resynced with the broker */
#endif
