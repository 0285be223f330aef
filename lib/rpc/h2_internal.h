/* What h2.c (the connection), h2_stream.c (one stream) and h2_mem.c share. Nobody else includes it. */
#ifndef MF_RPC_H2_INTERNAL_H
#define MF_RPC_H2_INTERNAL_H
#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "rpc/h2_guard.h"
#include "rpc/h2_head.h"

struct mf_h2_stream {
	struct mf_h2 *h;
	struct mf_list link;
	void *user;
	int32_t id;
	struct mf_h2_head head;	    /* the latest that came */
	struct mf_h2_head trailers; /* to be sent after the queue */
	struct mf_buf out;
	size_t out_at;	  /* sent part of out */
	uint64_t body_in; /* against content-length */
	size_t unread;	  /* given to ops->data, not consumed */
	bool shown;	  /* ops->head ran (server) or the request was submitted: ops->closed will run */
	bool final_head;  /* client: a head other than 1xx came */
	bool responded;
	bool ending, has_trailers; /* nothing more is written after the queue */
	bool answered;		   /* END_STREAM was sent */
	bool blocked;		   /* MF_E_AGAIN was said */
	bool dead;		   /* reset asked for: the owner hears only ops->closed */
};

struct mf_h2 {
	nghttp2_session *ng;
	struct mf_h2_config cfg; /* limits filled in */
	struct mf_h2_guard guard;
	struct mf_list streams;
	size_t n_streams, conn_out;
	struct mf_h2_head scratch; /* request trailers: checked, not kept */
	struct mf_buf raw;	   /* output that is not HTTP/2 */
	uint64_t now_ms;
	enum mf_status fate; /* MF_OK while it lives */
	unsigned busy;	     /* inside recv or pull: no wake */
	bool broken;	     /* nghttp2 failed fatally: it is not asked again */
	bool calm_pending;   /* a bucket ran dry inside a callback */
	bool peer_goaway;
};

void mf_h2_wake(struct mf_h2 *h);
struct mf_h2_stream *mf_h2_stream_new(struct mf_h2 *h);
/* Out of the list and gone, ops->closed included. */
void mf_h2_stream_close(struct mf_h2_stream *s, uint32_t code);
/* ops->writable for every stream that was refused and has room now. */
void mf_h2_notify_writable(struct mf_h2 *h);
/* Terminate with ENHANCE_YOUR_CALM. */
void mf_h2_calm(struct mf_h2 *h);
nghttp2_mem mf_h2_mem(void); /* wipes what it frees */
nghttp2_data_provider mf_h2_provider(struct mf_h2_stream *s);
#endif
