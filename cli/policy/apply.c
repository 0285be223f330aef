/*
 * mayfly policy apply, reload. A policy reaches the notary as a file that the supervisor opens: apply checks FILE, puts it
 * where the supervisor looks, atomically and keeping the former, and asks for a reload. What the broker does not take is
 * taken back.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "base/text.h"
#include "cli/policy/tool.h"
#include "crypto/hash.h"
#include "os/secure_file.h"
#include "rpc/grpc_sync.h"

#define ADMIN_SOCKET "/run/mayfly/admin.sock"
#define PATH_MAX_BYTES 4096

static const struct mf_grpc_method get_policy = { .path = "/mayfly.admin.v1.Admin/GetPolicy",
	.request = &mayfly__admin__v1__get_policy_request__descriptor,
	.response = &mayfly__admin__v1__policy__descriptor };
static const struct mf_grpc_method reload_policy = { .path = "/mayfly.admin.v1.Admin/ReloadPolicy",
	.request = &mayfly__admin__v1__reload_policy_request__descriptor,
	.response = &mayfly__admin__v1__policy__descriptor };

static int
exit_of(enum mf_status s)
{
	return s == MF_E_UNAVAILABLE || s == MF_E_DEADLINE || s == MF_E_CLOSED || s == MF_E_AGAIN
		   ? TOOL_UNREACHABLE
		   : TOOL_FAILED;
}

static int
connect_admin(const struct mf_tool_opts *o, struct mf_grpc_sync **ret_s)
{
	const char *env = getenv("MAYFLY_ADMIN_SOCKET");
	const char *path = o->admin_socket != NULL	 ? o->admin_socket
			   : env != NULL && *env != '\0' ? env
							 : ADMIN_SOCKET;
	struct mf_err err = { 0 };
	enum mf_status s = mf_grpc_sync_connect(path, 0, o->timeout_ms, ret_s, &err);
	return s == MF_OK ? TOOL_OK
			  : mf_tool_say(exit_of(s),
				"no broker (start mayfly-broker, or set MAYFLY_ADMIN_SOCKET): %s", err.msg);
}

static int
ask(struct mf_grpc_sync *s, const struct mf_grpc_method *m, const ProtobufCMessage *q,
    ProtobufCMessage **ret_p)
{
	struct mf_err err = { 0 };
	enum mf_status st = mf_grpc_sync_unary(s, m, q, ret_p, &err);
	return st == MF_OK ? TOOL_OK : mf_tool_say(exit_of(st), "%s", err.msg);
}

/* A reload of the file with this digest and no other. */
struct request {
	Mayfly__Admin__V1__ReloadPolicyRequest q;
	char sha256[65];
};

static void
request_for(struct request *r, struct mf_slice text)
{
	uint8_t sha[32];
	mf_sha256(text, sha);
	for (size_t i = 0; i < sizeof(sha); i++)
		(void)snprintf(r->sha256 + 2 * i, 3, "%02x", sha[i]);
	r->q = (Mayfly__Admin__V1__ReloadPolicyRequest)MAYFLY__ADMIN__V1__RELOAD_POLICY_REQUEST__INIT;
	r->q.sha256 = r->sha256;
}

/* *ret_written: the request went into a file, and nothing is to be done. */
static int
sign(const struct mf_tool_opts *o, struct mf_grpc_sync *s, const struct request *r, bool *ret_written)
{
	struct mf_err err = { 0 };
	enum mf_status st = mf_sign_act(&o->sign, s, &r->q.base, ret_written, &err);
	if (st != MF_OK)
		return mf_tool_say(exit_of(st), "%s", err.msg);
	if (*ret_written) {
		const char *f = o->sign.offline;
		(void)mf_tool_say(TOOL_OK, MF_SIGN_WRITTEN, f, f, f);
	}
	return TOOL_OK;
}

static int
reload(struct mf_grpc_sync *s, const struct request *r)
{
	MF_AUTO(mf_pb_free) ProtobufCMessage *answer = NULL;
	int rc = ask(s, &reload_policy, &r->q.base, &answer);
	if (rc != TOOL_OK)
		return rc;
	const Mayfly__Admin__V1__Policy *p = (const void *)answer;
	(void)printf("in force: %s (%u profiles, %u rules)\n", p->sha256, p->profiles, p->rules);
	return fflush(stdout) == 0 ? TOOL_OK : TOOL_FAILED;
}

static void
free_path(char **path)
{
	free(*path);
}

/* Where the broker's policy lies: the caller's to free. */
static int
policy_path(struct mf_grpc_sync *s, char **ret_path)
{
	Mayfly__Admin__V1__GetPolicyRequest q = MAYFLY__ADMIN__V1__GET_POLICY_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *answer = NULL;
	int rc = ask(s, &get_policy, &q.base, &answer);
	if (rc != TOOL_OK)
		return rc;
	const char *path = ((const Mayfly__Admin__V1__Policy *)(const void *)answer)->path;
	if (path[0] != '/')
		return mf_tool_say(
		    TOOL_FAILED, "the broker does not say where its policy lies: use 'apply FILE --to PATH'");
	*ret_path = strdup(path);
	if (*ret_path == NULL)
		return mf_tool_say(TOOL_FAILED, "out of memory");
	return TOOL_OK;
}

