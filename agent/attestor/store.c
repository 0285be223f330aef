#include "agent/attestor/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/attestor/pidfd.h"
#include "os/secure_file.h"

#define KEY_FILE "inner.key"
#define SESSION_FILE "session"
#define TRUST_FILE "trust"
#define INSTANCES_FILE "instances"
#define TRUST_MAX (MF_LIM_BUNDLE_DER + 2048u)
#define TRUST_VERSION 1u

void
mf_trust_init(struct mf_trust *t)
{
	memset(t, 0, sizeof(*t));
	mf_buf_init(&t->bundle, MF_LIM_BUNDLE_DER);
}

void
mf_trust_fini(struct mf_trust *t)
{
	mf_buf_fini(&t->bundle);
}

void
mf_trust_from_token(struct mf_trust *t, const struct mf_join_public *pub)
{
	if (strcmp(t->trust_domain, pub->trust_domain) == 0 && strcmp(t->broker_id, pub->broker_id) == 0 &&
	    memcmp(t->notary_key, pub->notary_key, sizeof(t->notary_key)) == 0)
		return;
	mf_trust_fini(t);
	mf_trust_init(t);
	memcpy(t->trust_domain, pub->trust_domain, sizeof(t->trust_domain));
	memcpy(t->broker_id, pub->broker_id, sizeof(t->broker_id));
	memcpy(t->notary_key, pub->notary_key, sizeof(t->notary_key));
}

static void
put_text(struct mf_buf *to, struct mf_slice s)
{
	mf_buf_put_u32be(to, (uint32_t)s.n);
	mf_buf_put_slice(to, s);
}

void
mf_trust_put(struct mf_buf *to, const struct mf_trust *t)
{
	mf_buf_put_str(to, "MFTR");
	mf_buf_put_u32be(to, TRUST_VERSION);
	put_text(to, mf_slice_str(t->trust_domain));
	put_text(to, mf_slice_str(t->broker_id));
	mf_buf_put(to, t->notary_key, sizeof(t->notary_key));
	put_text(to, mf_slice_str(t->node_id));
	mf_buf_put_u64be(to, t->bundle_number);
	put_text(to, mf_buf_slice(&t->bundle));
}

static bool
get_text(struct mf_reader *r, char *to, size_t size)
{
	uint32_t n = 0;
	struct mf_slice s;
	if (!mf_read_u32be(r, &n) || n >= size || !mf_read_bytes(r, n, &s))
		return false;
	if (n > 0 && memchr(s.p, '\0', n) != NULL)
		return false;
	memcpy(to, s.p, n);
	to[n] = '\0';
	return true;
}

static bool
get_all(struct mf_reader *r, struct mf_trust *t)
{
	uint32_t n = 0;
	struct mf_slice s;
	if (!get_text(r, t->trust_domain, sizeof(t->trust_domain)) ||
	    !get_text(r, t->broker_id, sizeof(t->broker_id)) ||
	    !mf_read_copy(r, t->notary_key, sizeof(t->notary_key)) ||
	    !get_text(r, t->node_id, sizeof(t->node_id)) || !mf_read_u64be(r, &t->bundle_number) ||
	    !mf_read_u32be(r, &n) || n > MF_LIM_BUNDLE_DER || !mf_read_bytes(r, n, &s) || !mf_reader_end(r))
		return false;
	mf_buf_put_slice(&t->bundle, s);
	return t->trust_domain[0] != '\0' && t->broker_id[0] != '\0' && (t->bundle_number != 0) == (n != 0);
}

enum mf_status
mf_trust_parse(struct mf_slice file, struct mf_trust *ret_t, struct mf_err *err)
{
	struct mf_reader r = mf_reader(file);
	struct mf_slice magic;
	uint32_t version = 0;
	if (!mf_read_bytes(&r, 4, &magic) || !mf_slice_eq_str(magic, "MFTR") || !mf_read_u32be(&r, &version))
		return MF_FAIL(err, MF_E_CORRUPT, "trust file: not one of ours");
	if (version != TRUST_VERSION)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "trust file: version %u", version);
	struct mf_trust t;
	mf_trust_init(&t);
	bool ok = get_all(&r, &t);
	enum mf_status s = ok ? mf_buf_check(&t.bundle, err)
			      : MF_FAIL(err, MF_E_CORRUPT, "trust file: a field is cut, too long or empty");
	if (s != MF_OK) {
		mf_trust_fini(&t);
		return s;
	}
	mf_trust_fini(ret_t);
	*ret_t = t;
	return MF_OK;
}

