/*
 * role_start: the first and the last lines of a role's main.
 *
 *   struct mf_role *role;
 *   mf_role_start(argc, argv, "notary", mf_build_id(), &role, &err)   // or exit MF_ROLE_EXIT_REFUSED
 *   ... open OpenSSL, read what is needed before the confinement ...
 *   mf_role_confine(role, &mf_confinement_notary, 0, &err)
 *   ... make threads and the loop; watch mf_role_control_fd for reading ...
 *   mf_role_ready(role, &err)
 *   ... when it is readable: mf_role_next until MF_E_AGAIN ...
 *
 * The supervisor starts a role as
 *   NAME --build-id=B --supervisor=PID --fds=control:3,keys:4 --opt=KEY=VALUE ...
 * A role refuses another build id, dies with its supervisor, ignores SIGPIPE, has its descriptors CLOEXEC and
 * its files rewound (an earlier life of it may have read them).
 * Thread rule: the thread that runs main's loop.
 */
#ifndef MF_OS_ROLE_START_H
#define MF_OS_ROLE_START_H
#include "os/control.h"
#include "os/sandbox.h"

/* Exit codes. REFUSED: starting again as things are is useless; a supervisor at its own start gives up. */
#define MF_ROLE_EXIT_OK 0
#define MF_ROLE_EXIT_FAILED 1
#define MF_ROLE_EXIT_REFUSED 78

#define MF_ROLE_FDS_MAX 24u
#define MF_ROLE_OPTS_MAX 48u

struct mf_role; /* opaque */

/* ${name} is a literal and becomes the process's name and the role of the log lines (mf_jlog_init). */
MF_NODISCARD enum mf_status mf_role_start(int argc, char **argv, const char *name, const char *build_id,
    struct mf_role **ret_role, struct mf_err *err);
/*
 * The same for a helper (os/supervisor.h): no control link, so mf_role_control_fd, mf_role_ready and mf_role_next are
 * not for it, and a violation's name reaches the log alone.
 */
MF_NODISCARD enum mf_status mf_helper_start(int argc, char **argv, const char *name, const char *build_id,
    struct mf_role **ret_role, struct mf_err *err);
/* Closes what nobody took. */
void mf_role_free(struct mf_role *r);
MF_DEFINE_CLEANUP(struct mf_role, mf_role_free)

/* The descriptor ${name} of the fd map, still the role object's; -1 when the supervisor gave none. */
int mf_role_fd(const struct mf_role *r, const char *name);
/* The same, now the caller's. */
int mf_role_take_fd(struct mf_role *r, const char *name);
/* A directory that a role opened itself, for its table (mf_role_confine). ${fd} is the role object's on MF_OK. */
MF_NODISCARD enum mf_status mf_role_add_fd(struct mf_role *r, const char *name, int fd, struct mf_err *err);
/* The option ${key}, or NULL. Lives as long as ${r}. */
const char *mf_role_opt(const struct mf_role *r, const char *key);
/* The same as a number; ${otherwise} when absent or no number. */
uint64_t mf_role_opt_u64(const struct mf_role *r, const char *key, uint64_t otherwise);

/*
 * mf_confine with the role's fd map, and one log line, role.confined, that says what was applied. A violation is
 * reported to the supervisor before the role dies. ${connect_port}: see struct mf_confine_env.
 */
MF_NODISCARD enum mf_status
mf_role_confine(struct mf_role *r, const struct mf_confinement *c, uint16_t connect_port, struct mf_err *err);
/* The same for a role that connects to several ports. */
MF_NODISCARD enum mf_status mf_role_confine_ports(
    struct mf_role *r, const struct mf_confinement *c, const uint16_t *ports, size_t n, struct mf_err *err);

/* Ask the supervisor for a helper; its link comes as a LINK message of that name, or not at all. */
MF_NODISCARD enum mf_status mf_role_ask_helper(struct mf_role *r, const char *name, struct mf_err *err);
int mf_role_control_fd(const struct mf_role *r);
/* Tell the supervisor that this role serves. Once. */
MF_NODISCARD enum mf_status mf_role_ready(struct mf_role *r, struct mf_err *err);
/*
 * Ask the supervisor to open the operator's files anew, as SIGHUP does; ${name} of the file, for its log. It comes back as
 * a reload message, or does not when the file cannot be opened: then the supervisor's log says why.
 */
MF_NODISCARD enum mf_status mf_role_ask_reload(struct mf_role *r, const char *name, struct mf_err *err);
/*
 * Ask whose login the process is that connected ${sock}, a Unix socket (os/login_uid.h); only a role that the supervisor
 * tells (mf_supervisor_tells_logins) may. The answer is a LOGIN message: mf_role_login reads its text.
 */
MF_NODISCARD enum mf_status
mf_role_ask_login(struct mf_role *r, uint32_t number, int sock, struct mf_err *err);
/* False: not an answer. *ret_uid is MF_NO_LOGIN_UID where it is not known, or nobody logged in. */
bool mf_role_login(const struct mf_control_msg *m, uint32_t *ret_number, uint32_t *ret_uid);
/* The next message of the supervisor. MF_E_AGAIN: none; MF_E_CLOSED and all else: exit. */
MF_NODISCARD enum mf_status mf_role_next(struct mf_role *r, struct mf_control_msg *ret_m, struct mf_err *err);
#endif
