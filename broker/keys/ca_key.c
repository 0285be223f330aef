#include "broker/keys/ca_key.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/text.h"
#include "broker/keys/sealed.h"
#include "codec/bundle.h"
#include "codec/pem.h"
#include "crypto/keyfile.h"
#include "os/secure_file.h"

#define PURPOSE "ca"
#define FIRST_KEY "ca.key"
#define FIRST_CERT "ca.pem"
#define FIRST_ROOTS "ca-roots.pem"
#define DER_MAX (MF_LIM_CHAIN * MF_LIM_CERT_DER)

void
mf_ca_key_free(struct mf_ca_key *k)
{
	if (k == NULL)
		return;
	mf_p256_key_free(k->key);
	mf_buf_fini(&k->certificate);
	mf_buf_fini(&k->anchor);
	free(k);
}

static enum mf_status
new_key(struct mf_ca_key **ret_k, struct mf_err *err)
{
	struct mf_ca_key *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "CA key: out of memory");
	mf_buf_init(&k->certificate, DER_MAX);
	mf_buf_init(&k->anchor, DER_MAX);
	*ret_k = k;
	return MF_OK;
}

/* Id and dates from the first certificate. */
static enum mf_status
describe(struct mf_ca_key *k, const char *trust_domain, struct mf_ca **ret_ca, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	MF_TRY(mf_buf_check(&k->certificate, err));
	MF_TRY(mf_buf_check(&k->anchor, err));
	MF_TRY(mf_bundle_split(mf_buf_slice(&k->certificate), certs, MF_LIM_CHAIN, &n, err));
	if (n == 0)
		return MF_FAIL(err, MF_E_INVALID, "CA key: no certificate");
	MF_AUTO(mf_ca_free) struct mf_ca *ca = NULL;
	if (k->anchor.n > 0) {
		MF_TRY(mf_ca_parse_issued(certs[0], mf_slice_str(trust_domain), &ca, err));
		MF_TRY(
		    mf_upstream_ca_check_path(mf_buf_slice(&k->certificate), mf_buf_slice(&k->anchor), err));
	} else {
		MF_TRY(mf_ca_parse(certs[0], mf_slice_str(trust_domain), &ca, err));
	}
	MF_AUTO_IN(mf_buf_fini) struct mf_buf hex;
	mf_buf_init(&hex, sizeof(k->id));
	mf_hex_put(&hex, mf_slice(mf_ca_key_id(ca), MF_X509_KEY_ID_SIZE));
	MF_TRY(mf_buf_check(&hex, err));
	memcpy(k->id, hex.p, MF_CA_KEY_ID);
	k->not_before_s = mf_ca_not_before_s(ca);
	k->not_after_s = mf_ca_not_after_s(ca);
	if (ret_ca != NULL)
		*ret_ca = MF_TAKE(ca);
	return MF_OK;
}

static enum mf_status
sign_self(struct mf_ca_key *k, struct mf_slice tbs, struct mf_err *err)
{
	MF_AUTO(mf_p256_signer_free) struct mf_p256_signer *signer = NULL;
	MF_TRY(mf_p256_signer_new(k->key, &signer, err));
	return mf_x509_sign(tbs, signer, &k->certificate, err);
}

static enum mf_status
sign_under(struct mf_ca_key *k, const struct mf_upstream_ca *up, struct mf_slice tbs, struct mf_err *err)
{
	MF_TRY(mf_upstream_ca_sign(up, tbs, &k->certificate, err));
	mf_buf_put_slice(&k->certificate, mf_upstream_ca_between(up));
	mf_buf_put_slice(&k->anchor, mf_upstream_ca_roots(up));
	return MF_OK;
}

