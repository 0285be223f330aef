#include "front_rig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/jlog.h"
#include "os/listen.h"

#define MUST(x)                                                                      \
	do {                                                                         \
		if (!(x)) {                                                          \
			(void)fprintf(stderr, "front_rig.c:%d: %s\n", __LINE__, #x); \
			abort();                                                     \
		}                                                                    \
	} while (0)

static int64_t
now_s(void)
{
	return mf_now().wall_us / 1000000;
}

/* --- the fake attestor --- */

void
mf_frig_send(struct rig *r, uint16_t type, const ProtobufCMessage *m)
{
	struct mf_buf b;
	struct mf_err err = { 0 };
	if (r->fake == NULL)
		return;
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	if (mf_role_encode(&mf_link_agent, MF_LINK_INNER, type, m, false, &b, &err) != MF_OK) {
		(void)fprintf(stderr, "fake attestor: %s\n", err.msg);
		abort();
	}
	(void)!mf_seqpacket_send(r->fake, type, mf_buf_slice(&b), -1, &err);
	mf_buf_fini(&b);
}

void
mf_frig_trust(struct rig *r, struct mint *ca, uint64_t number)
{
	Mayfly__Roles__V1__Trust m = MAYFLY__ROLES__V1__TRUST__INIT;
	struct mf_slice der = mf_mint_ca(ca);
	m.trust_domain = (char *)(uintptr_t)RIG_TD;
	m.bundle = (ProtobufCBinaryData) { der.n, (uint8_t *)(uintptr_t)der.p };
	m.number = number;
	mf_frig_send(r, MF_MSG_TRUST, &m.base);
}

void
mf_frig_session(struct rig *r, bool ready)
{
	Mayfly__Roles__V1__SessionState m = MAYFLY__ROLES__V1__SESSION_STATE__INIT;
	m.ready = ready;
	m.reason = (char *)(uintptr_t)(ready ? "" : "the broker is away");
	m.node_id = (char *)(uintptr_t) "n-test";
	mf_frig_send(r, MF_MSG_SESSION_STATE, &m.base);
}

void
mf_frig_ended(struct rig *r, uint64_t handle, bool suspended)
{
	Mayfly__Roles__V1__InstanceEnded m = MAYFLY__ROLES__V1__INSTANCE_ENDED__INIT;
	m.handle = handle;
	m.cause = (char *)(uintptr_t)(suspended ? "suspended" : "empty");
	m.suspended = suspended;
	mf_frig_send(r, MF_MSG_INSTANCE_ENDED, &m.base);
}

static void
on_hello(struct rig *r, const Mayfly__Roles__V1__AgentFrontHello *h)
{
	MUST(strcmp(h->build_id, r->build) == 0);
	r->hellos++;
	r->fake_open = true;
	if (!r->no_hello) {
		Mayfly__Roles__V1__AttestorHello m = MAYFLY__ROLES__V1__ATTESTOR_HELLO__INIT;
		m.build_id = (char *)(uintptr_t)r->build;
		m.node_id = (char *)(uintptr_t) "n-test";
		m.trust_domain = (char *)(uintptr_t)RIG_TD;
		mf_frig_send(r, MF_MSG_ATTESTOR_HELLO, &m.base);
	}
	if (!r->no_trust && !r->no_hello)
		mf_frig_trust(r, r->mint, 1);
	if (!r->no_session && !r->no_hello)
		mf_frig_session(r, true);
}

/* What the true attestor would say of the process that this one is. */
static void
tell_look(const struct mf_known_look *l, Mayfly__Roles__V1__Caller *m, char *list[], char text[][32])
{
	for (size_t i = 0; i < l->n_groups; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "unix.sup_gid:%u", l->groups[i]);
		list[m->n_selectors++] = text[i];
	}
	m->gid = l->gid;
	m->pid = l->pid;
	m->pidfs_inode = l->inode;
	m->caller_cgroup_id = l->cgroup_id;
}

