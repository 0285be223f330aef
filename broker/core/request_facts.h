/*
 * request_facts: the facts of a request, from where they lie: a manifest, a node, a record of the log. What is decided at
 * the attach, at each renewal and in a dry run against the log is built here, so that all three see the same. Pure.
 */
#ifndef MF_CORE_REQUEST_FACTS_H
#define MF_CORE_REQUEST_FACTS_H
#include "broker/core/facts.h"
#include "broker/core/state.h"

/*
 * One attribute of a manifest in the form that records keep (mf_manifest_attr_put). Records of 0.1 named the keys of
 * list elements without saying which element they belong to: those become sets only. Errors as mf_facts_add, and
 * MF_E_INVALID for anything else.
 */
MF_NODISCARD enum mf_status mf_request_manifest(struct mf_facts *f, struct mf_slice text, struct mf_err *err);
/* "unix.user:alice" of an attestor. */
MF_NODISCARD enum mf_status mf_request_selector(struct mf_facts *f, struct mf_slice text, struct mf_err *err);
MF_NODISCARD enum mf_status mf_request_grade(struct mf_facts *f, struct mf_slice grade, struct mf_err *err);
/* The node.* facts: its id and what its token says of it. */
MF_NODISCARD enum mf_status mf_request_node(struct mf_facts *f, const struct mf_node *n, struct mf_err *err);
/* attested.job.key and attested.job.manager ("slurm/c1") of a manager's job; nothing for a local one. */
MF_NODISCARD enum mf_status mf_request_job(struct mf_facts *f, const char *job_key, struct mf_err *err);
/* All that the record knows of a lease, sealed: what its next renewal is decided on. */
MF_NODISCARD enum mf_status
mf_request_lease(const struct mf_lease *l, struct mf_facts **ret_f, struct mf_err *err);
#endif
