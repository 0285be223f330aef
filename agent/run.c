#include "agent/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mntent.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cloud_socket.h"
#include "base/text.h"
#include "codec/join_token.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/listen.h"
#include "os/notify.h"
#include "os/secure_file.h"

#define ATTESTOR "attestor"
#define FRONT "agent-front"
#define RESOLVER "resolver"
#define RESOLVERS 2u	   /* the front asks for one; one that ends now counts, too */
#define RESOLVER_MS 30000u /* the front gives up before */
#define KNOWN_BROKER "broker"
#define CGROUP_BASE "mayfly" /* below which the attestor makes the cgroups of jobs */

struct agent {
	const struct mf_agent_conf *conf;
	struct mf_supervisor *sup;
	int state_fd; /* holds the lock of the state directory */
};

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* Give and forget; on failure the descriptor is closed. */
static enum mf_status
give(struct agent *a, const char *role, const char *name, int fd, struct mf_err *err)
{
	enum mf_status s = mf_supervisor_give(a->sup, role, name, fd, err);
	if (s != MF_OK)
		(void)close(fd);
	return s;
}

static enum mf_status
opt(struct agent *a, const char *role, const char *key, const char *value, struct mf_err *err)
{
	return value[0] == '\0' ? MF_OK : mf_supervisor_opt(a->sup, role, key, value, err);
}

static enum mf_status
opt_u64(struct agent *a, const char *role, const char *key, uint64_t v, struct mf_err *err)
{
	char number[32];
	(void)snprintf(number, sizeof(number), "%" PRIu64, v);
	return mf_supervisor_opt(a->sup, role, key, number, err);
}

/* DIR/attestor; the attestor keeps our user. */
static enum mf_status
give_dir(struct agent *a, int parent, const char *name, struct mf_err *err)
{
	int fd = -1;
	MF_TRY(mf_dir_open_at(parent, ATTESTOR, true, geteuid(), getegid(), 0700, &fd, err));
	return give(a, ATTESTOR, name, fd, err);
}

/* Without it jobs have no SDK endpoint; everything else is as it is. */
static enum mf_status
give_cloud(struct agent *a, int run_fd, struct mf_err *err)
{
	struct mf_cloud_socket s = { .listen_fd = -1, .key_fd = -1, .diag_fd = -1 };
	struct mf_err why = { 0 };
	int kept = mf_notify_listen_fd("cloud");
	if (mf_cloud_socket_open(run_fd, kept, &s, &why) != MF_OK) {
		mf_jlog_err(MF_LOG_WARN, "cloud.no_endpoint", "jobs find no cloud endpoint here", &why);
		return MF_OK;
	}
	/* Over our own restarts and upgrades, too: who asks meanwhile waits. */
	if (kept < 0 && mf_notify_keep_fd("cloud", s.listen_fd, &why) != MF_OK)
		mf_jlog_err(MF_LOG_WARN, "cloud.not_kept",
		    "the cloud endpoint's socket is not kept over restarts", &why);
	enum mf_status st = give(a, FRONT, "cloud", s.listen_fd, err);
	if (st == MF_OK)
		st = give(a, FRONT, "cloud-key", s.key_fd, err);
	else
		(void)close(s.key_fd);
	if (st == MF_OK)
		st = give(a, FRONT, "cloud-diag", s.diag_fd, err);
	else
		(void)close(s.diag_fd);
	return st;
}

static enum mf_status
open_dirs(struct agent *a, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int run = -1;
	MF_TRY(mf_dir_open(a->conf->state_dir, true, geteuid(), getegid(), 0755, &a->state_fd, err));
	if (flock(a->state_fd, LOCK_EX | LOCK_NB) != 0)
		return MF_FAIL(err, MF_E_EXISTS, "another mayfly-agent runs on %s", a->conf->state_dir);
	MF_TRY(give_dir(a, a->state_fd, "state", err));
	MF_TRY(mf_dir_open(a->conf->run_dir, true, geteuid(), getegid(), 0755, &run, err));
	MF_TRY(give_cloud(a, run, err));
	return give_dir(a, run, "run", err);
}

