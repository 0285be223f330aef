#include "os/control.h"

#include <unistd.h>

static const struct row {
	enum mf_control_type type;
	bool from_role, has_text, has_fd;
} rows[] = {
	{ MF_CONTROL_READY, true, true, false },
	{ MF_CONTROL_VIOLATION, true, true, false },
	{ MF_CONTROL_HELPER, true, true, false },
	{ MF_CONTROL_ASK_RELOAD, true, true, false },
	{ MF_CONTROL_ASK_LOGIN, true, true, true },
	{ MF_CONTROL_LINK, false, true, true },
	{ MF_CONTROL_RELOAD, false, true, true },
	{ MF_CONTROL_STOP, false, false, false },
	{ MF_CONTROL_LOGIN, false, true, false },
};

bool
mf_control_name_ok(struct mf_slice s, size_t max)
{
	if (s.n == 0 || s.n >= max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '-' || c == '+' || c == '.' || c == '_';
		if (!ok)
			return false;
	}
	return true;
}

static const struct row *
find(unsigned type)
{
	for (size_t i = 0; i < MF_COUNT(rows); i++)
		if ((unsigned)rows[i].type == type)
			return &rows[i];
	return NULL;
}

enum mf_status
mf_control_send(
    struct mf_seqpacket *s, enum mf_control_type type, const char *text, int fd, struct mf_err *err)
{
	const struct row *r = find((unsigned)type);
	struct mf_slice t = mf_slice_str(text);
	if (r == NULL || r->has_fd != (fd >= 0) || r->has_text != mf_control_name_ok(t, MF_CONTROL_TEXT_MAX))
		return MF_FAIL(err, MF_E_INTERNAL, "control message %d cannot be sent so", (int)type);
	return mf_seqpacket_send(s, (uint16_t)type, t, fd, err);
}

enum mf_status
mf_control_recv(struct mf_seqpacket *s, bool from_role, struct mf_control_msg *ret_m, struct mf_err *err)
{
	struct mf_packet p;
	MF_TRY(mf_seqpacket_recv(s, &p, err));
	const struct row *r = find(p.type);
	if (r == NULL || r->from_role != from_role || r->has_fd != (p.fd >= 0) ||
	    (r->has_text ? !mf_control_name_ok(p.payload, MF_CONTROL_TEXT_MAX) : p.payload.n > 0))
		return MF_FAIL(err, MF_E_INVALID, "control message %u is not one this side may get", p.type);
	struct mf_control_msg m = { .type = r->type, .fd = mf_seqpacket_take_fd(s) };
	if (p.payload.n > 0)
		memcpy(m.text, p.payload.p, p.payload.n);
	*ret_m = m;
	return MF_OK;
}
