/*
 * publisher: the broker's role that shows the OIDC documents to the world.
 *
 *   descriptors  public (directory), oidc (listening), oidc_cert and oidc_key (files; none: it serves in clear)
 *   options      issuer_path, x5c_path
 *   reloads      oidc_cert, then oidc_key
 */
#include <unistd.h>

#include "base/limits.h"
#include "base/secret.h"
#include "broker/publisher/publisher.h"
#include "crypto/provider.h"
#include "os/build_id.h"
#include "os/jlog.h"
#include "os/role_confinement.h"
#include "os/role_start.h"
#include "os/secure_file.h"

#define PEM_MAX (256u * 1024u)

struct process {
	struct mf_role *role;
	struct mf_loop *loop;
	struct mf_loop_fd *control;
	struct mf_publisher *pub;
	int cert_fd, key_fd; /* -1: none */
	int code;
};

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static enum mf_status
read_pems(const struct process *p, struct mf_buf *chain, struct mf_buf *key, struct mf_err *err)
{
	MF_TRY(mf_file_read_all(p->cert_fd, chain, err));
	return mf_file_read_all(p->key_fd, key, err);
}

/* They come one after another, the key last: both are new then. */
static void
renew(struct process *p)
{
	struct mf_err err = { 0 };
	MF_AUTO_IN(mf_buf_fini) struct mf_buf chain, key;
	mf_buf_init(&chain, PEM_MAX);
	mf_buf_init(&key, PEM_MAX);
	enum mf_status s = read_pems(p, &chain, &key, &err);
	if (s == MF_OK)
		s = mf_publisher_renew(p->pub, mf_buf_slice(&chain), mf_buf_slice(&key), &err);
	if (s == MF_OK)
		MF_LOG(MF_LOG_INFO, "publisher.certificate", "certificate loaded");
	else
		mf_jlog_err(MF_LOG_ERROR, "publisher.certificate", "the certificate in force stays", &err);
}

static void
reload(struct process *p, const struct mf_control_msg *m)
{
	int *to = strcmp(m->text, "oidc_cert") == 0  ? &p->cert_fd
		  : strcmp(m->text, "oidc_key") == 0 ? &p->key_fd
						     : NULL;
	if (to == NULL) {
		close_fd(&m->fd);
		return;
	}
	close_fd(to);
	*to = m->fd;
	if (to == &p->key_fd)
		renew(p);
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
		if (m.type == MF_CONTROL_STOP) {
			p->code = MF_ROLE_EXIT_OK;
			mf_loop_stop(p->loop);
		} else if (m.type == MF_CONTROL_RELOAD) {
			reload(p, &m);
		} else {
			close_fd(&m.fd);
		}
	}
	if (s == MF_E_AGAIN)
		return;
	mf_jlog_err(MF_LOG_WARN, "role.supervisor_gone", "the control channel is over", &err);
	p->code = MF_ROLE_EXIT_FAILED;
	mf_loop_stop(p->loop);
}

static enum mf_status
start(struct process *p, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf chain, key;
	struct mf_publisher_conf c = { .issuer_path = mf_role_opt(p->role, "issuer_path"),
		.x5c_path = mf_role_opt(p->role, "x5c_path"),
		.public_dirfd = mf_role_fd(p->role, "public"),
		.listen_fd = mf_role_fd(p->role, "oidc"),
		.tls = p->cert_fd >= 0 };
	mf_buf_init(&chain, PEM_MAX);
	mf_buf_init(&key, PEM_MAX);
	if (c.issuer_path == NULL || c.x5c_path == NULL || c.public_dirfd < 0 || c.listen_fd < 0 ||
	    (p->cert_fd < 0) != (p->key_fd < 0))
		return MF_FAIL(
		    err, MF_E_INVALID, "started without its options: this is a role of mayfly-broker");
	if (c.tls)
		MF_TRY(read_pems(p, &chain, &key, err));
	c.chain_pem = mf_buf_slice(&chain);
	c.key_pem = mf_buf_slice(&key);
	MF_TRY(mf_loop_new(&p->loop, err));
	MF_TRY(mf_publisher_new(p->loop, &c, &p->pub, err));
	(void)mf_role_take_fd(p->role, "oidc");
	MF_TRY(mf_role_confine(p->role, &mf_confinement_publisher, 0, err));
	return mf_loop_fd_new(
	    p->loop, mf_role_control_fd(p->role), MF_LOOP_READ, on_control, p, &p->control, err);
}

int
main(int argc, char **argv)
{
	struct mf_err err = { 0 };
	struct process p = { .cert_fd = -1, .key_fd = -1, .code = MF_ROLE_EXIT_FAILED };
	enum mf_status s = mf_role_start(argc, argv, "publisher", mf_build_id(), &p.role, &err);
	if (s == MF_OK) {
		p.cert_fd = mf_role_take_fd(p.role, "oidc_cert");
		p.key_fd = mf_role_take_fd(p.role, "oidc_key");
		mf_crypto_init();
		s = start(&p, &err);
	}
	if (s != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "publisher.start", "cannot start", &err);
		p.code = MF_ROLE_EXIT_REFUSED;
	} else if (mf_role_ready(p.role, &err) != MF_OK || mf_loop_run(p.loop, &err) != MF_OK) {
		mf_jlog_err(MF_LOG_ERROR, "publisher.failed", "the role ends", &err);
		p.code = MF_ROLE_EXIT_FAILED;
	}
	mf_loop_fd_free(p.control);
	mf_publisher_free(p.pub);
	mf_loop_free(p.loop);
	mf_role_free(p.role);
	close_fd(&p.cert_fd);
	close_fd(&p.key_fd);
	return p.code;
}
