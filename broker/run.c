#include "broker/run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "broker/admins.h"
#include "broker/cloud.h"
#include "broker/init.h"
#include "broker/oidc.h"
#include "broker/sources.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/listen.h"
#include "os/notify.h"
#include "os/secure_file.h"

#define NOTARY "notary"
#define FRONT "broker-front"
#define VERIFIER "verifier"
#define COURIER "courier"
#define VERIFIERS 8u	   /* the notary asks for half of it; those that end now count, too */
#define VERIFIER_MS 15000u /* the notary gives up before */

struct broker {
	const struct mf_broker_conf *conf;
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
give(struct mf_supervisor *sup, const char *role, const char *name, int fd, struct mf_err *err)
{
	enum mf_status s = mf_supervisor_give(sup, role, name, fd, err);
	if (s != MF_OK)
		(void)close(fd);
	return s;
}

/* The directory STATE/${name}, owned by ${role}'s user with all that lies directly in it. */
static enum mf_status
give_dir(struct broker *b, const char *role, const char *name, mode_t mode, struct mf_err *err)
{
	uid_t uid;
	gid_t gid;
	int fd = -1;
	MF_TRY(mf_supervisor_user(b->sup, role, &uid, &gid, err));
	enum mf_status s = mf_dir_open_at(b->state_fd, name, true, uid, gid, mode, &fd, err);
	if (s == MF_OK && (s = mf_dir_give(fd, uid, gid, err)) != MF_OK)
		(void)close(fd);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "%s", b->conf->state_dir);
	return give(b->sup, role, name, fd, err);
}

static enum mf_status
open_state(struct broker *b, struct mf_err *err)
{
	int fd = -1;
	MF_TRY(mf_broker_check_format(b->conf->state_dir, err));
	MF_TRY(mf_dir_open(b->conf->state_dir, false, geteuid(), getegid(), 0755, &fd, err));
	b->state_fd = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return MF_FAIL(err, MF_E_EXISTS, "another mayfly-broker runs on %s", b->conf->state_dir);
	MF_TRY(give_dir(b, NOTARY, "keys", 0700, err));
	MF_TRY(give_dir(b, NOTARY, "log", 0755, err));
	MF_TRY(give_dir(b, NOTARY, "handles", 0700, err));
	MF_TRY(give_dir(b, NOTARY, "public", 0755, err));
	return give_dir(b, FRONT, "db", 0700, err);
}

static enum mf_status
give_config(struct broker *b, const char *name, const char *path, struct mf_err *err)
{
	int fd = -1;
	if (path[0] == '\0')
		return MF_OK;
	MF_TRY(mf_broker_open_file(path, MF_FILE_NO_WRITERS, &fd, err));
	return give(b->sup, NOTARY, name, fd, err);
}

/* Roles of remote administrators, for the front. */
static enum mf_status
give_admins(struct broker *b, struct mf_err *err)
{
	int fd = -1;
	if (b->conf->admins[0] == '\0')
		return MF_OK;
	MF_TRY(mf_broker_admins(b->conf->admins, &fd, err));
	return give(b->sup, FRONT, "admins", fd, err);
}

/* Where cloud tokens come from: to the notary what it decides by, to the courier also the keys. */
static enum mf_status
give_cloud(struct broker *b, struct mf_err *err)
{
	int fd = -1;
	if (b->conf->cloud_targets.n == 0 && b->conf->oidc.issuer[0] == '\0')
		return MF_OK;
	MF_TRY(mf_broker_cloud(b->conf, false, &fd, err));
	MF_TRY(give(b->sup, NOTARY, "cloud", fd, err));
	if (b->conf->cloud_targets.n == 0)
		return MF_OK;
	MF_TRY(mf_broker_cloud(b->conf, true, &fd, err));
	return give(b->sup, COURIER, "cloud", fd, err);
}

/* Bundles of other trust domains. */
static enum mf_status
give_foreign(struct broker *b, struct mf_err *err)
{
	int fd = -1;
	enum mf_status s = mf_broker_foreign(b->conf, &fd, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "foreign_bundles");
	return give(b->sup, NOTARY, "foreign", fd, err);
}

/*
 * The upstream CA's files, for the next CA key. The notary is told that there is one even if a file is missing: it must
 * not make a root of its own instead.
 */
static enum mf_status
give_upstream(struct broker *b, struct mf_err *err)
{
	struct mf_upstream_ca_fds fds;
	MF_TRY(mf_broker_open_upstream(b->conf, true, &fds, err));
	const struct {
		const char *name;
		int fd;
	} all[] = { { MF_UPSTREAM_CERT, fds.cert }, { MF_UPSTREAM_KEY, fds.key },
		{ MF_UPSTREAM_BUNDLE, fds.bundle } };
	enum mf_status s = MF_OK;
	for (size_t i = 0; i < MF_COUNT(all); i++) {
		if (s == MF_OK && all[i].fd >= 0)
			s = give(b->sup, NOTARY, all[i].name, all[i].fd, err);
		else
			close_fd(&all[i].fd);
	}
	return s;
}