/* The attestor's mounts are read-only except what it is given: give it the cgroup2 tree, wherever that is. */
static enum mf_status
give_cgroup(struct agent *a, struct mf_err *err)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	char text[8192];
	struct mntent m;
	int fd = -1;
	while (f != NULL && fd < 0 && getmntent_r(f, &m, text, sizeof(text)) != NULL)
		if (strcmp(m.mnt_type, "cgroup2") == 0)
			fd = open(m.mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f != NULL)
		(void)endmntent(f);
	if (fd >= 0) {
		/* The root of the tree has mode 0555, which the attestor's root without DAC_OVERRIDE cannot pass. */
		if (strcmp(a->conf->cgroup_root, "auto") == 0)
			(void)mkdirat(fd, CGROUP_BASE, 0755);
		return give(a, ATTESTOR, "cgroup", fd, err);
	}
	MF_LOG(
	    MF_LOG_WARN, "agent.no_cgroup2", "no cgroup2 tree is mounted: jobs are watched by process only");
	return MF_OK;
}

static enum mf_status
read_token(int fd, struct mf_join_token **ret_t, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_JOIN_TOKEN + 2);
	MF_TRY(mf_file_read_all(fd, &b, err));
	while (b.n > 0 && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r' || b.p[b.n - 1] == ' '))
		b.n--;
	return mf_join_token_decode(mf_buf_slice(&b), ret_t, err);
}

/* Remember what is public of ${t}. */
static enum mf_status
keep_public(struct agent *a, const struct mf_join_token *t, struct mf_err *err)
{
	static const uint8_t none[MF_JOIN_SECRET];
	MF_AUTO(mf_join_token_free) struct mf_join_token *pub = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, MF_LIM_JOIN_TOKEN);
	MF_TRY(mf_join_token_new(mf_join_token_public(t), mf_slice(none, sizeof(none)), &pub, err));
	MF_TRY(mf_join_token_encode(pub, &b, err));
	return mf_file_write(a->state_fd, KNOWN_BROKER, mf_buf_slice(&b), 0600, err);
}

static enum mf_status
knows_none(struct mf_err *err)
{
	return MF_FAIL(err, MF_E_NOTFOUND,
	    "this node knows no broker yet: ask for a token there, with `mayfly node token`, or with "
	    "`mayfly node token --public` for a node with a certificate of its own; put it "
	    "into a file "
	    "(mode 0600) and name it as join_token_file");
}

/* The join token, or what STATE/broker remembers of one. */
static enum mf_status
find_broker(struct agent *a, struct mf_join_token **ret_t, struct mf_err *err)
{
	const char *path = a->conf->join_token_file;
	int fd = path[0] == '\0' ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0) {
		enum mf_status s = mf_file_check(fd, path, geteuid(), MF_FILE_PRIVATE, err);
		if (s == MF_OK)
			s = read_token(fd, ret_t, err);
		if (s == MF_OK)
			s = give(a, ATTESTOR, "join-token", fd, err);
		else
			(void)close(fd);
		return s == MF_OK ? keep_public(a, *ret_t, err) : mf_err_wrap(err, s, "join token %s", path);
	}
	if (path[0] != '\0' && errno != ENOENT)
		return MF_FAIL(err, MF_E_IO, "open the join token %s: %s", path, strerror(errno));
	enum mf_status s = mf_file_open(a->state_fd, KNOWN_BROKER, O_RDONLY, 0, &fd, err);
	if (s == MF_E_NOTFOUND)
		return knows_none(err);
	MF_TRY(s);
	s = read_token(fd, ret_t, err);
	(void)close(fd);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "%s/%s", a->conf->state_dir, KNOWN_BROKER);
}

