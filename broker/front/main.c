/*
 * broker-front: the broker's exposed role. See broker/front/front.h for what it does; here are its descriptors,
 * options, confinement and end.
 *
 *   descriptors  agents   listening TCP socket (TLS by us)
 *                admin    listening Unix socket
 *                metrics  listening TCP socket of /metrics, /healthz, /readyz; may be absent
 *                admin_tls  listening TCP socket for remote administrators; may be absent
 *                admins   who may do what there (packed AdminAccess); may be absent, comes anew by reload
 *                db       directory of the read model
 *   link         notary   by the control channel, each time anew
 *   options      trust_domain, broker_id; admin_uids (1000,1001), admin_gid; and limits, for tests and large sites:
 *                max_conns, max_conns_per_ip, handshakes, handshake_ms, lane, lane_per_ip, lane_ms, conns_per_node,
 *                first_ms, call_ms, login_ms, relink_ms, stop_ms, admin_conns, admin_conns_per_ip
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "broker/front/front.h"
#include "codec/spiffe_id.h"
#include "crypto/provider.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"
#include "os/secure_file.h"

#define ADMIN_UIDS_MAX 256u

struct process {
	struct mf_role *role;
	struct mf_loop *loop;
	struct mf_loop_fd *control;
	struct mf_broker_front *front;
	uint32_t uids[ADMIN_UIDS_MAX];
	int code;
};

static void
leave(void *ctx, int code)
{
	struct process *p = ctx;
	p->code = code;
	mf_loop_stop(p->loop);
}

static enum mf_status
ask_login(void *ctx, uint32_t number, int sock, struct mf_err *err)
{
	return mf_role_ask_login(((struct process *)ctx)->role, number, sock, err);
}

static void
on_login(struct process *p, const struct mf_control_msg *m)
{
	uint32_t number, uid;
	if (mf_role_login(m, &number, &uid))
		mf_broker_front_login(p->front, number, uid);
	else
		MF_LOG(MF_LOG_WARN, "role.bad_login", "the supervisor's answer about a login makes no sense",
		    mf_js("text", m->text));
}

static void
on_link(struct process *p, const struct mf_control_msg *m)
{
	struct mf_err err = { 0 };
	if (strcmp(m->text, "notary") != 0) {
		MF_LOG(MF_LOG_WARN, "role.unknown_link", "a link that this role has no use for",
		    mf_js("name", m->text));
		if (m->fd >= 0)
			(void)close(m->fd);
		return;
	}
	if (mf_broker_front_link(p->front, m->fd, &err) != MF_OK)
		mf_jlog_err(
		    MF_LOG_ERROR, "notary.no_link", "the link to the notary could not be taken", &err);
}

static enum mf_status
read_admins(int fd, struct mf_buf *to, struct mf_err *err)
{
	mf_buf_init(to, MF_LIM_PB_BYTES);
	return fd < 0 ? MF_OK : mf_file_read_all(fd, to, err);
}

static void
on_admins(struct process *p, int fd)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	enum mf_status s = read_admins(fd, &b, &err);
	if (fd >= 0)
		(void)close(fd);
	if (s == MF_OK)
		s = mf_broker_front_admins(p->front, mf_buf_slice(&b), &err);
	if (s != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "admin.roles_rejected", "the roles in force stay", &err);
}

static void
on_control(void *ctx, unsigned ready)
{
	MF_UNUSED(ready);
	struct process *p = ctx;
	struct mf_err err = { 0 };
	struct mf_control_msg m;
	enum mf_status s;
	while ((s = mf_role_next(p->role, &m, &err)) == MF_OK) {
		if (m.type == MF_CONTROL_LINK)
			on_link(p, &m);
		else if (m.type == MF_CONTROL_LOGIN)
			on_login(p, &m);
		else if (m.type == MF_CONTROL_STOP)
			mf_broker_front_stop(p->front);
		else if (m.type == MF_CONTROL_RELOAD && strcmp(m.text, "admins") == 0)
			on_admins(p, m.fd);
		else if (m.fd >= 0)
			(void)close(m.fd); /* a reloaded file: this role has none */
	}
	if (s == MF_E_AGAIN)
		return;
	mf_jlog_err(MF_LOG_WARN, "role.supervisor_gone", "the control channel is over", &err);
	leave(p, MF_ROLE_EXIT_FAILED);
}

/* "1000,1001" */
static enum mf_status
read_uids(struct process *p, size_t *ret_n, struct mf_err *err)
{
	const char *list = mf_role_opt(p->role, "admin_uids");
	*ret_n = 0;
	while (list != NULL && *list != '\0') {
		uint64_t v;
		size_t n = strcspn(list, ",");
		if (!mf_parse_u64(mf_slice(list, n), &v) || v > UINT32_MAX - 1 || *ret_n == ADMIN_UIDS_MAX)
			return MF_FAIL(err, MF_E_INVALID, "option admin_uids: up to %u numbers, with commas",
			    ADMIN_UIDS_MAX);
		p->uids[(*ret_n)++] = (uint32_t)v;
		list += n + (list[n] == ',');
	}
	return MF_OK;
}

