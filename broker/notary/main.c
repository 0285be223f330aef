/* notary: the broker's deciding role. It reads its keys, confines itself, opens the log, and serves its links. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "broker/notary/notary.h"
#include "log/published.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"

#define DEFAULT_TTL_MS 300000u
#define DEFAULT_BEAT_MS 30000u
#define DEFAULT_NODE_TTL_MS 3600000u
#define DEFAULT_CA_TTL_MS (UINT64_C(90) * 86400000)
#define DEFAULT_PUBLISH_MS 1800000u
#define DEFAULT_WAIT_MS 600000u
#define SEGMENT_BYTES (64u * 1024u * 1024u)

/* Options and descriptors of the fd map (broker/main.c gives them): keys, log, kek, policy, removals, signers. */
static enum mf_status
read_conf(struct mf_role *role, struct mf_notary_conf *c, struct mf_err *err)
{
	c->trust_domain = mf_role_opt(role, "trust_domain");
	c->broker_id = mf_role_opt(role, "broker_id");
	c->address = mf_role_opt(role, "advertise");
	c->policy_name = mf_role_opt(role, "policy_name");
	c->release = mf_build_version();
	c->build_id = mf_build_id();
	c->lease_ttl_ms = mf_role_opt_u64(role, "lease_ttl_ms", DEFAULT_TTL_MS);
	c->heartbeat_ms = mf_role_opt_u64(role, "heartbeat_ms", DEFAULT_BEAT_MS);
	c->manager_wait_ms = mf_role_opt_u64(role, "manager_wait_ms", DEFAULT_WAIT_MS);
	c->node_ttl_ms = mf_role_opt_u64(role, "node_ttl_ms", DEFAULT_NODE_TTL_MS);
	c->ca.ttl_s = mf_role_opt_u64(role, "ca_ttl_ms", DEFAULT_CA_TTL_MS) / 1000;
	c->ca.publish_s = mf_role_opt_u64(role, "key_publish_ms", DEFAULT_PUBLISH_MS) / 1000;
	c->ca.prepare_before_s = mf_role_opt_u64(role, "ca_prepare_before_ms", c->ca.ttl_s * 500) / 1000;
	c->ca.activate_before_s = mf_role_opt_u64(role, "ca_activate_before_ms", c->ca.ttl_s * 333) / 1000;
	c->ca.scheduled = mf_role_opt_u64(role, "ca_scheduled", 1) != 0;
	c->upstream = (struct mf_upstream_ca_fds) { .kind = (enum mf_upstream_ca_kind)mf_role_opt_u64(
							role, "upstream_ca", MF_UPSTREAM_NONE),
		.cert = mf_role_take_fd(role, MF_UPSTREAM_CERT),
		.key = mf_role_take_fd(role, MF_UPSTREAM_KEY),
		.bundle = mf_role_take_fd(role, MF_UPSTREAM_BUNDLE) };
	c->keys_dirfd = mf_role_fd(role, "keys");
	c->handles_dirfd = mf_role_fd(role, "handles");
	c->segment_bytes = mf_role_opt_u64(role, "wal_segment_bytes", SEGMENT_BYTES);
	c->threads = (size_t)mf_role_opt_u64(role, "signer_threads", 2);
	c->log_dirfd = mf_role_fd(role, "log");
	c->policy_fd = mf_role_fd(role, "policy");
	c->public_dirfd = mf_role_fd(role, "public");
	c->oidc_issuer = mf_role_opt(role, "oidc_issuer");
	c->oidc_watch = mf_role_opt(role, "oidc_watch") != NULL;
	c->oidc_x5c_issuer = mf_role_opt(role, "oidc_x5c_issuer");
	c->cloud_fd = mf_role_fd(role, "cloud");
	c->foreign_fd = mf_role_fd(role, "foreign");
	c->signers_fd = mf_role_fd(role, "signers");
	c->signers_required = (uint32_t)mf_role_opt_u64(role, "signers_required", 0);
	c->removals_fd = mf_role_take_fd(role, "removals");
	c->node_ca_fd = mf_role_fd(role, "node_ca");
	c->node_attributes = mf_role_opt(role, "node_attributes");
	if (c->trust_domain == NULL || c->broker_id == NULL || c->address == NULL || c->log_dirfd < 0 ||
	    c->policy_fd < 0 || c->handles_dirfd < 0 || c->threads == 0 || c->threads > 256)
		return MF_FAIL(
		    err, MF_E_INVALID, "started without its options: this is a role of mayfly-broker");
	if (c->oidc_issuer != NULL &&
	    (c->oidc_x5c_issuer == NULL || mf_issuer_check(mf_slice_str(c->oidc_issuer)) != NULL ||
		mf_issuer_check(mf_slice_str(c->oidc_x5c_issuer)) != NULL))
		return MF_FAIL(err, MF_E_INVALID, "options oidc_issuer and oidc_x5c_issuer are not issuers");
	if (c->policy_name == NULL)
		c->policy_name = "policy";
	return MF_OK;
}

static enum mf_status
load_keys(struct mf_role *role, const struct mf_notary_conf *c, struct mf_kek **ret_kek,
    struct mf_broker_keys **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	const char *kind = mf_role_opt(role, "kek_kind");
	bool phrase = kind != NULL && strcmp(kind, "passphrase") == 0;
	int fd = mf_role_take_fd(role, "kek");
	enum mf_status s = mf_kek_read_fd(fd, phrase ? MF_KEK_PASSPHRASE : MF_KEK_RAW, &kek, err);
	if (fd >= 0)
		(void)close(fd);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "the key that seals the keys");
	MF_TRY(mf_broker_keys_load(c->trust_domain, c->broker_id, kek, c->keys_dirfd, ret_k, err));
	*ret_kek = MF_TAKE(kek); /* keys that are made later are sealed with it */
	return MF_OK;
}

static int
refuse(const char *what, const struct mf_err *err)
{
	mf_jlog_err(MF_LOG_ERROR, "notary.start", what, err);
	return MF_ROLE_EXIT_REFUSED;
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_role_free) struct mf_role *role = NULL;
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *keys = NULL;
	struct mf_notary_conf conf = { 0 };
	struct mf_notary *n = NULL;
	if (mf_role_start(argc, argv, "notary", mf_build_id(), &role, &err) != MF_OK)
		return refuse("cannot start", &err);
	if (read_conf(role, &conf, &err) != MF_OK || load_keys(role, &conf, &kek, &keys, &err) != MF_OK)
		return refuse("cannot start", &err);
	conf.kek = kek;
	if (mf_role_confine(role, &mf_confinement_notary, 0, &err) != MF_OK)
		return refuse("cannot be confined", &err);
	if (mf_notary_new(&conf, role, keys, &n, &err) != MF_OK)
		return refuse("the log or the policy does not allow a start", &err);
	keys = NULL;
	int code = mf_role_ready(role, &err) == MF_OK ? mf_notary_run(n) : MF_ROLE_EXIT_FAILED;
	mf_notary_free(n);
	return code;
}