static void
send_caller(struct rig *r, uint64_t conn_id, enum rig_who who, bool sender, int32_t pid)
{
	Mayfly__Roles__V1__Caller m = MAYFLY__ROLES__V1__CALLER__INIT;
	char *selectors[2 + MF_KNOWN_GROUPS] = { (char *)(uintptr_t) "unix.uid:4242",
		(char *)(uintptr_t) "unix.user:tester" };
	char text[MF_KNOWN_GROUPS][32];
	if (who == RIG_SILENT)
		return;
	m.conn_id = conn_id;
	m.sender = sender;
	m.reason = (char *)(uintptr_t) "";
	if (who == RIG_KNOWN) {
		m.known = true;
		m.handle = sender && r->foreign != 0 ? r->foreign : r->handle;
		m.pid = pid;
		m.uid = (uint32_t)getuid();
		m.grade = (char *)(uintptr_t) "pidfd";
		m.selectors = selectors;
		m.n_selectors = 2;
		m.instance_key = r->key;
		m.pidfs_inode = r->inode;
	} else if (who == RIG_NOT_YET) {
		m.unavailable = true;
		m.reason = (char *)(uintptr_t) "resync";
	} else {
		m.reason = (char *)(uintptr_t) "no cgroup of ours";
	}
	if (r->looks && r->looked && m.known)
		tell_look(&r->look, &m, selectors, text);
	mf_frig_send(r, MF_MSG_CALLER, &m.base);
}

static void
on_who(struct rig *r, const Mayfly__Roles__V1__WhoIs *m, int fd)
{
	struct stat st;
	int domain = 0;
	socklen_t n = sizeof(domain);
	r->who_is++;
	r->conn_id = m->conn_id;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX)
		r->fd_ok++;
	r->looked = r->looks && mf_known_look(fd, &r->look);
	send_caller(r, m->conn_id, r->who, false, r->pid != 0 ? r->pid : (int32_t)getpid());
}

static void
note_points(struct rig *r, const ProtobufCBinaryData *points, size_t n)
{
	r->last_points = n;
	for (size_t i = 0; i < n; i++) {
		MUST(points[i].len == 65 && r->n_points < RIG_POINTS);
		for (size_t k = 0; k < r->n_points; k++)
			r->point_twice = r->point_twice || memcmp(r->points[k], points[i].data, 65) == 0;
		memcpy(r->points[r->n_points++], points[i].data, 65);
	}
}

static void
send_grant(struct rig *r, uint64_t handle, const ProtobufCBinaryData *points, size_t n)
{
	Mayfly__Roles__V1__InstanceGrant m = MAYFLY__ROLES__V1__INSTANCE_GRANT__INIT;
	Mayfly__Agent__V1__Grant g = MAYFLY__AGENT__V1__GRANT__INIT;
	Mayfly__Agent__V1__Issued is[4], *list[4];
	struct mf_buf chain[4];
	struct mint_leaf leaf[4];
	char id[4][128], path[64];
	size_t count = r->identities;
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(path, sizeof(path), "/default/job/%llu-%zu", (unsigned long long)handle, i);
		(void)snprintf(id[i], sizeof(id[i]), "spiffe://" RIG_TD "%s", path);
		mf_buf_init(&chain[i], 65536);
		/* A bad one: for a key that was offered before. */
		leaf[i] = mf_mint_leaf(r->ca != NULL ? r->ca : r->mint, path,
		    r->answer == RIG_BAD_GRANT && n == 1 ? r->points[0] : points[i].data, now_s(),
		    now_s() + r->ttl_s, &chain[i]);
		is[i] = (Mayfly__Agent__V1__Issued)MAYFLY__AGENT__V1__ISSUED__INIT;
		is[i].point = (uint32_t)(r->answer == RIG_BAD_GRANT ? (i + 1) % n : i);
		is[i].spiffe_id = id[i];
		is[i].hint = (char *)(uintptr_t)(r->hint != NULL ? r->hint : "");
		is[i].chain = (ProtobufCBinaryData) { chain[i].n, chain[i].p };
		is[i].serial = leaf[i].serial;
		is[i].not_before = leaf[i].not_before_s;
		is[i].not_after = leaf[i].not_after_s;
		list[i] = &is[i];
	}
	g.lease_id = (char *)(uintptr_t) "l-1";
	g.epoch = 1;
	g.job_id = (char *)(uintptr_t) "j-test";
	g.job_key = r->key;
	g.run_id = (char *)(uintptr_t) "r-test";
	g.instance = 1;
	g.profile = (char *)(uintptr_t) "dev";
	g.rule = (char *)(uintptr_t) "rule-1";
	g.tenant = (char *)(uintptr_t) "default";
	g.cloud = r->offers;
	g.n_cloud = r->n_offers;
	g.issued = list;
	g.n_issued = count;
	m.handle = handle;
	m.grant = &g;
	mf_frig_send(r, MF_MSG_INSTANCE_GRANT, &m.base);
	for (size_t i = 0; i < count; i++)
		mf_buf_fini(&chain[i]);
}