static enum mf_status
read_u32(struct process *p, const char *key, uint32_t otherwise, uint32_t *ret_v, struct mf_err *err)
{
	const char *text = mf_role_opt(p->role, key);
	uint64_t v = otherwise;
	if (text != NULL && (!mf_parse_u64(mf_slice_str(text), &v) || v >= UINT32_MAX))
		return MF_FAIL(err, MF_E_INVALID, "option %s is not a number of 32 bits", key);
	*ret_v = (uint32_t)v;
	return MF_OK;
}

static enum mf_status
read_options(struct process *p, struct mf_broker_front_conf *c, struct mf_err *err)
{
	const struct {
		const char *key;
		uint32_t *v;
	} numbers[] = {
		{ "max_conns", &c->agents_net.conns },
		{ "max_conns_per_ip", &c->agents_net.conns_per_peer },
		{ "handshakes", &c->agents_net.handshakes },
		{ "handshake_ms", &c->agents_net.handshake_ms },
		{ "admin_conns", &c->admin_tls_net.conns },
		{ "admin_conns_per_ip", &c->admin_tls_net.conns_per_peer },
		{ "lane", &c->peers.lane },
		{ "lane_per_ip", &c->peers.lane_per_ip },
		{ "lane_ms", &c->peers.lane_ms },
		{ "conns_per_node", &c->peers.per_node },
		{ "first_ms", &c->first_ms },
		{ "call_ms", &c->call_ms },
		{ "login_ms", &c->login_ms },
		{ "relink_ms", &c->relink_ms },
		{ "stop_ms", &c->stop_ms },
	};
	for (size_t i = 0; i < MF_COUNT(numbers); i++)
		MF_TRY(read_u32(p, numbers[i].key, 0, numbers[i].v, err));
	MF_TRY(read_u32(p, "admin_gid", MF_ADMIN_NO_GROUP, &c->admin_gid, err));
	MF_TRY(read_uids(p, &c->n_admin_uids, err));
	c->admin_uids = p->uids;
	c->trust_domain = mf_role_opt(p->role, "trust_domain");
	c->broker_id = mf_role_opt(p->role, "broker_id");
	if (c->trust_domain == NULL || c->broker_id == NULL)
		return MF_FAIL(err, MF_E_INVALID, "options trust_domain and broker_id are needed");
	MF_TRY(mf_trust_domain_check_strict(mf_slice_str(c->trust_domain), err));
	c->build_id = mf_build_id();
	c->release = mf_build_version();
	c->ask_login = ask_login;
	c->leave = leave;
	c->ctx = p;
	return MF_OK;
}

static enum mf_status
read_fds(struct process *p, struct mf_broker_front_conf *c, struct mf_err *err)
{
	c->db_dirfd = mf_role_fd(p->role, "db");
	c->agents_fd = mf_role_fd(p->role, "agents");
	c->admin_fd = mf_role_fd(p->role, "admin");
	c->metrics_fd = mf_role_fd(p->role, "metrics");
	c->admin_tls_fd = mf_role_fd(p->role, "admin_tls");
	if (c->db_dirfd < 0 || c->agents_fd < 0 || c->admin_fd < 0)
		return MF_FAIL(err, MF_E_STATE, "descriptors \"agents\", \"admin\" and \"db\" are needed");
	return MF_OK;
}

static enum mf_status
serve(struct process *p, struct mf_broker_front_conf *c, struct mf_err *err)
{
	MF_TRY(mf_loop_new(&p->loop, err));
	static const char *const taken[] = { "agents", "admin", "metrics", "admin_tls" };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf admins;
	MF_TRY(read_admins(mf_role_fd(p->role, "admins"), &admins, err));
	c->admins = mf_buf_slice(&admins);
	for (size_t i = 0; i < MF_COUNT(taken); i++)
		(void)mf_role_take_fd(p->role, taken[i]);
	MF_TRY(mf_broker_front_new(p->loop, c, &p->front, err));
	MF_TRY(mf_loop_fd_new(
	    p->loop, mf_role_control_fd(p->role), MF_LOOP_READ, on_control, p, &p->control, err));
	MF_TRY(mf_role_ready(p->role, err));
	return mf_loop_run(p->loop, err);
}

static int
refuse(const char *what, const struct mf_err *err)
{
	mf_jlog_err(MF_LOG_ERROR, "front.start", what, err);
	return MF_ROLE_EXIT_REFUSED;
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	struct mf_broker_front_conf conf = { .metrics_fd = -1, .admin_tls_fd = -1 };
	struct process p = { .code = MF_ROLE_EXIT_FAILED };
	if (mf_role_start(argc, argv, "broker-front", mf_build_id(), &p.role, &err) != MF_OK)
		return refuse("cannot start", &err);
	int code;
	if (read_options(&p, &conf, &err) != MF_OK || read_fds(&p, &conf, &err) != MF_OK) {
		code = refuse("cannot start", &err);
	} else {
		mf_crypto_init();
		if (mf_role_confine(p.role, &mf_confinement_broker_front, 0, &err) != MF_OK) {
			code = refuse("cannot be confined", &err);
		} else {
			if (serve(&p, &conf, &err) != MF_OK)
				mf_jlog_err(MF_LOG_ERROR, "front.failed", "the role ends", &err);
			code = p.code;
		}
	}
	mf_loop_fd_free(p.control);
	mf_broker_front_free(p.front); /* checkpoints the read model */
	mf_loop_free(p.loop);
	mf_role_free(p.role);
	return code;
}
