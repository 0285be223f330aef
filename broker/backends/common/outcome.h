/*
 * outcome: how a task of a backend went, in the words of proto/roles.proto (MintResult.error), and what backends share in
 * saying it. Texts for people carry the provider's code, the HTTP status and its request id, never bytes of a body. Pure.
 */
#ifndef MF_BACKEND_OUTCOME_H
#define MF_BACKEND_OUTCOME_H
#include "broker/backends/token_backend.h"

struct mf_cloud_outcome {
	const char *error; /* "" while nothing went wrong; a literal */
	char reason[256];
	char request_id[128];
	uint32_t retry_after_ms;
	int64_t now_s; /* ours, when the task began: a provider whose clock differs refuses what is good */
};

/* A code of a provider and the word for it. */
struct mf_cloud_code {
	const char *code, *word;
};

void mf_outcome_init(struct mf_cloud_outcome *o, int64_t now_s);
void mf_outcome_set(struct mf_cloud_outcome *o, const char *word, const char *fmt, ...) MF_PRINTF(3, 4);
/*
 * No reply, or one that cannot be used (${what} was asked for). ${minting}: something may have been minted when the request
 * may have arrived, so the word is "unknown"; else "transient".
 */
void mf_outcome_no_reply(
    struct mf_cloud_outcome *o, const char *what, const struct mf_http_reply *reply, bool minting);
/* "Sat, 21 Nov 2026 22:31:00 GMT", the form that RFC 9110 5.6.7 has servers send. False: something else. */
bool mf_http_date(const char *text, int64_t *ret_s);
/* The provider said no: by its ${code}, if ${table} (ends with code NULL) has it, else by the HTTP status. */
void mf_outcome_refused(struct mf_cloud_outcome *o, const char *what, const struct mf_http_reply *reply,
    struct mf_slice code, const struct mf_cloud_code *table, bool minting);
void mf_outcome_request_id(struct mf_cloud_outcome *o, struct mf_slice id);

/* Letters, digits and ._:/+=@,- only, 1..${max} bytes: what may stand in a record or log line as it is. */
bool mf_outcome_plain(struct mf_slice s, size_t max);
/* Printable ASCII without space, 1..${max}: what may stand in an HTTP header or an environment variable. */
bool mf_outcome_printable(struct mf_slice s, size_t max);

/* "key=value" of a form, "&" before all but the first. */
void mf_form_put(struct mf_buf *to, const char *key, struct mf_slice value);
void mf_form_put_str(struct mf_buf *to, const char *key, const char *value);
#endif
