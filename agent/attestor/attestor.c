#include "agent/attestor/attestor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/attestor/attestor_internal.h"
#include "agent/attestor/node_proof.h"
#include "agent/attestor/pidfd.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "os/jlog.h"

#define MESSAGES_PER_TURN 256
#define STALE_MS 500u /* of the instances' file, in what it may be behind */

void
mf_attestor_key(const struct mf_attestor *a, const struct mf_instance *i, struct mf_buf *to)
{
	mf_instance_key_put(to, i, mf_slice_str(a->trust.node_id));
}

void
mf_attestor_tell(struct mf_attestor *a, uint16_t type, const ProtobufCMessage *msg)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	if (a->link == NULL || a->link_broken ||
	    (a->link_state != MF_LINK_OPEN && type != MF_MSG_ATTESTOR_HELLO))
		return; /* a new front asks anew */
	mf_buf_init(&b, MF_PACKET_PAYLOAD_MAX);
	enum mf_status s = mf_role_encode(&mf_link_agent, MF_LINK_INNER, type, msg, false, &b, &err);
	if (s == MF_OK)
		s = mf_seqpacket_queue(a->link, type, mf_buf_slice(&b), -1, &err);
	if (s == MF_OK)
		return;
	/* What the front does not hear it would do wrong: a removal too. Better no front. */
	mf_jlog_err(MF_LOG_ERROR, "link.send", "the front's link is given up", &err);
	a->link_broken = true;
}

void
mf_attestor_flush(struct mf_attestor *a)
{
	struct mf_err why = { 0 };
	if (a->link == NULL || a->link_broken || mf_seqpacket_flush(a->link, &why) == MF_OK)
		return;
	mf_jlog_err(MF_LOG_WARN, "link.lost", "the front's link ends", &why);
	a->link_broken = true; /* dropped at the end of the turn */
}

static enum mf_status
read_boot_id(int proc_fd, char ret_boot[MF_BOOT_ID_LEN + 1], struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, 256);
	struct mf_slice line = { 0 };
	MF_TRY(mf_procfile_read(proc_fd, "sys/kernel/random/boot_id", &b, err));
	struct mf_slice rest = mf_buf_slice(&b);
	if (!mf_procfile_line(&rest, &line) || line.n != MF_BOOT_ID_LEN)
		return MF_FAIL(err, MF_E_IO, "boot_id is not what it should be");
	memcpy(ret_boot, line.p, line.n);
	ret_boot[line.n] = '\0';
	return MF_OK;
}

static enum mf_status
open_kernel(struct mf_attestor *a, const struct mf_attestor_conf *conf, struct mf_err *err)
{
	a->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a->proc_fd < 0)
		return MF_FAIL(err, MF_E_IO, "open /proc: mount it");
	struct mf_err why = { 0 };
	if (mf_cgroup_fs_open(a->proc_fd, &a->cgroups, &why) != MF_OK) {
		mf_jlog_err(MF_LOG_WARN, "cgroup.none", "jobs are told apart by process only", &why);
		a->cgroups = NULL;
	} else if (conf->cgroup_base != NULL &&
		   mf_cgroup_base(a->cgroups, conf->cgroup_base, &why) != MF_OK) {
		mf_jlog_err(MF_LOG_WARN, "cgroup.no_base", "mayfly run gets no cgroups here", &why);
	}
	MF_TRY(mf_peer_env_init(&a->env, a->listen_path, a->proc_fd, a->cgroups, err));
	const char *check = conf->caller_check == NULL ? "auto" : conf->caller_check;
	a->env.no_peerpidfd = strcmp(check, "legacy") == 0;
	a->env.no_ioctl = a->env.no_peerpidfd || strcmp(check, "procfs") == 0;
	a->env.legacy_peercred = conf->legacy_peercred || a->env.no_peerpidfd;
	if (a->env.no_ioctl)
		MF_LOG(MF_LOG_WARN, "caller_check", "callers are looked at as on an older kernel",
		    mf_js("caller_check", check));
	return mf_users_open(conf->passwd, &a->users, err);
}

/* Agents of one machine may share a base: each has its own names below it, by its key. */
static enum mf_status
name_runs(struct mf_attestor *a, struct mf_err *err)
{
	uint8_t pub[MF_X25519_SIZE], sum[MF_SHA256_SIZE];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, sizeof(a->run_prefix) - 1);
	mf_x25519_public(a->key, pub);
	mf_sha256(mf_slice(pub, sizeof(pub)), sum);
	mf_buf_put_str(&b, "run-");
	mf_base32_put(&b, mf_slice(sum, 5));
	mf_buf_put_u8(&b, '-');
	MF_TRY(mf_buf_check(&b, err));
	memcpy(a->run_prefix, b.p, b.n);
	return MF_OK;
}

