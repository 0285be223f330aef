/*
 * scope: what one cloud token may do, made from a grant's template and what is known of the job. Pure.
 *
 * A grant of a profile (policy.h) has statements: actions and resource templates. A template has literal text and
 * {job} {run} {tenant} {person} {purpose} {td} {dataset}. A value goes in whole or not at all: one that could widen the
 * resource or mean another one (a wildcard, "..", an empty segment, a percent sign, a control byte, a byte outside of
 * [A-Za-z0-9._=@+-] and, in {dataset}, "/") refuses the token and says which. A value is a whole segment: what follows it
 * is "/", ":" or the end. {dataset} stands for each of the manifest's data sets in s3:// or gs:// in turn (others are
 * passed over; with none of these there is no token), as bucket and prefix; the prefix ends in "/", so that the sibling
 * runs/j-12 is not below runs/j-1, and one "*" may follow. One that does not end in "/" and is no bucket may be an object: it
 * gives that name, too, and nothing but that name.
 *
 * Actions that may invoke models (mf_scope_is_model_action: any that a wildcard in them could match) are refused at load unless
 * the grant lists them in `models`.
 */
#ifndef MF_BROKER_SCOPE_H
#define MF_BROKER_SCOPE_H
#include "base/buf.h"
#include "base/err.h"

#define MF_SCOPE_STATEMENTS 8u
#define MF_SCOPE_ACTIONS 32u   /* of a statement */
#define MF_SCOPE_RESOURCES 64u /* of a statement, after {dataset} was multiplied out */

/* As it stands in policy; checked by mf_scope_check at load. */
struct mf_scope_statement {
	const char *const *actions;
	size_t actions_n;
	const char *const
	    *resources; /* templates; none: for a backend whose permissions are names alone (oauth) */
	size_t resources_n;
};

/* What is known of the job: every text may be "", which a template that names it refuses. */
struct mf_scope_facts {
	const char *job, *run, *tenant, *person, *purpose, *trust_domain;
	const struct mf_slice *datasets; /* URIs of the manifest */
	size_t datasets_n;
};

/* Rendered: no template is left. */
struct mf_scope_rendered {
	const char *const *actions;
	size_t actions_n;
	struct mf_slice resources[MF_SCOPE_RESOURCES];
	size_t resources_n;
};
struct mf_scope {
	struct mf_scope_rendered statements[MF_SCOPE_STATEMENTS];
	size_t statements_n;
	struct mf_buf text; /* what the resources point into */
};

/* Can this template be rendered at all? MF_E_INVALID names what is wrong and the cure. */
MF_NODISCARD enum mf_status mf_scope_check(const struct mf_scope_statement *s, size_t n,
    const char *const *models, size_t models_n, struct mf_err *err);
bool mf_scope_is_model_action(const char *action);
/* MF_E_DENIED: a value may not stand there. ${ret} is fini'd by mf_scope_fini in any case. */
MF_NODISCARD enum mf_status mf_scope_render(const struct mf_scope_statement *s, size_t n,
    const struct mf_scope_facts *facts, struct mf_scope *ret, struct mf_err *err);
void mf_scope_fini(struct mf_scope *s);
#endif
