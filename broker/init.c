#include "broker/init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/rand.h"
#include "base/secret.h"
#include "broker/keys/broker_keys.h"
#include "broker/verb_record.h"
#include "crypto/hash.h"
#include "log/checkpoint.h"
#include "log/wal.h"
#include "os/secure_file.h"

#define BACKDATE_S 60

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

enum mf_status
mf_broker_make_kek_file(const char *path, struct mf_err *err)
{
	uint8_t key[MF_KEK_SIZE];
	char dir[4096] = ".";
	MF_AUTO_IN(close_fd) int dirfd = -1;
	/* The default place is the state directory, which a first init has still to make. */
	const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
	if (slash != NULL && (size_t)(slash - path) + 1 >= sizeof(dir))
		return MF_FAIL(err, MF_E_TOOBIG, "the path of the key file is too long");
	if (slash != NULL) {
		size_t n = slash == path ? 1 : (size_t)(slash - path);
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	MF_TRY(mf_dir_open(dir, true, geteuid(), getegid(), 0755, &dirfd, err));
	mf_rand_bytes(key, sizeof(key));
	/* Whole and on disk, or not there: half a key would be taken for one the next time. */
	enum mf_status s = mf_file_write_new(dirfd, name, mf_slice(key, sizeof(key)), 0400, err);
	mf_wipe(key, sizeof(key));
	return s == MF_E_EXISTS ? MF_OK : s;
}

enum mf_status
mf_broker_check_format(const char *state_dir, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	MF_AUTO_IN(close_fd) int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mf_buf_init(&text, 256);
	if (fd < 0)
		return MF_FAIL(err, MF_E_NOTFOUND, "%s: %s; make a broker with 'mayfly-broker init'",
		    state_dir, strerror(errno));
	enum mf_status s = mf_file_read(fd, "FORMAT", &text, err);
	if (s == MF_E_NOTFOUND)
		return MF_FAIL(
		    err, MF_E_NOTFOUND, "%s holds no broker: make one with 'mayfly-broker init'", state_dir);
	if (s != MF_OK && s != MF_E_TOOBIG)
		return mf_err_wrap(err, s, "%s", state_dir);
	if (s == MF_OK && mf_slice_eq_str(mf_buf_slice(&text), MF_STATE_FORMAT))
		return MF_OK;
	return MF_FAIL(err, MF_E_UNSUPPORTED,
	    "%s/FORMAT is not this release's: a newer release wrote it (run that one), or it was altered "
	    "(put "
	    "back a backup)",
	    state_dir);
}

/* The record that every log begins with. */
static enum mf_status
first_record(const struct mf_init_conf *conf, const struct mf_broker_keys *k, const char *origin,
    const char *vkey, struct mf_buf *to, struct mf_err *err)
{
	struct mf_verb_record v;
	char ca_hex[65], inner_hex[65];
	uint8_t sha[32], inner[32];
	mf_sha256(mf_ca_key_root(k->ca), sha);
	mf_x25519_public(k->inner, inner);
	for (size_t i = 0; i < 32; i++) {
		(void)snprintf(ca_hex + 2 * i, 3, "%02x", sha[i]);
		(void)snprintf(inner_hex + 2 * i, 3, "%02x", inner[i]);
	}
	mf_verb_record_init(&v, MF_REC_LOG_OPENED, conf->broker_id, "init", origin);
	mf_record_set_str(&v.r, MF_RS_TRUST_DOMAIN, conf->trust_domain);
	mf_record_set_str(&v.r, MF_RS_CA_SHA256, ca_hex);
	mf_record_set_str(&v.r, MF_RS_INNER, inner_hex);
	mf_record_set_str(&v.r, MF_RS_VKEY, vkey);
	return mf_record_encode(&v.r, to, err);
}

static enum mf_status
sub_dir(int dirfd, const char *name, uid_t uid, gid_t gid, mode_t mode, int *ret_fd, struct mf_err *err)
{
	return mf_dir_open_at(dirfd, name, true, uid, gid, mode, ret_fd, err);
}

static enum mf_status
open_log(const struct mf_init_conf *conf, const struct mf_broker_keys *k, int log_fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf origin, vkey, record;
	MF_AUTO_IN(close_fd) int wal_fd = -1;
	MF_AUTO_IN(close_fd) int snaps_fd = -1;
	MF_AUTO(mf_wal_free) struct mf_wal *wal = NULL;
	MF_AUTO(mf_checkpointer_free) struct mf_checkpointer *heads = NULL;
	struct mf_wal_opts opts = { 0 };
	struct mf_wal_recovery rec;
	struct mf_note_key key;
	uint8_t pub[MF_ED25519_KEY_SIZE];
	uint64_t first;
	mf_buf_init(&origin, 1024);
	mf_buf_init(&vkey, 1024);
	mf_buf_init(&record, MF_LIM_RECORD);
	mf_log_origin(conf->trust_domain, conf->broker_id, &origin);
	mf_ed25519_public(k->log, pub);
	MF_TRY(mf_note_key_init(mf_buf_slice(&origin), pub, &key, err));
	mf_note_key_put(&key, &vkey);
	MF_TRY(mf_buf_check(&vkey, err));
	MF_TRY(first_record(conf, k, mf_buf_cstr(&origin), mf_buf_cstr(&vkey), &record, err));
	MF_TRY(sub_dir(log_fd, "wal", conf->notary_uid, conf->notary_gid, 0700, &wal_fd, err));
	MF_TRY(sub_dir(log_fd, "snapshots", conf->notary_uid, conf->notary_gid, 0700, &snaps_fd, err));
	MF_TRY(mf_wal_open(wal_fd, &opts, &wal, &rec, err));
	struct mf_slice bytes = mf_buf_slice(&record);
	MF_TRY(mf_wal_append_batch(wal, &bytes, 1, MF_WAL_NORMAL, &first, err));
	MF_TRY(mf_checkpointer_new(NULL, log_fd, mf_buf_slice(&origin), k->log, NULL, &heads, err));
	struct mf_wal_head head = mf_wal_head(wal);
	MF_TRY(mf_checkpointer_publish(heads, &head, err));
	mf_buf_put_u8(&vkey, '\n');
	MF_TRY(mf_file_write(log_fd, MF_VKEY_NAME, mf_buf_slice(&vkey), 0444, err));
	MF_TRY(mf_dir_give(wal_fd, conf->notary_uid, conf->notary_gid, err));
	return mf_dir_give(log_fd, conf->notary_uid, conf->notary_gid, err);
}

enum mf_status
mf_broker_init(const struct mf_init_conf *conf, struct mf_err *err)
{
	MF_AUTO_IN(close_fd) int state = -1;
	MF_AUTO_IN(close_fd) int keys = -1;
	MF_AUTO_IN(close_fd) int log = -1;
	MF_AUTO_IN(close_fd) int db = -1;
	MF_AUTO_IN(close_fd) int handles = -1;
	MF_AUTO_IN(close_fd) int public = -1;
	MF_AUTO(mf_broker_keys_free) struct mf_broker_keys *k = NULL;
	struct mf_broker_keys_conf kc = { conf->trust_domain, conf->broker_id, mf_now().wall_us / 1000000,
		(int64_t)(conf->ca_ttl_ms / 1000), BACKDATE_S, conf->upstream };
	MF_TRY(mf_dir_open(conf->state_dir, true, getuid(), getgid(), 0755, &state, err));
	if (faccessat(state, "FORMAT", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return MF_FAIL(
		    err, MF_E_EXISTS, "%s holds a broker already: nothing was touched", conf->state_dir);
	if (faccessat(state, "keys", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return MF_FAIL(err, MF_E_EXISTS,
		    "%s holds keys and no FORMAT: an earlier init did not finish. Nothing has been issued by "
		    "them: remove its keys, log, db and handles, and run init again",
		    conf->state_dir);
	MF_TRY(mf_broker_keys_make(&kc, &k, err));
	MF_TRY(sub_dir(state, "keys", conf->notary_uid, conf->notary_gid, 0700, &keys, err));
	MF_TRY(sub_dir(state, "log", conf->notary_uid, conf->notary_gid, 0755, &log, err));
	MF_TRY(sub_dir(state, "db", conf->front_uid, conf->front_gid, 0700, &db, err));
	MF_TRY(sub_dir(state, "handles", conf->notary_uid, conf->notary_gid, 0700, &handles, err));
	MF_TRY(sub_dir(state, "public", conf->notary_uid, conf->notary_gid, 0755, &public, err));
	MF_TRY(mf_broker_keys_save(k, conf->broker_id, conf->kek, keys, err));
	MF_TRY(mf_dir_give(keys, conf->notary_uid, conf->notary_gid, err));
	MF_TRY(open_log(conf, k, log, err));
	/* Last: what has no FORMAT was not finished. */
	return mf_file_write_new(state, "FORMAT", MF_SLICE_LIT(MF_STATE_FORMAT), 0444, err);
}
