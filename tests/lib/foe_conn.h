/*
 * foe_conn: one HTTP/2 connection of a client that obeys no rule: frames go out as they were written, and what comes back is
 * only noted. To a Unix socket (a path) or a TLS port (HOST:PORT), where ${cert} and ${key} (PEM files) may be NULL.
 *
 * Every wait has a hang limit of FOE_HANG_MS; running into it is an outcome ("hangs"), never a success.
 */
#ifndef MF_TESTS_FOE_CONN_H
#define MF_TESTS_FOE_CONN_H
#include <openssl/ssl.h>

#include "h2_frames.h"

#define FOE_HANG_MS 60000
#define FOE_STREAMS 8192u

struct foe_target {
	const char *at, *cert, *key;
	int max_version;	    /* of TLS; 0: the newest */
	const unsigned char *alpn;  /* as on the wire; NULL: h2 */
	unsigned alpn_n;	    /* with ${alpn}: 0 for none at all */
	const char *sni;	    /* NULL: none */
	SSL_SESSION *session;	    /* to resume; NULL: none */
	const struct mf_buf *early; /* sent as 0-RTT data; needs ${psk} */
	int (*psk)(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *n, SSL_SESSION **s);
};

struct foe_heard {
	int rst, grpc; /* -1: nothing yet */
	int http;
	bool data;
};

struct foe {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	struct mf_buf to, from;
	struct nghttp2_hd_inflater *hpack;
	struct foe_heard *on; /* by stream, FOE_STREAMS of them */
	int goaway;	      /* -1, or the code */
	bool closed, hangs;
	int alert;	  /* that TLS told us; -1: none */
	bool mute;	  /* read nothing at all */
	bool early_taken; /* the server took 0-RTT data */
	bool no_ack;	  /* do not acknowledge SETTINGS and PING */
	unsigned pongs;
	uint64_t got; /* bytes */
};

/* A connected descriptor, or -1. */
int mf_foe_dial(const struct foe_target *t);
/* Connect, with TLS where it is due; false: refused. */
bool mf_foe_open(struct foe *f, const struct foe_target *t);
void mf_foe_shut(struct foe *f);

/* Append to what goes out next. */
void mf_foe_greet(struct foe *f, struct mf_slice settings);
/* A whole request head; ${path} of a gRPC method. ${extra}: name, value, ..., NULL; NULL: none. */
void mf_foe_head(struct foe *f, uint32_t id, unsigned flags, const char *path, const char *const *extra);
/* The block alone, with pseudo fields and those of gRPC. */
void mf_foe_head_block(struct mf_buf *b, const char *path, const char *const *extra);
/* DATA with one gRPC message whose prefix says ${declared} bytes. */
void mf_foe_message(
    struct foe *f, uint32_t id, unsigned flags, uint8_t compressed, uint32_t declared, struct mf_slice body);

/* Send what was written, reading meanwhile; false: the connection ended before all was taken. */
bool mf_foe_say(struct foe *f);
/* Read until ${enough} says so or the connection ends (true), or nothing comes any more (false). */
bool mf_foe_hear(struct foe *f, bool (*enough)(const struct foe *f, const void *arg), const void *arg);
/* Read what comes within ${ms}: for what must not come. */
void mf_foe_linger(struct foe *f, int ms);
/* Does an honest call on ${f} get an answer (a status or a message)? */
bool mf_foe_ask(struct foe *f, uint32_t id, const char *path);
#endif