/* A file that nobody but us could have written or read. */
static enum mf_status
read_private(int dirfd, const char *name, struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_fd_close) int fd = -1;
	MF_TRY(mf_file_open(dirfd, name, O_RDONLY, 0, &fd, err));
	MF_TRY(mf_file_check(fd, name, geteuid(), MF_FILE_PRIVATE, err));
	return mf_file_read_all(fd, to, err);
}

enum mf_status
mf_store_key(int state_fd, struct mf_x25519 **ret_key, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_X25519_SIZE);
	enum mf_status s = read_private(state_fd, KEY_FILE, &b, err);
	if (s == MF_OK && b.n != MF_X25519_SIZE)
		return MF_FAIL(err, MF_E_CORRUPT, "%s: %zu bytes; restore it, or remove it and join again",
		    KEY_FILE, b.n);
	if (s == MF_OK)
		return mf_x25519_new(mf_buf_slice(&b), ret_key, err);
	if (s != MF_E_NOTFOUND)
		return s;
	MF_AUTO(mf_x25519_free) struct mf_x25519 *key = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *bytes = NULL;
	MF_TRY(mf_x25519_generate(NULL, &key, err));
	MF_TRY(mf_x25519_private(key, &bytes, err));
	MF_TRY(mf_file_write_new(state_fd, KEY_FILE, mf_secret_slice(bytes), 0600, err));
	*ret_key = MF_TAKE(key);
	return MF_OK;
}

enum mf_status
mf_store_read_trust(int state_fd, struct mf_trust *ret_t, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, TRUST_MAX);
	MF_TRY(read_private(state_fd, TRUST_FILE, &b, err));
	return mf_trust_parse(mf_buf_slice(&b), ret_t, err);
}

enum mf_status
mf_store_write_trust(int state_fd, const struct mf_trust *t, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, TRUST_MAX);
	mf_trust_put(&b, t);
	MF_TRY(mf_buf_check(&b, err));
	return mf_file_write(state_fd, TRUST_FILE, mf_buf_slice(&b), 0600, err);
}

enum mf_status
mf_store_read_session(
    int state_fd, uint8_t ret_value[MF_IC_SESSION_VALUE], bool *ret_have, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_IC_SESSION_VALUE);
	enum mf_status s = read_private(state_fd, SESSION_FILE, &b, err);
	*ret_have = s == MF_OK;
	if (s == MF_E_NOTFOUND)
		return MF_OK;
	MF_TRY(s);
	if (b.n != MF_IC_SESSION_VALUE)
		return MF_FAIL(err, MF_E_CORRUPT, "%s: %zu bytes", SESSION_FILE, b.n);
	memcpy(ret_value, b.p, b.n);
	return MF_OK;
}

enum mf_status
mf_store_write_session(int state_fd, struct mf_slice value, struct mf_err *err)
{
	return mf_file_write(state_fd, SESSION_FILE, value, 0600, err);
}

enum mf_status
mf_store_read_instances(
    int run_fd, const char *boot_id, struct mf_instances **ret_t, bool *ret_lost, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_INSTANCES_FILE_MAX);
	*ret_lost = false;
	enum mf_status s = read_private(run_fd, INSTANCES_FILE, &b, err);
	if (s == MF_OK)
		s = mf_instances_parse(mf_buf_slice(&b), boot_id, ret_t, err);
	if (s == MF_OK)
		mf_instances_fresh_handles(*ret_t);
	if (s == MF_OK || s == MF_E_NOMEM)
		return s;
	/* What it held is suspended and ended by the broker, when we do not name it. */
	*ret_lost = s != MF_E_NOTFOUND;
	return mf_instances_new(boot_id, ret_t, NULL);
}

enum mf_status
mf_store_write_instances(int run_fd, const struct mf_instances *t, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b = { 0 };
	mf_buf_init(&b, MF_INSTANCES_FILE_MAX);
	mf_instances_put(&b, t);
	MF_TRY(mf_buf_check(&b, err));
	return mf_file_write_of_boot(run_fd, INSTANCES_FILE, mf_buf_slice(&b), 0600, err);
}
