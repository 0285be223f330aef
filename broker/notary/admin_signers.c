/* admin_signers: which acts wait for signatures, of how many, and that each is used once. The signatures themselves were
 * checked by a worker (approval.c). */
#include <inttypes.h>
#include <stdio.h>

#include "broker/core/admin_roles.h"
#include "broker/notary/engine_internal.h"
#include "rpc/admin_text.h"

#define VALID_MAX_S (INT64_C(7) * 86400) /* a request may wait a week for its signatures */

void
mf_engine_signers(
    struct mf_engine *e, struct mf_now now, uint32_t required, uint32_t persons, const char *sha256_hex)
{
	char text[2][64];
	struct mf_slice attributes[2];
	struct mf_record r = { .type = MF_REC_SIGNERS_LOADED };
	e->signers_required = required;
	e->signers_persons = persons;
	(void)snprintf(text[0], sizeof(text[0]), "persons=%" PRIu32, persons);
	(void)snprintf(text[1], sizeof(text[1]), "required=%" PRIu32, required);
	attributes[0] = mf_slice_str(text[0]);
	attributes[1] = mf_slice_str(text[1]);
	mf_record_set_str(&r, MF_RS_SHA256, sha256_hex);
	r.attributes = attributes;
	r.attributes_n = 2;
	if (persons < required)
		e->ops->event(e->ctx, "admin.signers_few",
		    "fewer persons in admin_signers than are required: no act that adds access can be done");
	if (e->log_room)
		(void)mf_engine_record(e, now, &r);
}

static enum mf_status
check(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call, const char *act,
    const struct mf_approval *a, struct mf_err *err)
{
	const Mayfly__Roles__V1__AdminApproval *ap = call->approval;
	/* Not before the log's own time either: else a clock that was set back would revive what has expired. */
	int64_t now_s = mf_engine_wall(e, now) / 1000000, last_s = mf_state_last_us(e->state) / 1000000;
	now_s = now_s > last_s ? now_s : last_s;
	if (ap == NULL || a == NULL)
		return MF_FAIL(err, MF_E_DENIED,
		    "%s adds access: it needs signatures of %u person(s) of admin_signers. Use --sign KEY, "
		    "or "
		    "--offline-request FILE and --signature FILE",
		    act, e->signers_required);
	if (ap->not_after <= now_s)
		return MF_FAIL(err, MF_E_DENIED, "the signatures have expired: make a new request");
	if (ap->not_after > now_s + VALID_MAX_S)
		return MF_FAIL(err, MF_E_INVALID, "a request is valid for a week at most: make a new one");
	if (strcmp(ap->policy_sha256, e->policy_hex) != 0)
		return MF_FAIL(
		    err, MF_E_DENIED, "the policy has changed since this was signed: make a new request");
	if (mf_state_nonce(e->state, mf_slice_str(ap->nonce)))
		return MF_FAIL(err, MF_E_DENIED, "these signatures were used before: make a new request");
	if (a->n < e->signers_required)
		return MF_FAIL(err, MF_E_DENIED, "%zu of %u persons have signed%s%s", a->n,
		    e->signers_required, a->n > 0 ? ": " : "", a->n > 0 ? a->by[0].person : "");
	if (e->broken || e->stopped || !e->started || !e->log_room)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the log cannot be written now: nothing was done");
	return MF_OK;
}

static enum mf_status
use(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call, const char *act,
    const struct mf_approval *a, struct mf_err *err)
{
	char text[MF_LIM_APPROVALS][MF_APPROVAL_PERSON + 80];
	struct mf_slice attributes[MF_LIM_APPROVALS];
	struct mf_record r = { .type = MF_REC_ADMIN_APPROVED };
	for (size_t i = 0; i < a->n; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "%s=%s", a->by[i].person, a->by[i].key);
		attributes[i] = mf_slice_str(text[i]);
	}
	mf_engine_actor(&r, call);
	mf_record_set_str(&r, MF_RS_SUBJECT, act);
	mf_record_set_str(&r, MF_RS_SHA256, a->text_sha256);
	mf_record_set_str(&r, MF_RS_NONCE, call->approval->nonce);
	mf_record_set_num(&r, MF_RN_EXPIRES, call->approval->not_after);
	r.attributes = attributes;
	r.attributes_n = a->n;
	if (mf_engine_record(e, now, &r) == UINT64_MAX)
		return MF_FAIL(err, MF_E_UNAVAILABLE, "the signatures cannot be recorded: nothing was done");
	return MF_OK;
}

enum mf_status
mf_engine_admin_approved(struct mf_engine *e, struct mf_now now, const Mayfly__Roles__V1__AdminCall *call,
    const struct mf_approval *a, struct mf_err *err)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
	    &mayfly__roles__v1__admin_call__descriptor, (unsigned)call->what_case);
	const struct mf_admin_rule *rule = f == NULL ? NULL : mf_admin_act_rule(mf_slice_str(f->name));
	if (rule == NULL)
		return MF_FAIL(err, MF_E_UNSUPPORTED, "this broker does not know that request");
	if (!rule->adds || e->signers_required == 0)
		return MF_OK;
	MF_TRY(check(e, now, call, rule->name, a, err));
	return use(e, now, call, rule->name, a, err);
}
