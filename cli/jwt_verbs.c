/* jwt_verbs: JWT-SVIDs: `mayfly svid fetch --jwt` and `mayfly svid validate`. */
#include <math.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/connect.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "workload.pb-c.h"

#define DEPTH_MAX 16u
#define EXACT 9007199254740992.0 /* 2^53 */

/* ---- fetch ---- */

static enum mf_status
show_tokens(struct mf_cli *c, const JWTSVIDResponse *m, struct mf_err *err)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out; /* wiped */
	mf_buf_init(&out, MF_SHOW_MAX);
	if (m->n_svids == 0)
		return MF_FAIL(err, MF_E_INVALID, "the agent answered without a token");
	if (!c->json) {
		/* The token alone, so that it can stand in $(...): of the default identity, which is the first. */
		mf_buf_put_str(&out, m->svids[0]->svid);
		mf_buf_put_u8(&out, '\n');
		MF_TRY(mf_buf_check(&out, err));
	} else {
		mf_show_json_begin(&w, &out, "JWTSVIDList");
		for (size_t i = 0; i < m->n_svids; i++) {
			mf_jw_object_begin(&w);
			mf_jw_kstr(&w, "spiffe_id", m->svids[i]->spiffe_id);
			mf_jw_kstr(&w, "hint", m->svids[i]->hint);
			mf_jw_kstr(&w, "token", m->svids[i]->svid);
			mf_jw_object_end(&w);
		}
		MF_TRY(mf_show_json_end(&w, err));
	}
	mf_cli_write(c, mf_buf_slice(&out));
	return MF_OK;
}

