#include "broker/restore_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/text.h"
#include "broker/core/state.h"
#include "broker/verb_record.h"
#include "os/secure_file.h"

#define NAME_BYTES 8u /* of chance: one backup may be restored many times, and no two logs have one name */

static void
close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

enum mf_status
mf_restore_log_is_ours(
    const char *trust_domain, const char *broker_id, const struct mf_backup_log *l, struct mf_err *err)
{
	struct mf_slice name = mf_slice_str(l->key.name);
	MF_AUTO_IN(mf_buf_fini) struct mf_buf base;
	mf_buf_init(&base, MF_LIM_NOTE_NAME);
	mf_log_origin(trust_domain, broker_id, &base);
	struct mf_slice rest = mf_slice_sub(name, base.n, name.n);
	if (!mf_slice_starts(name, mf_buf_slice(&base)) ||
	    (rest.n > 0 && !mf_slice_starts(rest, MF_SLICE_LIT(MF_LOG_RESTORED))))
		return MF_FAIL(err, MF_E_INVALID,
		    "it is of the log %s, the configuration is that of %s broker %s: set trust_domain and "
		    "broker_id as they were",
		    l->key.name, trust_domain, broker_id);
	return MF_OK;
}

/* Signed by the key that is among the files? */
static enum mf_status
check_key(const struct mf_restore_log_conf *c, struct mf_err *err)
{
	uint8_t pub[MF_ED25519_KEY_SIZE];
	mf_ed25519_public(c->keys->log, pub);
	if (memcmp(pub, c->log->key.public_key, sizeof(pub)) != 0)
		return MF_FAIL(err, MF_E_CORRUPT, "keys/log.key is not the key that signed the log's head");
	return MF_OK;
}

static enum mf_status
apply(void *ctx, const struct mf_wal_record *rec, struct mf_err *err)
{
	MF_AUTO(mf_record_doc_free) struct mf_record_doc *doc = NULL;
	if (mf_record_decode(rec->bytes, &doc, err) != MF_OK)
		return mf_err_wrap(err, MF_E_CORRUPT, "log record %" PRIu64, rec->index);
	return mf_state_apply(ctx, rec->index, mf_record_doc_get(doc), err);
}

/* The key that signs opens; the notary would not start without it. */
static enum mf_status
check_ca(const struct mf_state *st, const struct mf_ca_key_conf *ca, struct mf_err *err)
{
	MF_AUTO(mf_ca_key_free) struct mf_ca_key *key = NULL;
	const struct mf_key *k = mf_state_active_key(st, MF_KEY_USE_X509);
	if (k == NULL)
		return MF_OK;
	enum mf_status s = mf_ca_key_load(
	    ca, mf_slice(k->certificate, k->certificate_n), mf_slice(k->anchor, k->anchor_n), &key, err);
	return s == MF_OK ? s : mf_err_wrap(err, s, "CA key %s, which signs", k->id);
}

static enum mf_status
put_record(const struct mf_restore_log_conf *c, const char *origin, const char *vkey, struct mf_buf *to,
    struct mf_err *err)
{
	struct mf_verb_record v;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root;
	mf_buf_init(&root, 2 * MF_HASH_SIZE + 1);
	mf_hex_put(&root, mf_slice(c->log->head.root, MF_HASH_SIZE));
	mf_verb_record_init(&v, MF_REC_LOG_RESTORED, c->broker_id, "restore", origin);
	mf_record_set_str(&v.r, MF_RS_CAUSE, c->whole ? MF_CAUSE_WHOLE : MF_CAUSE_TAIL);
	mf_record_set_str(&v.r, MF_RS_VKEY, vkey);
	mf_record_set_str(&v.r, MF_RS_PREVIOUS_ORIGIN, c->log->key.name);
	mf_record_set(&v.r, MF_RS_PREVIOUS_ROOT, mf_buf_slice(&root));
	mf_record_set_num(&v.r, MF_RN_PREVIOUS_SIZE, (int64_t)c->log->head.size);
	return mf_record_encode(&v.r, to, err);
}

