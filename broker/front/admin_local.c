/* Connections of local administrators: who connected, may they, and whose login they come from. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "broker/front/admin_internal.h"
#include "os/jlog.h"
#include "os/login_uid.h"

#define GROUPS 256u
#define LOGIN_MS 1000u

bool
mf_admin_allowed(
    const struct mf_admin_conf *conf, uint32_t uid, uint32_t gid, const uint32_t *groups, size_t n_groups)
{
	if (uid == 0)
		return true;
	for (size_t i = 0; i < conf->n_uids; i++)
		if (conf->uids[i] == uid)
			return true;
	if (conf->gid == MF_ADMIN_NO_GROUP)
		return false;
	if (gid == conf->gid)
		return true;
	for (size_t i = 0; i < n_groups; i++)
		if (groups[i] == conf->gid)
			return true;
	return false;
}

/* With the supplementary groups that the peer had when it connected. */
static bool
allowed(const struct mf_admin_api *a, const struct mf_net_sender *s, int fd)
{
	_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "groups are compared as numbers of 32 bits");
	uint32_t few[GROUPS], *many = NULL;
	const uint32_t *groups = few;
	socklen_t n = sizeof(few);
	int rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &n);
	if (rc != 0 && errno == ERANGE && (many = malloc(n)) != NULL) {
		groups = many;
		rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &n);
	}
	bool may = mf_admin_allowed(&a->conf, s->uid, s->gid, groups, rc == 0 ? n / sizeof(uint32_t) : 0);
	free(many);
	return may;
}

/* ---- the login: asked for at the connect; what the caller says is read when the answer is there ---- */

static void
login_known(struct mf_admin_peer *p, uint32_t uid)
{
	p->loginuid = uid;
	mf_list_del(&p->asking);
	mf_loop_timer_clear(p->patience);
	mf_net_conn_hold(p->conn, false);
}

/* Ending access must not wait for a supervisor that does not answer: the record goes without. */
static void
on_no_login(void *ctx)
{
	struct mf_admin_peer *p = ctx;
	MF_LOG(MF_LOG_WARN, "admin.login_unknown",
	    "nobody said in time whose login an administrator's is: records go without", mf_ju("uid", p->uid),
	    mf_ju("pid", p->pid));
	login_known(p, MF_NO_LOGIN_UID);
}

static void
ask_login(struct mf_admin_api *a, struct mf_admin_peer *p)
{
	struct mf_err err = { 0 };
	if (a->conf.ask_login == NULL)
		return;
	p->number = ++a->asked;
	enum mf_status s = mf_loop_timer_new(a->loop, on_no_login, p, &p->patience, &err);
	if (s == MF_OK)
		s = a->conf.ask_login(a->conf.ask_ctx, p->number, mf_net_conn_fd(p->conn), &err);
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_WARN, "admin.login_unknown", "records go without the login", &err);
		return;
	}
	mf_list_add_tail(&a->asking, &p->asking);
	mf_loop_timer_set(p->patience, a->conf.login_ms == 0 ? LOGIN_MS : a->conf.login_ms);
	mf_net_conn_hold(p->conn, true);
}

void
mf_admin_api_login(struct mf_admin_api *a, uint32_t number, uint32_t uid)
{
	MF_LIST_EACH(at, &a->asking)
	{
		struct mf_admin_peer *p = MF_LIST_ITEM(at, struct mf_admin_peer, asking);
		if (p->number == number) {
			login_known(p, uid);
			return;
		}
	}
}

/* ---- a connection ---- */

static bool
on_conn(void *ctx, struct mf_net_conn *conn)
{
	struct mf_admin_api *a = ctx;
	struct mf_net_sender s = mf_net_conn_peer(conn);
	struct mf_admin_peer *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return false;
	mf_list_init(&p->asking);
	p->conn = conn;
	p->uid = s.uid;
	p->pid = s.pid < 0 ? 0 : (uint32_t)s.pid;
	p->loginuid = MF_NO_LOGIN_UID;
	p->allowed = allowed(a, &s, mf_net_conn_fd(conn));
	mf_net_conn_set_user(conn, p);
	if (p->allowed)
		ask_login(a, p);
	return true;
}

/* The right to administer is the connecting user's: a socket that another one writes to is closed. */
static bool
on_sender(void *ctx, struct mf_net_conn *conn, const struct mf_net_sender *s)
{
	MF_UNUSED(ctx);
	const struct mf_admin_peer *p = mf_net_conn_user(conn);
	if (p == NULL || s->uid == p->uid)
		return true;
	MF_LOG(MF_LOG_WARN, "admin.sender", "another user writes to an administrator's connection: closed",
	    mf_ju("uid", p->uid), mf_ju("sender", s->uid));
	return false;
}

static void
on_conn_closed(void *ctx, struct mf_net_conn *conn, enum mf_net_why why, const struct mf_err *err)
{
	MF_UNUSED(ctx);
	mf_admin_log_abuse(conn, why, err);
	struct mf_admin_peer *p = mf_net_conn_user(conn);
	if (p == NULL)
		return;
	mf_list_del(&p->asking);
	mf_loop_timer_free(p->patience);
	free(p);
}

const struct mf_net_conn_ops mf_admin_local_ops = {
	.on_open = on_conn,
	.on_sender = on_sender,
	.on_close = on_conn_closed,
};
