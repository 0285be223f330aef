/*
 * serve: the front's questions about callers, and the keys it wants certified. See attestor_internal.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/interactive.h"
#include "agent/attestor/pidfd.h"
#include "os/jlog.h"

#define POINT_SIZE 65u

struct mf_conn *
mf_serve_conn(struct mf_attestor *a, uint64_t id)
{
	struct mf_conn *c = NULL;
	HASH_FIND(hh, a->conns, &id, sizeof(id), c);
	return c;
}

static void
conn_free(struct mf_conn *c)
{
	mf_caller_fini(&c->caller);
	free(c);
}

void
mf_serve_drop_conns(struct mf_attestor *a)
{
	while (a->conns != NULL) {
		struct mf_conn *c = a->conns;
		HASH_DELETE(hh, a->conns, c);
		conn_free(c);
	}
}

void
mf_serve_conn_gone(struct mf_attestor *a, const Mayfly__Roles__V1__ConnGone *m)
{
	struct mf_conn *c = mf_serve_conn(a, m->conn_id);
	if (c == NULL)
		return;
	HASH_DELETE(hh, a->conns, c);
	conn_free(c);
}

/* Take ${caller} into the table of connections; 0 handle when it got nothing. */
static enum mf_status
remember(struct mf_attestor *a, uint64_t id, uint64_t handle, struct mf_caller *caller, struct mf_err *err)
{
	if (HASH_CNT(hh, a->conns) >= MF_ATTESTOR_CONNS_MAX)
		return MF_FAIL(err, MF_E_EXHAUSTED, "%u connections are attested", MF_ATTESTOR_CONNS_MAX);
	struct mf_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	c->id = id;
	c->handle = handle;
	HASH_ADD(hh, a->conns, id, sizeof(c->id), c);
	if (c->map_oom) {
		free(c);
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	}
	/* The instance watches its cgroup by itself: thousands of callers need not hold it open. */
	mf_fd_close(&caller->cgroup.fd);
	c->caller = *caller;
	*caller = (struct mf_caller)MF_CALLER_NONE;
	return MF_OK;
}

/* Whether asking again may help, as against "no". */
static bool
passing(enum mf_status s)
{
	return s == MF_E_NOMEM || s == MF_E_IO || s == MF_E_EXHAUSTED || s == MF_E_AGAIN;
}

static void
answer_no(struct mf_attestor *a, uint64_t conn_id, bool sender, const struct mf_err *err)
{
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	char reason[MF_ERR_MSG_MAX];
	(void)snprintf(reason, sizeof(reason), "%s", err->msg);
	m.conn_id = conn_id;
	m.sender = sender;
	m.unavailable = passing(err->code);
	m.reason = reason;
	MF_LOG(MF_LOG_INFO, "caller.refused", "a caller was not attested", mf_js("reason", err->msg));
	mf_attestor_tell(a, MF_MSG_CALLER, &m.base);
}

/* The lines of ${i}'s selectors as an array of strings in ${text} (a copy that is cut up). */
static size_t
split_lines(char *text, char **to, size_t max)
{
	size_t n = 0;
	for (char *at = text; *at != '\0' && n < max;) {
		char *end = strchr(at, '\n');
		to[n++] = at;
		if (end == NULL)
			break;
		*end = '\0';
		at = end + 1;
	}
	return n;
}

static void
answer_yes(struct mf_attestor *a, uint64_t conn_id, bool sender, const struct mf_instance *i,
    const struct mf_caller *c)
{
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf grade = { 0 };
	char *lines[MF_LIM_SELECTORS];
	char *text = mf_slice_dup_str(mf_slice_str(i->selectors));
	mf_buf_init(&key, 1024);
	mf_buf_init(&grade, 64);
	mf_attestor_key(a, i, &key);
	mf_buf_put_str(&grade, mf_grade_name(i->grade));
	if (text == NULL || mf_buf_cstr(&key) == NULL || mf_buf_cstr(&grade) == NULL) {
		struct mf_err err = { .code = MF_E_NOMEM, .msg = "the agent is out of memory" };
		answer_no(a, conn_id, sender, &err);
		free(text);
		return;
	}
	m.conn_id = conn_id;
	m.known = true;
	m.handle = i->handle;
	m.pid = c->pid;
	m.uid = c->uid;
	m.grade = (char *)grade.p;
	m.selectors = lines;
	m.n_selectors = split_lines(text, lines, MF_COUNT(lines));
	m.instance_key = (char *)key.p;
	m.sender = sender;
	m.pidfs_inode = c->proc_id;
	m.cgroup_id = i->cgroup_id;
	m.caller_cgroup_id = c->cgroup_id;
	m.gid = c->gid;
	/* Elsewhere somebody with a terminal, or from outside, is not the instance: only a look at the process tells. */
	m.cgroup_wide = i->interactive && (i->kind == MF_INSTANCE_CGROUP || i->kind == MF_INSTANCE_RUN);
	mf_attestor_tell(a, MF_MSG_CALLER, &m.base);
	free(text);
}

