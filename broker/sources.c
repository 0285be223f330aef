#include "broker/sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/secret.h"
#include "broker/init.h"
#include "broker/policy/policy_load.h"
#include "broker/run.h"
#include "os/jlog.h"
#include "os/secure_file.h"
#include "os/spawn.h"

#define PASSPHRASE_MAX 1024u

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

enum mf_status
mf_broker_open_file(const char *path, mode_t forbidden, int *ret_fd, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return MF_FAIL(
		    err, errno == ENOENT ? MF_E_NOTFOUND : MF_E_IO, "open %s: %s", path, strerror(errno));
	enum mf_status s = mf_file_check(fd, path, geteuid(), forbidden, err);
	if (s != MF_OK)
		(void)close(fd);
	else
		*ret_fd = fd;
	return s;
}

enum mf_status
mf_broker_memfd(const char *name, int *ret_fd, struct mf_err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0600) != 0) {
		close_fd(&fd);
		return MF_FAIL(err, MF_E_IO, "memfd %s: %s", name, strerror(errno));
	}
	*ret_fd = fd;
	return MF_OK;
}

enum mf_status
mf_broker_hand_over(const char *name, struct mf_slice bytes, int *ret_fd, struct mf_err *err)
{
	int fd = -1;
	MF_TRY(mf_broker_memfd(name, &fd, err));
	if (bytes.n > 0 && pwrite(fd, bytes.p, bytes.n, 0) != (ssize_t)bytes.n) {
		(void)close(fd);
		return MF_FAIL(err, MF_E_IO, "%s: no memory to hand it over: %s", name, strerror(errno));
	}
	*ret_fd = fd;
	return MF_OK;
}

/* A passphrase comes once, by a pipe; the notary may need it again after a restart. */
static enum mf_status
keep_passphrase(int from, int *ret_fd, struct mf_err *err)
{
	char text[PASSPHRASE_MAX + 1];
	size_t n = 0;
	ssize_t got = 1;
	while (got > 0 && n < sizeof(text)) {
		got = read(from, text + n, sizeof(text) - n);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			n += (size_t)got;
	}
	enum mf_status s = MF_OK;
	int fd = -1;
	if (got < 0)
		s = MF_FAIL(
		    err, MF_E_IO, "read the passphrase from descriptor %d: %s", from, strerror(errno));
	else if (n == 0 || n > PASSPHRASE_MAX)
		s = MF_FAIL(err, MF_E_INVALID,
		    "the passphrase on descriptor %d has %zu bytes, 1 to %u may be", from, n, PASSPHRASE_MAX);
	else if ((s = mf_broker_memfd("mayfly-kek", &fd, err)) == MF_OK &&
		 pwrite(fd, text, n, 0) != (ssize_t)n)
		s = MF_FAIL(err, MF_E_IO, "keep the passphrase: %s", strerror(errno));
	mf_wipe(text, sizeof(text));
	(void)close(from);
	if (s != MF_OK)
		close_fd(&fd);
	else
		*ret_fd = fd;
	return s;
}

enum mf_status
mf_broker_open_kek(const struct mf_broker_conf *conf, int *ret_fd, const char **ret_kind, struct mf_err *err)
{
	char path[4096];
	*ret_kind = "raw";
	if (conf->kek.passphrase_fd >= 0) {
		*ret_kind = "passphrase";
		return keep_passphrase((int)conf->kek.passphrase_fd, ret_fd, err);
	}
	if (conf->kek.credential[0] == '\0')
		return mf_broker_open_file(conf->kek.file, MF_FILE_PRIVATE, ret_fd, err);
	const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
	if (dir == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "kek.credential needs LoadCredential= in the systemd unit: CREDENTIALS_DIRECTORY is not "
		    "set");
	int n = snprintf(path, sizeof(path), "%s/%s", dir, conf->kek.credential);
	if (n < 0 || (size_t)n >= sizeof(path))
		return MF_FAIL(err, MF_E_INVALID, "kek.credential: the path is too long");
	return mf_broker_open_file(path, MF_FILE_PRIVATE, ret_fd, err);
}

