/*
 * front_world: the broker's front in this process and on this thread, with a fake notary at the other end of its link, and
 * agents and administrators as gRPC clients on the same loop. Failures end the test.
 */
#ifndef MF_TESTS_FRONT_WORLD_H
#define MF_TESTS_FRONT_WORLD_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "broker/front/front.h"
#include "mint.h"
#include "record_kit.h"
#include "os/seqpacket.h"

#include "admin.pb-c.h"

#define FW_TD "example.org"
#define FW_GOT_MAX 8192u

/* One message that the front sent. */
struct fw_got {
	uint16_t type;
	ProtobufCMessage *msg;
};

/* A notary that decides nothing: it keeps what comes and says what the test tells it to. */
struct fake_notary {
	struct mf_seqpacket *pkt;
	struct mf_loop_fd *io;
	struct mf_loop_defer *later;
	unsigned state;
	struct fw_got got[FW_GOT_MAX];
	size_t n;
	bool forgot;	/* mf_fn_forget: what came before is not known */
	bool closed;	/* the front let go of the link */
	bool deaf;	/* does not read */
	bool certifies; /* answers CertifyServer */
	int64_t cert_life_s;
	const char *build_id, *trust_domain;
	uint64_t log_size; /* as it says in its hello */
	/* Answers an AdminCall; NULL: keeps it. */
	void (*on_call)(struct fake_notary *n, const Mayfly__Roles__V1__AdminCall *call);
	struct fw *w;
};

struct fw {
	struct mf_loop *l;
	char dir[64], admin[96];
	int db, back;
	uint16_t port, http, admin_port; /* admin_port: the admin API by TLS */
	struct mf_broker_front_conf conf;
	struct mf_broker_front *f;
	int left; /* exit code; -1: it serves */
	struct mint *mint;
	struct fake_notary n;
	struct kit kit;
	struct mf_net_counters clients;
	uint32_t uids[2];
};

/* A stream of an agent. */
struct fw_frame {
	int kind; /* FrameKindCase */
	size_t n;
	uint8_t first[16];
};
struct fw_stream {
	struct mf_grpc_call *call; /* NULL: over */
	struct fw_frame frames[512];
	size_t n, sealed;
	uint64_t doc_number;
	size_t doc_bytes;
	bool writable, over;
	enum mf_grpc_code code;
	char text[256];
};
/* A connection of an agent, or of an administrator. */
struct fw_client {
	struct fw *w;
	struct mf_net_conn *conn; /* NULL: over */
	bool open, over;
	char why[256];
	size_t n_chain; /* what the server showed */
	bool ca_last;	/* and that it ends with our CA */
	uint8_t leaf[32];
};
/* A unary call. */
struct fw_unary {
	bool over;
	enum mf_grpc_code code;
	char text[512];
	ProtobufCMessage *reply; /* mf_fw_unary_fini */
};

#define FW_HANG_MS 30000
void mf_fw_hang(void *ctx);
/* Turn the loop until ${what} holds; the bound is a hang limit. */
#define FW_UNTIL(w, what)                                                                            \
	do {                                                                                         \
		struct mf_loop_timer *u_t = NULL;                                                    \
		bool u_over = false;                                                                 \
		assert_int_equal(mf_loop_timer_new((w)->l, mf_fw_hang, &u_over, &u_t, NULL), MF_OK); \
		mf_loop_timer_set(u_t, FW_HANG_MS);                                                  \
		while (!(what) && !u_over)                                                           \
			assert_int_equal(mf_loop_turn((w)->l, true, NULL), MF_OK);                   \
		mf_loop_timer_free(u_t);                                                             \
		if (u_over)                                                                          \
			fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #what);                     \
	} while (0)

/* The conf may be changed between init and start. */
void mf_fw_init(struct fw *w);
void mf_fw_start(struct fw *w);
/* start, link, and wait until agents can connect. */
void mf_fw_serve(struct fw *w);
void mf_fw_stop_front(struct fw *w); /* frees it, as the process's end would */
void mf_fw_fini(struct fw *w);
/* Everything that can happen now has happened: every one of ${turns} rounds of the loop is idle. */
void mf_fw_settle(struct fw *w);

