/*
 * snapshot: the whole state as text, so that a start reads one snapshot and the tail of the log.
 *
 * The form is the log's own: a head line, then lines "<index> <record>", records that rebuild the state when applied
 * in loading mode. Two equal states have equal bytes. Its SHA-256 stands in the log (snapshot.written). Pure.
 */
#ifndef MF_BROKER_SNAPSHOT_H
#define MF_BROKER_SNAPSHOT_H
#include "broker/core/state.h"

#define MF_SNAPSHOT_MAX (1024u * 1024u * 1024u)

MF_NODISCARD enum mf_status
mf_snapshot_write(const struct mf_state *st, struct mf_buf *to, struct mf_err *err);
/* Into a fresh state. MF_E_CORRUPT when it is not what mf_snapshot_write makes. */
MF_NODISCARD enum mf_status mf_snapshot_read(struct mf_slice in, struct mf_state *st, struct mf_err *err);
#endif
