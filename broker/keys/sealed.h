/* sealed: one secret in one file of the keys directory (crypto/keyfile.h). Never overwritten. */
#ifndef MF_BROKER_SEALED_H
#define MF_BROKER_SEALED_H
#include "base/secret.h"
#include "crypto/kek.h"

/* MF_E_EXISTS when ${file} is there. */
MF_NODISCARD enum mf_status mf_sealed_write(int dirfd, const char *file, struct mf_kek *kek,
    const char *purpose, const char *id, struct mf_slice secret, struct mf_err *err);
/* The text of a failure names the file. */
MF_NODISCARD enum mf_status mf_sealed_read(int dirfd, const char *file, struct mf_kek *kek,
    const char *purpose, const char *id, struct mf_secret **ret_secret, struct mf_err *err);
#endif
