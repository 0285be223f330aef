#include "rpc/role_table.h"

#include "base/limits.h"

#define PAYLOAD_MAX (MF_LIM_IPC_MESSAGE - 4u)

const struct mf_role_msg *
mf_role_find(const struct mf_role_table *t, uint16_t type)
{
	size_t low = 0, high = t->msg_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (t->msgs[mid].type == type)
			return &t->msgs[mid];
		if (t->msgs[mid].type < type)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static const char *
state_name(const struct mf_role_table *t, unsigned state)
{
	return state < t->state_count ? t->states[state] : "?";
}

enum mf_status
mf_role_decode(const struct mf_role_table *t, unsigned self, unsigned state, uint16_t type,
    struct mf_slice payload, bool has_fd, const struct mf_role_msg **ret_row, ProtobufCMessage **ret_msg,
    struct mf_err *err)
{
	const struct mf_role_msg *m = mf_role_find(t, type);
	if (m == NULL)
		return MF_FAIL(
		    err, MF_E_UNSUPPORTED, "%s: message type %u is not in the table", t->name, type);
	if (m->from == self || self > 1)
		return MF_FAIL(
		    err, MF_E_DENIED, "%s: %s is not for %s to receive", t->name, m->name, t->ends[self & 1]);
	if (state >= t->state_count || (m->states & (UINT32_C(1) << state)) == 0)
		return MF_FAIL(err, MF_E_STATE, "%s: %s may not come in state %s", t->name, m->name,
		    state_name(t, state));
	if (m->fd != MF_ROLE_FD_MAYBE && has_fd != (m->fd == MF_ROLE_FD_ALWAYS))
		return MF_FAIL(err, MF_E_DENIED, "%s: %s came with%s a descriptor", t->name, m->name,
		    has_fd ? "" : "out");
	if (payload.n > m->max)
		return MF_FAIL(err, MF_E_TOOBIG, "%s: %s has %zu bytes, the most is %u", t->name, m->name,
		    payload.n, m->max);
	ProtobufCMessage *msg = NULL;
	/* Without a descriptor the cap is 0 (mf_role_table_check): nothing came. */
	if (m->desc != NULL) {
		enum mf_status s = mf_pb_unpack(m->desc, payload, &msg, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "%s: %s", t->name, m->name);
	}
	*ret_row = m;
	*ret_msg = msg;
	return MF_OK;
}

enum mf_status
mf_role_encode(const struct mf_role_table *t, unsigned self, uint16_t type, const ProtobufCMessage *msg,
    bool has_fd, struct mf_buf *to, struct mf_err *err)
{
	const struct mf_role_msg *m = mf_role_find(t, type);
	if (m == NULL || m->from != self)
		return MF_FAIL(
		    err, MF_E_INTERNAL, "%s: %s has no message %u to send", t->name, t->ends[self & 1], type);
	if ((msg == NULL) != (m->desc == NULL) || (msg != NULL && msg->descriptor != m->desc))
		return MF_FAIL(err, MF_E_INTERNAL, "%s: %s carries another message", t->name, m->name);
	if (m->fd != MF_ROLE_FD_MAYBE && has_fd != (m->fd == MF_ROLE_FD_ALWAYS))
		return MF_FAIL(err, MF_E_INTERNAL, "%s: %s sent with%s a descriptor", t->name, m->name,
		    has_fd ? "" : "out");
	if (msg == NULL)
		return MF_OK;
	size_t before = to->n;
	MF_TRY(mf_pb_pack(msg, to, err));
	if (to->n - before > m->max) {
		size_t n = to->n - before;
		to->n = before;
		return MF_FAIL(
		    err, MF_E_TOOBIG, "%s: %s has %zu bytes, the most is %u", t->name, m->name, n, m->max);
	}
	return MF_OK;
}

enum mf_status
mf_role_table_check(const struct mf_role_table *t, struct mf_err *err)
{
	if (t->state_count == 0 || t->state_count > 32)
		return MF_FAIL(err, MF_E_INVALID, "%s: %zu states, 1 to 32 may be", t->name, t->state_count);
	uint64_t known = (UINT64_C(1) << t->state_count) - 1;
	for (size_t i = 0; i < t->msg_count; i++) {
		const struct mf_role_msg *m = &t->msgs[i];
		if (i > 0 && m->type <= t->msgs[i - 1].type)
			return MF_FAIL(err, MF_E_INVALID, "%s: %s is out of order", t->name, m->name);
		if (m->type == 0 || m->from > 1 || m->fd > MF_ROLE_FD_MAYBE || m->name == NULL)
			return MF_FAIL(err, MF_E_INVALID, "%s: row %zu is malformed", t->name, i);
		if (m->states == 0 || (m->states & ~known) != 0)
			return MF_FAIL(
			    err, MF_E_INVALID, "%s: %s has no state, or an unknown one", t->name, m->name);
		if (m->max > PAYLOAD_MAX || (m->max == 0) != (m->desc == NULL))
			return MF_FAIL(err, MF_E_INVALID, "%s: %s has a cap of %u", t->name, m->name, m->max);
	}
	return MF_OK;
}