static enum mf_status
who_is(struct mf_attestor *a, uint64_t conn_id, int sock, struct mf_err *err)
{
	struct mf_caller c = MF_CALLER_NONE;
	struct mf_instance *i = NULL;
	if (mf_serve_conn(a, conn_id) != NULL)
		return MF_FAIL(err, MF_E_EXISTS, "the connection is attested already");
	MF_TRY(mf_peer_attest(&a->env, sock, &c, err));
	enum mf_status s = mf_interactive_look(&a->env, &c, err);
	if (s == MF_OK)
		s = mf_life_find(a, &c, true, &i, err);
	if (s == MF_OK)
		s = remember(a, conn_id, i->handle, &c, err);
	if (s == MF_OK)
		answer_yes(a, conn_id, false, i, &mf_serve_conn(a, conn_id)->caller);
	mf_caller_fini(&c);
	return s;
}

void
mf_serve_who_is(struct mf_attestor *a, const Mayfly__Roles__V1__WhoIs *m, int fd)
{
	struct mf_err err = { 0 };
	if (who_is(a, m->conn_id, fd, &err) != MF_OK)
		answer_no(a, m->conn_id, false, &err);
}

/*
 * No SO_PASSPIDFD: a number is not enough, except where that was accepted, and then only of the process that
 * connected: while its pidfd is silent nobody else has the number. (That it holds the socket at all the front has
 * proven by a challenge.) Another sender's number may be anybody's by now.
 */
static enum mf_status
sender_by_number(struct mf_attestor *a, const Mayfly__Roles__V1__SenderIs *m, const struct mf_conn *conn,
    struct mf_err *err)
{
	struct mf_instance *i = mf_instances_by_handle(a->table, conn->handle);
	if (!a->env.legacy_peercred)
		return MF_FAIL(err, MF_E_UNAUTH, "the sender of the message came without a pidfd");
	if (m->pid != conn->caller.pid)
		return MF_FAIL(err, MF_E_UNAUTH,
		    "before Linux 6.5 only the process that connected may speak on its connection: connect "
		    "anew");
	if (!mf_pidfd_alive(conn->caller.pidfd))
		return MF_FAIL(err, MF_E_UNAUTH, "the process that connected is gone");
	if (i == NULL || i->state >= MF_JOB_ENDED)
		return MF_FAIL(err, MF_E_UNAUTH, "the job has ended");
	answer_yes(a, m->conn_id, true, i, &conn->caller);
	return MF_OK;
}

/* A message on an attested connection came from another process: it counts if that one is of the same instance. */
static enum mf_status
sender_is(struct mf_attestor *a, const Mayfly__Roles__V1__SenderIs *m, int pidfd, struct mf_err *err)
{
	struct mf_conn *conn = mf_serve_conn(a, m->conn_id);
	struct mf_instance *i = NULL;
	struct mf_caller c = MF_CALLER_NONE;
	if (conn == NULL)
		return MF_FAIL(err, MF_E_NOTFOUND, "the connection is not attested");
	if (pidfd < 0)
		return sender_by_number(a, m, conn, err);
	MF_TRY(mf_peer_attest_pidfd(&a->env, pidfd, &c, err));
	enum mf_status s = mf_interactive_look(&a->env, &c, err);
	if (s == MF_OK)
		s = mf_life_find(a, &c, false, &i, err);
	if (s == MF_OK && i->handle != conn->handle)
		s = MF_FAIL(err, MF_E_UNAUTH, "the message came from a process of another job");
	if (s == MF_E_NOTFOUND)
		s = MF_FAIL(err, MF_E_UNAUTH,
		    "the message came from a process that is not of the job that connected");
	if (s == MF_OK)
		answer_yes(a, m->conn_id, true, i, &c);
	mf_caller_fini(&c);
	return s;
}

void
mf_serve_sender_is(struct mf_attestor *a, const Mayfly__Roles__V1__SenderIs *m, int fd)
{
	struct mf_err err = { 0 };
	if (sender_is(a, m, fd, &err) != MF_OK)
		answer_no(a, m->conn_id, true, &err);
}

void
mf_serve_refuse(
    struct mf_attestor *a, uint64_t handle, Mayfly__Agent__V1__RefusalCode code, const char *reason)
{
	Mayfly__Roles__V1__InstanceRefused m = MAYFLY__ROLES__V1__INSTANCE_REFUSED__INIT;
	Mayfly__Agent__V1__Refusal r = MAYFLY__AGENT__V1__REFUSAL__INIT;
	char text[MF_ERR_MSG_MAX];
	(void)snprintf(text, sizeof(text), "%s", reason);
	r.code = code;
	r.reason = text;
	m.handle = handle;
	m.refusal = &r;
	mf_attestor_tell(a, MF_MSG_INSTANCE_REFUSED, &m.base);
}