static const struct mf_conf_node_attestor *
node_attestor(const struct mf_broker_conf *c)
{
	return c->node_attestors.n == 0 ? NULL : c->node_attestors.v;
}

/* SIGHUP. */
static enum mf_status
give_configs(void *ctx, struct mf_supervisor *sup, struct mf_err *err)
{
	MF_UNUSED(sup);
	struct broker *b = ctx;
	MF_TRY(give_config(b, "policy", b->conf->policy, err));
	MF_TRY(give_admins(b, err));
	MF_TRY(give_foreign(b, err));
	MF_TRY(give_cloud(b, err));
	MF_TRY(mf_broker_oidc_files(b->conf, b->sup, err));
	MF_TRY(give_config(b, "signers", b->conf->admin_signers.file, err));
	MF_TRY(give_upstream(b, err));
	if (node_attestor(b->conf) != NULL)
		MF_TRY(give_config(b, "node_ca", node_attestor(b->conf)->x509pop.ca_file, err));
	return give_config(b, "persons", b->conf->persons, err);
}

static enum mf_status
give_kek(struct broker *b, struct mf_err *err)
{
	int fd = -1;
	const char *kind = NULL;
	enum mf_status s = mf_broker_open_kek(b->conf, &fd, &kind, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "the key that seals the keys");
	MF_TRY(give(b->sup, NOTARY, "kek", fd, err));
	return mf_supervisor_opt(b->sup, NOTARY, "kek_kind", kind, err);
}

/* The group of the admin socket; (gid_t)-1 when there is none on this machine. */
static gid_t
admin_gid(const struct mf_broker_conf *conf)
{
	struct group *g = conf->admin_group[0] == '\0' ? NULL : getgrnam(conf->admin_group);
	return g == NULL || geteuid() != 0 ? (gid_t)-1 : g->gr_gid;
}

static enum mf_status
listen_admin(struct broker *b, struct mf_err *err)
{
	const struct mf_broker_conf *c = b->conf;
	char number[32];
	int fd = mf_notify_listen_fd("admin");
	gid_t group = admin_gid(c);
	if (fd < 0) {
		MF_TRY(mf_dir_make(c->run_dir, err));
		/* Listed uids need to reach it; whoever connects is judged by the front, by uid and groups. */
		struct mf_listen_unix how = { .path = c->admin_socket,
			.mode = c->admin_uids.n > 0  ? 0666
				: group == (gid_t)-1 ? 0600
						     : 0660,
			.group = group };
		MF_TRY(mf_listen_unix(&how, &fd, err));
	}
	MF_TRY(give(b->sup, FRONT, "admin", fd, err));
	if (group == (gid_t)-1)
		return MF_OK;
	(void)snprintf(number, sizeof(number), "%u", group);
	return mf_supervisor_opt(b->sup, FRONT, "admin_gid", number, err);
}

static enum mf_status
listen_on(struct broker *b, const char *name, const char *address, struct mf_err *err)
{
	int fd = mf_notify_listen_fd(name);
	if (fd < 0) {
		if (address[0] == '\0')
			return MF_OK;
		MF_TRY(mf_listen_tcp(address, &fd, err));
	}
	return give(b->sup, FRONT, name, fd, err);
}

static enum mf_status
give_uids(struct broker *b, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
	mf_buf_init(&t, 16384);
	for (size_t i = 0; i < b->conf->admin_uids.n; i++)
		mf_buf_putf(&t, "%s%" PRId64, i == 0 ? "" : ",", b->conf->admin_uids.v[i]);
	const char *text = mf_buf_cstr(&t);
	if (text == NULL)
		return mf_buf_check(&t, err);
	return t.n == 0 ? MF_OK : mf_supervisor_opt(b->sup, FRONT, "admin_uids", text, err);
}

static enum mf_status
give_attributes(struct broker *b, struct mf_err *err)
{
	const struct mf_conf_node_attestor *a = node_attestor(b->conf);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
	mf_buf_init(&t, 16384);
	for (size_t i = 0; a != NULL && i < a->x509pop.attributes.n; i++)
		mf_buf_putf(&t, "%s%s", i == 0 ? "" : ",", a->x509pop.attributes.v[i]);
	const char *text = mf_buf_cstr(&t);
	if (text == NULL)
		return mf_buf_check(&t, err);
	return t.n == 0 ? MF_OK : mf_supervisor_opt(b->sup, NOTARY, "node_attributes", text, err);
}

static enum mf_status
opt_u64(struct broker *b, const char *role, const char *key, uint64_t v, struct mf_err *err)
{
	char number[32];
	(void)snprintf(number, sizeof(number), "%" PRIu64, v);
	return mf_supervisor_opt(b->sup, role, key, number, err);
}

