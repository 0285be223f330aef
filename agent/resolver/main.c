/*
 * resolver: a helper of mayfly-agent, one process for each question: which addresses has the broker's name now?
 *
 *   descriptor  agent-front: its only link
 *
 * It says hello, reads the question, answers once, and ends. The end of the link is its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "agent/resolver/answer.h"
#include "base/limits.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"

#include "roles.pb-c.h"

#define DNS_PORT 53u

/* What libc reads, opened before the confinement names it. A directory that is not there is not needed. */
static enum mf_status
open_files(struct mf_role *role, struct mf_err *err)
{
	static const struct {
		const char *name, *path;
	} dirs[] = { { "etc", "/etc" }, { "run", "/run" } };
	for (size_t i = 0; i < MF_COUNT(dirs); i++) {
		int fd = open(dirs[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			MF_TRY(mf_role_add_fd(role, dirs[i].name, fd, err));
	}
	return MF_OK;
}

static enum mf_status
say(struct mf_seqpacket *link, uint16_t type, struct mf_slice payload, struct mf_err *err)
{
	MF_TRY(mf_seqpacket_queue(link, type, payload, -1, err));
	return mf_seqpacket_flush(link, err);
}

static enum mf_status
hello(struct mf_seqpacket *link, struct mf_err *err)
{
	Mayfly__Roles__V1__ResolverHello h = MAYFLY__ROLES__V1__RESOLVER_HELLO__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 512);
	h.build_id = (char *)(uintptr_t)mf_build_id(); /* packing reads only */
	MF_TRY(
	    mf_role_encode(&mf_link_resolver, MF_LINK_FRONT, MF_MSG_RESOLVER_HELLO, &h.base, false, &b, err));
	return say(link, MF_MSG_RESOLVER_HELLO, mf_buf_slice(&b), err);
}

static enum mf_status
serve(struct mf_seqpacket *link, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf answer;
	mf_buf_init(&answer, MF_LIM_IPC_MESSAGE);
	MF_TRY(hello(link, err));
	for (;;) {
		struct mf_packet p;
		struct pollfd wait = { mf_seqpacket_fd(link), POLLIN, 0 };
		enum mf_status s = mf_seqpacket_recv(link, &p, err);
		if (s == MF_E_AGAIN && (poll(&wait, 1, -1) >= 0 || errno == EINTR))
			continue;
		MF_TRY(s);
		MF_TRY(mf_resolver_answer(p.type, p.payload, p.fd >= 0, &answer, err));
		return say(link, MF_MSG_RESOLVED, mf_buf_slice(&answer), err);
	}
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	MF_AUTO(mf_role_free) struct mf_role *role = NULL;
	MF_AUTO(mf_seqpacket_free) struct mf_seqpacket *link = NULL;
	enum mf_status s = mf_helper_start(argc, argv, "resolver", mf_build_id(), &role, &err);
	if (s == MF_OK)
		s = mf_seqpacket_new(
		    mf_role_take_fd(role, "agent-front"), MF_LIM_IPC_MESSAGE * 2, &link, &err);
	if (s == MF_OK)
		s = open_files(role, &err);
	if (s == MF_OK)
		s = mf_role_confine(role, &mf_confinement_resolver, DNS_PORT, &err);
	if (s == MF_OK)
		s = serve(link, &err);
	if (s == MF_OK || s == MF_E_CLOSED) /* closed: the front has given up on it */
		return MF_ROLE_EXIT_OK;
	mf_jlog_err(MF_LOG_WARN, "resolver.failed", "the broker's name was not looked up", &err);
	return MF_ROLE_EXIT_FAILED;
}
