/*
 * foe_h2: cases of HTTP/2 abuse: each is a function that does it on one connection, while an honest one asks beside.
 */
#ifndef MF_TESTS_FOE_H2_H
#define MF_TESTS_FOE_H2_H
#include "foe_conn.h"

#define NOTHING mf_slice(NULL, 0)
#define MANY 3000u /* more than any bucket holds */

struct mf_foe_ctx {
	struct foe f, probe;
	const struct foe_target *t;
	const char *path;
	uint32_t probe_id;
	unsigned probes;
	bool probe_bad;
};

struct mf_foe_case {
	const char *name;
	uint32_t (*run)(struct mf_foe_ctx *c); /* the stream whose end is looked at; 0: the connection's */
	const char *want;		       /* alternatives between '|' */
	const char *metric;		       /* that must count it; "-": none */
	bool holds;			       /* the server keeps much for a while */
};
#define CASE(name, run, want, metric)          \
	{                                      \
		name, run, want, metric, false \
	}
#define HOLDS(name, run, want, metric)        \
	{                                     \
		name, run, want, metric, true \
	}
#define CALM "goaway=11 closed"
#define BAD "goaway=1 closed"

extern const struct mf_foe_case mf_foe_floods[], mf_foe_frames[], mf_foe_messages[];
extern const size_t mf_foe_floods_n, mf_foe_frames_n, mf_foe_messages_n;

/* The honest one asks, and is to be answered. */
void mf_foe_beside(struct mf_foe_ctx *c);
/* Send, with the honest one asking half way, and hear the end of the connection, or of stream ${id}; what a case returns. */
uint32_t mf_foe_end(struct mf_foe_ctx *c);
uint32_t mf_foe_end_of(struct mf_foe_ctx *c, uint32_t id);
/* ${n} copies of one frame, and the end. */
uint32_t mf_foe_flood(
    struct mf_foe_ctx *c, unsigned n, unsigned type, unsigned flags, uint32_t id, struct mf_slice payload);
/* The head of a call on stream ${id}. */
void mf_foe_stream(struct mf_foe_ctx *c, uint32_t id, unsigned flags);
#endif