/* ${up} NULL: self-signed. */
static enum mf_status
make(const struct mf_upstream_ca *up, const char *trust_domain, int64_t not_before_s, int64_t not_after_s,
    struct mf_ca_key **ret_k, struct mf_err *err)
{
	struct mf_x509_ca ca = { .trust_domain = mf_slice_str(trust_domain),
		.not_before_s = not_before_s,
		.not_after_s = not_after_s,
		.by = up == NULL ? NULL : mf_upstream_ca_issuer(up) };
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf tbs;
	mf_buf_init(&tbs, MF_LIM_CERT_DER);
	MF_TRY(new_key(&k, err));
	MF_TRY(mf_p256_generate(&k->key, err));
	mf_rand_bytes(ca.serial, sizeof(ca.serial));
	mf_x509_serial_from_random(ca.serial);
	mf_p256_public(k->key, ca.point);
	MF_TRY(mf_x509_tbs_ca(&ca, &tbs, err));
	MF_TRY(
	    up == NULL ? sign_self(k, mf_buf_slice(&tbs), err) : sign_under(k, up, mf_buf_slice(&tbs), err));
	MF_TRY(describe(k, trust_domain, NULL, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_ca_key_make(const char *trust_domain, int64_t not_before_s, int64_t not_after_s, struct mf_ca_key **ret_k,
    struct mf_err *err)
{
	return make(NULL, trust_domain, not_before_s, not_after_s, ret_k, err);
}

enum mf_status
mf_ca_key_make_under(const struct mf_upstream_ca *up, const char *trust_domain, int64_t not_before_s,
    int64_t not_after_s, struct mf_ca_key **ret_k, struct mf_err *err)
{
	int64_t from = mf_upstream_ca_not_before_s(up), to = mf_upstream_ca_not_after_s(up);
	return make(up, trust_domain, from > not_before_s ? from : not_before_s,
	    to < not_after_s ? to : not_after_s, ret_k, err);
}

struct mf_slice
mf_ca_key_root(const struct mf_ca_key *k)
{
	return mf_bundle_first(mf_buf_slice(k->anchor.n > 0 ? &k->anchor : &k->certificate));
}

/* ---- files ---- */

struct names {
	char file[MF_CA_KEY_ID + 16];
	char seal_id[MF_KEYFILE_ID];
};

static void
name_of(const struct mf_ca_key_conf *conf, const char *id, struct names *ret_n)
{
	(void)snprintf(ret_n->file, sizeof(ret_n->file), "ca-%.*s.key", MF_CA_KEY_ID, id);
	(void)snprintf(ret_n->seal_id, sizeof(ret_n->seal_id), "%s.%.*s", conf->broker_id, MF_CA_KEY_ID, id);
}

enum mf_status
mf_ca_key_save(const struct mf_ca_key_conf *conf, const struct mf_ca_key *k, struct mf_err *err)
{
	struct names n;
	MF_AUTO(mf_secret_free) struct mf_secret *secret = NULL;
	name_of(conf, k->id, &n);
	MF_TRY(mf_p256_to_pkcs8(k->key, &secret, err));
	return mf_sealed_write(
	    conf->keys_dirfd, n.file, conf->kek, PURPOSE, n.seal_id, mf_secret_slice(secret), err);
}

static enum mf_status
unseal(const struct mf_ca_key_conf *conf, const char *file, const char *seal_id, struct mf_p256_key **ret_key,
    struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *secret = NULL;
	MF_TRY(mf_sealed_read(conf->keys_dirfd, file, conf->kek, PURPOSE, seal_id, &secret, err));
	return mf_p256_from_pkcs8(mf_secret_slice(secret), ret_key, err);
}

/* Takes over a key file for the certificate that is in ${k}. */
static enum mf_status
fit(const struct mf_ca_key_conf *conf, struct mf_ca_key *k, const char *file, const char *seal_id,
    const struct mf_ca *ca, struct mf_err *err)
{
	uint8_t point[MF_P256_POINT_SIZE];
	MF_TRY(unseal(conf, file, seal_id, &k->key, err));
	mf_p256_public(k->key, point);
	if (memcmp(point, mf_ca_point(ca), sizeof(point)) != 0)
		return MF_FAIL(err, MF_E_CORRUPT, "keys/%s is not the key of CA certificate %s", file, k->id);
	return MF_OK;
}

static enum mf_status
read_pem(const struct mf_ca_key_conf *conf, const char *name, struct mf_buf *der, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem;
	mf_buf_init(&pem, MF_LIM_JSON);
	MF_TRY(mf_file_read(conf->keys_dirfd, name, &pem, err));
	return mf_pem_get_all(mf_buf_slice(&pem), MF_PEM_CERTIFICATE, der, err);
}

/* Its certificates; without a file of roots it is a root itself. */
static enum mf_status
read_first(const struct mf_ca_key_conf *conf, struct mf_ca_key *k, struct mf_err *err)
{
	MF_TRY(read_pem(conf, FIRST_CERT, &k->certificate, err));
	enum mf_status s = read_pem(conf, FIRST_ROOTS, &k->anchor, err);
	return s == MF_E_NOTFOUND ? MF_OK : s;
}

static enum mf_status
write_pem(const struct mf_ca_key_conf *conf, const char *name, const struct mf_buf *der, struct mf_err *err)
{
	struct mf_slice certs[MF_LIM_CHAIN];
	size_t n = 0;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem;
	mf_buf_init(&pem, MF_LIM_JSON);
	MF_TRY(mf_bundle_split(mf_buf_slice(der), certs, MF_LIM_CHAIN, &n, err));
	for (size_t i = 0; i < n; i++)
		mf_pem_put(&pem, MF_PEM_CERTIFICATE, certs[i]);
	MF_TRY(mf_buf_check(&pem, err));
	return mf_file_write_new(conf->keys_dirfd, name, mf_buf_slice(&pem), 0444, err);
}

enum mf_status
mf_ca_key_save_first(const struct mf_ca_key_conf *conf, const struct mf_ca_key *k, struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *secret = NULL;
	MF_TRY(mf_p256_to_pkcs8(k->key, &secret, err));
	MF_TRY(mf_sealed_write(
	    conf->keys_dirfd, FIRST_KEY, conf->kek, PURPOSE, conf->broker_id, mf_secret_slice(secret), err));
	if (k->anchor.n > 0)
		MF_TRY(write_pem(conf, FIRST_ROOTS, &k->anchor, err));
	return write_pem(conf, FIRST_CERT, &k->certificate, err);
}

enum mf_status
mf_ca_key_first(const struct mf_ca_key_conf *conf, struct mf_ca_key **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	MF_AUTO(mf_ca_free) struct mf_ca *ca = NULL;
	MF_TRY(new_key(&k, err));
	MF_TRY(read_first(conf, k, err));
	MF_TRY(describe(k, conf->trust_domain, &ca, err));
	MF_TRY(fit(conf, k, FIRST_KEY, conf->broker_id, ca, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

enum mf_status
mf_ca_key_load(const struct mf_ca_key_conf *conf, struct mf_slice certificate, struct mf_slice anchor,
    struct mf_ca_key **ret_k, struct mf_err *err)
{
	struct names n;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *first = NULL;
	MF_AUTO(mf_ca_free) struct mf_ca *ca = NULL;
	MF_TRY(new_key(&k, err));
	mf_buf_put_slice(&k->certificate, certificate);
	mf_buf_put_slice(&k->anchor, anchor);
	MF_TRY(describe(k, conf->trust_domain, &ca, err));
	name_of(conf, k->id, &n);
	enum mf_status s = fit(conf, k, n.file, n.seal_id, ca, err);
	if (s == MF_E_NOTFOUND && mf_ca_key_first(conf, &first, NULL) == MF_OK &&
	    strcmp(first->id, k->id) == 0) {
		*ret_k = MF_TAKE(first);
		return MF_OK;
	}
	if (s == MF_OK)
		*ret_k = MF_TAKE(k);
	return s;
}

static void
close_dir(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

/* ca-<id>.key */
static bool
parse_name(const char *name, char ret_id[MF_CA_KEY_ID + 1])
{
	if (strncmp(name, "ca-", 3) != 0 || strspn(name + 3, "0123456789abcdef") != MF_CA_KEY_ID ||
	    strcmp(name + 3 + MF_CA_KEY_ID, ".key") != 0)
		return false;
	memcpy(ret_id, name + 3, MF_CA_KEY_ID);
	ret_id[MF_CA_KEY_ID] = '\0';
	return true;
}

enum mf_status
mf_ca_key_each_file(const struct mf_ca_key_conf *conf, void (*f)(void *ctx, const char *file, const char *id),
    void *ctx, struct mf_err *err)
{
	char id[MF_CA_KEY_ID + 1];
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *first = NULL;
	int fd = openat(conf->keys_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MF_AUTO_IN(close_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL) {
		int e = errno;
		if (fd >= 0)
			(void)close(fd);
		return MF_FAIL(err, MF_E_IO, "keys: the directory cannot be read (errno %d)", e);
	}
	errno = 0;
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		if (parse_name(e->d_name, id))
			f(ctx, e->d_name, id);
	if (errno != 0)
		return MF_FAIL(err, MF_E_IO, "keys: the directory cannot be read (errno %d)", errno);
	if (mf_ca_key_first(conf, &first, NULL) == MF_OK)
		f(ctx, FIRST_KEY, first->id);
	return MF_OK;
}

enum mf_status
mf_ca_key_remove(const struct mf_ca_key_conf *conf, const char *id, struct mf_err *err)
{
	struct names n;
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *k = NULL;
	name_of(conf, id, &n);
	MF_TRY(mf_file_remove(conf->keys_dirfd, n.file, err));
	/* Of the first generation the certificate says whose key it is. The key goes first: a crash in between leaves
	 * a certificate without key, which is found here again. */
	MF_TRY(new_key(&k, err));
	if (read_first(conf, k, NULL) != MF_OK || describe(k, conf->trust_domain, NULL, NULL) != MF_OK ||
	    strcmp(k->id, id) != 0)
		return MF_OK;
	MF_TRY(mf_file_remove(conf->keys_dirfd, FIRST_KEY, err));
	MF_TRY(mf_file_remove(conf->keys_dirfd, FIRST_CERT, err));
	return mf_file_remove(conf->keys_dirfd, FIRST_ROOTS, err);
}
