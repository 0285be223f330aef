#include "rpc/grpc_status.h"

#include "base/text.h"

static const char *const names[MF_GRPC_CODE_COUNT] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

static const enum mf_grpc_code by_status[MF_STATUS_COUNT] = {
	[MF_OK] = MF_GRPC_OK,
	[MF_E_INVALID] = MF_GRPC_INVALID_ARGUMENT,
	[MF_E_TOOBIG] = MF_GRPC_RESOURCE_EXHAUSTED,
	[MF_E_NOMEM] = MF_GRPC_RESOURCE_EXHAUSTED,
	[MF_E_IO] = MF_GRPC_UNAVAILABLE,
	[MF_E_CLOSED] = MF_GRPC_UNAVAILABLE,
	[MF_E_AGAIN] = MF_GRPC_UNAVAILABLE,
	[MF_E_DENIED] = MF_GRPC_PERMISSION_DENIED,
	[MF_E_NOTFOUND] = MF_GRPC_NOT_FOUND,
	[MF_E_EXISTS] = MF_GRPC_ALREADY_EXISTS,
	[MF_E_STATE] = MF_GRPC_FAILED_PRECONDITION,
	[MF_E_UNAVAILABLE] = MF_GRPC_UNAVAILABLE,
	[MF_E_UNAUTH] = MF_GRPC_UNAUTHENTICATED,
	[MF_E_UNSUPPORTED] = MF_GRPC_UNIMPLEMENTED,
	[MF_E_CORRUPT] = MF_GRPC_DATA_LOSS,
	[MF_E_EXHAUSTED] = MF_GRPC_RESOURCE_EXHAUSTED,
	[MF_E_DEADLINE] = MF_GRPC_DEADLINE_EXCEEDED,
	[MF_E_INTERNAL] = MF_GRPC_INTERNAL,
};

static const enum mf_status by_code[MF_GRPC_CODE_COUNT] = {
	[MF_GRPC_OK] = MF_OK,
	[MF_GRPC_CANCELLED] = MF_E_UNAVAILABLE,
	[MF_GRPC_UNKNOWN] = MF_E_INTERNAL,
	[MF_GRPC_INVALID_ARGUMENT] = MF_E_INVALID,
	[MF_GRPC_DEADLINE_EXCEEDED] = MF_E_DEADLINE,
	[MF_GRPC_NOT_FOUND] = MF_E_NOTFOUND,
	[MF_GRPC_ALREADY_EXISTS] = MF_E_EXISTS,
	[MF_GRPC_PERMISSION_DENIED] = MF_E_DENIED,
	[MF_GRPC_RESOURCE_EXHAUSTED] = MF_E_EXHAUSTED,
	[MF_GRPC_FAILED_PRECONDITION] = MF_E_STATE,
	[MF_GRPC_ABORTED] = MF_E_STATE,
	[MF_GRPC_OUT_OF_RANGE] = MF_E_INVALID,
	[MF_GRPC_UNIMPLEMENTED] = MF_E_UNSUPPORTED,
	[MF_GRPC_INTERNAL] = MF_E_INTERNAL,
	[MF_GRPC_UNAVAILABLE] = MF_E_UNAVAILABLE,
	[MF_GRPC_DATA_LOSS] = MF_E_CORRUPT,
	[MF_GRPC_UNAUTHENTICATED] = MF_E_UNAUTH,
};

const char *
mf_grpc_code_name(enum mf_grpc_code c)
{
	return (unsigned)c < MF_GRPC_CODE_COUNT ? names[c] : "UNKNOWN";
}

enum mf_grpc_code
mf_grpc_code_of(enum mf_status s)
{
	return (unsigned)s < MF_STATUS_COUNT ? by_status[s] : MF_GRPC_UNKNOWN;
}

enum mf_status
mf_grpc_code_to_status(enum mf_grpc_code c)
{
	return (unsigned)c < MF_GRPC_CODE_COUNT ? by_code[c] : MF_E_INTERNAL;
}

/* gRPC's http-grpc-status-mapping. */
enum mf_grpc_code
mf_grpc_code_of_http(unsigned http)
{
	switch (http) {
	case 400:
		return MF_GRPC_INTERNAL;
	case 401:
		return MF_GRPC_UNAUTHENTICATED;
	case 403:
		return MF_GRPC_PERMISSION_DENIED;
	case 404:
		return MF_GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return MF_GRPC_UNAVAILABLE;
	default:
		return MF_GRPC_UNKNOWN;
	}
}