enum mf_status
mf_agent_check(const struct mf_agent_conf *conf, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	const char *token = conf->join_token_file;
	mf_buf_init(&b, 8192);
	mf_buf_putf(&b, "%s/" KNOWN_BROKER, conf->state_dir);
	const char *known = mf_buf_cstr(&b);
	if (known == NULL)
		return mf_buf_check(&b, err);
	/* What cannot be looked at is for the start itself to tell; a token that is none stays none. */
	int fd = token[0] == '\0' ? -1 : open(token, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0) {
		MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
		enum mf_status s = read_token(fd, &t, err);
		(void)close(fd);
		return s == MF_E_INVALID || s == MF_E_TOOBIG ? mf_err_wrap(err, s, "join token %s", token)
							     : MF_OK;
	}
	if ((token[0] != '\0' && (access(token, F_OK) == 0 || errno != ENOENT)) || access(known, F_OK) == 0 ||
	    errno != ENOENT)
		return MF_OK;
	return knows_none(err);
}

static enum mf_status
give_broker(struct agent *a, struct mf_err *err)
{
	MF_AUTO(mf_join_token_free) struct mf_join_token *t = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	MF_TRY(find_broker(a, &t, err));
	const struct mf_join_public *p = mf_join_token_public(t);
	/* A name is looked up for each connection, by a process that may (agent/resolver); not here, as root. */
	MF_TRY(
	    opt(a, FRONT, "broker_address", a->conf->broker[0] == '\0' ? p->address : a->conf->broker, err));
	mf_hex_put(&b, mf_slice(p->ca_sha256, sizeof(p->ca_sha256)));
	const char *text = mf_buf_cstr(&b);
	MF_TRY(mf_buf_check(&b, err));
	MF_TRY(opt(a, FRONT, "ca_pin", text, err));
	return opt(a, FRONT, "trust_domain", p->trust_domain, err);
}

/* The node's own certificate: opened at our start, so that a renewed one is read at the next. */
static enum mf_status
give_x509pop(struct agent *a, struct mf_err *err)
{
	const struct {
		const char *name, *path;
		mode_t forbidden;
	} files[] = { { "x509pop-cert", a->conf->join.x509pop.cert, MF_FILE_NO_WRITERS },
		{ "x509pop-key", a->conf->join.x509pop.key, MF_FILE_PRIVATE } };
	for (size_t i = 0; i < MF_COUNT(files) && files[i].path[0] != '\0'; i++) {
		int fd = open(files[i].path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0)
			return MF_FAIL(
			    err, MF_E_IO, "join.x509pop: open %s: %s", files[i].path, strerror(errno));
		enum mf_status s = mf_file_check(fd, files[i].path, geteuid(), files[i].forbidden, err);
		if (s == MF_OK)
			s = give(a, ATTESTOR, files[i].name, fd, err);
		else
			(void)close(fd);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "join.x509pop");
	}
	return MF_OK;
}

/* All may connect; who gets what is decided by who they are. */
static enum mf_status
listen_for_jobs(struct agent *a, struct mf_err *err)
{
	char dir[128];
	const char *path = a->conf->socket, *slash = strrchr(path, '/');
	int fd = mf_notify_listen_fd("workload");
	if (fd < 0) {
		size_t n = slash == NULL ? 0 : (size_t)(slash - path);
		if (n >= sizeof(dir))
			return MF_FAIL(err, MF_E_INVALID, "socket path %s is too long", path);
		memcpy(dir, path, n);
		dir[n] = '\0';
		if (n > 0)
			MF_TRY(mf_dir_make(dir, err));
		struct mf_listen_unix how = {
			.path = path, .mode = 0666, .group = (gid_t)-1, .senders = true
		};
		MF_TRY(mf_listen_unix(&how, &fd, err));
	}
	MF_TRY(give(a, FRONT, "workload", fd, err));
	return opt(a, ATTESTOR, "socket", path, err);
}

static enum mf_status
listen_for_metrics(struct agent *a, struct mf_err *err)
{
	int fd = mf_notify_listen_fd("metrics");
	if (fd < 0) {
		if (a->conf->metrics_listen[0] == '\0')
			return MF_OK;
		MF_TRY(mf_listen_tcp(a->conf->metrics_listen, &fd, err));
	}
	return give(a, FRONT, "metrics", fd, err);
}

