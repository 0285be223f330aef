/* Who we are: certificate and key from files, or the caller's own SVID from the agent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/remote/remote.h"
#include "codec/bundle.h"
#include "codec/pem.h"
#include "rpc/grpc_sync.h"
#include "rpc/pb_check.h"

#include "workload.pb-c.h"

#define FILE_MAX (256u * 1024u)

void
mf_remote_identity_init(struct mf_remote_identity *id)
{
	memset(id, 0, sizeof(*id));
	mf_buf_init(&id->chain, (size_t)MF_LIM_CHAIN * MF_LIM_CERT_DER);
	mf_buf_init(&id->key, 65536);
	mf_buf_init(&id->ca, MF_LIM_BUNDLE_DER);
}

void
mf_remote_identity_fini(struct mf_remote_identity *id)
{
	mf_buf_fini(&id->chain);
	mf_buf_fini(&id->key);
	mf_buf_fini(&id->ca);
}

static enum mf_status
read_file(const char *path, struct mf_buf *to, struct mf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s", path, strerror(errno));
	ssize_t n = 1;
	while (n > 0 && to->failed == MF_OK) {
		uint8_t piece[8192];
		n = read(fd, piece, sizeof(piece));
		if (n > 0)
			mf_buf_put(to, piece, (size_t)n);
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	int e = errno;
	(void)close(fd);
	if (n < 0)
		return MF_FAIL(err, MF_E_IO, "%s: %s", path, strerror(e));
	enum mf_status s = mf_buf_check(to, err);
	return s == MF_OK ? s : mf_err_wrap(err, s, "%s", path);
}

static enum mf_status
read_pem(const char *path, const char *label, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, FILE_MAX);
	MF_TRY(read_file(path, &text, err));
	enum mf_status s = mf_pem_get_all(mf_buf_slice(&text), label, to, err);
	return s == MF_OK ? s : mf_err_wrap(err, s, "%s is no PEM file of only \"%s\"", path, label);
}

/* For people, and for the hint when the broker refuses. */
static void
describe(struct mf_remote_identity *id)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	struct mf_svid svid = { 0 };
	size_t n = 0;
	if (mf_bundle_split(mf_buf_slice(&id->chain), certs, MF_COUNT(certs), &n, NULL) == MF_OK && n > 0 &&
	    mf_svid_read(certs[0], &svid, NULL) == MF_OK) {
		(void)snprintf(id->name, sizeof(id->name), "%s", mf_spiffe_id_str(svid.id));
		id->not_after_s = svid.not_after_s;
	}
	mf_svid_fini(&svid);
}

static enum mf_status
from_files(const struct mf_remote_args *a, struct mf_remote_identity *id, struct mf_err *err)
{
	if (a->ca == NULL)
		return MF_FAIL(err, MF_E_INVALID,
		    "with --cert, --ca must name the broker's CA certificates: `mayfly bundle show` on its "
		    "host "
		    "prints them");
	MF_TRY(read_pem(a->cert, MF_PEM_CERTIFICATE, &id->chain, err));
	enum mf_status s = read_pem(a->key, MF_PEM_PRIVATE_KEY, &id->key, err);
	if (s == MF_E_INVALID)
		return mf_err_wrap(err, s, "the key must be unencrypted PKCS#8 (openssl pkey -in KEY)");
	MF_TRY(s);
	MF_TRY(read_pem(a->ca, MF_PEM_CERTIFICATE, &id->ca, err));
	(void)snprintf(id->name, sizeof(id->name), "the certificate of %s", a->cert);
	describe(id);
	return MF_OK;
}

static const struct mf_grpc_method fetch = { .path = "/SpiffeWorkloadAPI/FetchX509SVID",
	.request = &x509_svidrequest__descriptor,
	.response = &x509_svidresponse__descriptor,
	.flags = MF_GRPC_SERVER_STREAM };

static enum mf_status
from_agent(const struct mf_remote_args *a, struct mf_remote_identity *id, struct mf_err *err)
{
	MF_AUTO(mf_grpc_sync_free) struct mf_grpc_sync *sync = NULL;
	MF_AUTO(mf_grpc_sync_stream_free) struct mf_grpc_sync_stream *st = NULL;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	X509SVIDRequest q = X509_SVIDREQUEST__INIT;
	uint64_t now = mf_now().mono_ms, left = a->deadline_ms > now ? a->deadline_ms - now : 1;
	enum mf_status s = mf_grpc_sync_connect(a->agent, MF_GRPC_SYNC_SPIFFE, left, &sync, err);
	if (s == MF_OK)
		s = mf_grpc_sync_open(sync, &fetch, &st, err);
	if (s == MF_OK)
		s = mf_grpc_sync_send(st, &q.base, err);
	if (s == MF_OK)
		s = mf_grpc_sync_half_close(st, err);
	if (s == MF_OK)
		s = mf_grpc_sync_recv(st, left, &msg, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s,
		    "no certificate of your own to show: give --cert, --key and --ca, or run inside a job");
	const X509SVIDResponse *r = (const X509SVIDResponse *)(const void *)msg;
	if (r->n_svids == 0)
		return MF_FAIL(err, MF_E_INVALID, "the agent answered without a certificate");
	const X509SVID *v = r->svids[0];
	mf_buf_put(&id->chain, v->x509_svid.data, v->x509_svid.len);
	mf_buf_put(&id->key, v->x509_svid_key.data, v->x509_svid_key.len);
	mf_buf_put(&id->ca, v->bundle.data, v->bundle.len);
	MF_TRY(mf_buf_check(&id->chain, err));
	MF_TRY(mf_buf_check(&id->key, err));
	MF_TRY(mf_buf_check(&id->ca, err));
	describe(id);
	if (a->ca == NULL)
		return MF_OK;
	mf_buf_reset(&id->ca); /* a broker of another trust domain */
	return read_pem(a->ca, MF_PEM_CERTIFICATE, &id->ca, err);
}

enum mf_status
mf_remote_identity_get(const struct mf_remote_args *a, struct mf_remote_identity *id, struct mf_err *err)
{
	if ((a->cert == NULL) != (a->key == NULL))
		return MF_FAIL(err, MF_E_INVALID, "--cert and --key go together");
	return a->cert != NULL ? from_files(a, id, err) : from_agent(a, id, err);
}