enum mf_status
mf_broker_read_kek(const struct mf_broker_conf *conf, bool make, struct mf_kek **ret_kek, struct mf_err *err)
{
	const char *kind = NULL;
	MF_AUTO_IN(close_fd) int fd = -1;
	if (make && conf->kek.file[0] != '\0')
		MF_TRY(mf_broker_make_kek_file(conf->kek.file, err));
	MF_TRY(mf_broker_open_kek(conf, &fd, &kind, err));
	if (lseek(fd, 0, SEEK_SET) < 0)
		return MF_FAIL(err, MF_E_IO, "the key that seals the keys: %s", strerror(errno));
	return mf_kek_read_fd(fd, strcmp(kind, "raw") == 0 ? MF_KEK_RAW : MF_KEK_PASSPHRASE, ret_kek, err);
}

/* ---- the upstream CA ---- */

static enum mf_status
open_one(
    const char *what, const char *path, mode_t forbidden, bool missing_ok, int *ret_fd, struct mf_err *err)
{
	if (path[0] == '\0')
		return MF_OK;
	enum mf_status s = mf_broker_open_file(path, forbidden, ret_fd, err);
	if (s == MF_E_NOTFOUND && missing_ok) {
		mf_jlog_err(MF_LOG_WARN, "upstream_ca.missing",
		    "until the file is there and the broker is reloaded (SIGHUP), CA keys are prepared from "
		    "what was "
		    "opened before, or not at all",
		    err);
		*err = (struct mf_err) { 0 };
		return MF_OK;
	}
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "upstream_ca.%s", what);
}

enum mf_upstream_ca_kind
mf_broker_upstream_kind(const struct mf_broker_conf *conf)
{
	return conf->upstream_ca.cert[0] == '\0'     ? MF_UPSTREAM_NONE
	       : conf->upstream_ca.bundle[0] == '\0' ? MF_UPSTREAM_IS_ROOT
						     : MF_UPSTREAM_HAS_BUNDLE;
}

void
mf_broker_close_upstream(const struct mf_upstream_ca_fds *fds)
{
	close_fd(&fds->cert);
	close_fd(&fds->key);
	close_fd(&fds->bundle);
}

enum mf_status
mf_broker_open_upstream(const struct mf_broker_conf *conf, bool missing_ok,
    struct mf_upstream_ca_fds *ret_fds, struct mf_err *err)
{
	struct mf_upstream_ca_fds fds = { mf_broker_upstream_kind(conf), -1, -1, -1 };
	enum mf_status s =
	    open_one("cert", conf->upstream_ca.cert, MF_FILE_NO_WRITERS, missing_ok, &fds.cert, err);
	if (s == MF_OK)
		s = open_one("key", conf->upstream_ca.key, MF_FILE_PRIVATE, missing_ok, &fds.key, err);
	if (s == MF_OK)
		s = open_one(
		    "bundle", conf->upstream_ca.bundle, MF_FILE_NO_WRITERS, missing_ok, &fds.bundle, err);
	if (s != MF_OK)
		mf_broker_close_upstream(&fds);
	else
		*ret_fds = fds;
	return s;
}

/* NULL when none is configured. */
static enum mf_status
read_upstream(const struct mf_broker_conf *conf, struct mf_upstream_ca **ret_u, struct mf_err *err)
{
	struct mf_upstream_ca_fds fds;
	MF_AUTO(mf_upstream_ca_bytes_free) struct mf_upstream_ca_bytes *bytes = NULL;
	if (mf_broker_upstream_kind(conf) == MF_UPSTREAM_NONE)
		return MF_OK;
	MF_TRY(mf_broker_open_upstream(conf, false, &fds, err));
	enum mf_status s = mf_upstream_ca_read(&fds, &bytes, err);
	mf_broker_close_upstream(&fds);
	return s != MF_OK
		   ? s
		   : mf_upstream_ca_judge(bytes, conf->trust_domain, mf_now().wall_us / 1000000, ret_u, err);
}