int
mf_cli_jwt_fetch(struct mf_cli *c)
{
	JWTSVIDRequest q = JWTSVIDREQUEST__INIT;
	char *audiences[MF_LIM_JWT_AUDIENCES];
	struct mf_err err = { 0 };
	ProtobufCMessage *msg = NULL;
	char *a;
	if (mf_cli_has(c, "write") || mf_cli_has(c, "with-key"))
		return mf_cli_usage(c, "--jwt prints a token: --write and --with-key are for certificates");
	for (size_t i = 0; (a = mf_cli_get_nth(c, "audience", i)) != NULL; i++) {
		if (i == MF_LIM_JWT_AUDIENCES)
			return mf_cli_usage(c, "at most %u audiences", MF_LIM_JWT_AUDIENCES);
		audiences[q.n_audience++] = a;
	}
	if (q.n_audience == 0)
		return mf_cli_usage(c, "--jwt needs --audience A: who the token is for");
	q.audience = audiences;
	if (mf_cli_get(c, "spiffe-id") != NULL)
		q.spiffe_id = mf_cli_get(c, "spiffe-id");
	int rc = mf_cli_ask_agent(c, &mf_cli_fetch_jwt_svid, &q.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	enum mf_status s = show_tokens(c, (const JWTSVIDResponse *)(const void *)msg, &err);
	mf_pb_free(msg);
	return s == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
}

/* ---- validate ---- */

static void put_value(struct mf_jw *w, const Google__Protobuf__Value *v, unsigned depth);

/* Whole numbers as such; others so that they read back as the same double. */
static void
put_number(struct mf_jw *w, double d)
{
	char text[40];
	if (d >= -EXACT && d <= EXACT && d == (double)(int64_t)d) {
		mf_jw_int(w, (int64_t)d);
	} else if (isfinite(d)) {
		(void)snprintf(text, sizeof(text), "%.17g", d);
		mf_jw_raw(w, mf_slice_str(text));
	} else {
		mf_jw_null(w);
	}
}

static void
put_struct(struct mf_jw *w, const Google__Protobuf__Struct *s, unsigned depth)
{
	mf_jw_object_begin(w);
	for (size_t i = 0; s != NULL && depth > 0 && i < s->n_fields; i++) {
		mf_jw_key(w, s->fields[i]->key);
		put_value(w, s->fields[i]->value, depth - 1);
	}
	mf_jw_object_end(w);
}

static void
put_value(struct mf_jw *w, const Google__Protobuf__Value *v, unsigned depth)
{
	switch (v == NULL ? GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET : v->kind_case) {
	case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
		put_number(w, v->number_value);
		break;
	case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
		mf_jw_str(w, v->string_value);
		break;
	case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
		mf_jw_bool(w, v->bool_value);
		break;
	case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
		put_struct(w, v->struct_value, depth);
		break;
	case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
		mf_jw_array_begin(w);
		for (size_t i = 0; depth > 0 && v->list_value != NULL && i < v->list_value->n_values; i++)
			put_value(w, v->list_value->values[i], depth - 1);
		mf_jw_array_end(w);
		break;
	default:
		mf_jw_null(w);
		break;
	}
}

static enum mf_status
show_claims(struct mf_cli *c, const ValidateJWTSVIDResponse *m, struct mf_err *err)
{
	struct mf_jw w;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out, claims;
	mf_buf_init(&out, MF_SHOW_MAX);
	mf_buf_init(&claims, MF_SHOW_MAX);
	if (c->json) {
		mf_show_json_begin(&w, &out, "JWTValidation");
		mf_jw_object_begin(&w);
		mf_jw_kstr(&w, "spiffe_id", m->spiffe_id);
		mf_jw_key(&w, "claims");
		put_struct(&w, m->claims, DEPTH_MAX);
		mf_jw_object_end(&w);
		MF_TRY(mf_show_json_end(&w, err));
	} else {
		mf_jw_init(&w, &claims, false);
		put_struct(&w, m->claims, DEPTH_MAX);
		MF_TRY(mf_jw_finish(&w, err));
		mf_buf_put_str(&out, "valid for ");
		mf_show_clean(&out, mf_slice_str(m->spiffe_id));
		mf_buf_put_u8(&out, '\n');
		mf_show_clean(&out, mf_buf_slice(&claims));
		mf_buf_put_u8(&out, '\n');
		MF_TRY(mf_buf_check(&out, err));
	}
	mf_cli_write(c, mf_buf_slice(&out));
	return MF_OK;
}

/* The token of the command line, or of stdin: with one newline at its end, as `svid fetch --jwt` prints it. */
static enum mf_status
read_token(const struct mf_cli *c, struct mf_buf *to, struct mf_err *err)
{
	if (c->argc == 1 && strcmp(c->argv[0], "-") != 0) {
		mf_buf_put_str(to, c->argv[0]);
	} else {
		char chunk[4096];
		ssize_t n;
		while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
			mf_buf_put(to, chunk, (size_t)n);
		if (n < 0)
			return MF_FAIL(err, MF_E_IO, "stdin cannot be read");
		if (to->n > 0 && to->p[to->n - 1] == '\n')
			to->n--;
	}
	return mf_buf_cstr(to) == NULL ? mf_buf_check(to, err) : MF_OK;
}

int
mf_cli_svid_validate(struct mf_cli *c)
{
	ValidateJWTSVIDRequest q = VALIDATE_JWTSVIDREQUEST__INIT;
	struct mf_err err = { 0 };
	ProtobufCMessage *msg = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf token; /* wiped */
	mf_buf_init(&token, MF_LIM_JWT + 2);
	q.audience = mf_cli_get(c, "audience");
	if (q.audience == NULL)
		return mf_cli_usage(c, "--audience A is needed: a token is judged for somebody");
	if (read_token(c, &token, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	if (memchr(token.p, '\0', token.n) != NULL)
		return mf_cli_usage(c, "a token has no NUL in it");
	q.svid = (char *)token.p;
	int rc = mf_cli_ask_agent(c, &mf_cli_validate_jwt_svid, &q.base, &msg);
	if (rc != MF_EXIT_OK)
		return rc;
	enum mf_status s = show_claims(c, (const ValidateJWTSVIDResponse *)(const void *)msg, &err);
	mf_pb_free(msg);
	return s == MF_OK ? MF_EXIT_OK : mf_cli_fail(c, &err);
}
