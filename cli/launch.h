/*
 * launch: the core of `mayfly run`: ask the agent for a place, put a child there, wait for the grant, let it go, pass
 * signals and the exit code on (design 4.0).
 *
 * The child is born in the job's cgroup where the kernel lets us (clone3 with CLONE_INTO_CGROUP), else the agent moves
 * it there; where there is no cgroup, we are its subreaper. In any case it executes nothing of the job before it is
 * where it belongs and the identity is granted. One thread; once per process (signals, child processes).
 */
#ifndef MF_CLI_LAUNCH_H
#define MF_CLI_LAUNCH_H
#include "cli/cli.h"
#include "rpc/grpc_sync.h"

struct mf_launch_spec {
	char *profile, *name; /* NULL for none */
	struct mf_slice manifest;
	char **argv;		 /* NULL-terminated; searched in PATH */
	const char *socket_path; /* of the agent, for the job's environment */
	uint64_t timeout_ms;	 /* until the grant */
};

/* Runs to the end of the command (a subreaper: of all its processes). The exit code of `mayfly run`. */
int mf_launch(struct mf_cli *c, struct mf_grpc_sync *agent, const struct mf_launch_spec *spec);
#endif
