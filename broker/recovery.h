/*
 * recovery: the verbs backup and restore of mayfly-broker, with what they print for people on stdout. main only.
 */
#ifndef MF_BROKER_RECOVERY_H
#define MF_BROKER_RECOVERY_H
#include "conf/broker_conf.h"

/* Flags of their own: --to DIR. ${flags}: the command line. */
extern const char *const mf_backup_flags[];
MF_NODISCARD enum mf_status
mf_broker_backup_verb(const struct mf_broker_conf *conf, char *const *flags, struct mf_err *err);
/* --from DIR [--head FILE] [--force]. MF_E_INVALID without --from. */
extern const char *const mf_restore_flags[];
MF_NODISCARD enum mf_status
mf_broker_restore_verb(const struct mf_broker_conf *conf, char *const *flags, struct mf_err *err);
#endif