static enum mf_status
give_options(struct broker *b, bool debug, struct mf_err *err)
{
	const struct mf_broker_conf *c = b->conf;
	const char *advertise = c->advertise[0] == '\0' ? c->listen : c->advertise;
	static const char *const both[] = { NOTARY, FRONT };
	if (debug && c->cloud_targets.n > 0)
		MF_TRY(mf_supervisor_opt(b->sup, COURIER, "log_debug", "1", err));
	for (size_t i = 0; i < MF_COUNT(both); i++) {
		MF_TRY(mf_supervisor_opt(b->sup, both[i], "trust_domain", c->trust_domain, err));
		MF_TRY(mf_supervisor_opt(b->sup, both[i], "broker_id", c->broker_id, err));
		MF_TRY(mf_supervisor_opt(b->sup, both[i], "advertise", advertise, err));
		if (debug)
			MF_TRY(mf_supervisor_opt(b->sup, both[i], "log_debug", "1", err));
	}
	MF_TRY(mf_supervisor_opt(b->sup, NOTARY, "policy_name", c->policy, err));
	MF_TRY(opt_u64(b, NOTARY, "signers_required", (uint64_t)c->admin_signers.required, err));
	MF_TRY(opt_u64(b, NOTARY, "lease_ttl_ms", c->lease_ttl_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "heartbeat_ms", c->heartbeat_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "manager_wait_ms", c->manager_wait_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "node_ttl_ms", c->node_ttl_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "join_token_ttl_ms", c->join_token_ttl_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "ca_ttl_ms", c->ca_ttl_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "ca_scheduled", c->ca_rotation, err));
	MF_TRY(opt_u64(b, NOTARY, "upstream_ca", mf_broker_upstream_kind(c), err));
	MF_TRY(opt_u64(b, NOTARY, "ca_prepare_before_ms", c->ca_prepare_before_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "ca_activate_before_ms", c->ca_activate_before_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "key_publish_ms", c->key_publish_ms, err));
	MF_TRY(opt_u64(b, NOTARY, "wal_segment_bytes", c->wal_segment_bytes, err));
	MF_TRY(opt_u64(b, NOTARY, "signer_threads", (uint64_t)c->signer_threads, err));
	MF_TRY(give_attributes(b, err));
	return give_uids(b, err);
}

static enum mf_status
prepare(struct broker *b, bool debug, struct mf_err *err)
{
	int removals = -1;
	MF_TRY(open_state(b, err));
	MF_TRY(give_configs(b, b->sup, err));
	MF_TRY(give_kek(b, err));
	MF_TRY(mf_broker_memfd("mayfly-removals", &removals, err));
	MF_TRY(give(b->sup, NOTARY, "removals", removals, err));
	MF_TRY(listen_on(b, "agents", b->conf->listen, err));
	MF_TRY(listen_on(b, "admin_tls", b->conf->admin_listen, err));
	MF_TRY(listen_on(b, "metrics", b->conf->metrics_listen, err));
	MF_TRY(mf_broker_oidc(b->conf, b->sup, b->state_fd, err));
	MF_TRY(listen_admin(b, err));
	return give_options(b, debug, err);
}

enum mf_status
mf_broker_run(const struct mf_broker_conf *conf, bool debug, struct mf_err *err)
{
	static const char *const notary_links[] = { NOTARY, NULL };
	const struct mf_role_spec notary = { NOTARY, conf->users.notary, MF_BROKER_NOTARY_UID, NULL };
	const struct mf_role_spec front = { FRONT, conf->users.front, MF_BROKER_FRONT_UID, notary_links };
	const struct mf_role_spec courier = { COURIER, conf->users.courier, MF_BROKER_COURIER_UID,
		notary_links };
	const struct mf_helper_spec verifier = { .role = { VERIFIER, conf->users.verifier,
						     MF_BROKER_VERIFIER_UID, NULL },
		.by = NOTARY,
		.most = VERIFIERS,
		.life_ms = VERIFIER_MS };
	const struct mf_role_spec publisher = { MF_BROKER_PUBLISHER, conf->users.publisher,
		MF_BROKER_PUBLISHER_UID, NULL };
	MF_AUTO(mf_supervisor_free) struct mf_supervisor *sup = NULL;
	MF_TRY(mf_supervisor_new(mf_build_id(), &mf_supervisor_default_timing, &sup, err));
	MF_TRY(mf_supervisor_add(sup, &notary, err));
	MF_TRY(mf_supervisor_add(sup, &front, err));
	if (mf_broker_publishes(conf))
		MF_TRY(mf_supervisor_add(sup, &publisher, err));
	MF_TRY(mf_supervisor_tells_logins(sup, FRONT, err));
	if (conf->cloud_targets.n > 0)
		MF_TRY(mf_supervisor_add(sup, &courier, err));
	if (node_attestor(conf) != NULL)
		MF_TRY(mf_supervisor_helper(sup, &verifier, err));
	struct broker b = { .conf = conf, .sup = sup, .state_fd = -1 };
	enum mf_status s = prepare(&b, debug, err);
	if (s == MF_OK) {
		mf_supervisor_on_reload(sup, give_configs, &b);
		s = mf_supervisor_run(sup, err);
	}
	close_fd(&b.state_fd);
	return s;
}
