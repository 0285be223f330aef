/*
 * h2_guard: what is counted in front of the HTTP/2 parser. It follows frame boundaries only (9 bytes
 * of header, skip the payload), knows the client preface, and keeps two token buckets:
 *
 * calm    every control frame that costs us work and carries nothing: PING, SETTINGS, PRIORITY,
 *	   CONTINUATION, empty DATA, unknown types; WINDOW_UPDATE and RST_STREAM a quarter of one. Each
 *	   DATA or HEADERS frame that we send earns one back (answers provoke such frames).
 * reset   streams reset before they were answered, by the peer (rapid reset, CVE-2023-44487) or by
 *	   us because the peer made us (MadeYouReset, CVE-2025-8671).
 *
 * One head may come in MF_LIM_H2_CONTINUATIONS more frames: releases of nghttp2 differ in what they take and say there.
 *
 * Internal to lib/rpc; its own header so that tests reach it.
 */
#ifndef MF_RPC_H2_GUARD_H
#define MF_RPC_H2_GUARD_H
#include "rpc/h2.h"

#define MF_H2_QUARTER 250u /* thousandths of a token */
#define MF_H2_WHOLE 1000u

struct mf_h2_bucket {
	uint64_t tokens, burst; /* thousandths */
	uint32_t rate;		/* tokens per second = thousandths per ms */
	uint64_t at_ms;
};

enum mf_h2_verdict {
	MF_H2_GOOD,
	MF_H2_MORE,	   /* not yet decided: part of a request line of HTTP/1 */
	MF_H2_HTTP1,	   /* the client speaks HTTP/1.x */
	MF_H2_BAD_PREFACE, /* not HTTP at all */
	MF_H2_BAD_STREAM,  /* a request on a stream that was passed over (RFC 9113 5.1.1) */
	MF_H2_FLOOD,
};

struct mf_h2_guard {
	struct mf_h2_bucket calm, reset;
	struct mf_h2_counters *counters;
	size_t preface;	   /* bytes of the client preface that came */
	bool server, odd;  /* odd: the preface went wrong, line[] is being filled */
	uint8_t line[256]; /* start of what is not a preface */
	size_t line_n;
	uint8_t head[9];
	size_t head_n;
	uint32_t continuations;	  /* of the current head */
	uint32_t skip;		  /* payload bytes left of the current frame */
	int64_t top;		  /* highest stream that the client opened; -1: none */
	int64_t gap_from, gap_to; /* the latest streams that it passed over: closed for good */
};

void mf_h2_guard_init(struct mf_h2_guard *g, bool server, const struct mf_h2_limits *lim,
    struct mf_h2_counters *counters, uint64_t now_ms);
enum mf_h2_verdict mf_h2_guard_feed(struct mf_h2_guard *g, struct mf_slice in, uint64_t now_ms);
bool mf_h2_guard_greeted(const struct mf_h2_guard *g); /* the client preface has come whole */
/* False: the bucket is dry. */
bool mf_h2_guard_take(struct mf_h2_bucket *b, uint32_t thousandths, uint64_t now_ms);
void mf_h2_guard_earn(struct mf_h2_guard *g);
#endif
