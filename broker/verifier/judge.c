#include "broker/verifier/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/attribute.h"
#include "base/limits.h"
#include "base/text.h"

#define FACTS_MAX (MF_ATTRIBUTES * (MF_ATTRIBUTE_NAME + MF_ATTRIBUTE_VALUE + 2u))
#define REASON_MAX 256u

const struct mf_judge_kind *const mf_judge_kinds[] = { &mf_judge_x509pop, NULL };

struct mf_judge {
	ProtobufCMessage *anchors; /* NULL: not given yet */
};

enum mf_status
mf_judge_new(struct mf_judge **ret_v, struct mf_err *err)
{
	*ret_v = calloc(1, sizeof(**ret_v));
	return *ret_v == NULL ? MF_FAIL(err, MF_E_NOMEM, "verifier: out of memory") : MF_OK;
}

void
mf_judge_free(struct mf_judge *v)
{
	if (v == NULL)
		return;
	mf_pb_free(v->anchors);
	free(v);
}

static enum mf_status
judge(const Mayfly__Roles__V1__VerifyAnchors *a, const Mayfly__Roles__V1__VerifyEvidence *e,
    struct mf_buf *facts, struct mf_err *err)
{
	for (const struct mf_judge_kind *const *k = mf_judge_kinds; *k != NULL; k++)
		if (strcmp((*k)->name, e->attestor) == 0)
			return (*k)->verify(a, e, facts, err);
	return MF_FAIL(err, MF_E_UNSUPPORTED, "evidence of a kind that this broker does not know");
}

/* The lines of ${facts}, cut apart in place. */
static size_t
lines(struct mf_buf *facts, char *to[MF_ATTRIBUTES])
{
	size_t n = 0;
	if (facts->n == 0) /* no line at all: the buffer may have no memory either */
		return 0;
	uint8_t *p = facts->p, *end = facts->p + facts->n;
	while (p < end && n < MF_ATTRIBUTES) {
		uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			break;
		*nl = '\0';
		to[n++] = (char *)p;
		p = nl + 1;
	}
	return n;
}

static enum mf_status
answer_evidence(const Mayfly__Roles__V1__VerifyAnchors *a, const Mayfly__Roles__V1__VerifyEvidence *e,
    struct mf_buf *answer, struct mf_err *err)
{
	Mayfly__Roles__V1__Verified m = MAYFLY__ROLES__V1__VERIFIED__INIT;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf facts;
	struct mf_err why = { 0 };
	char *attributes[MF_ATTRIBUTES], reason[REASON_MAX];
	mf_buf_init(&facts, FACTS_MAX);
	enum mf_status s = judge(a, e, &facts, &why);
	m.good = s == MF_OK;
	if (m.good) {
		m.attributes = attributes;
		m.n_attributes = lines(&facts, attributes);
	} else {
		size_t n = mf_utf8_cut(mf_slice_str(why.msg), sizeof(reason) - 1);
		memcpy(reason, why.msg, n);
		reason[n] = '\0';
		m.reason = reason;
	}
	return mf_role_encode(&mf_link_verifier, MF_LINK_FRONT, MF_MSG_VERIFIED, &m.base, false, answer, err);
}

enum mf_status
mf_judge_take(struct mf_judge *v, uint16_t type, struct mf_slice payload, bool has_fd, bool *ret_answer,
    struct mf_buf *answer, struct mf_err *err)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	unsigned state = v->anchors == NULL ? MF_LINK_HELLO : MF_LINK_OPEN;
	MF_TRY(
	    mf_role_decode(&mf_link_verifier, MF_LINK_FRONT, state, type, payload, has_fd, &row, &msg, err));
	*ret_answer = type == MF_MSG_VERIFY_EVIDENCE;
	if (*ret_answer)
		return answer_evidence((const void *)v->anchors, (const void *)msg, answer, err);
	v->anchors = MF_TAKE(msg);
	return MF_OK;
}
