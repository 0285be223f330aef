/*
 * key_files: the private halves of the keys in the notary's process: read at the start, made on order, forgotten. What is
 * signed with which is the engine's to say; the crew signs. State thread; keys are made in a worker of the crew.
 */
#ifndef MF_NOTARY_KEY_FILES_H
#define MF_NOTARY_KEY_FILES_H
#include "broker/keys/jwt_keys.h"
#include "broker/keys/upstream_files.h"
#include "broker/notary/crew.h"

struct mf_key_files; /* opaque */

/*
 * ${conf} is copied, what it points to outlives this, and so does ${jwt}. The descriptors of ${upstream} (NULL: none) are
 * its own on MF_OK; they are read when a CA key is made.
 */
MF_NODISCARD enum mf_status
mf_key_files_new(const struct mf_ca_key_conf *conf, const struct mf_upstream_ca_fds *upstream,
    struct mf_jwt_keys *jwt, struct mf_key_files **ret_f, struct mf_err *err);
void mf_key_files_free(struct mf_key_files *f);
MF_DEFINE_CLEANUP(struct mf_key_files, mf_key_files_free)

/*
 * The keys of uses that the log names no active one of: those of `mayfly-broker init`; of JWT keys that every broker needs
 * and that are not there, new ones are made. *ret_first points into ${f}. MF_E_NOTFOUND: the CA key is not there.
 */
MF_NODISCARD enum mf_status mf_key_files_first(struct mf_key_files *f, const struct mf_state *st,
    struct mf_key_made ret_first[MF_KEY_USES], size_t *ret_n, struct mf_err *err);
/*
 * Give the crew every CA key that may sign. The active one that cannot be had is an error; for any other key without file
 * mf_engine_key_lost is called.
 */
MF_NODISCARD enum mf_status
mf_key_files_load(struct mf_key_files *f, struct mf_engine *e, struct mf_crew *c, struct mf_err *err);
/* Warn of files that no key of the log belongs to. After mf_engine_start. */
void mf_key_files_orphans(const struct mf_key_files *f, const struct mf_state *st);
/* A reference of a key that signs JWT-SVIDs; NULL: it is not there. */
struct mf_jws_key *mf_key_files_jwt(const struct mf_key_files *f, const char *kid);
/* The same of a key that signs assertions: for the courier's requests and for the key's own certificate. */
struct mf_jws_key *mf_key_files_assertion(const struct mf_key_files *f, const char *kid);
/* Make one. The crew answers with MF_CREW_DONE; give its arg to mf_key_files_done. */
void mf_key_files_make(struct mf_key_files *f, struct mf_crew *c, const struct mf_key_order *order);
void mf_key_files_done(struct mf_key_files *f, struct mf_crew *c, struct mf_engine *e, void *arg);
/* The supervisor opened the file ${name} anew. False: it is none of these, and ${fd} stays the caller's. */
bool mf_key_files_reload(struct mf_key_files *f, const char *name, int fd);
void mf_key_files_forget(struct mf_key_files *f, struct mf_crew *c, const char *use, const char *id);
#endif