static bool
points_ok(size_t n, const ProtobufCBinaryData *points)
{
	for (size_t k = 0; k < n; k++)
		if (points[k].len != POINT_SIZE || points[k].data[0] != 4)
			return false;
	return n >= 1 && n <= MF_LIM_IDENTITIES;
}

/* The instance of a request for keys, and a number for the request; refused to the front otherwise. */
static struct mf_instance *
begin(struct mf_attestor *a, uint64_t handle, enum mf_ic_kind kind, bool points, uint64_t *ret_id)
{
	struct mf_err err = { 0 };
	struct mf_instance *i = mf_instances_by_handle(a->table, handle);
	if (i == NULL || i->state >= MF_JOB_ENDED) {
		mf_serve_refuse(
		    a, handle, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_ENDED, "the job has ended");
		return NULL;
	}
	if (!points) {
		mf_serve_refuse(
		    a, handle, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID, "bad public keys");
		return NULL;
	}
	if (kind == MF_IC_RENEW && i->lease_id[0] == '\0') {
		mf_serve_refuse(
		    a, handle, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_SUSPENDED, "no lease: attach anew");
		return NULL;
	}
	if (mf_ic_request(a->ic, kind, handle, mf_now(), ret_id, &err) != MF_OK) {
		mf_serve_refuse(a, handle, MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_UNAVAILABLE, err.msg);
		return NULL;
	}
	return i;
}

void
mf_attach_parts_fini(struct mf_attach_parts *p)
{
	mf_buf_fini(&p->key);
	mf_buf_fini(&p->grade);
	free(p->text);
	mf_manager_file_free(p->claim);
}

bool
mf_serve_fill(struct mf_attestor *a, const struct mf_instance *i, struct mf_attach_parts *p,
    Mayfly__Agent__V1__Attach *at)
{
	static char managers_word[] = "M";
	*p = (struct mf_attach_parts) { .text = mf_slice_dup_str(mf_slice_str(i->selectors)) };
	mf_buf_init(&p->key, 1024);
	mf_buf_init(&p->grade, 64);
	mf_attestor_key(a, i, &p->key);
	mf_buf_put_str(&p->grade, mf_grade_name(i->grade));
	if (p->text == NULL || mf_buf_cstr(&p->key) == NULL || mf_buf_cstr(&p->grade) == NULL)
		return false;
	at->instance_key = (char *)p->key.p;
	at->selectors = p->lines;
	at->n_selectors = split_lines(p->text, p->lines, MF_COUNT(p->lines));
	at->grade = (char *)p->grade.p;
	at->profile = i->profile;
	at->manifest = (ProtobufCBinaryData) { .len = i->manifest_n, .data = i->manifest };
	at->name = i->run_name;
	at->interactive = i->interactive;
	at->unix_user = i->user;
	at->unix_uid = i->uid;
	p->claim = mf_sim_claim(a, i);
	if (p->claim == NULL)
		return true;
	at->job_key = p->claim->job;
	at->job_grade = managers_word;
	for (size_t k = 0; k < p->claim->list_n && at->n_selectors < MF_COUNT(p->lines); k++)
		p->lines[at->n_selectors++] = p->claim->list[k];
	return true;
}

void
mf_serve_attach(struct mf_attestor *a, const Mayfly__Roles__V1__AttachInstance *m)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Attach at = MAYFLY__AGENT__V1__ATTACH__INIT;
	MF_AUTO_IN(mf_attach_parts_fini) struct mf_attach_parts parts = { .text = NULL };
	struct mf_instance *i =
	    begin(a, m->handle, MF_IC_ATTACH, points_ok(m->n_points, m->points), &up.request_id);
	if (i == NULL)
		return;
	if (!mf_serve_fill(a, i, &parts, &at)) {
		a->close_reason = "out of memory"; /* answers what was begun as lost */
		return;
	}
	at.n_points = m->n_points;
	at.points = m->points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_ATTACH;
	up.attach = &at;
	if (!i->asked) {
		i->asked = true;
		a->dirty = true;
	}
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}

void
mf_serve_renew(struct mf_attestor *a, const Mayfly__Roles__V1__RenewInstance *m)
{
	Mayfly__Agent__V1__Up up = MAYFLY__AGENT__V1__UP__INIT;
	Mayfly__Agent__V1__Renew r = MAYFLY__AGENT__V1__RENEW__INIT;
	struct mf_instance *i =
	    begin(a, m->handle, MF_IC_RENEW, points_ok(m->n_points, m->points), &up.request_id);
	if (i == NULL)
		return;
	r.lease_id = i->lease_id;
	r.epoch = i->epoch;
	r.n_points = m->n_points;
	r.points = m->points;
	up.body_case = MAYFLY__AGENT__V1__UP__BODY_RENEW;
	up.renew = &r;
	mf_session_send(a, MF_INNER_BOUNDED, &up);
}
