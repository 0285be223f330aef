/* dev_files: the state directory of `mayfly dev`. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/text.h"
#include "cli/dev.h"
#include "os/secure_file.h"

#define PORT_FIRST 20000u /* below the range that the kernel gives to clients */
#define PORT_COUNT 12000u
#define PORT_TRIES 1000u
#define MARK "dev"

/* --- the directory --- */

static mode_t
dir_mode(void)
{
	/* As root, jobs of every user reach the sockets. */
	return geteuid() == 0 ? 0755 : 0700;
}

const char *
mf_dev_path(const struct mf_dev_files *f, const char *name, struct mf_buf *to)
{
	mf_buf_reset(to);
	mf_buf_putf(to, "%s/%s", f->dir, name);
	return mf_buf_cstr(to);
}

static enum mf_status
make_dir(struct mf_dev_files *f, const char *state, struct mf_err *err)
{
	char path[PATH_MAX], real[PATH_MAX];
	if (state != NULL) {
		if (mkdir(state, dir_mode()) != 0 && errno != EEXIST)
			return MF_FAIL(err, MF_E_IO, "cannot make %s: %s", state, strerror(errno));
		(void)snprintf(path, sizeof(path), "%s", state);
	} else {
		const char *tmp = getenv("TMPDIR");
		(void)snprintf(
		    path, sizeof(path), "%s/mayfly-dev-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
		if (mkdtemp(path) == NULL || chmod(path, dir_mode()) != 0)
			return MF_FAIL(err, MF_E_IO, "cannot make %s: %s", path, strerror(errno));
		f->throw_away = true;
	}
	if (realpath(path, real) == NULL)
		return MF_FAIL(err, MF_E_IO, "%s: %s", path, strerror(errno));
	if (strlen(real) > MF_DEV_DIR_MAX)
		return MF_FAIL(err, MF_E_TOOBIG,
		    "%s: longer than %u bytes, so that a socket in it has no name; choose another with "
		    "--state",
		    real, MF_DEV_DIR_MAX);
	memcpy(f->dir, real, strlen(real) + 1);
	return MF_OK;
}

/* Something of an operator's must not become a playground. */
static enum mf_status
check_ours(const struct mf_dev_files *f, struct mf_err *err)
{
	struct stat st;
	if (fstatat(f->dirfd, MARK, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return MF_OK;
	if (fstatat(f->dirfd, "broker", &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	    fstatat(f->dirfd, "agent", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return MF_FAIL(err, MF_E_EXISTS,
		    "%s holds the state of a broker or an agent that `mayfly dev` did not make; choose "
		    "another --state",
		    f->dir);
	return mf_file_write(
	    f->dirfd, MARK, MF_SLICE_LIT("A throw-away trust domain of `mayfly dev`.\n"), 0644, err);
}

enum mf_status
mf_dev_files_open(struct mf_dev_files *f, const char *state, struct mf_err *err)
{
	MF_TRY(make_dir(f, state, err));
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dirfd < 0)
		return MF_FAIL(err, MF_E_IO, "%s: %s", f->dir, strerror(errno));
	f->lock_fd = openat(f->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock_fd < 0)
		return MF_FAIL(err, MF_E_IO, "%s/lock: %s", f->dir, strerror(errno));
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return MF_FAIL(err, MF_E_EXISTS, "another `mayfly dev` runs on %s", f->dir);
	MF_TRY(check_ours(f, err));
	if (mkdirat(f->dirfd, "run", dir_mode()) != 0 && errno != EEXIST)
		return MF_FAIL(err, MF_E_IO, "%s/run: %s", f->dir, strerror(errno));
	return MF_OK;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	MF_UNUSED(st);
	MF_UNUSED(type);
	MF_UNUSED(at);
	(void)remove(path);
	return 0;
}

void
mf_dev_files_close(struct mf_dev_files *f, bool remove_it)
{
	if (remove_it && f->throw_away && f->dir[0] != '\0')
		(void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (f->dirfd >= 0)
		(void)close(f->dirfd);
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd);
}

static bool
is_there(const struct mf_dev_files *f, const char *name)
{
	struct stat st;
	return fstatat(f->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool
mf_dev_files_joined(const struct mf_dev_files *f)
{
	return is_there(f, "agent/attestor/session");
}

bool
mf_dev_files_made(const struct mf_dev_files *f)
{
	return is_there(f, "broker/FORMAT");
}

/* --- ports --- */

static bool
port_free(uint64_t port)
{
	int one = 1;
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool free_ = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
		     bind(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)) == 0;
	if (fd >= 0)
		(void)close(fd);
	return free_;
}

static enum mf_status
choose_port(const uint16_t *taken, size_t n, uint16_t *ret, struct mf_err *err)
{
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		uint32_t r = 0;
		mf_rand_bytes(&r, sizeof(r));
		uint16_t port = (uint16_t)(PORT_FIRST + r % PORT_COUNT);
		bool again = !port_free(port);
		for (size_t k = 0; k < n; k++)
			again = again || taken[k] == port;
		if (!again) {
			*ret = port;
			return MF_OK;
		}
	}
	return MF_FAIL(err, MF_E_EXHAUSTED, "no free port on loopback between %u and %u", PORT_FIRST,
	    PORT_FIRST + PORT_COUNT);
}

/* "N N N\n" */
static bool
read_ports(const struct mf_dev_files *f, uint16_t p[3])
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 64);
	if (mf_file_read(f->dirfd, "ports", &b, NULL) != MF_OK)
		return false;
	size_t at = 0;
	for (int i = 0; i < 3; i++) {
		size_t from = at;
		uint64_t v = 0;
		while (at < b.n && b.p[at] != ' ' && b.p[at] != '\n')
			at++;
		if (!mf_parse_u64(mf_slice(b.p + from, at - from), &v) || v < 1024 || v > 65535 ||
		    !port_free(v))
			return false;
		p[i] = (uint16_t)v;
		at++;
	}
	return true;
}

enum mf_status
mf_dev_files_ports(struct mf_dev_files *f, struct mf_err *err)
{
	uint16_t p[3];
	char text[64];
	if (!read_ports(f, p)) {
		for (size_t i = 0; i < 3; i++)
			MF_TRY(choose_port(p, i, &p[i], err));
		(void)snprintf(text, sizeof(text), "%u %u %u\n", p[0], p[1], p[2]);
		MF_TRY(mf_file_write(f->dirfd, "ports", mf_slice_str(text), 0600, err));
	}
	f->ports = (struct mf_dev_ports) { .agents = p[0], .broker_metrics = p[1], .agent_metrics = p[2] };
	return MF_OK;
}

/* --- the files --- */

/* A path between double quotes, as YAML wants it. */
static void
put_quoted(struct mf_buf *to, const char *dir, const char *name)
{
	mf_buf_put_u8(to, '"');
	for (const char *s = dir; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			mf_buf_put_u8(to, '\\');
		mf_buf_put_u8(to, (uint8_t)*s);
	}
	mf_buf_putf(to, "%s\"\n", name);
}

static void
put_path(struct mf_buf *to, const char *key, const char *dir, const char *name)
{
	mf_buf_putf(to, "%s: ", key);
	put_quoted(to, dir, name);
}

static const char head[] =
    "# Written by `mayfly dev` at each start. Change settings with --broker and --agent KEY=VALUE.\n";

void
mf_dev_put_broker(struct mf_buf *to, const struct mf_dev_files *f, uid_t uid)
{
	mf_buf_put_str(to, head);
	put_path(to, "trust_domain", f->trust_domain, "");
	mf_buf_put_str(to, "broker_id: b1\n");
	put_path(to, "state_dir", f->dir, "/broker");
	put_path(to, "run_dir", f->dir, "/run/broker");
	put_path(to, "admin_socket", f->dir, "/run/admin.sock");
	put_path(to, "policy", f->policy, "");
	mf_buf_putf(to, "listen: \"127.0.0.1:%u\"\n", f->ports.agents);
	mf_buf_putf(to, "metrics_listen: \"127.0.0.1:%u\"\n", f->ports.broker_metrics);
	mf_buf_put_str(to, "admin_group: \"\"\n");
	mf_buf_putf(to, "admin_uids: [%u]\n", uid);
	mf_buf_put_str(to, f->more_broker);
}

void
mf_dev_put_agent(struct mf_buf *to, const struct mf_dev_files *f)
{
	mf_buf_put_str(to, head);
	put_path(to, "join_token_file", f->dir, "/run/join-token");
	mf_buf_putf(to, "broker: \"127.0.0.1:%u\"\n", f->ports.agents);
	put_path(to, "state_dir", f->dir, "/agent");
	put_path(to, "run_dir", f->dir, "/run/agent");
	put_path(to, "socket", f->dir, "/run/agent.sock");
	mf_buf_putf(to, "metrics_listen: \"127.0.0.1:%u\"\n", f->ports.agent_metrics);
	mf_buf_put_str(to, f->more_agent);
}

/*
 * Any job of the user: what `mayfly run` started, or what has a cgroup of its own. A process that is neither (a
 * shell in a terminal, say) is known by its program alone, and gets nothing.
 */
void
mf_dev_put_policy(struct mf_buf *to, uid_t uid)
{
	mf_buf_putf(to,
	    "# The policy of `mayfly dev`; written once, yours to change (then: kill -HUP the `mayfly "
	    "dev`).\n"
	    "mayfly_policy: 1\n"
	    "profiles:\n"
	    "  dev:\n"
	    "    purpose: development\n"
	    "    owner: dev\n"
	    "    max_job: 1d\n"
	    "    drain: 10s\n"
	    "    interactive: allow\n"
	    "    identities:\n"
	    "      - {path: \"/{tenant}/dev/job/{job}\", hint: job, x509_ttl: 20m, jwt_ttl: 5m, cn: "
	    "\"{job}\"}\n"
	    "    jwt_audiences: [dev.example]\n"
	    "    on_end: deny\n"
	    "rules:\n"
	    "  - id: dev\n"
	    "    effect: permit\n"
	    "    profile: dev\n"
	    "    owner: dev\n"
	    "    review_by: 2099-01-01\n"
	    "    nodes: any\n"
	    "    when:\n"
	    "      all:\n"
	    "        - contains: [attested.unix.uid, \"%u\"]\n"
	    "        - any:\n"
	    "            - has: [attested.mayfly.run]\n"
	    "            - not: {has: [attested.process.exe]}\n",
	    uid);
}

static enum mf_status
find_policy(struct mf_dev_files *f, const char *given, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	char real[PATH_MAX];
	mf_buf_init(&b, 8192);
	if (given != NULL) {
		if (realpath(given, real) == NULL)
			return MF_FAIL(err, MF_E_NOTFOUND, "policy %s: %s", given, strerror(errno));
		memcpy(f->policy, real, strlen(real) + 1);
		return MF_OK;
	}
	(void)snprintf(f->policy, sizeof(f->policy), "%s/policy.yaml", f->dir);
	mf_dev_put_policy(&b, getuid());
	MF_TRY(mf_buf_check(&b, err));
	enum mf_status s = mf_file_write_new(f->dirfd, "policy.yaml", mf_buf_slice(&b), 0644, err);
	return s == MF_E_EXISTS ? MF_OK : s;
}

enum mf_status
mf_dev_files_write(struct mf_dev_files *f, const char *policy, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 65536);
	MF_TRY(find_policy(f, policy, err));
	mf_dev_put_broker(&b, f, getuid());
	MF_TRY(mf_buf_check(&b, err));
	MF_TRY(mf_file_write(f->dirfd, "broker.yaml", mf_buf_slice(&b), 0644, err));
	mf_buf_reset(&b);
	mf_dev_put_agent(&b, f);
	MF_TRY(mf_buf_check(&b, err));
	return mf_file_write(f->dirfd, "agent.yaml", mf_buf_slice(&b), 0644, err);
}