static void
on_request(struct rig *r, uint64_t handle, const ProtobufCBinaryData *points, size_t n)
{
	Mayfly__Roles__V1__InstanceRefused m = MAYFLY__ROLES__V1__INSTANCE_REFUSED__INIT;
	Mayfly__Agent__V1__Refusal f = MAYFLY__AGENT__V1__REFUSAL__INIT;
	note_points(r, points, n);
	if (r->answer == RIG_GRANT && n < r->identities) {
		f.code = MAYFLY__AGENT__V1__REFUSAL_CODE__REFUSAL_INVALID;
		m.handle = handle;
		m.refusal = &f;
		mf_frig_send(r, MF_MSG_INSTANCE_REFUSED, &m.base);
		return;
	}
	switch (r->answer) {
	case RIG_GRANT:
	case RIG_BAD_GRANT:
		send_grant(r, handle, points, n);
		break;
	case RIG_REFUSE:
	case RIG_BUSY:
		f.code = (Mayfly__Agent__V1__RefusalCode)(r->answer == RIG_BUSY ? 2 : r->refusal);
		f.reason = (char *)(uintptr_t) "no rule permits this";
		f.rule = (char *)(uintptr_t) "rule-9";
		m.handle = handle;
		m.refusal = &f;
		mf_frig_send(r, MF_MSG_INSTANCE_REFUSED, &m.base);
		break;
	case RIG_MUTE:
		break;
	}
}

static void
on_start(struct rig *r, const Mayfly__Roles__V1__StartJob *m)
{
	Mayfly__Roles__V1__JobCreated c = MAYFLY__ROLES__V1__JOB_CREATED__INIT;
	r->start++;
	r->start_id = m->start_id;
	(void)snprintf(r->profile, sizeof(r->profile), "%s", m->profile);
	MUST(m->conn_id == r->conn_id);
	c.start_id = m->start_id;
	c.handle = r->handle + 100;
	c.placement = r->placement;
	c.cgroup_path = (char *)(uintptr_t) "/sys/fs/cgroup/mayfly/j1";
	c.instance_key = (char *)(uintptr_t) "local/n-test/boot/cg-900";
	c.reason = (char *)(uintptr_t)(r->start_fails ? "no cgroup can be made" : "");
	c.failed = r->start_fails;
	mf_frig_send(r, MF_MSG_JOB_CREATED, &c.base);
}

static void
on_place(struct rig *r, const Mayfly__Roles__V1__PlaceChild *m)
{
	Mayfly__Roles__V1__JobPlaced p = MAYFLY__ROLES__V1__JOB_PLACED__INIT;
	r->place++;
	MUST(m->start_id == r->start_id);
	p.start_id = m->start_id;
	p.done = !r->place_fails;
	p.reason = (char *)(uintptr_t)(r->place_fails ? "not a child of the runner" : "");
	mf_frig_send(r, MF_MSG_JOB_PLACED, &p.base);
}

static void
on_find_peer(struct rig *r, const Mayfly__Roles__V1__FindPeer *q)
{
	Mayfly__Roles__V1__PeerFound m = MAYFLY__ROLES__V1__PEER_FOUND__INIT;
	r->find_peers++;
	m.peer_id = q->peer_id;
	m.known = !r->peer_foreign && !r->peer_over && !r->peer_late;
	m.unavailable = r->peer_late;
	m.ended = r->peer_over;
	m.reason = (char *)(uintptr_t)(m.known	      ? ""
				       : r->peer_over ? "the job has ended"
						      : "the caller is not of this job");
	if (m.known) {
		m.handle = r->handle;
		m.instance_key = r->key;
		m.cgroup_id = r->peer_plain ? 0 : q->cgroup_id;
	}
	mf_frig_send(r, MF_MSG_PEER_FOUND, &m.base);
}

