/*
 * mayfly/workload.h: talking to the agent: fetch once, or watch.
 *
 * A mayfly_client says where the agent is and how to behave; it holds no connection. A fetch connects, waits for one
 * answer and closes. A watch keeps a connection, comes back by itself when that is lost, and always holds the latest
 * good snapshot.
 *
 * Threads: a client is set up by one thread, then may be shared. A watch is driven (dispatch, wait, free) by one
 * thread at a time; mayfly_watch_x509 and mayfly_watch_bundles may be called from any thread meanwhile.
 */
#ifndef MAYFLY_WORKLOAD_H
#define MAYFLY_WORKLOAD_H
#include <mayfly/svid.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mayfly_client mayfly_client;

/*
 * address: "unix:///run/x.sock", "unix:/run/x.sock", "tcp://127.0.0.1:8000" or "tcp://[::1]:8000" (SPIFFE Workload
 * Endpoint, section 4); NULL: the environment's SPIFFE_ENDPOINT_SOCKET. MAYFLY_E_INVALID: another form;
 * MAYFLY_E_NOTFOUND: NULL, and the variable is not set. Nothing is connected yet.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_client_new(
    const char *address, mayfly_client **ret_client, mayfly_error *err);
MAYFLY_API void mayfly_client_free(mayfly_client *client);
MAYFLY_API const char *mayfly_client_address(const mayfly_client *client);

/*
 * What to do when the agent says that there is no identity (PERMISSION_DENIED) after there was one. MAYFLY_DROP, the
 * default: let go of the snapshot at once, so that nothing of the identity is used any more. MAYFLY_KEEP: use it until
 * it expires, as other SPIFFE libraries do. Both go on asking. For watches that are made afterwards.
 */
typedef enum mayfly_on_denied { MAYFLY_DROP = 0, MAYFLY_KEEP = 1 } mayfly_on_denied;
MAYFLY_API void mayfly_client_set_on_denied(mayfly_client *client, mayfly_on_denied what);
/*
 * Pauses between attempts are random between 0 and a bound that starts at first_ms and doubles up to most_ms
 * (default 200 and 5000). Out of 1..600000, or first above most: MAYFLY_E_INVALID.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_client_set_backoff(
    mayfly_client *client, unsigned first_ms, unsigned most_ms, mayfly_error *err);

/* --- once --- */

#define MAYFLY_FOREVER (-1)
/*
 * Ask until there is an answer, at most timeout_ms (0: one attempt that must succeed within 10 s; MAYFLY_FOREVER: no
 * limit). No agent, UNAVAILABLE and PERMISSION_DENIED are tried again after a pause (WEP-13); anything else is final.
 * When the time is over the last reason is returned, not MAYFLY_E_DEADLINE, if there was one. The result is the
 * caller's to unref.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_fetch_x509(
    const mayfly_client *client, int timeout_ms, mayfly_x509 **ret_x509, mayfly_error *err);
/* The bundles alone: all that a program needs which only verifies. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_fetch_bundles(
    const mayfly_client *client, int timeout_ms, mayfly_bundles **ret_bundles, mayfly_error *err);

/* --- watch --- */

typedef struct mayfly_watch mayfly_watch;

typedef enum mayfly_watch_kind {
	MAYFLY_WATCH_X509 = 1,	     /* identities and bundles */
	MAYFLY_WATCH_BUNDLES = 2,    /* X.509 bundles alone */
	MAYFLY_WATCH_JWT_BUNDLES = 3 /* mayfly/jwt.h */
} mayfly_watch_kind;

/* Bits that say what changed; several may be set. */
#define MAYFLY_UPDATED 1u /* there is a new snapshot */
#define MAYFLY_DROPPED 2u /* there is none any more: denied, or expired without an agent */
#define MAYFLY_TROUBLE 4u /* connection lost, an answer refused, ...: err says what; a snapshot stays valid */
#define MAYFLY_STOPPED 8u /* not offered, or the request is refused: no more attempts are made */

/* Starts at once, without blocking: the first attempt is made by the first dispatch. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_watch_new(
    const mayfly_client *client, mayfly_watch_kind kind, mayfly_watch **ret_watch, mayfly_error *err);
/* Snapshots that were taken stay valid; TLS contexts made from the watch refuse every handshake from now on. */
MAYFLY_API void mayfly_watch_free(mayfly_watch *watch);

/*
 * For any event loop: one descriptor that stays the same for the life of the watch. When it is readable (level
 * triggered), call mayfly_watch_dispatch. Timers are inside. It is the watch's: poll it, never read or close it.
 * Add it to the loop and dispatch once to start.
 */
MAYFLY_API int mayfly_watch_fd(const mayfly_watch *watch);
/*
 * Do what is due, never blocking. *ret_changes (never NULL) is 0 when nothing changed. Not MAYFLY_OK only for a
 * misuse or when the watch itself cannot go on (memory, descriptors): call it again later. With MAYFLY_TROUBLE,
 * MAYFLY_DROPPED and MAYFLY_STOPPED err holds the reason although MAYFLY_OK is returned.
 */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_watch_dispatch(
    mayfly_watch *watch, unsigned *ret_changes, mayfly_error *err);
/* Blocks until something changed: dispatch in a loop of its own. MAYFLY_E_DEADLINE: not within timeout_ms. */
MAYFLY_API MAYFLY_MUST_CHECK mayfly_status mayfly_watch_wait(
    mayfly_watch *watch, int timeout_ms, unsigned *ret_changes, mayfly_error *err);

/*
 * The latest snapshot, for the caller to unref; NULL when there is none (not yet, dropped, or another kind of watch).
 * Identities that have expired are not in it.
 */
MAYFLY_API mayfly_x509 *mayfly_watch_x509(mayfly_watch *watch);
/* The latest bundles of either kind of watch; to be unref'd; NULL when there are none. */
MAYFLY_API mayfly_bundles *mayfly_watch_bundles(mayfly_watch *watch);

#ifdef __cplusplus
}
#endif
#endif