int
mf_tool_reload(const struct mf_tool_opts *o)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	struct request r = { .q = MAYFLY__ADMIN__V1__RELOAD_POLICY_REQUEST__INIT };
	MF_AUTO_IN(free_path) char *path = NULL;
	bool written = false;
	mf_buf_init(&text, 1);
	int rc = connect_admin(o, &s);
	/* Signed is what lies there now: it must be readable here. Else the broker alone reads it. */
	if (rc == TOOL_OK && (mf_sign_asked(&o->sign) || o->sign.signatures_n > 0)) {
		rc = policy_path(s, &path);
		if (rc == TOOL_OK)
			rc = mf_tool_read(path, MF_LIM_YAML, &text);
		if (rc == TOOL_OK) {
			request_for(&r, mf_buf_slice(&text));
			rc = sign(o, s, &r, &written);
		}
	}
	return rc != TOOL_OK || written ? rc : reload(s, &r);
}

/* ---- installing ---- */

struct place {
	int dirfd;
	char name[256], former[300];
	bool had_former;
};

static int
open_place(const char *path, struct place *at)
{
	char dir[PATH_MAX_BYTES], base[PATH_MAX_BYTES], real[PATH_MAX_BYTES];
	/* A symlink is followed: what it names is replaced, not the link. */
	const char *to = realpath(path, real) == NULL ? path : real;
	(void)snprintf(dir, sizeof(dir), "%s", to);
	(void)snprintf(base, sizeof(base), "%s", to);
	(void)snprintf(at->name, sizeof(at->name), "%s", basename(base));
	(void)snprintf(at->former, sizeof(at->former), "%s.former", at->name);
	at->dirfd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return at->dirfd >= 0 ? TOOL_OK : mf_tool_say(TOOL_FAILED, "%s: %s", path, strerror(errno));
}

/* The former file stays beside the new one, under NAME.former. */
static enum mf_status
install(struct place *at, struct mf_slice text, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf old;
	mf_buf_init(&old, MF_LIM_YAML);
	enum mf_status s = mf_file_read(at->dirfd, at->name, &old, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	at->had_former = s == MF_OK;
	if (at->had_former)
		MF_TRY(mf_file_write(at->dirfd, at->former, mf_buf_slice(&old), 0644, err));
	return mf_file_write(at->dirfd, at->name, text, 0644, err);
}

static void
take_back(const struct place *at)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf old;
	struct mf_err err = { 0 };
	mf_buf_init(&old, MF_LIM_YAML);
	if (!at->had_former)
		return;
	if (mf_file_read(at->dirfd, at->former, &old, &err) != MF_OK ||
	    mf_file_write(at->dirfd, at->name, mf_buf_slice(&old), 0644, &err) != MF_OK)
		(void)mf_tool_say(TOOL_FAILED, "the former file could not be put back: %s", err.msg);
	else
		(void)mf_tool_say(TOOL_FAILED, "the former file is back in its place");
}

/* All of it or nothing: what the broker refuses is not left lying where the next start would find it. */
static int
put_in_force(struct mf_grpc_sync *s, const char *path, struct mf_slice text, const struct request *r)
{
	struct place at = { .dirfd = -1 };
	struct mf_err err = { 0 };
	int rc = open_place(path, &at);
	if (rc != TOOL_OK)
		return rc;
	enum mf_status st = install(&at, text, &err);
	if (st != MF_OK) {
		rc = mf_tool_say(TOOL_FAILED, "%s: %s: nothing was changed", path, err.msg);
	} else {
		rc = reload(s, r);
		if (rc == TOOL_FAILED)
			take_back(&at);
		else if (rc == TOOL_UNREACHABLE)
			(void)mf_tool_say(rc,
			    "%s is installed; whether it is in force is not known: 'mayfly status'", path);
	}
	(void)close(at.dirfd);
	return rc;
}

int
mf_tool_apply(const struct mf_tool_opts *o)
{
	MF_AUTO(mf_policy_free) struct mf_policy *p = NULL;
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *s = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	struct request r;
	MF_AUTO_IN(free_path) char *path = NULL;
	bool written = false;
	mf_buf_init(&text, 1);
	int rc = mf_tool_load(o->args[0], &text, &p);
	if (rc != TOOL_OK)
		return rc;
	size_t errors = mf_tool_complain(o->args[0], p);
	if (errors > 0 && !o->force)
		return mf_tool_say(
		    TOOL_FAILED, "%zu errors: not applied (--force does it all the same)", errors);
	rc = connect_admin(o, &s);
	if (rc == TOOL_OK && o->to == NULL)
		rc = policy_path(s, &path);
	request_for(&r, mf_buf_slice(&text));
	if (rc == TOOL_OK)
		rc = sign(o, s, &r, &written);
	if (rc != TOOL_OK || written)
		return rc;
	const char *to = o->to != NULL ? o->to : path;
	if (to[0] != '/')
		return mf_tool_say(TOOL_FAILED, "--to %s: a path from the root, as the broker has it", to);
	return put_in_force(s, to, mf_buf_slice(&text), &r);
}