/* PROTOCOL-HTTP2, "Errors". */
enum mf_grpc_code
mf_grpc_code_of_h2(uint32_t h2_code)
{
	switch (h2_code) {
	case 7: /* REFUSED_STREAM */
		return MF_GRPC_UNAVAILABLE;
	case 8: /* CANCEL */
		return MF_GRPC_CANCELLED;
	case 11: /* ENHANCE_YOUR_CALM */
		return MF_GRPC_RESOURCE_EXHAUSTED;
	case 12: /* INADEQUATE_SECURITY */
		return MF_GRPC_PERMISSION_DENIED;
	default:
		return MF_GRPC_INTERNAL;
	}
}

/* The longest start of ${s} that is at most ${max} bytes and does not cut a UTF-8 sequence. */
static size_t
cut(struct mf_slice s, size_t max)
{
	if (s.n <= max)
		return s.n;
	while (max > 0 && (s.p[max] & 0xc0) == 0x80)
		max--;
	return max;
}

void
mf_grpc_text_put(struct mf_buf *to, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	struct mf_slice s = mf_slice_str(text);
	s.n = cut(s, MF_GRPC_TEXT_MAX);
	bool utf8 =
	    mf_utf8_ok(s); /* an error text may have been cut inside a character: clients demand UTF-8 */
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!utf8 && c >= 0x80)
			c = '?';
		if (c >= 0x20 && c <= 0x7e && c != '%') {
			mf_buf_put_u8(to, c);
			continue;
		}
		mf_buf_put_u8(to, '%');
		mf_buf_put_u8(to, (uint8_t)hex[c >> 4]);
		mf_buf_put_u8(to, (uint8_t)hex[c & 15]);
	}
}

static int
hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void
mf_grpc_text_get(struct mf_slice in, struct mf_buf *to)
{
	size_t start = to->n;
	for (size_t i = 0; i < in.n && to->n - start < MF_GRPC_TEXT_MAX; i++) {
		uint8_t c = in.p[i];
		if (c == '%' && in.n - i > 2) {
			int hi = hex_of(in.p[i + 1]), lo = hex_of(in.p[i + 2]);
			if (hi >= 0 && lo >= 0) {
				c = (uint8_t)(hi << 4 | lo);
				i += 2;
			}
		}
		mf_buf_put_u8(to, c);
	}
	if (to->failed != MF_OK)
		return;
	bool utf8 = mf_utf8_ok(mf_slice_sub(mf_buf_slice(to), start, to->n - start));
	for (size_t i = start; i < to->n; i++)
		if (to->p[i] < 0x20 || to->p[i] == 0x7f || (!utf8 && to->p[i] >= 0x80))
			to->p[i] = '?';
}

bool
mf_grpc_timeout_get(struct mf_slice in, uint64_t *ret_ms)
{
	if (in.n < 2 || in.n > 9)
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i + 1 < in.n; i++) {
		if (in.p[i] < '0' || in.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(in.p[i] - '0');
	}
	switch (in.p[in.n - 1]) {
	case 'H':
		v *= 3600000;
		break;
	case 'M':
		v *= 60000;
		break;
	case 'S':
		v *= 1000;
		break;
	case 'm':
		break;
	case 'u':
		v = (v + 999) / 1000;
		break;
	case 'n':
		v = (v + 999999) / 1000000;
		break;
	default:
		return false;
	}
	*ret_ms = v;
	return true;
}

void
mf_grpc_timeout_put(struct mf_buf *to, uint64_t ms)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = { { 'm', 1 }, { 'S', 1000 }, { 'M', 60000 }, { 'H', 3600000 } };
	for (size_t i = 0; i < MF_COUNT(units); i++) {
		uint64_t v = ms / units[i].ms + (ms % units[i].ms != 0);
		if (v > 99999999 && i + 1 < MF_COUNT(units))
			continue;
		mf_buf_putf(to, "%llu%c", (unsigned long long)(v > 99999999 ? 99999999 : v), units[i].unit);
		return;
	}
}
