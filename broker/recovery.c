#include "broker/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "broker/backup.h"
#include "broker/restore.h"
#include "broker/sources.h"
#include "conf/schema.h"

const char *const mf_backup_flags[] = { "to=", NULL };
const char *const mf_restore_flags[] = { "from=", "head=", "force", NULL };

/* ${state_dir} without slashes at its end. */
static enum mf_status
plain_path(const char *path, char *to, size_t cap, struct mf_err *err)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0 || n >= cap)
		return MF_FAIL(err, MF_E_INVALID, "a path of %zu bytes", n);
	memcpy(to, path, n);
	to[n] = '\0';
	return MF_OK;
}

/* "20261201T021500Z" */
static void
stamp(char to[17])
{
	int y, mon, d, h, min, s;
	mf_civil(mf_now().wall_us / 1000000, &y, &mon, &d, &h, &min, &s);
	(void)snprintf(to, 17, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)y % 10000u, (unsigned)mon % 100u,
	    (unsigned)d % 100u, (unsigned)h % 100u, (unsigned)min % 100u, (unsigned)s % 100u);
}

static void
say_log(const struct mf_backup_log *l)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf root, ts;
	mf_buf_init(&root, 100);
	mf_buf_init(&ts, 40);
	mf_base64_put(&root, mf_slice(l->head.root, MF_HASH_SIZE));
	mf_time_put_us(&ts, l->last_us);
	(void)printf("log       %s: %" PRIu64 " records, %" PRIu64 " bytes, the last of %s\n", l->key.name,
	    l->head.size, l->bytes, mf_buf_cstr(&ts));
	(void)printf("head      %" PRIu64 " records, signed, root %s\n", l->head.size, mf_buf_cstr(&root));
}

static void
say_backup(const struct mf_broker_conf *conf, const char *to, const struct mf_backup_report *r)
{
	(void)printf("backup    %s: %zu files, read back\n", to, r->files);
	say_log(&r->log);
	(void)printf("keys      %zu, sealed as they are\n", r->keys);
	if (r->snapshot > 0)
		(void)printf("snapshot  of %" PRIu64 " records\n", r->snapshot);
	if (conf->kek.file[0] != '\0')
		(void)printf(
		    "not in it the key that opens those: %s. Keep a copy of it elsewhere, and not beside "
		    "the backup\n",
		    conf->kek.file);
	else
		(void)printf("not in it the key that opens those (%s): keep it elsewhere, and not beside the "
			     "backup\n",
		    conf->kek.credential[0] != '\0' ? "a systemd credential" : "a passphrase");
	(void)printf("not in it configuration, policy and persons; db, which is made from the log\n");
}

enum mf_status
mf_broker_backup_verb(const struct mf_broker_conf *conf, char *const *flags, struct mf_err *err)
{
	MF_AUTO_IN(mf_backup_report_fini) struct mf_backup_report r = { 0 };
	char state[900], to[MF_RESTORE_PATH], at[17];
	const char *given = mf_conf_own_value(flags, "to");
	MF_TRY(plain_path(conf->state_dir, state, sizeof(state), err));
	if (given != NULL) {
		MF_TRY(plain_path(given, to, sizeof(to), err));
	} else {
		stamp(at);
		(void)snprintf(to, sizeof(to), "%s.backup-%s", state, at);
	}
	MF_TRY(mf_broker_backup(state, to, &r, err));
	say_backup(conf, to, &r);
	return MF_OK;
}

static void
say_restore(const char *state, const struct mf_restore_report *r)
{
	(void)printf("restored  %s\n", state);
	say_log(&r->backup.log);
	(void)printf("goes on   as %s, whose first record names that head\n", r->origin);
	if (r->put_aside)
		(void)printf("put aside %s, what was there before: remove it when nothing of it is missed\n",
		    r->aside);
	(void)printf(
	    "next      start the broker. It ends every lease of before; agents attach anew by themselves\n");
	if (r->whole)
		(void)printf("missing   nothing: the log ends with the head that was given\n");
	else
		(void)printf(
		    "missing   what was recorded after that head, if anything was: another CA key will sign, "
		    "join tokens of before are void. Say again what was ended, evicted or revoked since\n");
}

enum mf_status
mf_broker_restore_verb(const struct mf_broker_conf *conf, char *const *flags, struct mf_err *err)
{
	MF_AUTO(mf_kek_free) struct mf_kek *kek = NULL;
	MF_AUTO_IN(mf_restore_report_fini) struct mf_restore_report r = { 0 };
	char state[900], at[17];
	struct mf_restore_conf c = { .trust_domain = conf->trust_domain,
		.broker_id = conf->broker_id,
		.state_dir = state,
		.from = mf_conf_own_value(flags, "from"),
		.head = mf_conf_own_value(flags, "head"),
		.stamp = at,
		.kek_file = conf->kek.file,
		.segment = conf->wal_segment_bytes,
		.force = mf_conf_own_flag(flags, "force") };
	if (c.from == NULL)
		return MF_FAIL(err, MF_E_INVALID, "restore what? --from DIR names the backup");
	MF_TRY(plain_path(conf->state_dir, state, sizeof(state), err));
	stamp(at);
	MF_TRY(mf_broker_users(conf, &c.notary_uid, &c.notary_gid, &c.front_uid, &c.front_gid, err));
	enum mf_status s = mf_broker_read_kek(conf, false, &kek, err);
	if (s != MF_OK)
		return mf_err_wrap(err, s, "the KEK, which no backup holds: bring it back first");
	c.kek = kek;
	MF_TRY(mf_broker_restore(&c, &r, err));
	say_restore(state, &r);
	return MF_OK;
}
