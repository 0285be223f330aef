/*
 * mayfly/error.h: how calls end.
 *
 * Every call that can fail returns a mayfly_status and takes a mayfly_error * (may be NULL) that it fills when it
 * fails. Programs decide by the status; the text is for people, names cause and cure, and never holds secret bytes.
 * A mayfly_error is the caller's own and belongs to one thread.
 */
#ifndef MAYFLY_ERROR_H
#define MAYFLY_ERROR_H
#include <mayfly/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers never change; new ones are appended. */
typedef enum mayfly_status {
	MAYFLY_OK = 0,
	MAYFLY_E_INVALID =
	    1, /* an argument, or bytes from outside, break a rule: the same again fails again */
	MAYFLY_E_DENIED = 2,	  /* the agent has no identity for this process, or an authorizer said no */
	MAYFLY_E_UNAVAILABLE = 3, /* no agent, or it cannot answer now: try again */
	MAYFLY_E_DEADLINE = 4,	  /* not within the time that was given */
	MAYFLY_E_UNTRUSTED =
	    5, /* a peer or token did not verify: no bundle, dates, signature, path, revoked */
	MAYFLY_E_NOTFOUND = 6,
	MAYFLY_E_UNSUPPORTED = 7, /* the agent does not offer this; asking again is no use */
	MAYFLY_E_STATE = 8,	  /* right call, wrong moment */
	MAYFLY_E_TOOBIG = 9,	  /* over a cap of the library */
	MAYFLY_E_NOMEM = 10,
	MAYFLY_E_IO = 11, /* the kernel refused: descriptors, limits */
	MAYFLY_E_INTERNAL = 12
} mayfly_status;

#define MAYFLY_ERROR_TEXT 480

typedef struct mayfly_error {
	mayfly_status status;
	int grpc_code; /* what the agent answered (2 to 16), 0 when the failure is not an answer of the agent */
	int reserved[6];
	char text[MAYFLY_ERROR_TEXT];
} mayfly_error;

/* "ok", "denied", ...: a stable word. Never NULL; "unknown" for a number of a newer library. Static. */
MAYFLY_API const char *mayfly_status_name(mayfly_status status);

#ifdef __cplusplus
}
#endif
#endif
