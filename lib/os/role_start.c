#include "os/role_start.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "os/jlog.h"
#include "os/login_uid.h"

#define CONTROL "control"

struct opt {
	const char *key; /* in argv, not NUL-terminated */
	size_t key_n;
	const char *value;
};

struct mf_role {
	const char *name;
	const char *build_id;
	struct mf_seqpacket *control;
	struct mf_named_fd fds[MF_ROLE_FDS_MAX];
	size_t fd_count;
	struct opt opts[MF_ROLE_OPTS_MAX];
	size_t opt_count;
	bool helper;
};

/* For the SIGSYS handler. */
static int violation_fd = -1;

static void
report_violation(const char *syscall_name)
{
	uint8_t msg[MF_PACKET_HEADER + MF_CONTROL_TEXT_MAX] = { 0, MF_CONTROL_VIOLATION };
	size_t n = strlen(syscall_name);
	if (n >= MF_CONTROL_TEXT_MAX)
		n = MF_CONTROL_TEXT_MAX - 1;
	memcpy(msg + MF_PACKET_HEADER, syscall_name, n);
	(void)send(violation_fd, msg, MF_PACKET_HEADER + n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* "name:number" up to the next comma. */
static enum mf_status
add_fd(struct mf_role *r, struct mf_slice pair, struct mf_err *err)
{
	const uint8_t *colon = pair.n == 0 ? NULL : memchr(pair.p, ':', pair.n);
	uint64_t fd = 0;
	if (colon == NULL || r->fd_count == MF_ROLE_FDS_MAX)
		return MF_FAIL(err, MF_E_INVALID, "--fds is not name:number,...");
	struct mf_slice name = mf_slice(pair.p, (size_t)(colon - pair.p));
	if (!mf_control_name_ok(name, MF_FD_NAME_MAX) ||
	    !mf_parse_u64(mf_slice_sub(pair, name.n + 1, pair.n), &fd) || fd < 3 || fd > 1023)
		return MF_FAIL(err, MF_E_INVALID, "--fds is not name:number,...");
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "--fds names descriptor %u, which is not open", (unsigned)fd);
	/* A file read by an earlier life of this role begins at its beginning again; others cannot seek. */
	(void)lseek((int)fd, 0, SEEK_SET);
	struct mf_named_fd *f = &r->fds[r->fd_count++];
	memcpy(f->name, name.p, name.n);
	f->name[name.n] = '\0';
	f->fd = (int)fd;
	return MF_OK;
}

static enum mf_status
add_fds(struct mf_role *r, const char *list, struct mf_err *err)
{
	for (;;) {
		size_t n = strcspn(list, ",");
		MF_TRY(add_fd(r, mf_slice(list, n), err));
		if (list[n] == '\0')
			return MF_OK;
		list += n + 1;
	}
}

static enum mf_status
add_opt(struct mf_role *r, const char *text, struct mf_err *err)
{
	const char *eq = strchr(text, '=');
	if (eq == NULL || eq == text || r->opt_count == MF_ROLE_OPTS_MAX)
		return MF_FAIL(
		    err, MF_E_INVALID, "--opt is not key=value, or there are more than %u", MF_ROLE_OPTS_MAX);
	r->opts[r->opt_count++] = (struct opt) { text, (size_t)(eq - text), eq + 1 };
	return MF_OK;
}

/* The value when ${arg} is --${name}=value, else NULL. */
static const char *
value_of(const char *arg, const char *name)
{
	size_t n = strlen(name);
	if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, n) != 0 || arg[2 + n] != '=')
		return NULL;
	return arg + 2 + n + 1;
}

static enum mf_status
parse(struct mf_role *r, int argc, char **argv, const char **ret_build, uint64_t *ret_pid, struct mf_err *err)
{
	for (int i = 1; i < argc; i++) {
		const char *v;
		if ((v = value_of(argv[i], "build-id")) != NULL)
			*ret_build = v;
		else if ((v = value_of(argv[i], "fds")) != NULL)
			MF_TRY(add_fds(r, v, err));
		else if ((v = value_of(argv[i], "opt")) != NULL)
			MF_TRY(add_opt(r, v, err));
		else if ((v = value_of(argv[i], "supervisor")) == NULL ||
			 !mf_parse_u64(mf_slice_str(v), ret_pid))
			return MF_FAIL(err, MF_E_INVALID, "unknown argument \"%s\"", argv[i]);
	}
	return MF_OK;
}