/* Of the session with the broker. */
static void
on_outer(struct rig *r, uint16_t type, const void *m)
{
	switch (type) {
	case MF_MSG_OUTER_OPENED:
		r->outer_opened++;
		r->sid = ((const Mayfly__Roles__V1__OuterOpened *)m)->sid;
		break;
	case MF_MSG_OUTER_CLOSED:
		r->outer_closed++;
		break;
	case MF_MSG_OUTER_DATA:
		mf_buf_put(&r->outer_in, ((const Mayfly__Roles__V1__OuterData *)m)->body.data,
		    ((const Mayfly__Roles__V1__OuterData *)m)->body.len);
		break;
	case MF_MSG_OUTER_CREDIT:
		r->credits += ((const Mayfly__Roles__V1__OuterCredit *)m)->chunks;
		break;
	case MF_MSG_OUTER_KEY:
		r->outer_key++;
		MUST(((const Mayfly__Roles__V1__OuterKey *)m)->point.len == 65);
		memcpy(r->outer_point, ((const Mayfly__Roles__V1__OuterKey *)m)->point.data, 65);
		break;
	case MF_MSG_DOCUMENT_SEEN:
		r->documents++;
		break;
	default:
		abort();
	}
}

static void
on_packet(struct rig *r, uint16_t type, const ProtobufCMessage *msg, int fd)
{
	const void *m = msg;
	switch (type) {
	case MF_MSG_AGENT_FRONT_HELLO:
		on_hello(r, m);
		break;
	case MF_MSG_WHO_IS:
		on_who(r, m, fd);
		break;
	case MF_MSG_SENDER_IS:
		r->sender_is++;
		r->pidfds += fd >= 0;
		send_caller(r, ((const Mayfly__Roles__V1__SenderIs *)m)->conn_id, r->sender, true,
		    ((const Mayfly__Roles__V1__SenderIs *)m)->pid);
		break;
	case MF_MSG_CONN_GONE:
		r->conn_gone++;
		break;
	case MF_MSG_ATTACH_INSTANCE:
		r->attach++;
		on_request(r, ((const Mayfly__Roles__V1__AttachInstance *)m)->handle,
		    ((const Mayfly__Roles__V1__AttachInstance *)m)->points,
		    ((const Mayfly__Roles__V1__AttachInstance *)m)->n_points);
		break;
	case MF_MSG_RENEW_INSTANCE:
		r->renew++;
		on_request(r, ((const Mayfly__Roles__V1__RenewInstance *)m)->handle,
		    ((const Mayfly__Roles__V1__RenewInstance *)m)->points,
		    ((const Mayfly__Roles__V1__RenewInstance *)m)->n_points);
		break;
	case MF_MSG_MINT_INSTANCE_JWT:
		r->mints++;
		if (r->on_mint != NULL)
			r->on_mint(r, m);
		break;
	case MF_MSG_MINT_INSTANCE_CLOUD:
		r->cloud_mints++;
		if (r->on_cloud != NULL)
			r->on_cloud(r, m);
		break;
	case MF_MSG_FIND_PEER:
		on_find_peer(r, m);
		break;
	case MF_MSG_EXPLAIN_JOB:
		r->explains++;
		r->explain_id = ((const Mayfly__Roles__V1__ExplainJob *)m)->explain_id;
		if (r->on_explain != NULL)
			r->on_explain(r, m);
		break;
	case MF_MSG_START_JOB:
		on_start(r, m);
		break;
	case MF_MSG_PLACE_CHILD:
		on_place(r, m);
		break;
	case MF_MSG_RUNNER_GONE:
		r->runner_gone++;
		r->tree_empty += ((const Mayfly__Roles__V1__RunnerGone *)m)->tree_empty;
		break;
	default:
		on_outer(r, type, m);
	}
}

static void
fake_turn(struct rig *r)
{
	struct mf_err err = { 0 };
	struct mf_packet p;
	while (r->fake != NULL) {
		enum mf_status s = mf_seqpacket_recv(r->fake, &p, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s != MF_OK) {
			mf_seqpacket_free(MF_TAKE(r->fake));
			return;
		}
		const struct mf_role_msg *row = NULL;
		ProtobufCMessage *msg = NULL;
		unsigned state = r->fake_open ? MF_LINK_OPEN : MF_LINK_HELLO;
		if (mf_role_decode(&mf_link_agent, MF_LINK_INNER, state, p.type, p.payload, p.fd >= 0, &row,
			&msg, &err) != MF_OK) {
			(void)fprintf(stderr, "the front broke the table: %s\n", err.msg);
			r->broken = true;
			mf_seqpacket_free(MF_TAKE(r->fake));
			return;
		}
		on_packet(r, p.type, msg, p.fd);
		mf_pb_free(msg);
	}
}

void
mf_frig_attestor_dies(struct rig *r)
{
	mf_seqpacket_free(MF_TAKE(r->fake));
	r->fake_open = false;
}

