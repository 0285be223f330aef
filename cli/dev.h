/*
 * dev: `mayfly dev`: broker and agent of a throw-away trust domain in the foreground.
 *
 *   DIR/{broker,agent,policy}.yaml  DIR/broker/ DIR/agent/ (state)  DIR/run/{agent.sock,admin.sock}
 *   DIR/ports  DIR/lock  DIR/dev (says that this is no real state)  DIR/daemons.log (--quiet)
 *
 * The YAML files but policy.yaml are written anew at each start. One thread.
 */
#ifndef MF_CLI_DEV_H
#define MF_CLI_DEV_H
#include <sys/types.h>

#include "cli/cli.h"

#define MF_DEV_DIR_MAX 88u /* bytes: a socket below it must fit into sun_path */

struct mf_dev_ports {
	uint16_t agents, broker_metrics, agent_metrics;
};

struct mf_dev_files {
	char dir[MF_DEV_DIR_MAX + 1];
	bool throw_away; /* made by us, removed at the end */
	int dirfd, lock_fd;
	const char *trust_domain;
	char policy[4096]; /* absolute */
	struct mf_dev_ports ports;
	char more_broker[2048], more_agent[1024]; /* YAML lines for broker.yaml and agent.yaml */
};

/* dev_files.c. All paths absolute; files 0600, directories 0755 as root, 0700 else. */
MF_NODISCARD enum mf_status mf_dev_files_open(struct mf_dev_files *f, const char *state, struct mf_err *err);
/* Ports of DIR/ports where they are free, else others; remembered. */
MF_NODISCARD enum mf_status mf_dev_files_ports(struct mf_dev_files *f, struct mf_err *err);
/* ${policy}: the operator's file, or NULL for ours. */
MF_NODISCARD enum mf_status
mf_dev_files_write(struct mf_dev_files *f, const char *policy, struct mf_err *err);
/* Has the agent of this directory joined before? */
bool mf_dev_files_joined(const struct mf_dev_files *f);
/* Has the broker of this directory been made? */
bool mf_dev_files_made(const struct mf_dev_files *f);
void mf_dev_files_close(struct mf_dev_files *f, bool remove);
/* "DIR/${name}" into ${to}. */
const char *mf_dev_path(const struct mf_dev_files *f, const char *name, struct mf_buf *to);
/* The three files, pure; for tests as well. */
void mf_dev_put_broker(struct mf_buf *to, const struct mf_dev_files *f, uid_t uid);
void mf_dev_put_agent(struct mf_buf *to, const struct mf_dev_files *f);
void mf_dev_put_policy(struct mf_buf *to, uid_t uid);

/* dev_child.c */
struct mf_dev_child {
	const char *name;
	pid_t pid;  /* 0: none */
	int status; /* of wait(2), once it is gone */
	bool gone;
};
/* Start ${argv}; stdin is empty, stdout and stderr are ${log_fd}. It dies with us and hears no Ctrl-C. */
MF_NODISCARD enum mf_status mf_dev_child_start(
    struct mf_dev_child *ch, const char *name, char *const *argv, int log_fd, struct mf_err *err);
/* Has it ended? */
bool mf_dev_child_gone(struct mf_dev_child *ch);
/* "exit code 1", "signal 9". */
void mf_dev_child_how(const struct mf_dev_child *ch, struct mf_buf *to);

/* GET ${path} on loopback: is the answer 200? */
bool mf_dev_http_ok(uint16_t port, const char *path);
#endif
