/* svid_files: identities as the files that servers and clients read. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/svid.h"
#include "codec/bundle.h"
#include "codec/pem.h"
#include "codec/spiffe_id.h"
#include "os/secure_file.h"

#define PEM_MAX (2u * MF_LIM_BUNDLE_DER)

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static enum mf_status
open_dir(int at, const char *name, int *ret_fd, struct mf_err *err)
{
	char text[128];
	if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
		return MF_FAIL(err, MF_E_IO, "cannot make the directory %s: %s", name,
		    strerror_r(errno, text, sizeof(text)));
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return MF_FAIL(err, MF_E_IO, "cannot open the directory %s: %s", name,
		    strerror_r(errno, text, sizeof(text)));
	*ret_fd = fd;
	return MF_OK;
}

static enum mf_status
write_certs(int dirfd, const char *name, struct mf_slice der, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_BUNDLE_CERTS];
	size_t n = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem;
	mf_buf_init(&pem, PEM_MAX);
	MF_TRY(mf_bundle_split(der, certs, MF_COUNT(certs), &n, err));
	for (size_t i = 0; i < n; i++)
		mf_pem_put(&pem, MF_PEM_CERTIFICATE, certs[i]);
	MF_TRY(mf_buf_check(&pem, err));
	return mf_file_write(dirfd, name, mf_buf_slice(&pem), 0644, err);
}

static enum mf_status
write_one(int dirfd, const struct mf_svid *v, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf key;
	mf_buf_init(&key, PEM_MAX);
	mf_pem_put(&key, MF_PEM_PRIVATE_KEY, v->key);
	MF_TRY(mf_buf_check(&key, err));
	MF_TRY(write_certs(dirfd, "bundle.pem", v->bundle, err));
	MF_TRY(mf_file_write(dirfd, "key.pem", mf_buf_slice(&key), 0600, err));
	return write_certs(dirfd, "svid.pem", v->chain, err);
}

enum mf_status
mf_svids_write(const struct mf_svids *s, const char *dir, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int fd = -1;
	MF_TRY(open_dir(AT_FDCWD, dir, &fd, err));
	if (s->n > 0 && write_one(fd, &s->v[0], err) != MF_OK)
		return mf_err_wrap(err, MF_E_IO, "%s", dir);
	for (size_t i = 1; i < s->n; i++) {
		char number[24];
		MF_AUTO_IN(close_fd) int sub = -1;
		(void)snprintf(number, sizeof(number), "%zu", i + 1);
		/* The hint comes from policy by way of the agent: it names a directory only if it is one name. */
		bool named = mf_spiffe_segment_ok(mf_slice_str(s->v[i].hint));
		const char *name = named ? s->v[i].hint : number;
		MF_TRY(open_dir(fd, name, &sub, err));
		if (write_one(sub, &s->v[i], err) != MF_OK)
			return mf_err_wrap(err, MF_E_IO, "%s/%s", dir, name);
	}
	return MF_OK;
}
