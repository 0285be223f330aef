/*
 * sources: where the broker's supervisor gets what it hands over (the operator's files, the KEK), and the verb init,
 * which needs the same. Supervisors only: blocking, one thread.
 */
#ifndef MF_BROKER_SOURCES_H
#define MF_BROKER_SOURCES_H
#include <sys/types.h>

#include "broker/keys/upstream_files.h"
#include "crypto/kek.h"
#include "conf/broker_conf.h"

/*
 * Open ${path} to read. Symlinks are lawful (Kubernetes mounts configuration so), foreign owners and the
 * ${forbidden} permission bits are not. MF_E_NOTFOUND, MF_E_DENIED, MF_E_IO.
 */
MF_NODISCARD enum mf_status
mf_broker_open_file(const char *path, mode_t forbidden, int *ret_fd, struct mf_err *err);
/*
 * False when the policy file that ${conf} names can be read and is not valid: ${to} then has all its problems, a line each. A
 * file that cannot be opened is left to who opens it for the notary.
 */
bool mf_broker_policy_ok(const struct mf_broker_conf *conf, struct mf_buf *to);
/* An empty memfd, mode 0600. */
MF_NODISCARD enum mf_status mf_broker_memfd(const char *name, int *ret_fd, struct mf_err *err);
/* The same with ${bytes} in it. */
MF_NODISCARD enum mf_status
mf_broker_hand_over(const char *name, struct mf_slice bytes, int *ret_fd, struct mf_err *err);
/*
 * The KEK as the configuration says: a file that can be read again from its start. *ret_kind is "raw" or
 * "passphrase". A passphrase descriptor is read to its end and closed: once per process.
 */
MF_NODISCARD enum mf_status
mf_broker_open_kek(const struct mf_broker_conf *conf, int *ret_fd, const char **ret_kind, struct mf_err *err);
/*
 * The files of conf.upstream_ca; none configured: all -1. ${missing_ok}: what is not there stays -1 with a line in the log,
 * because only the next key needs it; a file that others may read is refused in any case.
 */
MF_NODISCARD enum mf_status mf_broker_open_upstream(const struct mf_broker_conf *conf, bool missing_ok,
    struct mf_upstream_ca_fds *ret_fds, struct mf_err *err);
enum mf_upstream_ca_kind mf_broker_upstream_kind(const struct mf_broker_conf *conf);
void mf_broker_close_upstream(const struct mf_upstream_ca_fds *fds);
/* The KEK as mf_broker_open_kek finds it. ${make}: a configured file that is missing is made. */
MF_NODISCARD enum mf_status
mf_broker_read_kek(const struct mf_broker_conf *conf, bool make, struct mf_kek **ret_kek, struct mf_err *err);
/* Who owns log and keys, and db: the roles' users, or ours when we are not root. */
MF_NODISCARD enum mf_status mf_broker_users(const struct mf_broker_conf *conf, uid_t *ret_notary,
    gid_t *ret_notary_gid, uid_t *ret_front, gid_t *ret_front_gid, struct mf_err *err);
/* `mayfly-broker init`: makes the KEK file when it is configured and missing, then mf_broker_init. */
MF_NODISCARD enum mf_status
mf_broker_init_verb(const struct mf_broker_conf *conf, bool debug, struct mf_err *err);
/*
 * The files of conf.foreign_bundles in one memfd, as they are: for each u32be length and name of the trust domain, u32be
 * length and bytes. Nobody here looks into them: the notary does (broker/notary/foreign.h).
 */
MF_NODISCARD enum mf_status
mf_broker_foreign(const struct mf_broker_conf *conf, int *ret_fd, struct mf_err *err);
#endif
