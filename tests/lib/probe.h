/*
 * probe: try something as a confined role, in a child, and compare what happened. Include after cmocka.h.
 *
 * A probe answers 0 or an errno; WORKS, an errno, KILLED (by SIGSYS, with the call's name in the log) or KILLED_ABI
 * (a foreign ABI: dead without a name) is what should happen.
 */
#ifndef MF_TESTS_PROBE_H
#define MF_TESTS_PROBE_H
#include <stdint.h>
#include <sys/types.h>

#include "os/role_confinement.h"

#define PROBE_UID 60900u
#define PROBE_CGROUP "mf-probe" /* in the cgroup2 tree, where the machine has one */
#define WORKS 0
#define KILLED (-1)
#define KILLED_ABI (-2)

struct probe {
	const char *what;
	int (*fn)(long arg);
	long arg;
	int want;
	const char *killed; /* name in the log, when it is not ${what} */
};

/* What the children see. Directories keys, log, handles, db, state, run; beside them a file "secret". */
struct probe_world {
	char top[64];
	struct mf_named_fd fds[8];
	size_t fd_count;
	int listener,
	    other_listener; /* TCP on loopback; port is the one that a table with connects may reach */
	uint16_t port, other_port;
	pid_t sleeper; /* a process, of another user when we are root */
	int pair_fd;   /* one end of a Unix stream pair */
};
extern struct probe_world mf_probe_world;

/* cmocka group fixtures. */
int mf_probe_setup(void **state);
int mf_probe_teardown(void **state);
/* Run all, print what differs, fail if any did. */
void mf_probe_run(const struct mf_confinement *c, const struct probe *p, size_t count);
/* What no role may do, and what each needs. */
void mf_probe_run_common(const struct mf_confinement *c);
/* True, and said so, in an instrumented build. */
bool mf_probe_skip_instrumented(void);

/* r < 0: errno, else 0. */
int mf_as_errno(long r);
/* The descriptor of a directory of the world. */
int mf_dir_fd(const char *name);

/* A system call by number with arguments that do no harm should it be let through. */
int mf_raw(long nr);
int mf_try_open(const char *path, int flags);
int mf_try_socket(long packed);
#define SOCK(domain, type) ((long)(domain) << 8 | (type))
int mf_try_tcp_protocol(long protocol);
int mf_try_connect(long to_port);
int mf_try_connect_held(long unused);
int mf_try_passwd(long flags);
int mf_try_neighbour(long flags);
int mf_try_dotdot(long which); /* 0 log, 1 db, 2 state */
int mf_try_new_file_outside(long unused);
int mf_try_device(long unused);
int mf_try_exec_pages(long unused);
int mf_try_make_executable(long unused);
int mf_use_dir(long which); /* 0 keys, 1 log, 2 handles, 3 db, 4 state, 5 run */
#endif