/* --- the notary --- */
void mf_fn_link(struct fw *w);	 /* a new process: new pair, hello, document, status */
void mf_fn_unlink(struct fw *w); /* it died */
void mf_fn_say(struct fw *w, uint16_t type, const ProtobufCMessage *msg);
void mf_fn_raw(struct fw *w, uint16_t type, struct mf_slice payload);
void mf_fn_document(struct fw *w, uint64_t number, struct mf_slice der);
void mf_fn_status(struct fw *w, bool issuing, const char *reason);
/* It issues, and that is how the public issuer was seen. */
void mf_fn_issuer(struct fw *w, const char *sight, const char *why);
void mf_fn_records(struct fw *w, size_t from, size_t to); /* of w->kit */
void mf_fn_data(struct fw *w, uint64_t sid, bool handshake, const void *p, size_t n);
void mf_fn_node(struct fw *w, uint64_t sid, const char *node); /* the session is that node's */
void mf_fn_node_out(struct fw *w, const char *node);
void mf_fn_close(struct fw *w, uint64_t sid, const char *reason);
void mf_fn_fail(struct fake_notary *n, uint64_t call_id, const char *code, const char *text);
/* The latest message of ${type}, NULL when there is none. */
const void *mf_fn_last(const struct fw *w, uint16_t type);
size_t mf_fn_count(const struct fw *w, uint16_t type);
void mf_fn_forget(struct fw *w); /* what was got so far */
void mf_fn_deaf(struct fw *w, bool deaf);

/* --- agents --- */
/* ${path} NULL: no certificate. From ${m} (NULL: the right CA), valid until ${not_after} (0: an hour). */
void mf_fw_dial(struct fw *w, struct fw_client *c, const struct mint *m, const char *path, int64_t not_after);
/* The same, and it must succeed or, with ${want} false, be refused. */
void mf_fw_dial_node(struct fw *w, struct fw_client *c, const char *node);
void mf_fw_refused(struct fw *w, const struct mint *m, const char *path, int64_t not_after);
void mf_fw_hang_up(struct fw *w, struct fw_client *c);
void mf_fw_open(struct fw_client *c, struct fw_stream *s);
/* Open, and wait for the front's SessionOpen: its sid. */
uint64_t mf_fw_session(struct fw_client *c, struct fw_stream *s);
/* The same, and the handshake message: the notary has credit now. */
uint64_t mf_fw_greeted(struct fw_client *c, struct fw_stream *s);
enum mf_status mf_fw_send(struct fw_stream *s, bool handshake, const void *p, size_t n);

/* --- administrators --- */
void mf_fw_admin(struct fw *w, struct fw_client *c);
/* A client's side of TLS: from ${m} (NULL: the right CA), valid until ${not_after} (0: an hour). */
struct mf_tls_ctx *mf_fw_client_tls(struct fw *w, const struct mint *m, const char *path, int64_t not_after);
/* By TLS, with that identity; returns when the client believes to be in or knows that it is not. */
void mf_fw_admin_tls(struct fw *w, struct fw_client *c, struct mf_tls_ctx *tls);
/* ${method} e.g. "ListJobs"; ${u} must live until it is over. */
void mf_fw_call(struct fw_client *c, const char *method, const ProtobufCMessage *q,
    const ProtobufCMessageDescriptor *reply, struct fw_unary *u);
/* The same, waited for. */
void mf_fw_ask(struct fw_client *c, const char *method, const ProtobufCMessage *q,
    const ProtobufCMessageDescriptor *reply, struct fw_unary *u);
void mf_fw_unary_fini(struct fw_unary *u);
/* GET of a status page into ${to}; returns the HTTP status. */
int mf_fw_get(struct fw *w, const char *path, struct mf_buf *to);
#endif
