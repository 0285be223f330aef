/*
 * verifier: a helper of mayfly-broker, one process for each evidence (docs/internals/protocols.md).
 *
 *   descriptor  notary: its only socket
 *
 * It says hello, reads what the notary sent, answers once, and ends. The end of the socket is its end.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/limits.h"
#include "broker/verifier/judge.h"
#include "crypto/provider.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"

static enum mf_status
say(struct mf_seqpacket *link, uint16_t type, struct mf_slice payload, struct mf_err *err)
{
	MF_TRY(mf_seqpacket_queue(link, type, payload, -1, err));
	return mf_seqpacket_flush(link, err);
}

static enum mf_status
hello(struct mf_seqpacket *link, struct mf_err *err)
{
	Mayfly__Roles__V1__VerifierHello h = MAYFLY__ROLES__V1__VERIFIER_HELLO__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	char build[MF_CONTROL_TEXT_MAX];
	mf_buf_init(&b, 512);
	size_t n = strlen(mf_build_id());
	n = n < sizeof(build) ? n : sizeof(build) - 1;
	memcpy(build, mf_build_id(), n);
	build[n] = '\0';
	h.build_id = build;
	MF_TRY(
	    mf_role_encode(&mf_link_verifier, MF_LINK_FRONT, MF_MSG_VERIFIER_HELLO, &h.base, false, &b, err));
	return say(link, MF_MSG_VERIFIER_HELLO, mf_buf_slice(&b), err);
}

static enum mf_status
serve(struct mf_seqpacket *link, struct mf_err *err)
{
	MF_AUTO(mf_judge_free) struct mf_judge *v = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf answer;
	mf_buf_init(&answer, MF_LIM_IPC_MESSAGE);
	MF_TRY(mf_judge_new(&v, err));
	MF_TRY(hello(link, err));
	for (bool done = false; !done;) {
		struct mf_packet p;
		struct pollfd wait = { mf_seqpacket_fd(link), POLLIN, 0 };
		enum mf_status s = mf_seqpacket_recv(link, &p, err);
		if (s == MF_E_AGAIN && (poll(&wait, 1, -1) >= 0 || errno == EINTR))
			continue;
		MF_TRY(s);
		MF_TRY(mf_judge_take(v, p.type, p.payload, p.fd >= 0, &done, &answer, err));
	}
	return say(link, MF_MSG_VERIFIED, mf_buf_slice(&answer), err);
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_role_free) struct mf_role *role = NULL;
	MF_AUTO(mf_seqpacket_free) struct mf_seqpacket *link = NULL;
	enum mf_status s = mf_helper_start(argc, argv, "verifier", mf_build_id(), &role, &err);
	if (s == MF_OK) {
		mf_crypto_init();
		s = mf_seqpacket_new(mf_role_take_fd(role, "notary"), MF_LIM_IPC_MESSAGE * 2, &link, &err);
	}
	if (s == MF_OK)
		s = mf_role_confine(role, &mf_confinement_verifier, 0, &err);
	if (s == MF_OK)
		s = serve(link, &err);
	if (s == MF_OK || s == MF_E_CLOSED) /* closed: the notary has given up on it */
		return MF_ROLE_EXIT_OK;
	mf_jlog_err(MF_LOG_WARN, "verifier.failed", "evidence was not judged", &err);
	return MF_ROLE_EXIT_FAILED;
}