/* Die with the supervisor, also when it died before we asked for it. */
static enum mf_status
tie_to(uint64_t supervisor, struct mf_err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return MF_FAIL(err, MF_E_IO, "PR_SET_PDEATHSIG: %s", strerror(errno));
	if ((uint64_t)getppid() != supervisor)
		return MF_FAIL(err, MF_E_CLOSED, "the supervisor is gone");
	return MF_OK;
}

static enum mf_status
fill(struct mf_role *r, int argc, char **argv, struct mf_err *err)
{
	const char *build = NULL;
	uint64_t supervisor = 0;
	MF_TRY(parse(r, argc, argv, &build, &supervisor, err));
	if (build == NULL || (mf_role_fd(r, CONTROL) < 0) != r->helper)
		return MF_FAIL(err, MF_E_STATE,
		    "%s is a part of Mayfly that is started by mayfly-broker or mayfly-agent, not by hand",
		    r->name);
	if (strcmp(build, r->build_id) != 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "the supervisor is build %s, this %s is build %s: install both from one build and "
		    "restart",
		    build, r->name, r->build_id);
	MF_TRY(tie_to(supervisor, err));
	if (r->helper)
		return MF_OK;
	MF_TRY(mf_seqpacket_new(mf_role_fd(r, CONTROL), MF_CONTROL_QUEUE, &r->control, err));
	(void)mf_role_take_fd(r, CONTROL);
	return MF_OK;
}

static enum mf_status
start(int argc, char **argv, const char *name, const char *build_id, bool helper, struct mf_role **ret_role,
    struct mf_err *err)
{
	mf_jlog_init(name, MF_LOG_INFO);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	struct sigaction ign = { .sa_handler = SIG_IGN };
	(void)sigaction(SIGPIPE, &ign, NULL);
	MF_AUTO(mf_role_free) struct mf_role *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory at the start of %s", name);
	r->name = name;
	r->build_id = build_id;
	r->helper = helper;
	MF_TRY(fill(r, argc, argv, err));
	if (mf_role_opt(r, "log_debug") != NULL)
		mf_jlog_init(name, MF_LOG_DEBUG);
	*ret_role = MF_TAKE(r);
	return MF_OK;
}

enum mf_status
mf_role_start(int argc, char **argv, const char *name, const char *build_id, struct mf_role **ret_role,
    struct mf_err *err)
{
	return start(argc, argv, name, build_id, false, ret_role, err);
}

enum mf_status
mf_helper_start(int argc, char **argv, const char *name, const char *build_id, struct mf_role **ret_role,
    struct mf_err *err)
{
	return start(argc, argv, name, build_id, true, ret_role, err);
}

void
mf_role_free(struct mf_role *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->fd_count; i++)
		if (r->fds[i].fd >= 0)
			(void)close(r->fds[i].fd);
	mf_seqpacket_free(r->control);
	free(r);
}

static struct mf_named_fd *
find_fd(struct mf_named_fd *fds, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(fds[i].name, name) == 0)
			return &fds[i];
	return NULL;
}

int
mf_role_fd(const struct mf_role *r, const char *name)
{
	for (size_t i = 0; i < r->fd_count; i++)
		if (strcmp(r->fds[i].name, name) == 0)
			return r->fds[i].fd;
	return -1;
}

int
mf_role_take_fd(struct mf_role *r, const char *name)
{
	struct mf_named_fd *f = find_fd(r->fds, r->fd_count, name);
	if (f == NULL)
		return -1;
	int fd = f->fd;
	f->fd = -1;
	return fd;
}

enum mf_status
mf_role_add_fd(struct mf_role *r, const char *name, int fd, struct mf_err *err)
{
	if (fd < 0 || r->fd_count == MF_ROLE_FDS_MAX || mf_role_fd(r, name) >= 0)
		return MF_FAIL(err, MF_E_INVALID, "descriptor \"%s\" cannot be added", name);
	struct mf_named_fd *f = &r->fds[r->fd_count++];
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->fd = fd;
	return MF_OK;
}

const char *
mf_role_opt(const struct mf_role *r, const char *key)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < r->opt_count; i++)
		if (r->opts[i].key_n == n && memcmp(r->opts[i].key, key, n) == 0)
			return r->opts[i].value;
	return NULL;
}

