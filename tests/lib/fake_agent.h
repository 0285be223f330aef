/*
 * fake_agent: a Workload API of whatever behaviour a test wants, on a Unix socket, in a thread of its own. Aborts on
 * any failure of its own. All calls are safe from the test's thread.
 */
#ifndef MF_TESTS_FAKE_AGENT_H
#define MF_TESTS_FAKE_AGENT_H
#include "mint.h"
#include "rpc/grpc.h"
#include "workload.pb-c.h"

enum fa_method { FA_X509, FA_BUNDLES, FA_JWT, FA_JWT_BUNDLES, FA_VALIDATE, FA_COUNT };

struct fake_agent;
struct fake_agent *mf_fa_new(const char *socket_path);
void mf_fa_free(struct fake_agent *a);
/* From now on calls of ${m} get this message; open streams get it too. Copied. */
void mf_fa_answer(struct fake_agent *a, enum fa_method m, const ProtobufCMessage *msg);
/* From now on they end with this status; open ones too. Static text. */
void mf_fa_status(struct fake_agent *a, enum fa_method m, enum mf_grpc_code code, const char *text);
/* From now on they wait for ever (the state at first). */
void mf_fa_silence(struct fake_agent *a, enum fa_method m);
void mf_fa_drop(struct fake_agent *a); /* close every connection, without a word */
void mf_fa_down(struct fake_agent *a); /* stop listening, and drop */
void mf_fa_up(struct fake_agent *a);
unsigned mf_fa_calls(struct fake_agent *a, enum fa_method m); /* heads seen */
unsigned mf_fa_unmarked(struct fake_agent *a);		      /* without exactly `workload.spiffe.io: true` */
unsigned mf_fa_open(struct fake_agent *a, enum fa_method m);  /* streams open now */
/* The last request of ${m}, for the caller to mf_pb_free; NULL: none yet. */
ProtobufCMessage *mf_fa_request(struct fake_agent *a, enum fa_method m);

/* An X509SVIDResponse made by hand; its parts may be changed before it is given out. */
#define WL_SVIDS 4
struct wl_answer {
	X509SVIDResponse r;
	X509SVID svid[WL_SVIDS], *at[WL_SVIDS];
	struct mf_buf chain[WL_SVIDS], key[WL_SVIDS];
	char id[WL_SVIDS][128];
	X509SVIDResponse__FederatedBundlesEntry foreign[WL_SVIDS], *foreign_at[WL_SVIDS];
	ProtobufCBinaryData crl[WL_SVIDS];
};
void mf_wl_init(struct wl_answer *w);
void mf_wl_fini(struct wl_answer *w);
/* Append an identity of ${m}, whose trust domain is ${td}; ${hint} is borrowed. */
void mf_wl_add(struct wl_answer *w, const struct mint *m, const char *td, const char *path, const char *hint,
    int64_t now_s, int64_t not_after_s);
/* Append a federated bundle; both borrowed. */
void mf_wl_federate(struct wl_answer *w, const char *key, struct mf_slice der);
void mf_wl_crl(struct wl_answer *w, struct mf_slice der); /* borrowed */
#endif