static enum mf_status
sign(int log_dirfd, const struct mf_restore_log_conf *c, struct mf_slice origin, struct mf_wal *wal,
    struct mf_err *err)
{
	char former[64];
	MF_AUTO(mf_checkpointer_free) struct mf_checkpointer *heads = NULL;
	struct mf_wal_head head = mf_wal_head(wal);
	(void)snprintf(former, sizeof(former), MF_CHECKPOINT_NAME "-%016" PRIu64, c->log->head.size);
	MF_TRY(mf_file_write_new(log_dirfd, former, mf_buf_slice(&c->log->note), 0444, err));
	MF_TRY(mf_checkpointer_new(NULL, log_dirfd, origin, c->keys->log, NULL, &heads, err));
	return mf_checkpointer_publish(heads, &head, err);
}

/* Under its new name: one record, its head, its public key. */
static enum mf_status
go_on(int log_dirfd, const struct mf_restore_log_conf *c, struct mf_buf *origin, struct mf_wal *wal,
    struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf vkey, record;
	struct mf_note_key key;
	uint64_t first;
	mf_buf_init(&vkey, MF_LIM_NOTE);
	mf_buf_init(&record, MF_LIM_RECORD);
	MF_TRY(mf_note_key_init(mf_buf_slice(origin), c->log->key.public_key, &key, err));
	mf_note_key_put(&key, &vkey);
	MF_TRY(put_record(c, mf_buf_cstr(origin), mf_buf_cstr(&vkey), &record, err));
	struct mf_slice bytes = mf_buf_slice(&record);
	MF_TRY(mf_wal_append_batch(wal, &bytes, 1, MF_WAL_NORMAL, &first, err));
	if (first != c->log->head.size)
		return MF_FAIL(err, MF_E_INTERNAL, "log.restored is record %" PRIu64, first);
	MF_TRY(sign(log_dirfd, c, mf_buf_slice(origin), wal, err));
	mf_buf_put_u8(&vkey, '\n');
	return mf_file_write(log_dirfd, MF_VKEY_NAME, mf_buf_slice(&vkey), 0444, err);
}

enum mf_status
mf_restore_log(int log_dirfd, const struct mf_restore_log_conf *conf, char ret_origin[MF_LIM_NOTE_NAME + 1],
    struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf origin;
	MF_AUTO(mf_state_free) struct mf_state *st = NULL;
	MF_AUTO(mf_wal_free) struct mf_wal *wal = NULL;
	MF_AUTO_IN(close_fd) int dir = openat(log_dirfd, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mf_wal_recovery rec;
	uint8_t chance[NAME_BYTES];
	mf_buf_init(&origin, MF_LIM_NOTE_NAME + 1);
	if (dir < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "there is no log/wal");
	mf_log_origin(conf->trust_domain, conf->broker_id, &origin);
	MF_TRY(check_key(conf, err));
	MF_TRY(mf_state_new(&st, err));
	struct mf_wal_opts opts = { .segment = conf->segment,
		.tail_reserve = conf->segment / 8,
		.reserve = conf->segment / 4,
		.signed_head = &conf->log->head,
		.on_record = apply,
		.ctx = st };
	MF_TRY(mf_wal_open(dir, &opts, &wal, &rec, err));
	if (strcmp(mf_state_origin(st), conf->log->key.name) != 0 ||
	    mf_state_size(st) != conf->log->head.size)
		return MF_FAIL(err, MF_E_CORRUPT, "log/vkey names %s, the log's records %s",
		    conf->log->key.name, mf_state_origin(st));
	MF_TRY(check_ca(st, conf->ca, err));
	mf_rand_bytes(chance, sizeof(chance));
	mf_buf_put_str(&origin, MF_LOG_RESTORED);
	mf_base32_put(&origin, mf_slice(chance, sizeof(chance)));
	if (mf_buf_cstr(&origin) == NULL)
		return mf_buf_check(&origin, err);
	MF_TRY(go_on(log_dirfd, conf, &origin, wal, err));
	memcpy(ret_origin, mf_buf_cstr(&origin), origin.n + 1);
	return MF_OK;
}
