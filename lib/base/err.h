/*
 * err: the result of everything that can fail.
 *
 * A function that can fail returns enum mf_status, is MF_NODISCARD, and takes a struct mf_err
 * (may be NULL) as its last argument. Callers branch on the status; the text is for people and
 * names cause and cure, never secret bytes. `ret_*` outputs are written on MF_OK only.
 * Thread rule: a struct mf_err belongs to one caller; nothing here is shared.
 */
#ifndef MF_BASE_ERR_H
#define MF_BASE_ERR_H
#include "base/defs.h"

enum mf_status {
	MF_OK = 0,
	MF_E_INVALID, /* the input breaks a rule: the same input fails again */
	MF_E_TOOBIG,  /* a cap of limits.h was reached */
	MF_E_NOMEM,   /* out of memory */
	MF_E_IO,      /* the kernel or the disk said no */
	MF_E_CLOSED,  /* the peer is gone */
	MF_E_AGAIN,   /* nothing now, ask again */
	MF_E_DENIED,  /* policy or permission refuses */
	MF_E_NOTFOUND,
	MF_E_EXISTS,
	MF_E_STATE,	  /* right request, wrong moment */
	MF_E_UNAVAILABLE, /* a part that is needed is not there now */
	MF_E_UNAUTH,	  /* who is asking could not be shown */
	MF_E_UNSUPPORTED, /* not built, not enabled, or a version we do not speak */
	MF_E_CORRUPT,	  /* stored bytes are not what was written */
	MF_E_EXHAUSTED,	  /* a limit on how much one caller may hold */
	MF_E_DEADLINE,
	MF_E_INTERNAL, /* a bug of ours, or a library that failed without reason */
	MF_STATUS_COUNT
};

#define MF_ERR_MSG_MAX 384

struct mf_err {
	enum mf_status code;
	int line;
	const char *file; /* static string */
	char msg[MF_ERR_MSG_MAX];
};

/* "ok", "invalid", ...: stable words for logs and -o json. Never NULL. */
const char *mf_status_name(enum mf_status s);

/* Fill ${err} (may be NULL) and yield ${code}. Keeps errno. Use MF_FAIL. */
enum mf_status mf_err_set(struct mf_err *err, enum mf_status code, const char *file, int line,
    const char *fmt, ...) MF_PRINTF(5, 6);
/* Put "${fmt}: " before the text that is already there; code and place stay. Yields err's code. */
enum mf_status mf_err_wrap(struct mf_err *err, enum mf_status code, const char *fmt, ...) MF_PRINTF(3, 4);

#define MF_FAIL(err, code, ...) mf_err_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)
/* Return at once when ${e} fails: the only macro that returns. */
#define MF_TRY(e)                              \
	do {                                   \
		enum mf_status mf_try_s = (e); \
		if (mf_try_s != MF_OK)         \
			return mf_try_s;       \
	} while (0)
#endif
