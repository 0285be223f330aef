#include "cli/sign/sign_act.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/rand.h"
#include "base/text.h"
#include "codec/sshsig.h"
#include "roles.pb-c.h"
#include "rpc/admin_text.h"
#include "rpc/pb_check.h"

static const struct mf_grpc_method get_status = { .path = "/mayfly.admin.v1.Admin/GetStatus",
	.request = &mayfly__admin__v1__get_status_request__descriptor,
	.response = &mayfly__admin__v1__status__descriptor };

#define ONLINE_S 600	/* signed and sent at once */
#define OFFLINE_S 86400 /* a file that goes round */

/* What is gathered for one act. */
struct act {
	struct mf_buf text;	  /* what is signed */
	struct mf_buf head_bytes; /* what ${head} points into */
	struct mf_admin_head head;
	char nonce[MF_ADMIN_NONCE + 1];
	struct mf_buf blobs[MF_LIM_APPROVALS];
	size_t n;
};

static void
act_fini(struct act *a)
{
	mf_buf_fini(&a->text);
	mf_buf_fini(&a->head_bytes);
	for (size_t i = 0; i < a->n; i++)
		mf_buf_fini(&a->blobs[i]);
}

/* ---- files and ssh-keygen ---- */

static enum mf_status
read_fd(int fd, struct mf_buf *to, struct mf_err *err)
{
	for (ssize_t n = 1; n > 0 && to->failed == MF_OK;) {
		uint8_t piece[4096];
		n = read(fd, piece, sizeof(piece));
		if (n > 0)
			mf_buf_put(to, piece, (size_t)n);
		else if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			return MF_FAIL(err, MF_E_IO, "%s", strerror(errno));
	}
	return mf_buf_check(to, err);
}

static enum mf_status
read_file(const char *path, struct mf_buf *to, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s", path, strerror(errno));
	enum mf_status s = read_fd(fd, to, err);
	(void)close(fd);
	return s == MF_OK ? s : mf_err_wrap(err, s, "%s", path);
}

static enum mf_status
write_new(const char *path, struct mf_slice bytes, struct mf_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "%s: %s", path, strerror(errno));
	ssize_t n = write(fd, bytes.p, bytes.n);
	int e = errno;
	if (close(fd) != 0 || n != (ssize_t)bytes.n) {
		(void)unlink(path);
		return MF_FAIL(
		    err, MF_E_IO, "%s: %s", path, n < 0 ? strerror(e) : "it could not be written whole");
	}
	return MF_OK;
}

