/*
 * template: the names of a job, made from a profile's templates ("/{tenant}/train/{env}/job/{job}").
 *
 * A template is text with {variables}. Three kinds with their own rules for the result:
 *   path  a SPIFFE ID path: "/" and segments of letters, digits, '.', '-', '_', none empty, "." or ".." (SPIFFE-ID
 *         2.2); never "/mayfly" or below, which is the product's own.
 *   cn    a certificate's subject CN: 1 to 64 bytes of letters, digits, '.', '-', '_'.
 *   dns   a DNS name: labels of a-z, 0-9, '-', 63 bytes each, 253 in all (RFC 1035 2.3.1).
 * Values come from jobs, so a value is one segment or label: a '/', '*', '+', ',', "..", or anything else outside the
 * kind's letters is refused, never escaped. Pure; no memory but the caller's buffer.
 */
#ifndef MF_CODEC_TEMPLATE_H
#define MF_CODEC_TEMPLATE_H
#include "base/buf.h"

enum mf_template_kind { MF_TEMPLATE_PATH, MF_TEMPLATE_CN, MF_TEMPLATE_DNS };

/* The variables that a template may name, NULL at the end: tenant, job, run, env, kind, name, profile, purpose, node. */
extern const char *const mf_template_variables[];

/* The value of ${name}; false when this job has none. */
typedef bool mf_template_get(void *ctx, struct mf_slice name, struct mf_slice *ret_value);

/* MF_E_INVALID with cause and cure when no value could make ${t} a name of that kind. */
MF_NODISCARD enum mf_status
mf_template_check(struct mf_slice t, enum mf_template_kind kind, struct mf_err *err);
/* True when ${t} names the variable ${name}. */
bool mf_template_uses(struct mf_slice t, const char *name);
/*
 * Append the name to ${to}. MF_E_INVALID names the variable that is missing or whose value may not stand in a name,
 * never the value. On failure ${to} may hold a part: reset it.
 */
MF_NODISCARD enum mf_status mf_template_expand(struct mf_slice t, enum mf_template_kind kind,
    mf_template_get *get, void *ctx, struct mf_buf *to, struct mf_err *err);
#endif
