/*
 * agent-front: the agent's exposed role. See agent/front/front.h for what it does; here are its descriptors, options,
 * confinement and end.
 *
 *   descriptors  workload  listening Unix socket of the jobs (SO_PASSCRED, SO_PASSPIDFD set)
 *                metrics   listening TCP socket of /metrics, /healthz, /readyz; may be absent
 *                cloud, cloud-key, cloud-diag  of the cloud endpoint (agent/cloud_socket.h); may be absent
 *   link         attestor  by the control channel, each time anew
 *                resolver  likewise, one for each look-up of the broker's name
 *   options      trust_domain, broker_address (name:port; IP:port, or several with commas), ca_pin (64 hex; absent: the node has joined
 *                before), hold_ms, request_timeout_ms, connect_timeout_ms, reconnect_min_ms, reconnect_max_ms,
 *                refusal_ms, adopt_ms, max_instances, conns_per_uid, streams_per_conn, stop_ms, caller_check
 */
#include <signal.h>
#include <unistd.h>

#include "agent/front/cloud_secret.h"
#include "agent/front/front.h"
#include "base/secret.h"
#include "base/text.h"
#include "codec/spiffe_id.h"
#include "crypto/provider.h"
#include "net/http_status.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"

#define STOP_MS 3000u

struct process {
	struct mf_role *role;
	struct mf_loop *loop;
	struct mf_loop_signal *term;
	struct mf_loop_fd *control;
	struct mf_front *front;
	struct mf_http_status *http;
	uint8_t pin[32];
	uint8_t cloud_key[MF_CLOUD_KEY];
	uint64_t stop_ms;
	int code;
};

static void
leave(struct process *p, int code)
{
	p->code = code;
	mf_loop_stop(p->loop);
}

static void
on_stopped(void *ctx)
{
	leave(ctx, MF_ROLE_EXIT_OK);
}

static void
stop(struct process *p)
{
	if (p->front == NULL)
		leave(p, MF_ROLE_EXIT_OK);
	else
		mf_front_stop(p->front, p->stop_ms, on_stopped, p);
}

static void
on_term(void *ctx, int signo)
{
	MF_UNUSED(signo);
	stop(ctx);
}

static enum mf_status
start_resolver(void *ctx, struct mf_err *err)
{
	return mf_role_ask_helper(((struct process *)ctx)->role, "resolver", err);
}

static void
on_link(struct process *p, const struct mf_control_msg *m)
{
	struct mf_err err = { 0 };
	if (strcmp(m->text, "resolver") == 0) {
		mf_front_resolver(p->front, m->fd);
		return;
	}
	if (strcmp(m->text, "attestor") != 0) {
		MF_LOG(MF_LOG_WARN, "role.unknown_link", "a link that this role has no use for",
		    mf_js("name", m->text));
		if (m->fd >= 0)
			(void)close(m->fd);
		return;
	}
	if (mf_front_link(p->front, m->fd, &err) != MF_OK)
		mf_jlog_err(
		    MF_LOG_ERROR, "attestor.no_link", "the link to the attestor could not be taken", &err);
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
		if (m.type == MF_CONTROL_LINK) {
			on_link(p, &m);
		} else if (m.type == MF_CONTROL_STOP) {
			stop(p);
		} else if (m.fd >= 0) {
			(void)close(m.fd); /* a reloaded file: this role has none */
		}
	}
	if (s == MF_E_AGAIN)
		return;
	mf_jlog_err(MF_LOG_WARN, "role.supervisor_gone", "the control channel is over", &err);
	leave(p, MF_ROLE_EXIT_FAILED);
}

static enum mf_status
read_pin(struct process *p, struct mf_slice *ret_pin, struct mf_err *err)
{
	const char *text = mf_role_opt(p->role, "ca_pin");
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, sizeof(p->pin));
	*ret_pin = mf_slice(NULL, 0);
	if (text == NULL || text[0] == '\0')
		return MF_OK;
	MF_TRY(mf_hex_get(mf_slice_str(text), &b, err));
	if (b.n != sizeof(p->pin))
		return MF_FAIL(err, MF_E_INVALID, "ca_pin: %zu bytes, not %zu", b.n, sizeof(p->pin));
	memcpy(p->pin, b.p, b.n);
	*ret_pin = mf_slice(p->pin, sizeof(p->pin));
	return MF_OK;
}

