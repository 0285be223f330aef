/*
 * mayfly/version.h: which libmayfly this is, and the attributes that the other headers use.
 *
 * libmayfly is the client library of the SPIFFE Workload API for C and C++: it fetches and watches a workload's
 * SVIDs and bundles, verifies peers (revocation included), and sets up OpenSSL for mutual TLS with certificates that
 * are renewed while the program runs. It works with the agent of Mayfly and with any other SPIFFE agent.
 *
 * What holds for the whole library:
 *  - It has no threads of its own, installs no signal handlers, changes no process-wide setting, prints nothing.
 *    Of the environment it reads SPIFFE_ENDPOINT_SOCKET, once per mayfly_client_new without an address.
 *  - Objects are opaque; each header says who frees what and which threads may use it. *_free and *_unref of NULL do
 *    nothing. Outputs named ret_* are written on MAYFLY_OK only.
 *  - Strings are NUL-terminated UTF-8 and hold no NUL inside: input with one is refused, never cut.
 *  - Private keys are kept in locked memory that is left out of core dumps, and are wiped when the last owner lets go.
 *  - After fork() a child must not use the parent's objects: calls that would show a key or use a connection fail with
 *    MAYFLY_E_STATE there. Make a new client in the child.
 *  - libcrypto is initialised as by its own first use. A machine whose libcrypto lacks SHA-256, or a kernel without
 *    randomness, aborts the process: there is no safe way to go on.
 */
#ifndef MAYFLY_VERSION_H
#define MAYFLY_VERSION_H

#define MAYFLY_VERSION_MAJOR 0
#define MAYFLY_VERSION_MINOR 1
#define MAYFLY_VERSION_PATCH 0
#define MAYFLY_VERSION "0.1.0"

#if defined(__GNUC__) /* lint: ifdef: a public header meets any compiler */
#define MAYFLY_API __attribute__((visibility("default")))
#define MAYFLY_MUST_CHECK __attribute__((warn_unused_result))
#else
#define MAYFLY_API
#define MAYFLY_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* MAYFLY_VERSION of the library that is loaded. Static. */
MAYFLY_API const char *mayfly_version(void);

#ifdef __cplusplus
}
#endif
#endif