void
mf_frig_attestor(struct rig *r)
{
	int fds[2];
	struct mf_err err = { 0 };
	mf_frig_attestor_dies(r);
	MUST(mf_seqpacket_pair(fds, &err) == MF_OK);
	MUST(mf_seqpacket_new(fds[1], 16u << 20, &r->fake, &err) == MF_OK);
	if (r->give_link != NULL)
		r->give_link(r, fds[0]);
	else
		MUST(mf_front_link(r->front, fds[0], &err) == MF_OK);
}

/* --- the rig --- */

struct rig *
mf_frig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	MUST(r != NULL);
	mf_jlog_init("agent-front", MF_LOG_ERROR + 1);
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/mf-front-XXXXXX");
	MUST(mkdtemp(r->dir) != NULL);
	(void)snprintf(r->path, sizeof(r->path), "%s/agent.sock", r->dir);
	MUST(mf_loop_new(&r->loop, NULL) == MF_OK);
	r->mint = mf_mint_new(RIG_TD, now_s());
	mf_buf_init(&r->outer_in, 4u << 20);
	r->build = RIG_BUILD;
	r->handle = 7;
	(void)snprintf(r->key, sizeof(r->key), "local/n-test/boot/p-7");
	r->identities = 1;
	r->ttl_s = 1200;
	r->refusal = 1;
	r->placement = 1;
	r->cfg = (struct mf_front_config) {
		.loop = r->loop,
		.build_id = RIG_BUILD,
		.trust_domain = RIG_TD,
		.broker = { .host = { "127.0.0.1" }, .n = 1, .port = 1 }, /* nobody is there */
		.hold_ms = 400,
		.refusal_ms = r->refusal_ms != 0 ? r->refusal_ms : RIG_REFUSAL_MS,
	};
	return r;
}

void
mf_frig_start(struct rig *r)
{
	struct mf_err err = { 0 };
	struct mf_listen_unix how = { .path = r->path, .mode = 0666, .group = (gid_t)-1, .senders = true };
	MUST(mf_listen_unix(&how, &r->cfg.workload_fd, &err) == MF_OK);
	if (mf_front_new(&r->cfg, &r->front, &err) != MF_OK) {
		(void)fprintf(stderr, "front: %s\n", err.msg);
		abort();
	}
	mf_frig_attestor(r);
}

static void
stopped(void *ctx)
{
	*(bool *)ctx = true;
}

static bool
is_true(void *ctx)
{
	return *(bool *)ctx;
}

void
mf_frig_free(struct rig *r)
{
	bool done = false;
	if (r->front != NULL) {
		mf_front_stop(r->front, 2000, stopped, &done);
		MUST(mf_frig_until(r, is_true, &done));
	}
	mf_front_free(r->front);
	mf_frig_attestor_dies(r);
	mf_loop_free(r->loop);
	mf_mint_free(r->mint);
	mf_buf_fini(&r->outer_in);
	(void)unlink(r->path);
	(void)rmdir(r->dir);
	MUST(!r->broken);
	free(r);
}

void
mf_frig_turn(struct rig *r)
{
	struct mf_err err = { 0 };
	MUST(mf_loop_turn(r->loop, false, &err) == MF_OK);
	fake_turn(r);
}

bool
mf_frig_until(struct rig *r, bool (*done)(void *ctx), void *ctx)
{
	uint64_t limit = mf_now().mono_ms + RIG_HANG_MS;
	while (!done(ctx)) {
		if (mf_now().mono_ms > limit)
			return false;
		mf_frig_turn(r);
		(void)poll(NULL, 0, 1);
	}
	return true;
}

void
mf_frig_settle(struct rig *r)
{
	for (int i = 0; i < 50; i++)
		mf_frig_turn(r);
}

/* --- clients --- */