/* Everything that comes from outside, before the confinement. */
static enum mf_status
read_options(struct process *p, struct mf_front_config *cfg, struct mf_err *err)
{
	const char *td = mf_role_opt(p->role, "trust_domain"),
		   *broker = mf_role_opt(p->role, "broker_address");
	if (td == NULL || broker == NULL)
		return MF_FAIL(err, MF_E_INVALID, "options trust_domain and broker_address are needed");
	MF_TRY(mf_trust_domain_check_strict(mf_slice_str(td), err));
	MF_TRY(mf_front_address_parse(broker, &cfg->broker, err));
	cfg->build_id = mf_build_id();
	cfg->start_resolver = start_resolver;
	cfg->resolver_ctx = p;
	cfg->trust_domain = td;
	MF_TRY(read_pin(p, &cfg->ca_pin, err));
	cfg->hold_ms = mf_role_opt_u64(p->role, "hold_ms", 0);
	cfg->answer_ms = mf_role_opt_u64(p->role, "request_timeout_ms", 0);
	cfg->connect_ms = mf_role_opt_u64(p->role, "connect_timeout_ms", 0);
	cfg->retry_ms = mf_role_opt_u64(p->role, "reconnect_min_ms", 0);
	cfg->retry_max_ms = mf_role_opt_u64(p->role, "reconnect_max_ms", 0);
	cfg->max_instances = (size_t)mf_role_opt_u64(p->role, "max_instances", 0);
	cfg->refusal_ms = mf_role_opt_u64(p->role, "refusal_ms", 0);
	cfg->adopt_ms = mf_role_opt_u64(p->role, "adopt_ms", 0);
	cfg->conns_per_uid = (uint32_t)mf_role_opt_u64(p->role, "conns_per_uid", 0);
	const char *check = mf_role_opt(p->role, "caller_check");
	cfg->no_pidfds = check != NULL && strcmp(check, "legacy") == 0;
	cfg->no_known = check != NULL && strcmp(check, "auto") != 0;
	cfg->streams_per_conn = (uint32_t)mf_role_opt_u64(p->role, "streams_per_conn", 0);
	p->stop_ms = mf_role_opt_u64(p->role, "stop_ms", STOP_MS);
	if (mf_role_fd(p->role, "workload") < 0)
		return MF_FAIL(err, MF_E_STATE, "descriptor \"workload\" is missing");
	return MF_OK;
}

/* Read where it stands: the descriptor is shared with every front before and after us. */
static enum mf_status
take_cloud(struct process *p, struct mf_front_config *cfg, struct mf_err *err)
{
	int key = mf_role_fd(p->role, "cloud-key");
	if (mf_role_fd(p->role, "cloud") < 0)
		return MF_OK;
	if (key < 0 || mf_role_fd(p->role, "cloud-diag") < 0 ||
	    pread(key, p->cloud_key, sizeof(p->cloud_key), 0) != (ssize_t)sizeof(p->cloud_key))
		return MF_FAIL(
		    err, MF_E_STATE, "descriptors \"cloud-key\" and \"cloud-diag\" go with \"cloud\"");
	cfg->cloud = true;
	cfg->cloud_key = p->cloud_key;
	cfg->cloud_diag_fd = mf_role_fd(p->role, "cloud-diag");
	cfg->cloud_fd = mf_role_take_fd(p->role, "cloud");
	return MF_OK;
}

static enum mf_status
serve(struct process *p, struct mf_front_config *cfg, struct mf_err *err)
{
	cfg->loop = p->loop;
	MF_TRY(take_cloud(p, cfg, err));
	cfg->workload_fd = mf_role_take_fd(p->role, "workload");
	MF_TRY(mf_front_new(cfg, &p->front, err));
	int metrics = mf_role_fd(p->role, "metrics");
	if (metrics >= 0) {
		MF_TRY(mf_http_status_new(
		    p->loop, metrics, mf_front_pages(p->front), MF_FRONT_PAGES, &p->http, err));
		(void)mf_role_take_fd(p->role, "metrics");
	}
	MF_TRY(mf_loop_fd_new(
	    p->loop, mf_role_control_fd(p->role), MF_LOOP_READ, on_control, p, &p->control, err));
	MF_TRY(mf_role_ready(p->role, err));
	return mf_loop_run(p->loop, err);
}

static enum mf_status
start(struct process *p, int argc, char **argv, struct mf_front_config *cfg, struct mf_err *err)
{
	MF_TRY(mf_role_start(argc, argv, "agent-front", mf_build_id(), &p->role, err));
	MF_TRY(read_options(p, cfg, err));
	mf_crypto_init();
	/* The table has no signalfd: made before it. */
	MF_TRY(mf_loop_new(&p->loop, err));
	MF_TRY(mf_loop_signal_new(p->loop, SIGTERM, on_term, p, &p->term, err));
	return mf_role_confine(p->role, &mf_confinement_agent_front, cfg->broker.port, err);
}

static void
process_fini(struct process *p)
{
	mf_loop_fd_free(p->control);
	mf_loop_signal_free(p->term);
	mf_http_status_free(p->http);
	mf_front_free(p->front);
	mf_wipe(p->cloud_key, sizeof(p->cloud_key));
	mf_loop_free(p->loop);
	mf_role_free(p->role);
}

int
main(int argc, char **argv)
{
	struct process p = { .code = MF_ROLE_EXIT_FAILED };
	struct mf_front_config cfg = { 0 };
	struct mf_err err = { 0 };
	enum mf_status s = start(&p, argc, argv, &cfg, &err);
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.refused", "agent-front cannot start", &err);
		process_fini(&p);
		return MF_ROLE_EXIT_REFUSED;
	}
	if (serve(&p, &cfg, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.failed", "agent-front ends", &err);
		p.code = MF_ROLE_EXIT_FAILED;
	}
	process_fini(&p);
	return p.code;
}
