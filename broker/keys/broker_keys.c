#include "broker/keys/broker_keys.h"

#include <stdlib.h>

#include "base/limits.h"
#include "broker/keys/sealed.h"
#include "log/checkpoint.h"
#include "os/secure_file.h"

void
mf_broker_keys_free(struct mf_broker_keys *k)
{
	if (k == NULL)
		return;
	mf_ca_key_free(k->ca);
	mf_ed25519_free(k->log);
	mf_x25519_free(k->inner);
	mf_jwt_keys_free(k->jwt);
	free(k);
}

void
mf_log_origin(const char *trust_domain, const char *broker_id, struct mf_buf *to)
{
	mf_buf_putf(to, "%s/mayfly/%s", trust_domain, broker_id);
}

enum mf_status
mf_log_origin_of(int log_dirfd, const char *trust_domain, const char *broker_id, const struct mf_ed25519 *key,
    struct mf_buf *to, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, base;
	struct mf_note_key said;
	uint8_t pub[MF_ED25519_KEY_SIZE];
	mf_buf_init(&text, MF_LIM_NOTE);
	mf_buf_init(&base, MF_LIM_NOTE);
	mf_log_origin(trust_domain, broker_id, &base);
	enum mf_status s = mf_file_read(log_dirfd, MF_VKEY_NAME, &text, err);
	if (s == MF_E_NOTFOUND) {
		mf_buf_put_slice(to, mf_buf_slice(&base));
		return mf_buf_check(to, err);
	}
	MF_TRY(s);
	MF_TRY(mf_note_key_parse(mf_buf_slice(&text), &said, err));
	mf_ed25519_public(key, pub);
	struct mf_slice name = mf_slice_str(said.name), rest = mf_slice_sub(name, base.n, name.n);
	if (!mf_slice_starts(name, mf_buf_slice(&base)) ||
	    (rest.n > 0 && !mf_slice_starts(rest, MF_SLICE_LIT(MF_LOG_RESTORED))) ||
	    memcmp(pub, said.public_key, sizeof(pub)) != 0)
		return MF_FAIL(err, MF_E_CORRUPT,
		    "log/vkey is of the log %s or of another key than keys/log.key: put both back from one "
		    "backup",
		    said.name);
	mf_buf_put_slice(to, name);
	return mf_buf_check(to, err);
}

static enum mf_status
make_ca(const struct mf_broker_keys_conf *conf, struct mf_broker_keys *k, struct mf_err *err)
{
	int64_t from = conf->now_s - conf->backdate_s, to = conf->now_s + conf->ca_ttl_s;
	return conf->upstream == NULL
		   ? mf_ca_key_make(conf->trust_domain, from, to, &k->ca, err)
		   : mf_ca_key_make_under(conf->upstream, conf->trust_domain, from, to, &k->ca, err);
}

enum mf_status
mf_broker_keys_make(const struct mf_broker_keys_conf *conf, struct mf_broker_keys **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *k = calloc(1, sizeof(*k));
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "keys: out of memory");
	MF_TRY(mf_ed25519_generate(NULL, &k->log, err));
	MF_TRY(mf_x25519_generate(NULL, &k->inner, err));
	MF_TRY(mf_jwt_keys_new(&k->jwt, err));
	MF_TRY(mf_jwt_keys_make_needed(k->jwt, err));
	MF_TRY(make_ca(conf, k, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}

/* ---- files ---- */

static const char log_purpose[] = "log", inner_purpose[] = "inner";

enum mf_status
mf_broker_keys_save(const struct mf_broker_keys *k, const char *broker_id, struct mf_kek *kek, int keys_dirfd,
    struct mf_err *err)
{
	MF_AUTO(mf_secret_free) struct mf_secret *log = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *inner = NULL;
	const struct mf_ca_key_conf first = { NULL, broker_id, kek, keys_dirfd };
	MF_TRY(mf_ed25519_private(k->log, &log, err));
	MF_TRY(mf_x25519_private(k->inner, &inner, err));
	MF_TRY(
	    mf_sealed_write(keys_dirfd, "log.key", kek, log_purpose, broker_id, mf_secret_slice(log), err));
	MF_TRY(mf_sealed_write(
	    keys_dirfd, "inner.key", kek, inner_purpose, broker_id, mf_secret_slice(inner), err));
	MF_TRY(mf_jwt_keys_save(k->jwt, broker_id, kek, keys_dirfd, err));
	return mf_ca_key_save_first(&first, k->ca, err);
}

enum mf_status
mf_broker_keys_load(const char *trust_domain, const char *broker_id, struct mf_kek *kek, int keys_dirfd,
    struct mf_broker_keys **ret_k, struct mf_err *err)
{
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *k = calloc(1, sizeof(*k));
	MF_AUTO(mf_secret_free) struct mf_secret *log = NULL;
	MF_AUTO(mf_secret_free) struct mf_secret *inner = NULL;
	const struct mf_ca_key_conf first = { trust_domain, broker_id, kek, keys_dirfd };
	if (k == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "keys: out of memory");
	/* The first CA key goes when its last credential is dead; later generations are ca_key.h's. */
	enum mf_status s = mf_ca_key_first(&first, &k->ca, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	MF_TRY(mf_sealed_read(keys_dirfd, "log.key", kek, log_purpose, broker_id, &log, err));
	MF_TRY(mf_sealed_read(keys_dirfd, "inner.key", kek, inner_purpose, broker_id, &inner, err));
	MF_TRY(mf_ed25519_new(mf_secret_slice(log), &k->log, err));
	MF_TRY(mf_x25519_new(mf_secret_slice(inner), &k->inner, err));
	MF_TRY(mf_jwt_keys_load(broker_id, kek, keys_dirfd, &k->jwt, err));
	*ret_k = MF_TAKE(k);
	return MF_OK;
}
