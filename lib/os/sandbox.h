/*
 * sandbox: a role takes its own power away, by a table.
 *
 * mf_confine applies one struct mf_confinement to the calling process, in this order: resource limits; (attestor,
 * as root) a private mount namespace in which all but its own directories is read-only; capabilities; no dumps
 * (PR_SET_DUMPABLE 0, no core); no_new_privs; Landlock; seccomp. There is no way back. It must run before the
 * first thread is made, and after everything that needs files: OpenSSL's configuration, locale, getaddrinfo.
 * (Users are changed by the supervisor before exec, os/spawn.h; mf_confine refuses to go on as root where the
 * table does not say so.)
 *
 * What seccomp does not list ends the process: a handler writes the system call's NAME to stderr and to the
 * supervisor, then the process dies by SIGSYS. (A thread that blocks SIGSYS dies as well, without the name.)
 *
 * The tables of the four roles: os/role_confinement.h. Only this directory knows libseccomp and libcap-ng.
 * Instrumented builds (MF_INSTRUMENTED: sanitizers, coverage, fuzzing) apply a wider table without Landlock,
 * private mounts and the dump protection; the report says so and the role prints it. Adversary tests run on
 * release tables only.
 */
#ifndef MF_OS_SANDBOX_H
#define MF_OS_SANDBOX_H
#include "base/buf.h"
#include "os/named_fd.h"

enum mf_arg_op {
	MF_ARG_NONE, /* no further test */
	MF_ARG_EQ,   /* argument == value */
	MF_ARG_MASK, /* (argument & mask) == value */
	MF_ARG_SELF, /* argument == own process id */
};

struct mf_arg_test {
	uint8_t arg; /* 0..5 */
	uint8_t op;  /* enum mf_arg_op */
	uint64_t mask, value;
};

struct mf_syscall_rule {
	const char *name;
	const char *when; /* the tests in words, for people; NULL: always */
	int answer;	  /* 0: allowed; else refused with this errno, and the process lives */
	struct mf_arg_test args[3];
};

/* System calls that are needed for one reason. */
struct mf_syscall_group {
	const char *name;
	const char *reason;
	const struct mf_syscall_rule *rules;
	size_t count;
};

#define MF_FS_READ 1u  /* files below may be read */
#define MF_FS_WRITE 2u /* and made, written, renamed, removed */

struct mf_fs_rule {
	const char *fd_name; /* a directory descriptor of the role's fd map; absent: no such access */
	unsigned access;
	const char *reason;
};

struct mf_rlimit_rule {
	int resource;	  /* RLIMIT_x */
	const char *name; /* "NOFILE" */
	uint64_t most;	  /* lowered to it; never raised past the hard limit */
};

struct mf_confinement {
	const char *role;
	const char *summary;			      /* one sentence for the documentation */
	const struct mf_syscall_group *const *groups; /* NULL-terminated */
	const struct mf_fs_rule *fs;
	size_t fs_count;
	const struct mf_rlimit_rule *rlimits;
	size_t rlimit_count;
	bool own_mounts;      /* instead of Landlock, whose domain may not look at other processes */
	bool connects;	      /* TCP to env->connect_port; else to nowhere */
	bool keeps_root;      /* stays uid 0 when started by root */
	const int *keep_caps; /* capability numbers, -1 ends; NULL: none */
};

struct mf_confine_env {
	const struct mf_named_fd
	    *fds; /* the role's fd map; descriptors may be reopened under the same number */
	size_t fd_count;
	uint16_t connect_port;	    /* for tables with connects; 0: none */
	const uint16_t *more_ports; /* likewise, beside it */
	size_t more_port_count;
	void (*on_violation)(const char *syscall); /* called in a signal handler; may be NULL */
};

/* What the machine made of the table. */
struct mf_confined {
	int landlock_abi;	  /* 0: not applied */
	bool own_mounts;	  /* applied */
	bool root;		  /* still uid 0 */
	const char *instrumented; /* NULL in a release build */
};

/*
 * Confine the calling process. Errors are final: exit. MF_E_DENIED (root where it must not be), MF_E_STATE
 * (threads exist already), MF_E_UNSUPPORTED (no seccomp), MF_E_IO, MF_E_INVALID (the table).
 */
MF_NODISCARD enum mf_status mf_confine(const struct mf_confinement *c, const struct mf_confine_env *env,
    struct mf_confined *ret_done, struct mf_err *err);

/* The Landlock ABI of this kernel, 0 for none. */
int mf_landlock_abi(void);
/* True when this build is instrumented; *ret_name names it (may be NULL). */
bool mf_instrumented(const char **ret_name);
/* Every name of the table is a system call that libseccomp knows, and every rule is well formed: for tests. */
MF_NODISCARD enum mf_status mf_confinement_check(const struct mf_confinement *c, struct mf_err *err);
/* The table as Markdown, for docs/internals/confinement.md. */
void mf_confinement_print(const struct mf_confinement *c, struct mf_buf *to);
/* The groups of ${c} explained (each once per document). */
void mf_confinement_print_group(const struct mf_syscall_group *g, struct mf_buf *to);
#endif
