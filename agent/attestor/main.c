/*
 * The attestor's program: descriptors and options from the supervisor, confinement, the loop.
 *
 *   descriptors  control, state, run; cgroup (a directory to stay writable: the cgroup2 tree), join-token, and
 *                x509pop-cert with x509pop-key (files) are optional
 *   options      socket=PATH of the agent's socket; hostname=NAME; cgroup=NAME or absolute path (default
 *                "mayfly"; "none": no cgroups for jobs); legacy-peercred=1 for kernels before 6.5;
 *                caller-check=auto, procfs or legacy
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/attestor/attestor.h"
#include "agent/attestor/node_proof.h"
#include "base/clock.h"
#include "crypto/provider.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"
#include "os/secure_file.h"

static enum mf_status
take_token(struct mf_role *role, struct mf_attestor *a, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	MF_AUTO(mf_join_token_free) struct mf_join_token *token = NULL;
	int fd = mf_role_take_fd(role, "join-token");
	if (fd < 0)
		return MF_OK;
	mf_buf_init(&b, MF_LIM_JOIN_TOKEN + 1);
	enum mf_status s = mf_file_read_all(fd, &b, err);
	(void)close(fd);
	MF_TRY(s);
	struct mf_slice text = mf_buf_slice(&b);
	while (text.n > 0 && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == ' '))
		text.n--;
	MF_TRY(mf_join_token_decode(text, &token, err));
	MF_TRY(mf_attestor_join(a, token, err));
	MF_TAKE(token);
	return MF_OK;
}

static enum mf_status
read_file(struct mf_role *role, const char *name, struct mf_buf *to, struct mf_err *err)
{
	int fd = mf_role_take_fd(role, name);
	enum mf_status s =
	    fd < 0 ? MF_FAIL(err, MF_E_INVALID, "no descriptor %s", name) : mf_file_read_all(fd, to, err);
	if (fd >= 0)
		(void)close(fd);
	return s;
}

static enum mf_status
take_proof(struct mf_role *role, struct mf_attestor *a, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf cert = { 0 }, key = { 0 };
	struct mf_node_proof *proof = NULL;
	if (mf_role_fd(role, "x509pop-cert") < 0)
		return MF_OK;
	mf_buf_init(&cert, MF_LIM_NODE_CA);
	mf_buf_init(&key, 2 * MF_LIM_POP_KEY);
	enum mf_status s = read_file(role, "x509pop-cert", &cert, err);
	if (s == MF_OK)
		s = read_file(role, "x509pop-key", &key, err);
	if (s == MF_OK)
		s = mf_node_proof_new(mf_buf_slice(&cert), mf_buf_slice(&key), &proof, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "join.x509pop");
	mf_attestor_prove(a, proof);
	return MF_OK;
}

static enum mf_status
begin(struct mf_role *role, struct mf_attestor **ret_a, struct mf_err *err)
{
	const char *base = mf_role_opt(role, "cgroup");
	struct mf_attestor_conf conf = { .listen_path = mf_role_opt(role, "socket"),
		.passwd = "/etc/passwd",
		.build_id = mf_build_id(),
		.release = mf_build_version(),
		.hostname = mf_role_opt(role, "hostname"),
		.cgroup_base = base == NULL		   ? "mayfly"
			       : strcmp(base, "none") == 0 ? NULL
							   : base,
		.legacy_peercred = mf_role_opt_u64(role, "legacy-peercred", 0) == 1 };
	mf_crypto_init();
	MF_TRY(mf_role_confine(role, &mf_confinement_attestor, 0, err));
	/* Only now: confinement may have opened them anew under the same numbers. */
	conf.state_fd = mf_role_fd(role, "state");
	conf.run_fd = mf_role_fd(role, "run");
	conf.caller_check = mf_role_opt(role, "caller-check");
	if (conf.listen_path == NULL || conf.state_fd < 0 || conf.run_fd < 0)
		return MF_FAIL(
		    err, MF_E_INVALID, "the supervisor gave no socket path, state or run directory");
	MF_AUTO(mf_attestor_free) struct mf_attestor *a = NULL;
	MF_TRY(mf_attestor_new(&conf, &a, err));
	MF_TRY(take_token(role, a, err));
	MF_TRY(take_proof(role, a, err));
	MF_TRY(mf_role_ready(role, err));
	*ret_a = MF_TAKE(a);
	return MF_OK;
}

/* What the supervisor says. *ret_stop: end in order. */
static enum mf_status
take_control(struct mf_role *role, struct mf_attestor *a, bool *ret_stop, struct mf_err *err)
{
	for (;;) {
		struct mf_control_msg m;
		enum mf_status s = mf_role_next(role, &m, err);
		if (s == MF_E_AGAIN)
			return MF_OK;
		MF_TRY(s);
		if (m.type == MF_CONTROL_STOP) {
			*ret_stop = true;
			return MF_OK;
		}
		s = MF_OK;
		if (m.type == MF_CONTROL_LINK && strcmp(m.text, "agent-front") == 0) {
			s = mf_attestor_link(a, m.fd, err);
			m.fd = s == MF_OK ? -1 : m.fd;
		} else {
			MF_LOG(MF_LOG_WARN, "control.unknown", "not for the attestor", mf_js("name", m.text));
		}
		if (m.fd >= 0)
			(void)close(m.fd);
		MF_TRY(s);
	}
}

static int
wait_ms(uint64_t due_ms)
{
	uint64_t now = mf_now().mono_ms;
	if (due_ms == UINT64_MAX)
		return -1;
	return due_ms <= now ? 0 : due_ms - now > 60000 ? 60000 : (int)(due_ms - now);
}

static enum mf_status
loop(struct mf_role *role, struct mf_attestor *a, struct mf_err *err)
{
	bool stop = false;
	while (!stop) {
		struct mf_attestor_poll want;
		mf_attestor_poll(a, &want);
		struct pollfd p[] = { { .fd = mf_role_control_fd(role), .events = POLLIN },
			{ .fd = want.link_fd,
			    .events = (short)(want.link_writes ? POLLIN | POLLOUT : POLLIN) },
			{ .fd = want.watch_fd, .events = POLLIN } };
		if (poll(p, MF_COUNT(p), wait_ms(want.due_ms)) < 0 && errno != EINTR)
			return MF_FAIL(err, MF_E_IO, "poll: %s", strerror(errno));
		MF_TRY(mf_attestor_turn(a, err));
		if (p[0].revents != 0)
			MF_TRY(take_control(role, a, &stop, err));
	}
	mf_attestor_stop(a);
	return MF_OK;
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_role_free) struct mf_role *role = NULL;
	MF_AUTO(mf_attestor_free) struct mf_attestor *a = NULL;
	enum mf_status s = mf_role_start(argc, argv, "attestor", mf_build_id(), &role, &err);
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.refused", "the attestor does not start", &err);
		return MF_ROLE_EXIT_REFUSED;
	}
	s = begin(role, &a, &err);
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "role.failed", "the attestor does not start", &err);
		return s == MF_E_CORRUPT || s == MF_E_DENIED || s == MF_E_INVALID ? MF_ROLE_EXIT_REFUSED
										  : MF_ROLE_EXIT_FAILED;
	}
	s = loop(role, a, &err);
	if (s != MF_OK && s != MF_E_CLOSED)
		mf_jlog_err(MF_LOG_ERROR, "role.failed", "the attestor ends", &err);
	return s == MF_OK ? MF_ROLE_EXIT_OK : MF_ROLE_EXIT_FAILED;
}
