#include "broker/notary/approval.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "codec/allowed_signers.h"
#include "codec/sshsig.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/ssh_verify.h"
#include "rpc/admin_text.h"
#include "rpc/pb_check.h"

enum mf_status
mf_approval_job_new(const Mayfly__Roles__V1__AdminCall *call, struct mf_slice signers, const char *log,
    int64_t now_s, struct mf_approval_job **ret_job, struct mf_err *err)
{
	MF_AUTO(mf_approval_job_free) struct mf_approval_job *j = calloc(1, sizeof(*j));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf packed;
	ProtobufCMessage *copy = NULL;
	mf_buf_init(&packed, MF_LIM_IPC_MESSAGE);
	if (j == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "out of memory");
	mf_buf_init(&j->signers, MF_LIM_SIGNERS_FILE);
	mf_buf_put_slice(&j->signers, signers);
	MF_TRY(mf_buf_check(&j->signers, err));
	MF_TRY(mf_pb_pack(&call->base, &packed, err));
	MF_TRY(mf_pb_unpack(&mayfly__roles__v1__admin_call__descriptor, mf_buf_slice(&packed), &copy, err));
	j->call = (Mayfly__Roles__V1__AdminCall *)(void *)copy;
	(void)snprintf(j->log, sizeof(j->log), "%s", log);
	j->now_s = now_s;
	*ret_job = MF_TAKE(j);
	return MF_OK;
}

void
mf_approval_job_free(struct mf_approval_job *job)
{
	if (job == NULL)
		return;
	if (job->call != NULL)
		mf_pb_free(&job->call->base);
	mf_buf_fini(&job->signers);
	free(job);
}

/* The request in the call: all members of its oneof are messages. */
static const ProtobufCMessage *
request_of(const Mayfly__Roles__V1__AdminCall *call)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
	    &mayfly__roles__v1__admin_call__descriptor, (unsigned)call->what_case);
	if (f == NULL || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	return *(
	    const ProtobufCMessage *const *)(const void *)((const uint8_t *)(const void *)call + f->offset);
}

static enum mf_status
verify(const struct mf_sshsig *s, struct mf_slice text, struct mf_err *err)
{
	uint8_t hash[64];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	if (s->message_sha512)
		mf_sha512(text, hash);
	else
		mf_sha256(text, hash);
	mf_sshsig_signed(s, mf_slice(hash, s->message_sha512 ? 64 : 32), &b);
	MF_TRY(mf_buf_check(&b, err));
	switch (s->key.kind) {
	case MF_SSH_ED25519:
		return mf_ed25519_verify(s->key.point, mf_buf_slice(&b), s->sig, err);
	case MF_SSH_RSA:
		return mf_ssh_verify_rsa(s->key.n, s->key.e, s->rsa_sha512, s->sig, mf_buf_slice(&b), err);
	case MF_SSH_P256:
	case MF_SSH_P384:
	case MF_SSH_P521:
		break;
	}
	return mf_ssh_verify_ecdsa(s->key.kind == MF_SSH_P256	? 256
				   : s->key.kind == MF_SSH_P384 ? 384
								: 521,
	    s->key.point, s->r, s->s, mf_buf_slice(&b), err);
}

/* A person counts once, with whatever keys. */
static void
add_person(struct mf_approval *a, const char *person, struct mf_slice key)
{
	uint8_t sha[32];
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 128);
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->by[i].person, person) == 0)
			return;
	mf_sha256(key, sha);
	mf_base64_put(&b, mf_slice(sha, sizeof(sha)));
	while (b.n > 0 && b.p[b.n - 1] == '=')
		b.n--;
	(void)snprintf(a->by[a->n].person, sizeof(a->by[0].person), "%s", person);
	(void)snprintf(a->by[a->n].key, sizeof(a->by[0].key), "SHA256:%.*s", (int)b.n, (const char *)b.p);
	a->n++;
}

static enum mf_status
take_signature(const struct mf_signers *signers, struct mf_slice blob, struct mf_slice text, int64_t now_s,
    struct mf_approval *a, struct mf_err *err)
{
	struct mf_sshsig s;
	MF_TRY(mf_sshsig_parse(blob, &s, err));
	if (!mf_slice_eq_str(s.name_space, MF_ADMIN_NAMESPACE))
		return MF_FAIL(err, MF_E_DENIED,
		    "it was made for another purpose: ssh-keygen -Y sign -n " MF_ADMIN_NAMESPACE);
	const char *person = mf_signers_person(signers, s.key.blob, now_s);
	if (person == NULL)
		return MF_FAIL(err, MF_E_DENIED, "its key is nobody's in admin_signers, now");
	if (verify(&s, text, err) != MF_OK)
		return MF_FAIL(err, MF_E_DENIED,
		    "it is over another text than this act's (%s's key): the parameters must be the same, "
		    "and ids whole",
		    person);
	add_person(a, person, s.key.blob);
	return MF_OK;
}

static enum mf_status
run(struct mf_approval_job *j, struct mf_err *err)
{
	const Mayfly__Roles__V1__AdminApproval *ap = j->call->approval;
	const ProtobufCMessage *request = request_of(j->call);
	MF_AUTO(mf_signers_free) struct mf_signers *signers = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text;
	uint8_t sha[32];
	mf_buf_init(&text, MF_LIM_ADMIN_TEXT);
	if (ap == NULL || request == NULL)
		return MF_FAIL(err, MF_E_INVALID, "no act, or no signatures");
	if (ap->n_signatures > MF_LIM_APPROVALS)
		return MF_FAIL(err, MF_E_TOOBIG, "at most %u signatures", MF_LIM_APPROVALS);
	const struct mf_admin_head head = {
		.log = j->log, .policy = ap->policy_sha256, .nonce = ap->nonce, .not_after_s = ap->not_after
	};
	MF_TRY(mf_signers_parse(mf_buf_slice(&j->signers), MF_ADMIN_NAMESPACE, &signers, err));
	MF_TRY(mf_admin_text(&head, request, &text, err));
	mf_sha256(mf_buf_slice(&text), sha);
	for (size_t i = 0; i < sizeof(sha); i++)
		(void)snprintf(j->approval.text_sha256 + 2 * i, 3, "%02x", sha[i]);
	for (size_t i = 0; i < ap->n_signatures; i++) {
		struct mf_slice blob = mf_slice(ap->signatures[i].data, ap->signatures[i].len);
		enum mf_status s =
		    take_signature(signers, blob, mf_buf_slice(&text), j->now_s, &j->approval, err);
		if (s != MF_OK)
			return mf_err_wrap(err, s, "signature %zu", i + 1);
	}
	return MF_OK;
}

void
mf_approval_job_run(struct mf_approval_job *job)
{
	job->status = run(job, &job->err);
}
