#include "net/net_metrics.h"

struct out {
	struct mf_buf *to;
	const char *prefix;
	const struct mf_net_metrics_item *items;
	size_t n;
};

struct series {
	const char *label; /* value of the second label; NULL: none */
	size_t at;	   /* offset of the uint64_t in struct mf_net_counters */
};
#define AT(member) offsetof(struct mf_net_counters, member)

static uint64_t
value_at(const struct mf_net_counters *c, size_t at)
{
	uint64_t v;
	memcpy(&v, (const uint8_t *)c + at, sizeof(v));
	return v;
}

/* One family: every item times every series. Label sets that never counted are left out, single series never. */
static void
family(const struct out *o, const char *name, const char *help, const char *label, const struct series *s,
    size_t n)
{
	bool gauge = label == NULL && s->label != NULL;
	mf_buf_putf(o->to, "# HELP %s_net_%s %s\n# TYPE %s_net_%s %s\n", o->prefix, name, help, o->prefix,
	    name, gauge ? "gauge" : "counter");
	for (size_t i = 0; i < o->n; i++)
		for (size_t k = 0; k < n; k++) {
			uint64_t v = value_at(o->items[i].counters, s[k].at);
			if (label != NULL && v == 0)
				continue;
			mf_buf_putf(o->to, "%s_net_%s%s{listener=\"%s\"", o->prefix, name,
			    gauge ? "" : "_total", o->items[i].name);
			if (label != NULL)
				mf_buf_putf(o->to, ",%s=\"%s\"", label, s[k].label);
			mf_buf_putf(o->to, "} %llu\n", (unsigned long long)v);
		}
}

static void
counter(const struct out *o, const char *name, const char *help, size_t at)
{
	const struct series s = { NULL, at };
	family(o, name, help, NULL, &s, 1);
}

static void
gauge(const struct out *o, const char *name, const char *help, size_t at)
{
	const struct series s = { "", at };
	family(o, name, help, NULL, &s, 1);
}

static void
put_connections(const struct out *o)
{
	static const struct series why[MF_NET_WHY_COUNT] = {
		[MF_NET_PEER_CLOSED] = { "peer", AT(closed[MF_NET_PEER_CLOSED]) },
		[MF_NET_CLOSED] = { "us", AT(closed[MF_NET_CLOSED]) },
		[MF_NET_REFUSED] = { "refused", AT(closed[MF_NET_REFUSED]) },
		[MF_NET_PROTOCOL] = { "protocol", AT(closed[MF_NET_PROTOCOL]) },
		[MF_NET_CALM] = { "flood", AT(closed[MF_NET_CALM]) },
		[MF_NET_DEADLINE] = { "deadline", AT(closed[MF_NET_DEADLINE]) },
		[MF_NET_IO] = { "io", AT(closed[MF_NET_IO]) },
		[MF_NET_NOMEM] = { "memory", AT(closed[MF_NET_NOMEM]) },
	};
	static const struct series cap[] = { { "all", AT(refused_cap) }, { "peer", AT(refused_peer_cap) } };
	gauge(o, "connections", "Open connections", AT(open));
	counter(o, "accepted", "Connections accepted", AT(accepted));
	family(o, "over_cap", "Connections closed at once, over a cap", "cap", cap, MF_COUNT(cap));
	counter(o, "made_room", "Connections closed for a newcomer of the same peer", AT(made_room));
	family(o, "closed", "Connections ended, by reason", "why", why, MF_COUNT(why));
	counter(o, "accept_pauses", "Times that descriptors ran out", AT(accept_paused));
	counter(o, "handshakes", "TLS handshakes done", AT(handshakes));
	counter(o, "handshakes_failed", "TLS handshakes that failed", AT(handshakes_failed));
}

static void
put_http2(const struct out *o)
{
	static const struct series frames[] = {
		{ "rst_stream", AT(grpc.h2.rst_in) },
		{ "ping", AT(grpc.h2.ping_in) },
		{ "settings", AT(grpc.h2.settings_in) },
		{ "priority", AT(grpc.h2.priority_in) },
		{ "empty_data", AT(grpc.h2.empty_data_in) },
		{ "window_update", AT(grpc.h2.window_update_in) },
		{ "unknown", AT(grpc.h2.unknown_in) },
		{ "continuation", AT(grpc.h2.continuation_in) },
	};
	counter(o, "bytes_in", "Bytes of HTTP/2 received", AT(grpc.h2.bytes_in));
	counter(o, "bytes_out", "Bytes of HTTP/2 sent", AT(grpc.h2.bytes_out));
	counter(o, "frames_in", "HTTP/2 frames received", AT(grpc.h2.frames_in));
	family(o, "control_frames_in", "HTTP/2 frames that are counted against floods", "type", frames,
	    MF_COUNT(frames));
	counter(o, "resets_out", "Streams that we reset", AT(grpc.h2.rst_out));
	counter(o, "bad_heads", "Streams reset for malformed headers", AT(grpc.h2.bad_heads));
	counter(o, "floods", "Connections told to calm down", AT(grpc.h2.calm));
	counter(o, "protocol_errors", "Connections that broke HTTP/2", AT(grpc.h2.protocol_errors));
}

static void
put_calls(const struct out *o)
{
	struct series codes[MF_GRPC_CODE_COUNT];
	for (size_t i = 0; i < MF_COUNT(codes); i++)
		codes[i] = (struct series) { mf_grpc_code_name((enum mf_grpc_code)i),
			AT(grpc.finished) + i * sizeof(uint64_t) };
	gauge(o, "calls_open", "Open gRPC calls", AT(grpc.open));
	counter(o, "calls", "gRPC calls begun", AT(grpc.calls));
	family(o, "calls_finished", "gRPC calls ended, by status", "code", codes, MF_COUNT(codes));
	counter(o, "messages_in", "gRPC messages received", AT(grpc.messages_in));
	counter(o, "messages_out", "gRPC messages sent", AT(grpc.messages_out));
	counter(o, "bad_messages", "gRPC messages that were refused", AT(grpc.bad_messages));
}

void
mf_net_metrics_put(struct mf_buf *to, const char *prefix, const struct mf_net_metrics_item *items, size_t n)
{
	const struct out o = { to, prefix, items, n };
	put_connections(&o);
	put_calls(&o);
	put_http2(&o);
}
