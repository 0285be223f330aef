/*
 * init: what `mayfly-broker init` makes: the directories, the keys (sealed), and a log whose first record says so.
 *
 *   STATE/FORMAT  STATE/keys/  STATE/log/{wal,snapshots,checkpoint,vkey}  STATE/db/  STATE/handles/
 */
#ifndef MF_BROKER_INIT_H
#define MF_BROKER_INIT_H
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"
#include "codec/x509_upstream.h"
#include "crypto/kek.h"

#define MF_STATE_FORMAT "mayfly-broker 1\n"

struct mf_init_conf {
	const char *trust_domain, *broker_id, *state_dir;
	uint64_t ca_ttl_ms;
	uid_t notary_uid, front_uid; /* who will own log and keys, and db; ours as a plain user */
	gid_t notary_gid, front_gid;
	struct mf_kek *kek;		       /* seals the keys */
	const struct mf_upstream_ca *upstream; /* signs our CA certificate; NULL: it is self-signed */
};

/* MF_E_EXISTS when there is a broker already: nothing is touched. */
MF_NODISCARD enum mf_status mf_broker_init(const struct mf_init_conf *conf, struct mf_err *err);
/* STATE/FORMAT is ours. MF_E_UNSUPPORTED for a newer one, MF_E_NOTFOUND when there is no broker. */
MF_NODISCARD enum mf_status mf_broker_check_format(const char *state_dir, struct mf_err *err);
/* 32 random bytes in a new root-only (owner-only) file; MF_OK when one is there already. */
MF_NODISCARD enum mf_status mf_broker_make_kek_file(const char *path, struct mf_err *err);
#endif
