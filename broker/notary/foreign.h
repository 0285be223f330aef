/*
 * foreign: bundles of other trust domains, from the files that the supervisor handed over (mf_broker_foreign), made into
 * the document that agents get. Each file is a SPIFFE bundle document and speaks for the one trust domain that the
 * configuration names with it, whatever it says itself (BND-8). Pure.
 */
#ifndef MF_NOTARY_FOREIGN_H
#define MF_NOTARY_FOREIGN_H
#include "base/buf.h"

/*
 * ${files}: for each u32be length and name, u32be length and bytes. Appends a bundle map to ${to}, which has the cap
 * MF_LIM_DOCUMENT. All or nothing: one bad file fails all, and the text names its trust domain.
 */
MF_NODISCARD enum mf_status mf_foreign_document(
    struct mf_slice files, const char *own_trust_domain, struct mf_buf *to, struct mf_err *err);
#endif