const struct mf_grpc_method mf_frig_fetch = { .path = "/SpiffeWorkloadAPI/FetchX509SVID",
	.request = &x509_svidrequest__descriptor,
	.response = &x509_svidresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_frig_bundles = { .path = "/SpiffeWorkloadAPI/FetchX509Bundles",
	.request = &x509_bundles_request__descriptor,
	.response = &x509_bundles_response__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_frig_nope = { .path = "/SpiffeWorkloadAPI/FetchWITSVID",
	.request = &x509_svidrequest__descriptor,
	.response = &x509_svidresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_frig_whoami = { .path = "/mayfly.job.v1.Jobs/WhoAmI",
	.request = &mayfly__job__v1__who_am_irequest__descriptor,
	.response = &mayfly__job__v1__who_am_iresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };
const struct mf_grpc_method mf_frig_run = { .path = "/mayfly.job.v1.Jobs/Start",
	.request = &mayfly__job__v1__start_request__descriptor,
	.response = &mayfly__job__v1__start_event__descriptor,
	.flags = MF_GRPC_BIDI };

static void
open_call(struct rig_client *c, const struct mf_grpc_method *m)
{
	struct mf_err err = { 0 };
	X509SVIDRequest fetch = X509_SVIDREQUEST__INIT;
	X509BundlesRequest bundles = X509_BUNDLES_REQUEST__INIT;
	Mayfly__Job__V1__WhoAmIRequest who = MAYFLY__JOB__V1__WHO_AM_IREQUEST__INIT;
	const ProtobufCMessage *ask = m->request == fetch.base.descriptor     ? &fetch.base
				      : m->request == bundles.base.descriptor ? &bundles.base
									      : &who.base;
	MUST(mf_grpc_sync_open(c->s, m, &c->st, &err) == MF_OK);
	if ((m->flags & MF_GRPC_CLIENT_STREAM) == 0) {
		MUST(mf_grpc_sync_send(c->st, ask, &err) == MF_OK);
		MUST(mf_grpc_sync_half_close(c->st, &err) == MF_OK);
	}
}

void
mf_frig_open(struct rig *r, struct rig_client *c, const struct mf_grpc_method *m)
{
	struct mf_err err = { 0 };
	*c = (struct rig_client) { .r = r, .code = MF_GRPC_UNKNOWN };
	MUST(mf_grpc_sync_connect(r->path, MF_GRPC_SYNC_SPIFFE, 5000, &c->s, &err) == MF_OK);
	open_call(c, m);
}

void
mf_frig_ask(
    struct rig *r, struct rig_client *c, const struct mf_grpc_method *m, const ProtobufCMessage *request)
{
	struct mf_err err = { 0 };
	*c = (struct rig_client) { .r = r, .code = MF_GRPC_UNKNOWN };
	MUST(mf_grpc_sync_connect(r->path, MF_GRPC_SYNC_SPIFFE, 5000, &c->s, &err) == MF_OK);
	MUST(mf_grpc_sync_open(c->s, m, &c->st, &err) == MF_OK);
	MUST(mf_grpc_sync_send(c->st, request, &err) == MF_OK);
	MUST(mf_grpc_sync_half_close(c->st, &err) == MF_OK);
}

void
mf_frig_open_on(struct rig_client *like, struct rig_client *c, const struct mf_grpc_method *m)
{
	*c = (struct rig_client) { .r = like->r, .s = like->s, .shared = true, .code = MF_GRPC_UNKNOWN };
	open_call(c, m);
}

void
mf_frig_close(struct rig_client *c)
{
	mf_pb_free(MF_TAKE(c->msg));
	mf_grpc_sync_stream_free(MF_TAKE(c->st));
	if (!c->shared)
		mf_grpc_sync_free(c->s);
	c->s = NULL;
}

/* Something came: a message or the end. */
static bool
poll_client(void *ctx)
{
	struct rig_client *c = ctx;
	struct mf_err err = { 0 };
	ProtobufCMessage *m = NULL;
	if (c->ended)
		return true;
	enum mf_status s = mf_grpc_sync_recv(c->st, 0, &m, &err);
	if (s == MF_E_DEADLINE)
		return false;
	if (s == MF_OK) {
		mf_pb_free(c->msg);
		c->msg = m;
		return true;
	}
	c->ended = true;
	c->code = mf_grpc_sync_code(c->s);
	(void)snprintf(c->text, sizeof(c->text), "%s", err.msg);
	return true;
}

bool
mf_frig_poll(struct rig_client *c)
{
	return poll_client(c);
}

ProtobufCMessage *
mf_frig_next(struct rig_client *c)
{
	return mf_frig_until(c->r, poll_client, c) && !c->ended ? c->msg : NULL;
}

bool
mf_frig_quiet(struct rig_client *c)
{
	for (int i = 0; i < 30; i++) {
		mf_frig_turn(c->r);
		if (poll_client(c))
			return false;
	}
	return true;
}

enum mf_grpc_code
mf_frig_end(struct rig_client *c)
{
	while (!c->ended)
		if (!mf_frig_until(c->r, poll_client, c))
			return MF_GRPC_CODE_COUNT;
	return c->code;
}
