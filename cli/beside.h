/*
 * beside: the other programs of this installation, found by the place of this one.
 */
#ifndef MF_CLI_BESIDE_H
#define MF_CLI_BESIDE_H
#include "base/buf.h"

/*
 * The path of ${name}: in our own folder or ../sbin beside it, or (${role}) in $MAYFLY_LIBEXEC, else ../libexec/mayfly beside it. ${to}
 * is initialised, and a C string on MF_OK. MF_E_NOTFOUND when it is not there or not executable.
 */
MF_NODISCARD enum mf_status mf_cli_beside(const char *name, bool role, struct mf_buf *to, struct mf_err *err);
#endif
