#include "broker/keys/upstream_files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/secure_file.h"

struct mf_upstream_ca_bytes {
	struct mf_buf cert, bundle;
	struct mf_secret *key;
	size_t key_n;
};

void
mf_upstream_ca_bytes_free(struct mf_upstream_ca_bytes *b)
{
	if (b == NULL)
		return;
	mf_buf_fini(&b->cert);
	mf_buf_fini(&b->bundle);
	mf_secret_free(b->key);
	free(b);
}

/* Not through a buffer that grows: a secret is never copied. */
static enum mf_status
read_key(int fd, struct mf_upstream_ca_bytes *b, struct mf_err *err)
{
	MF_TRY(mf_secret_new(MF_UPSTREAM_KEY_MAX + 1, &b->key, err)); /* room to see that there is too much */
	while (b->key_n < mf_secret_size(b->key)) {
		ssize_t n = pread(fd, mf_secret_bytes(b->key) + b->key_n, mf_secret_size(b->key) - b->key_n,
		    (off_t)b->key_n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "upstream_ca.key: read: errno %d", errno);
		if (n == 0)
			break;
		b->key_n += (size_t)n;
	}
	return MF_OK;
}

static enum mf_status
read_pem(const char *where, int fd, struct mf_buf *to, struct mf_err *err)
{
	enum mf_status s = mf_file_read_all(fd, to, err);
	return s == MF_OK ? MF_OK : mf_err_wrap(err, s, "%s", where);
}

enum mf_status
mf_upstream_ca_read(
    const struct mf_upstream_ca_fds *fds, struct mf_upstream_ca_bytes **ret_b, struct mf_err *err)
{
	MF_AUTO(mf_upstream_ca_bytes_free) struct mf_upstream_ca_bytes *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "upstream CA: out of memory");
	mf_buf_init(&b->cert, MF_LIM_JSON);
	mf_buf_init(&b->bundle, MF_LIM_JSON);
	const char *missing = fds->cert < 0					       ? "cert"
			      : fds->key < 0					       ? "key"
			      : fds->kind == MF_UPSTREAM_HAS_BUNDLE && fds->bundle < 0 ? "bundle"
										       : NULL;
	if (missing != NULL)
		return MF_FAIL(err, MF_E_NOTFOUND,
		    "the file of upstream_ca.%s could not be opened: put it there and reload the broker "
		    "(SIGHUP)",
		    missing);
	MF_TRY(read_pem("upstream_ca.cert", fds->cert, &b->cert, err));
	if (fds->bundle >= 0)
		MF_TRY(read_pem("upstream_ca.bundle", fds->bundle, &b->bundle, err));
	if (fds->bundle >= 0 && b->bundle.n == 0)
		return MF_FAIL(err, MF_E_INVALID,
		    "upstream_ca.bundle: the file is empty: put the roots into it, in PEM");
	MF_TRY(read_key(fds->key, b, err));
	*ret_b = MF_TAKE(b);
	return MF_OK;
}

enum mf_status
mf_upstream_ca_judge(const struct mf_upstream_ca_bytes *b, const char *trust_domain, int64_t now_s,
    struct mf_upstream_ca **ret_u, struct mf_err *err)
{
	const struct mf_upstream_ca_files files = { mf_buf_slice(&b->cert),
		mf_slice_sub(mf_secret_slice(b->key), 0, b->key_n), mf_buf_slice(&b->bundle) };
	return mf_upstream_ca_new(&files, mf_slice_str(trust_domain), now_s, ret_u, err);
}