uint64_t
mf_role_opt_u64(const struct mf_role *r, const char *key, uint64_t otherwise)
{
	uint64_t v = 0;
	const char *text = mf_role_opt(r, key);
	return text != NULL && mf_parse_u64(mf_slice_str(text), &v) ? v : otherwise;
}

enum mf_status
mf_role_confine(struct mf_role *r, const struct mf_confinement *c, uint16_t connect_port, struct mf_err *err)
{
	return mf_role_confine_ports(r, c, &connect_port, 1, err);
}

enum mf_status
mf_role_confine_ports(
    struct mf_role *r, const struct mf_confinement *c, const uint16_t *ports, size_t n, struct mf_err *err)
{
	struct mf_confined done = { 0 };
	violation_fd = r->helper ? -1 : mf_seqpacket_fd(r->control);
	struct mf_confine_env env = { .fds = r->fds,
		.fd_count = r->fd_count,
		.more_ports = ports,
		.more_port_count = n,
		.on_violation = report_violation };
	MF_TRY(mf_confine(c, &env, &done, err));
	/* Changing users clears the death signal; nothing here changes them after tie_to, and this proves it. */
	int sig = 0;
	if (prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0) != 0 || sig != SIGKILL)
		return MF_FAIL(err, MF_E_INTERNAL, "the role would outlive its supervisor");
	bool weaker =
	    done.instrumented != NULL || (c->own_mounts ? !done.own_mounts : done.landlock_abi == 0);
	/* One line for each evidence would be noise; what it may do is the same every time. */
	MF_LOG(weaker	   ? MF_LOG_WARN
	       : r->helper ? MF_LOG_DEBUG
			   : MF_LOG_INFO,
	    "role.confined", weaker ? "confined, but weaker than docs/internals/confinement.md" : "confined",
	    mf_js("table", c->role), mf_ji("landlock_abi", done.landlock_abi),
	    mf_jb("own_mounts", done.own_mounts), mf_ju("uid", geteuid()),
	    mf_js("instrumented", done.instrumented), mf_js("build", r->build_id));
	return MF_OK;
}

enum mf_status
mf_role_ask_helper(struct mf_role *r, const char *name, struct mf_err *err)
{
	return mf_control_send(r->control, MF_CONTROL_HELPER, name, -1, err);
}

int
mf_role_control_fd(const struct mf_role *r)
{
	return mf_seqpacket_fd(r->control);
}

enum mf_status
mf_role_ready(struct mf_role *r, struct mf_err *err)
{
	return mf_control_send(r->control, MF_CONTROL_READY, r->build_id, -1, err);
}

enum mf_status
mf_role_ask_reload(struct mf_role *r, const char *name, struct mf_err *err)
{
	return mf_control_send(r->control, MF_CONTROL_ASK_RELOAD, name, -1, err);
}

enum mf_status
mf_role_ask_login(struct mf_role *r, uint32_t number, int sock, struct mf_err *err)
{
	char text[16];
	(void)snprintf(text, sizeof(text), "%" PRIu32, number);
	int copy = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return MF_FAIL(err, MF_E_IO, "dup of a caller's socket: %s", strerror(errno));
	enum mf_status s = mf_control_send(r->control, MF_CONTROL_ASK_LOGIN, text, copy, err);
	if (s != MF_OK)
		(void)close(copy);
	return s;
}

bool
mf_role_login(const struct mf_control_msg *m, uint32_t *ret_number, uint32_t *ret_uid)
{
	struct mf_slice t = mf_slice_str(m->text);
	uint64_t number, uid = MF_NO_LOGIN_UID;
	size_t dot = strcspn(m->text, ".");
	if (m->type != MF_CONTROL_LOGIN || dot == t.n || !mf_parse_u64(mf_slice(t.p, dot), &number) ||
	    number > UINT32_MAX)
		return false;
	t = mf_slice_sub(t, dot + 1, t.n);
	if (!mf_slice_eq(t, MF_SLICE_LIT("-")) && (!mf_parse_u64(t, &uid) || uid > UINT32_MAX))
		return false;
	*ret_number = (uint32_t)number;
	*ret_uid = (uint32_t)uid;
	return true;
}

enum mf_status
mf_role_next(struct mf_role *r, struct mf_control_msg *ret_m, struct mf_err *err)
{
	return mf_control_recv(r->control, false, ret_m, err);
}