static enum mf_status
give_options(struct agent *a, bool debug, struct mf_err *err)
{
	const struct mf_agent_conf *c = a->conf;
	char host[256] = "";
	if (c->node_name[0] == '\0' && gethostname(host, sizeof(host) - 1) != 0)
		return MF_FAIL(err, MF_E_IO, "host name: %s", strerror(errno));
	MF_TRY(opt(a, ATTESTOR, "hostname", c->node_name[0] == '\0' ? host : c->node_name, err));
	MF_TRY(opt(a, ATTESTOR, "cluster", c->cluster, err));
	if (strcmp(c->cgroup_root, "auto") != 0)
		MF_TRY(opt(a, ATTESTOR, "cgroup", c->cgroup_root, err));
	MF_TRY(opt_u64(a, ATTESTOR, "legacy-peercred", c->legacy_peercred ? 1 : 0, err));
	MF_TRY(opt(a, ATTESTOR, "caller-check", mf_agent_caller_checks[c->caller_check], err));
	MF_TRY(opt(a, FRONT, "caller_check", mf_agent_caller_checks[c->caller_check], err));
	MF_TRY(opt_u64(a, FRONT, "hold_ms", c->hold_ms, err));
	MF_TRY(opt_u64(a, FRONT, "connect_timeout_ms", c->connect_timeout_ms, err));
	MF_TRY(opt_u64(a, FRONT, "request_timeout_ms", c->request_timeout_ms, err));
	MF_TRY(opt_u64(a, FRONT, "reconnect_min_ms", c->reconnect_min_ms, err));
	MF_TRY(opt_u64(a, FRONT, "reconnect_max_ms", c->reconnect_max_ms, err));
	MF_TRY(opt_u64(a, FRONT, "max_instances", (uint64_t)c->max_instances, err));
	MF_TRY(opt(a, FRONT, "log_debug", debug ? "1" : "", err));
	return opt(a, ATTESTOR, "log_debug", debug ? "1" : "", err);
}

static enum mf_status
prepare(struct agent *a, bool debug, struct mf_err *err)
{
	MF_TRY(open_dirs(a, err));
	MF_TRY(give_cgroup(a, err));
	MF_TRY(give_broker(a, err));
	MF_TRY(give_x509pop(a, err));
	MF_TRY(listen_for_jobs(a, err));
	MF_TRY(listen_for_metrics(a, err));
	return give_options(a, debug, err);
}

enum mf_status
mf_agent_run(const struct mf_agent_conf *conf, bool debug, struct mf_err *err)
{
	static const char *const front_links[] = { ATTESTOR, NULL };
	const struct mf_role_spec attestor = { ATTESTOR, NULL, 0, NULL };
	const struct mf_role_spec front = { FRONT, conf->users.front, MF_AGENT_FRONT_UID, front_links };
	const struct mf_helper_spec resolver = { .role = { RESOLVER, conf->users.resolver,
						     MF_AGENT_RESOLVER_UID, NULL },
		.by = FRONT,
		.most = RESOLVERS,
		.life_ms = RESOLVER_MS };
	MF_AUTO(mf_supervisor_free) struct mf_supervisor *sup = NULL;
	MF_TRY(mf_supervisor_new(mf_build_id(), &mf_supervisor_default_timing, &sup, err));
	MF_TRY(mf_supervisor_add(sup, &attestor, err));
	MF_TRY(mf_supervisor_add(sup, &front, err));
	MF_TRY(mf_supervisor_helper(sup, &resolver, err));
	struct agent a = { .conf = conf, .sup = sup, .state_fd = -1 };
	enum mf_status s = prepare(&a, debug, err);
	if (s == MF_OK)
		s = mf_supervisor_run(sup, err);
	close_fd(&a.state_fd);
	return s;
}