static enum mf_status
open_store(struct mf_attestor *a, struct mf_err *err)
{
	char boot[MF_BOOT_ID_LEN + 1];
	bool lost = false;
	MF_TRY(mf_store_key(a->state_fd, &a->key, err));
	MF_TRY(name_runs(a, err));
	MF_TRY(mf_store_read_session(a->state_fd, a->session_value, &a->have_session_value, err));
	enum mf_status s = mf_store_read_trust(a->state_fd, &a->trust, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	MF_TRY(read_boot_id(a->proc_fd, boot, err));
	MF_TRY(mf_store_read_instances(a->run_fd, boot, &a->table, &lost, err));
	if (lost)
		MF_LOG(MF_LOG_ERROR, "instances.unreadable",
		    "the table of instances could not be read: it starts empty");
	return MF_OK;
}

static char *
copy(const char *s)
{
	return mf_slice_dup_str(mf_slice_str(s == NULL ? "" : s));
}

enum mf_status
mf_attestor_new(const struct mf_attestor_conf *conf, struct mf_attestor **ret_a, struct mf_err *err)
{
	MF_AUTO(mf_attestor_free) struct mf_attestor *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	a->proc_fd = a->sim_fd = -1;
	a->sim_due_ms = UINT64_MAX;
	a->state_fd = conf->state_fd;
	a->run_fd = conf->run_fd;
	a->sweep_ms = a->stale_ms = UINT64_MAX;
	mf_trust_init(&a->trust);
	mf_buf_init(&a->document, MF_LIM_BUNDLE_DER);
	mf_documents_init(a);
	a->listen_path = copy(conf->listen_path);
	a->build_id = copy(conf->build_id);
	a->release = copy(conf->release);
	a->hostname = copy(conf->hostname);
	if (a->listen_path == NULL || a->build_id == NULL || a->release == NULL || a->hostname == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "attestor: out of memory");
	MF_TRY(open_kernel(a, conf, err));
	MF_TRY(open_store(a, err));
	MF_TRY(mf_watch_set_new(mf_life_on_watch, a, &a->watches, err));
	MF_TRY(mf_ic_new(&mf_session_ops, a, a->table, &a->ic, err));
	mf_adopt_all(a);
	mf_sim_open(a);
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

static void
drop_link(struct mf_attestor *a)
{
	if (a->link == NULL)
		return;
	mf_seqpacket_free(a->link);
	a->link = NULL;
	a->link_state = MF_LINK_HELLO;
	a->link_broken = false;
	mf_serve_drop_conns(a);
	mf_starts_drop(a);
	mf_session_drop(a, "the front is gone", false);
}

void
mf_attestor_stale(struct mf_attestor *a)
{
	if (a->stale_ms == UINT64_MAX)
		a->stale_ms = mf_now().mono_ms + STALE_MS;
}

static void
save(struct mf_attestor *a, struct mf_now now)
{
	struct mf_err err = { 0 };
	if (!a->dirty && now.mono_ms < a->stale_ms)
		return;
	a->dirty = true;
	a->stale_ms = UINT64_MAX;
	/* A removal never waits: without its file it goes out all the same, and is tried again next turn. */
	if (mf_store_write_instances(a->run_fd, a->table, &err) == MF_OK)
		a->dirty = false;
	else
		mf_jlog_err(MF_LOG_ERROR, "instances.store", "the table of instances was not stored", &err);
}

void
mf_attestor_stop(struct mf_attestor *a)
{
	mf_life_sweep(a);
	a->dirty = a->dirty || a->stale_ms != UINT64_MAX;
	save(a, mf_now());
}

void
mf_attestor_free(struct mf_attestor *a)
{
	if (a == NULL)
		return;
	mf_seqpacket_free(a->link);
	a->link = NULL;
	mf_serve_drop_conns(a);
	while (a->starts != NULL) {
		struct mf_start *s = a->starts;
		HASH_DELETE(hh, a->starts, s);
		mf_fd_close(&s->runner);
		free(s);
	}
	mf_noise_free(a->noise);
	mf_inner_free(a->inner);
	mf_ic_free(a->ic);
	if (a->table != NULL) {
		MF_INSTANCES_EACH(i, a->table)
		{
			struct mf_live *l = i->owner;
			if (l != NULL) {
				mf_watch_del(l->watch);
				mf_cgroup_fini(&l->cgroup);
				free(l);
			}
		}
	}
	mf_watch_set_free(a->watches);
	mf_instances_free(a->table);
	mf_users_free(a->users);
	mf_cgroup_fs_free(a->cgroups);
	mf_x25519_free(a->key);
	mf_join_token_free(a->token);
	mf_node_proof_free(a->proof);
	mf_trust_fini(&a->trust);
	mf_buf_fini(&a->document);
	mf_documents_fini(a);
	mf_mint_drop_all(a);
	mf_wipe(a->session_value, sizeof(a->session_value));
	mf_fd_close(&a->proc_fd);
	mf_fd_close(&a->sim_fd);
	free(a->listen_path);
	free(a->build_id);
	free(a->release);
	free(a->hostname);
	free(a);
}

enum mf_status
mf_attestor_join(struct mf_attestor *a, struct mf_join_token *token, struct mf_err *err)
{
	const struct mf_join_public *pub = mf_join_token_public(token);
	bool same = strcmp(a->trust.trust_domain, pub->trust_domain) == 0 &&
		    strcmp(a->trust.broker_id, pub->broker_id) == 0 &&
		    memcmp(a->trust.notary_key, pub->notary_key, sizeof(pub->notary_key)) == 0;
	if (!same) {
		mf_trust_from_token(&a->trust, pub);
		a->have_session_value = false; /* of another broker */
		MF_TRY(mf_store_write_trust(a->state_fd, &a->trust, err));
	}
	mf_join_token_free(MF_TAKE(a->token));
	if (mf_join_token_is_public(token))
		mf_join_token_free(token); /* it lets nobody in */
	else
		a->token = token;
	return MF_OK;
}

void
mf_attestor_prove(struct mf_attestor *a, struct mf_node_proof *proof)
{
	mf_node_proof_free(a->proof);
	a->proof = proof;
}

enum mf_status
mf_attestor_link(struct mf_attestor *a, int fd, struct mf_err *err)
{
	struct mf_seqpacket *link = NULL;
	MF_TRY(mf_seqpacket_new(fd, MF_ATTESTOR_LINK_QUEUE, &link, err));
	drop_link(a);
	a->link = link;
	Mayfly__Roles__V1__AttestorHello m = MAYFLY__ROLES__V1__ATTESTOR_HELLO__INIT;
	m.build_id = a->build_id;
	m.node_id = a->trust.node_id;
	m.trust_domain = a->trust.trust_domain;
	mf_attestor_tell(a, MF_MSG_ATTESTOR_HELLO, &m.base);
	return MF_OK;
}

static enum mf_status
front_hello(struct mf_attestor *a, const Mayfly__Roles__V1__AgentFrontHello *m, struct mf_err *err)
{
	if (strcmp(m->build_id, a->build_id) != 0)
		return MF_FAIL(err, MF_E_UNSUPPORTED,
		    "the front is of build %s, we are of %s: restart the agent", m->build_id, a->build_id);
	a->link_state = MF_LINK_OPEN;
	mf_session_greet_front(a);
	return MF_OK;
}

/* One message that the table let in. ${fd} stays the channel's. */
static enum mf_status
dispatch(struct mf_attestor *a, uint16_t type, const ProtobufCMessage *msg, int fd, struct mf_err *err)
{
	const void *m = msg;
	switch ((enum mf_agent_msg)type) {
	case MF_MSG_AGENT_FRONT_HELLO:
		return front_hello(a, m, err);
	case MF_MSG_WHO_IS:
		mf_serve_who_is(a, m, fd);
		break;
	case MF_MSG_SENDER_IS:
		mf_serve_sender_is(a, m, fd);
		break;
	case MF_MSG_CONN_GONE:
		mf_serve_conn_gone(a, m);
		break;
	case MF_MSG_ATTACH_INSTANCE:
		mf_serve_attach(a, m);
		break;
	case MF_MSG_RENEW_INSTANCE:
		mf_serve_renew(a, m);
		break;
	case MF_MSG_MINT_INSTANCE_JWT:
		mf_mint_ask(a, m);
		break;
	case MF_MSG_MINT_INSTANCE_CLOUD:
		mf_cloud_ask(a, m);
		break;
	case MF_MSG_FIND_PEER:
		mf_cloud_find_peer(a, m);
		break;
	case MF_MSG_EXPLAIN_JOB:
		mf_explain_ask(a, m);
		break;
	case MF_MSG_START_JOB:
		mf_starts_start(a, m);
		break;
	case MF_MSG_PLACE_CHILD:
		mf_starts_place(a, m);
		break;
	case MF_MSG_RUNNER_GONE:
		mf_starts_gone(a, m);
		break;
	case MF_MSG_OUTER_OPENED:
		mf_session_opened(a, m);
		break;
	case MF_MSG_OUTER_DATA:
		mf_session_data(a, m);
		break;
	case MF_MSG_OUTER_CLOSED:
		mf_session_closed(a, m);
		break;
	case MF_MSG_OUTER_KEY:
		mf_session_outer_key(a, m);
		break;
	case MF_MSG_DOCUMENT_SEEN:
		mf_session_document(a, m);
		break;
	case MF_MSG_OUTER_CREDIT:
		mf_session_credit(a, m);
		break;
	default:
		return MF_FAIL(err, MF_E_INTERNAL, "message %u is in the table and nowhere else", type);
	}
	return MF_OK;
}

/* A link on which something came that may not come is closed; the supervisor makes a new one. */
static void
read_link(struct mf_attestor *a)
{
	struct mf_packet p;
	struct mf_err err = { 0 };
	enum mf_status s = MF_OK;
	for (int n = 0; n < MESSAGES_PER_TURN && a->link != NULL && s == MF_OK; n++) {
		MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
		const struct mf_role_msg *row = NULL;
		s = mf_seqpacket_recv(a->link, &p, &err);
		if (s == MF_E_AGAIN)
			return;
		if (s == MF_OK)
			s = mf_role_decode(&mf_link_agent, MF_LINK_INNER, a->link_state, p.type, p.payload,
			    p.fd >= 0, &row, &msg, &err);
		if (s == MF_OK)
			s = dispatch(a, p.type, msg, p.fd, &err);
	}
	if (s == MF_OK)
		return;
	mf_jlog_err(
	    s == MF_E_CLOSED ? MF_LOG_WARN : MF_LOG_ERROR, "link.lost", "the front's link ends", &err);
	a->link_broken = true;
}

enum mf_status
mf_attestor_turn(struct mf_attestor *a, struct mf_err *err)
{
	MF_TRY(mf_watch_run(a->watches, err)); /* ends first */
	if (a->link != NULL)
		read_link(a);
	struct mf_now now = mf_now();
	mf_ic_tick(a->ic, now);
	mf_sim_turn(a, now);
	if (now.mono_ms >= a->sweep_ms)
		mf_life_sweep(a);
	/* The session's own clock begins with its first message: whoever carries the handshake may have lost it. */
	if (a->noise != NULL && now.mono_ms >= a->handshake_ms)
		a->close_reason = "the broker did not answer the handshake in time";
	save(a, now);
	if (a->close_reason != NULL)
		mf_session_drop(a, a->close_reason, true);
	mf_session_pump(a);
	mf_attestor_flush(a);
	if (a->link_broken)
		drop_link(a);
	return MF_OK;
}

void
mf_attestor_poll(const struct mf_attestor *a, struct mf_attestor_poll *ret_p)
{
	*ret_p = (struct mf_attestor_poll) { .link_fd = a->link == NULL ? -1 : mf_seqpacket_fd(a->link),
		.watch_fd = mf_watch_set_fd(a->watches),
		.link_writes = a->link != NULL && mf_seqpacket_wants_write(a->link),
		.due_ms = mf_ic_due(a->ic) };
	if (a->noise != NULL && a->handshake_ms < ret_p->due_ms)
		ret_p->due_ms = a->handshake_ms;
	if (a->sim_due_ms < ret_p->due_ms)
		ret_p->due_ms = a->sim_due_ms;
	if (a->sweep_ms < ret_p->due_ms)
		ret_p->due_ms = a->sweep_ms;
	if (a->stale_ms < ret_p->due_ms)
		ret_p->due_ms = a->stale_ms;
	if (a->dirty && mf_now().mono_ms + 1000 < ret_p->due_ms)
		ret_p->due_ms = mf_now().mono_ms + 1000; /* the disk was full */
}

const struct mf_instances *
mf_attestor_instances(const struct mf_attestor *a)
{
	return a->table;
}

bool
mf_attestor_ready(const struct mf_attestor *a)
{
	return mf_ic_phase(a->ic) == MF_IC_READY;
}