static _Noreturn void
keygen(const char *key, int in, int out)
{
	if (dup2(in, 0) == 0 && dup2(out, 1) == 1)
		(void)execlp("ssh-keygen", "ssh-keygen", "-Y", "sign", "-n", MF_ADMIN_NAMESPACE, "-f", key,
		    (char *)NULL);
	_exit(127);
}

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static enum mf_status
run_keygen(const char *key, struct mf_slice text, struct mf_buf *armored, struct mf_err *err)
{
	int in[2], out[2], st = 0;
	if (pipe2(in, O_CLOEXEC) != 0)
		return MF_FAIL(err, MF_E_IO, "no pipe: %s", strerror(errno));
	if (pipe2(out, O_CLOEXEC) != 0) {
		(void)close(in[0]);
		(void)close(in[1]);
		return MF_FAIL(err, MF_E_IO, "no pipe: %s", strerror(errno));
	}
	pid_t pid = fork();
	if (pid == 0)
		keygen(key, in[0], out[1]);
	(void)close(in[0]);
	(void)close(out[1]);
	MF_AUTO_IN(close_fd) const int from = out[0];
	/* It reads all before it writes anything: no pipe can fill both ways. */
	ssize_t n = pid < 0 ? -1 : write(in[1], text.p, text.n);
	(void)close(in[1]);
	enum mf_status s =
	    pid < 0 ? MF_FAIL(err, MF_E_IO, "fork: %s", strerror(errno)) : read_fd(from, armored, err);
	while (pid > 0 && waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	MF_TRY(s);
	if (WIFEXITED(st) && WEXITSTATUS(st) == 127)
		return MF_FAIL(err, MF_E_NOTFOUND, "ssh-keygen cannot be run: is openssh-client installed?");
	if (st != 0 || n != (ssize_t)text.n)
		return MF_FAIL(err, MF_E_INVALID, "ssh-keygen did not sign with %s: it says why above", key);
	return MF_OK;
}

/* ---- the parts of an act ---- */

static enum mf_status
add_blob(struct act *a, const char *what, struct mf_slice armored, struct mf_err *err)
{
	if (a->n == MF_LIM_APPROVALS)
		return MF_FAIL(err, MF_E_TOOBIG, "more than %u signatures", MF_LIM_APPROVALS);
	mf_buf_init(&a->blobs[a->n], MF_LIM_SSHSIG);
	enum mf_status s = mf_sshsig_unarmor(armored, &a->blobs[a->n], err);
	a->n++;
	return s == MF_OK ? s : mf_err_wrap(err, s, "%s", what);
}

/* A fresh head, from what the broker says of itself. The signer sees it in the text; the notary compares. */
static enum mf_status
new_head(struct mf_grpc_sync *s, int64_t valid_s, struct act *a, struct mf_err *err)
{
	Mayfly__Admin__V1__GetStatusRequest q = MAYFLY__ADMIN__V1__GET_STATUS_REQUEST__INIT;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	uint8_t random[MF_ADMIN_NONCE / 2];
	MF_TRY(mf_grpc_sync_unary(s, &get_status, &q.base, &msg, err));
	const Mayfly__Admin__V1__Status *st = (const Mayfly__Admin__V1__Status *)(const void *)msg;
	if (st->log_origin[0] == '\0')
		return MF_FAIL(err, MF_E_UNAVAILABLE,
		    "the broker cannot name its log now (%s): nothing can be signed for it",
		    st->issuing_reason[0] == '\0' ? "an older release?" : st->issuing_reason);
	mf_buf_init(&a->head_bytes, 4096);
	mf_buf_put(&a->head_bytes, st->log_origin, strlen(st->log_origin) + 1);
	size_t policy = a->head_bytes.n;
	mf_buf_put(&a->head_bytes, st->policy_sha256, strlen(st->policy_sha256) + 1);
	MF_TRY(mf_buf_check(&a->head_bytes, err));
	mf_rand_bytes(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(a->nonce + 2 * i, 3, "%02x", random[i]);
	a->head = (struct mf_admin_head) { .log = (const char *)a->head_bytes.p,
		.policy = (const char *)a->head_bytes.p + policy,
		.nonce = a->nonce,
		.not_after_s = mf_now().wall_us / 1000000 + valid_s };
	return MF_OK;
}

/* The head of a request file; the text that this command makes with it must be the file's. */
static enum mf_status
old_head(const char *path, const ProtobufCMessage *request, struct act *a, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf file;
	mf_buf_init(&file, MF_LIM_ADMIN_TEXT);
	MF_TRY(read_file(path, &file, err));
	mf_buf_init(&a->head_bytes, MF_LIM_ADMIN_TEXT + 1);
	mf_buf_put_slice(&a->head_bytes, mf_buf_slice(&file));
	if (mf_buf_cstr(&a->head_bytes) == NULL)
		return mf_buf_check(&a->head_bytes, err);
	enum mf_status s = mf_admin_text_head((char *)a->head_bytes.p, &a->head, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "%s", path);
	MF_TRY(mf_admin_text(&a->head, request, &a->text, err));
	if (!mf_slice_eq(mf_buf_slice(&a->text), mf_buf_slice(&file)))
		return MF_FAIL(err, MF_E_INVALID,
		    "%s was written for other parameters than this command has: repeat them exactly", path);
	return MF_OK;
}

static enum mf_status
attach(const struct act *a, struct mf_grpc_sync *s, struct mf_err *err)
{
	Mayfly__Roles__V1__AdminApproval m = MAYFLY__ROLES__V1__ADMIN_APPROVAL__INIT;
	ProtobufCBinaryData sigs[MF_LIM_APPROVALS];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf packed;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf letters;
	mf_buf_init(&packed, MF_LIM_H2_HEADER_LIST);
	mf_buf_init(&letters, 2 * (size_t)MF_LIM_H2_HEADER_LIST);
	for (size_t i = 0; i < a->n; i++)
		sigs[i] = (ProtobufCBinaryData) { a->blobs[i].n, a->blobs[i].p };
	m.nonce = (char *)(uintptr_t)a->head.nonce;
	m.policy_sha256 = (char *)(uintptr_t)a->head.policy;
	m.not_after = a->head.not_after_s;
	m.n_signatures = a->n;
	m.signatures = sigs;
	MF_TRY(mf_pb_pack(&m.base, &packed, err));
	mf_base64_put(&letters, mf_buf_slice(&packed));
	if (letters.n > MF_LIM_H2_HEADER_LIST - 2048)
		return MF_FAIL(
		    err, MF_E_TOOBIG, "%zu signatures do not fit into one request: use Ed25519 keys", a->n);
	MF_TRY(mf_buf_check(&letters, err));
	return mf_grpc_sync_meta(s, MF_ADMIN_APPROVAL, mf_buf_slice(&letters), err);
}

static enum mf_status
gather(const struct mf_sign_opts *o, struct mf_grpc_sync *s, const ProtobufCMessage *request, struct act *a,
    struct mf_err *err)
{
	if (o->signatures_n > 0) {
		MF_TRY(old_head(o->offline, request, a, err));
	} else {
		MF_TRY(new_head(s, o->offline != NULL ? OFFLINE_S : ONLINE_S, a, err));
		MF_TRY(mf_admin_text(&a->head, request, &a->text, err));
	}
	for (size_t i = 0; i < o->signatures_n; i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf armored;
		mf_buf_init(&armored, 2 * (size_t)MF_LIM_SSHSIG);
		MF_TRY(read_file(o->signatures[i], &armored, err));
		MF_TRY(add_blob(a, o->signatures[i], mf_buf_slice(&armored), err));
	}
	for (size_t i = 0; i < o->keys_n; i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf armored;
		mf_buf_init(&armored, 2 * (size_t)MF_LIM_SSHSIG);
		MF_TRY(run_keygen(o->keys[i], mf_buf_slice(&a->text), &armored, err));
		MF_TRY(add_blob(a, o->keys[i], mf_buf_slice(&armored), err));
	}
	return MF_OK;
}

bool
mf_sign_add(const char *list[MF_LIM_APPROVALS], size_t *n, const char *name)
{
	if (*n == MF_LIM_APPROVALS)
		return false;
	list[(*n)++] = name;
	return true;
}

enum mf_status
mf_sign_act(const struct mf_sign_opts *o, struct mf_grpc_sync *s, const ProtobufCMessage *request,
    bool *ret_written, struct mf_err *err)
{
	*ret_written = false;
	if (o->signatures_n > 0 && o->offline == NULL)
		return MF_FAIL(err, MF_E_INVALID,
		    "--signature belongs to a file that --offline-request wrote: name it too");
	if (!mf_sign_asked(o))
		return MF_OK;
	MF_AUTO_IN(act_fini) struct act a = { .n = 0 };
	mf_buf_init(&a.text, MF_LIM_ADMIN_TEXT);
	MF_TRY(gather(o, s, request, &a, err));
	if (a.n > 0)
		return attach(&a, s, err);
	MF_TRY(write_new(o->offline, mf_buf_slice(&a.text), err));
	*ret_written = true;
	return MF_OK;
}