enum mf_status
mf_broker_users(const struct mf_broker_conf *conf, uid_t *ret_notary, gid_t *ret_notary_gid, uid_t *ret_front,
    gid_t *ret_front_gid, struct mf_err *err)
{
	*ret_notary = *ret_front = geteuid();
	*ret_notary_gid = *ret_front_gid = getegid();
	if (geteuid() != 0)
		return MF_OK;
	MF_TRY(mf_spawn_user(conf->users.notary, MF_BROKER_NOTARY_UID, ret_notary, ret_notary_gid, err));
	return mf_spawn_user(conf->users.front, MF_BROKER_FRONT_UID, ret_front, ret_front_gid, err);
}

enum mf_status
mf_broker_init_verb(const struct mf_broker_conf *conf, bool debug, struct mf_err *err)
{
	MF_UNUSED(debug);
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	MF_AUTO(mf_upstream_ca_free) struct mf_upstream_ca *upstream = NULL;
	struct mf_init_conf c = {
		.trust_domain = conf->trust_domain,
		.broker_id = conf->broker_id,
		.state_dir = conf->state_dir,
		.ca_ttl_ms = conf->ca_ttl_ms,
	};
	MF_TRY(mf_broker_users(conf, &c.notary_uid, &c.notary_gid, &c.front_uid, &c.front_gid, err));
	MF_TRY(read_upstream(conf, &upstream, err)); /* before anything is made */
	MF_TRY(mf_broker_read_kek(conf, true, &kek, err));
	c.kek = kek;
	c.upstream = upstream;
	MF_TRY(mf_broker_init(&c, err));
	MF_LOG(MF_LOG_INFO, "broker.init", "a broker was made: keys, log and its first record",
	    mf_js("trust_domain", conf->trust_domain), mf_js("broker_id", conf->broker_id),
	    mf_js("state_dir", conf->state_dir));
	return MF_OK;
}

enum mf_status
mf_broker_foreign(const struct mf_broker_conf *conf, int *ret_fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf all, one;
	const struct mf_broker_foreign *f = conf->foreign.v;
	mf_buf_init(&all, MF_LIM_FOREIGN * (MF_LIM_BUNDLE_JSON + 512u));
	mf_buf_init(&one, MF_LIM_BUNDLE_JSON);
	for (size_t i = 0; i < conf->foreign.n; i++) {
		MF_AUTO_IN(close_fd) int fd = -1;
		mf_buf_reset(&one);
		MF_TRY(mf_broker_open_file(f[i].file, MF_FILE_NO_WRITERS, &fd, err));
		enum mf_status s = mf_file_read_all(fd, &one, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "%s", f[i].file);
		mf_buf_put_u32be(&all, (uint32_t)strlen(f[i].trust_domain));
		mf_buf_put_str(&all, f[i].trust_domain);
		mf_buf_put_u32be(&all, (uint32_t)one.n);
		mf_buf_put_slice(&all, mf_buf_slice(&one));
	}
	MF_TRY(mf_buf_check(&all, err));
	return mf_broker_hand_over("mayfly-foreign", mf_buf_slice(&all), ret_fd, err);
}

bool
mf_broker_policy_ok(const struct mf_broker_conf *conf, struct mf_buf *to)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(conf->policy);
	MF_AUTO(mf_policy_free) struct mf_policy *policy = NULL;
	struct mf_err err = { 0 };
	int fd = -1;
	mf_buf_init(&text, MF_LIM_YAML);
	if (problems == NULL || conf->policy[0] == '\0' ||
	    mf_broker_open_file(conf->policy, MF_FILE_NO_WRITERS, &fd, &err) != MF_OK)
		return true;
	enum mf_status s = mf_file_read_all(fd, &text, &err);
	(void)close(fd);
	if (s != MF_OK || mf_policy_load(mf_buf_slice(&text), problems, &policy, &err) == MF_OK ||
	    mf_problems_count(problems) == 0)
		return true; /* not for want of a valid file */
	mf_problems_put(problems, to);
	mf_buf_putf(to,
	    "mayfly-broker: the policy is not valid: nothing was started ('mayfly policy lint %s' checks "
	    "it)\n",
	    conf->policy);
	return false;
}
