#include "broker/keys/sealed.h"

#include "base/limits.h"
#include "crypto/keyfile.h"
#include "os/secure_file.h"

enum mf_status
mf_sealed_write(int dirfd, const char *file, struct mf_kek *kek, const char *purpose, const char *id,
    struct mf_slice secret, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, MF_LIM_JSON);
	MF_TRY(mf_keyfile_seal(kek, purpose, id, secret, NULL, &text, err));
	return mf_file_write_new(dirfd, file, mf_buf_slice(&text), 0400, err);
}

enum mf_status
mf_sealed_read(int dirfd, const char *file, struct mf_kek *kek, const char *purpose, const char *id,
    struct mf_secret **ret_secret, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	mf_buf_init(&text, MF_LIM_JSON);
	enum mf_status s = mf_file_read(dirfd, file, &text, err);
	if (s == MF_OK)
		s = mf_keyfile_open(kek, purpose, id, mf_buf_slice(&text), ret_secret, err);
	return s == MF_OK ? s : mf_err_wrap(err, s, "keys/%s", file);
}
