#include "broker/notary/notary_cloud.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "broker/notary/notary_internal.h"
#include "os/jlog.h"
#include "os/secure_file.h"
#include "rpc/pb_check.h"

enum mf_status
mf_notary_cloud_load(struct mf_engine *e, int fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	mf_buf_init(&b, MF_LIM_PB_BYTES);
	const Mayfly__Roles__V1__CloudConf none = MAYFLY__ROLES__V1__CLOUD_CONF__INIT;
	if (fd < 0)
		return mf_engine_cloud(
		    e, &none, err); /* what it gave out under another configuration expires */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return MF_FAIL(err, MF_E_IO, "cloud targets: cannot be read");
	MF_TRY(mf_file_read_all(fd, &b, err));
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__cloud_conf__descriptor, mf_buf_slice(&b), &msg, err));
	const void *conf = msg;
	return mf_engine_cloud(e, conf, err);
}

struct mf_jws_key *
mf_notary_assertion_key(void *ctx, const char *kid)
{
	return mf_key_files_assertion(((struct mf_notary *)ctx)->key_files, kid);
}

void
mf_notary_sign_assertion(void *ctx, struct mf_assertion_request *req)
{
	struct mf_notary *n = ctx;
	mf_assertions_sign(n->assertions, n->crew, req);
}

bool
mf_notary_mint(void *ctx, const Mayfly__Roles__V1__MintRequest *q)
{
	return mf_courier_link_mint(((struct mf_notary *)ctx)->courier, q);
}

bool
mf_notary_revoke(void *ctx, const Mayfly__Roles__V1__CloudRevokeRequest *q)
{
	return mf_courier_link_revoke(((struct mf_notary *)ctx)->courier, q);
}

bool
mf_notary_probe(void *ctx, const Mayfly__Roles__V1__CloudProbeRequest *q)
{
	return mf_courier_link_probe(((struct mf_notary *)ctx)->courier, q);
}

bool
mf_notary_keep_handle(void *ctx, const char *cred, struct mf_slice secret, int64_t until)
{
	return mf_handles_keep(((struct mf_notary *)ctx)->handles, cred, secret, until);
}

bool
mf_notary_open_handle(void *ctx, const char *cred)
{
	return mf_handles_open(((struct mf_notary *)ctx)->handles, cred);
}

void
mf_notary_drop_handle(void *ctx, const char *cred)
{
	mf_handles_drop(((struct mf_notary *)ctx)->handles, cred);
}

bool
mf_notary_has_handle(void *ctx, const char *cred)
{
	return mf_handles_has(((struct mf_notary *)ctx)->handles, cred);
}

const struct mf_token_backend *
mf_notary_backend(void *ctx, const char *name)
{
	MF_UNUSED(ctx);
	return mf_token_backend_find(name);
}

static void
minted(void *ctx, const Mayfly__Roles__V1__MintResult *m)
{
	mf_engine_minted(((struct mf_notary *)ctx)->engine, mf_now(), m);
}

static void
revoked(void *ctx, const Mayfly__Roles__V1__CloudRevokeResult *m)
{
	mf_engine_revoked(((struct mf_notary *)ctx)->engine, mf_now(), m);
}

static void
here(void *ctx)
{
	mf_engine_courier_here(((struct mf_notary *)ctx)->engine, mf_now());
}

static void
probed(void *ctx, const Mayfly__Roles__V1__CloudProbeResult *m)
{
	mf_engine_probed(((struct mf_notary *)ctx)->engine, mf_now(), m);
}

static void
handle_kept(void *ctx, const char *cred, const struct mf_err *why)
{
	mf_engine_handle_kept(
	    ((struct mf_notary *)ctx)->engine, mf_now(), cred, why == NULL ? NULL : why->msg);
}

static void
handle_opened(void *ctx, const char *cred, enum mf_status s, struct mf_slice secret)
{
	mf_engine_handle_opened(((struct mf_notary *)ctx)->engine, mf_now(), cred, s, secret);
}

const struct mf_handles_ops mf_notary_handles = { .kept = handle_kept, .opened = handle_opened };

static void
gone(void *ctx)
{
	mf_engine_courier_gone(((struct mf_notary *)ctx)->engine, mf_now());
}

const struct mf_courier_mints mf_notary_mints = {
	.here = here, .minted = minted, .revoked = revoked, .probed = probed, .gone = gone
};
