/*
 * users: uid to name by /etc/passwd alone. No NSS: its modules would bring sockets and foreign code into the
 * process that decides who is who. Users of a directory service have no name here and are told by uid
 * (docs say so); a name that the file gives twice belongs to its first line.
 * Thread rule: one thread.
 */
#ifndef MF_ATTESTOR_USERS_H
#define MF_ATTESTOR_USERS_H
#include "base/buf.h"

#define MF_USERS_FILE_MAX (4u * 1024u * 1024u)
#define MF_USERS_MAX 65536u
#define MF_USER_NAME_MAX 128u

struct mf_users; /* opaque */

/* Pure: lines that are malformed, or whose name is no plain word, are left out. MF_E_TOOBIG, MF_E_NOMEM. */
MF_NODISCARD enum mf_status mf_users_parse(struct mf_slice file, struct mf_users **ret_u, struct mf_err *err);
/* Remember ${path} (copied) and read it; a missing file is an empty one. */
MF_NODISCARD enum mf_status mf_users_open(const char *path, struct mf_users **ret_u, struct mf_err *err);
/* Read again when the file changed; keeps what it has when that fails. */
void mf_users_refresh(struct mf_users *u);
/* NULL when the file does not name ${uid}; valid until the next refresh. */
const char *mf_users_name(const struct mf_users *u, uint32_t uid);
void mf_users_free(struct mf_users *u);
MF_DEFINE_CLEANUP(struct mf_users, mf_users_free)
#endif
