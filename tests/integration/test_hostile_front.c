/*
 * A broker front that is owned, against the notary as it is run. What must hold then is the list in the threat model ("A hostile
 * broker front"), one test for each line. Two honest attestors speak through it; the rules of every grant and of the whole
 * log are looked at in the rig, in every test.
 */
#include "integration/notary_rig.h"

#include "lib/sign_kit.h"
#include "rpc/admin_text.h"

#define GRANT MAYFLY__AGENT__V1__DOWN__BODY_GRANT
#define REFUSAL MAYFLY__AGENT__V1__DOWN__BODY_REFUSAL
#define END_ANSWER MAYFLY__AGENT__V1__DOWN__BODY_END_ANSWER

static int
setup(void **state)
{
	*state = nr_new();
	return 0;
}

static int
teardown(void **state)
{
	nr_free(*state);
	return 0;
}

static uint64_t
rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static size_t
issued(struct nrig *r)
{
	return nr_count(r, MF_REC_SVID_ISSUED) + nr_count(r, MF_REC_SVID_RENEWED);
}

static void
granted(struct nrig *r, struct npeer *p)
{
	if (!nr_granted(r, p))
		fail_msg("not granted: %s", p->down == NULL ? "the session ended" : r->refusal);
}

/* A new link, and both nodes on it again. */
static void
again(struct nrig *r)
{
	r->keep_up = r->keep_down = false;
	nr_front(r);
	for (size_t i = 0; i < 2; i++) {
		nr_begin(r, &r->peer[i], "");
		if (!nr_join(r, &r->peer[i], NULL, false))
			fail_msg("node %zu is turned away", i);
	}
}

/* --- every message, in every state --- */

static bool
allowed(unsigned state, uint16_t type, struct mf_slice payload)
{
	const struct mf_role_msg *row;
	MF_AUTO(mf_pb_free) ProtobufCMessage *msg = NULL;
	if (type == MF_MSG_FRONT_HELLO)
		return false; /* of no build, or for a second time */
	return mf_role_decode(
		   &mf_link_broker, MF_LINK_INNER, state, type, payload, false, &row, &msg, NULL) == MF_OK;
}

static void
sent(struct nrig *r, bool opened, uint16_t type, struct mf_slice payload, int fd)
{
	bool may = fd < 0 && allowed(opened ? MF_LINK_OPEN : MF_LINK_HELLO, type, payload);
	if (r->front == NULL)
		nr_link(r);
	if (opened)
		nr_hello(r);
	nr_raw(r, type, payload, fd);
	if (opened && may)
		nr_status(r); /* still there */
	else if (!may)
		NR_UNTIL(r, r->front == NULL);
	if (r->front != NULL && opened) {
		mf_seqpacket_free(r->front);
		r->front = NULL;
	}
}

/* A message that is not in the table, not of this side or state, garbled, or with a descriptor ends the link; nothing else. */
static void
test_every_message_in_every_state(void **state)
{
	struct nrig *r = *state;
	static const char junk[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
	for (uint16_t type = 0; type < 90; type++)
		for (unsigned opened = 0; opened < 2; opened++) {
			sent(r, opened, type, mf_slice(NULL, 0), -1);
			sent(r, opened, type, mf_slice(junk, sizeof(junk) - 1), -1);
			if (type < 12)
				sent(r, opened, type, mf_slice(NULL, 0),
				    open("/dev/null", O_RDWR | O_CLOEXEC));
		}
	static uint8_t big[MF_PACKET_PAYLOAD_MAX];
	for (uint16_t type = 1; type < 9; type++)
		sent(r, true, type, mf_slice(big, sizeof(big)), -1);
	again(r);
	nr_attach(r, &r->peer[0], 1, "7");
	granted(r, &r->peer[0]);
	size_t told = nr_told(r, "the front broke the protocol");
	if (told < 10) /* attempts are told; who floods the log is told of less often */
		fail_msg("told %zu times", told);
}

/* --- invariant 1 --- */

/* It asks for haste, stops reading, and leaves in the middle: what reaches an attestor is in the log all the same. */
static void
test_1_no_credential_without_its_record(void **state)
{
	struct nrig *r = *state;
	uint64_t s = 1;
	for (unsigned round = 0; round < 12; round++) {
		Mayfly__Roles__V1__LogAck ack = MAYFLY__ROLES__V1__LOG_ACK__INIT;
		ack.applied_index = UINT64_MAX; /* as if all were written */
		nr_send(r, MF_MSG_LOG_ACK, &ack.base);
		nr_attach(r, &r->peer[0], 1000 + round, "7");
		for (unsigned i = 0; i < 8; i++)
			nr_attach(r, &r->peer[0], 1 + 20 * round + (unsigned)(rnd(&s) % 20), "7");
		granted(r, &r->peer[0]);
		nr_renew(r, &r->peer[0]);
		if (round % 3 == 0)
			again(r); /* the answer is under way */
		else
			granted(r, &r->peer[0]);
	}
	assert_true(r->grants >= 20);
	/* What it carries is sealed: no certificate's text passes it. */
	for (size_t i = 0; i < r->tape_n && i < NR_TAPE; i++)
		assert_null(memmem(r->tape[i].p, r->tape[i].n, "spiffe://", 9));
}

/* --- invariant 2 --- */

static const Mayfly__Roles__V1__AdminReply *
extend(struct nrig *r, const char *job, int64_t by_s, int64_t until)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ExtendJobRequest q = MAYFLY__ADMIN__V1__EXTEND_JOB_REQUEST__INIT;
	q.match = (char *)(uintptr_t)job;
	q.reason = (char *)(uintptr_t) "more";
	q.by_s = by_s;
	q.until = until;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB;
	c.extend_job = &q;
	return nr_admin(r, &c);
}

static void
first_job(void *ctx, uint64_t index, const struct mf_record *rec)
{
	char *to = ctx;
	MF_UNUSED(index);
	if (rec->type == MF_REC_JOB_STARTED && to[0] == '\0')
		(void)snprintf(
		    to, 80, "%.*s", (int)rec->s[MF_RS_JOB_ID].n, (const char *)rec->s[MF_RS_JOB_ID].p);
}

/* In an administrator's name it may move a deadline, but never over the profile's longest job (the rig looks at each grant). */
static void
test_2_no_credential_outlives_its_job(void **state)
{
	struct nrig *r = *state;
	int64_t now_s = mf_now().wall_us / 1000000;
	static const int64_t by[] = { 1, 60, 3600, 86400, INT64_MAX / 1000000, INT64_MAX, -1, INT64_MIN };
	char job[80] = "";
	nr_attach(r, &r->peer[0], 1, "7");
	granted(r, &r->peer[0]);
	nr_walk(r, first_job, job);
	assert_true(job[0] == 'j');
	for (size_t i = 0; i < MF_COUNT(by); i++) {
		(void)extend(r, job, by[i], 0);
		nr_renew(r, &r->peer[0]);
		granted(r, &r->peer[0]);
		(void)extend(r, job, 0, by[i] > INT64_MAX - now_s ? by[i] : now_s + by[i]);
		nr_renew(r, &r->peer[0]);
		granted(r, &r->peer[0]);
	}
}

/* --- invariant 3 --- */

/* It has seen all that was ever said, and says it again after the end: in the session, in others, in each order. */
static void
test_3_no_issuance_after_the_end(void **state)
{
	struct nrig *r = *state;
	struct npeer *p = &r->peer[0];
	nr_attach(r, p, 1, "7");
	granted(r, p);
	nr_renew(r, p);
	granted(r, p);
	/* A renewal is held back, the end overtakes it: then it does not verify, and the session is over. */
	r->keep_up = true;
	nr_renew(r, p);
	size_t renewal = r->tape_n - 1;
	r->keep_up = false;
	nr_end(r, p, 1);
	NR_UNTIL(r, p->sid == 0);
	assert_int_equal(nr_count(r, MF_REC_LEASE_ENDED), 0); /* that is what it can do: delay */
	again(r);
	nr_end(r, p, 1);
	assert_int_equal(nr_answer(r, p), END_ANSWER);
	NR_UNTIL(r, nr_count(r, MF_REC_LEASE_ENDED) == 1);
	size_t n = issued(r);
	nr_data(r, p->sid, false, mf_slice(r->tape[renewal].p, r->tape[renewal].n));
	NR_UNTIL(r, p->sid == 0);
	size_t all = r->tape_n;
	for (size_t i = 0; i < all; i++) { /* each by itself, after the handshake it belonged to */
		if (!r->tape[i].up || r->tape[i].handshake)
			continue;
		uint64_t sid = ++r->next_sid;
		nr_session(r, sid, "");
		for (size_t k = i; k-- > 0;)
			if (r->tape[k].up && r->tape[k].handshake && r->tape[k].sid == r->tape[i].sid) {
				nr_data(r, sid, true, mf_slice(r->tape[k].p, r->tape[k].n));
				break;
			}
		nr_data(r, sid, false, mf_slice(r->tape[i].p, r->tape[i].n));
	}
	nr_status(r);
	again(r);
	nr_renew(r, p); /* even the attestor itself gets nothing for it */
	assert_int_equal(nr_answer(r, p), REFUSAL);
	assert_int_equal(issued(r), n);
}

/* --- invariant 4: for nodes and policy that were there --- */

static void
test_4_a_node_gets_only_what_policy_places_on_it(void **state)
{
	struct nrig *r = *state;
	struct npeer *good = &r->peer[0], *other = &r->peer[1];
	/* The session is said to be the good node's, by its certificate and by its number. */
	nr_begin(r, other, good->node);
	assert_true(nr_join(r, other, NULL, false));
	nr_attach(r, other, 1, "7");
	assert_int_equal(nr_answer(r, other), REFUSAL);
	/* In the good node's name. */
	char mine[80];
	(void)snprintf(mine, sizeof(mine), "%s", other->node);
	(void)snprintf(other->node, sizeof(other->node), "%s", good->node);
	nr_attach(r, other, 2, "7");
	assert_int_equal(nr_answer(r, other), REFUSAL);
	(void)snprintf(other->node, sizeof(other->node), "%s", mine);
	/* The good node's session is opened again, with the other's handshake and bytes in it. */
	nr_attach(r, good, 1, "7");
	granted(r, good);
	nr_session(r, good->sid, other->node);
	r->keep_up = true;
	nr_attach(r, other, 3, "7");
	r->keep_up = false;
	const struct npassed *t = &r->tape[r->tape_n - 1];
	nr_data(r, good->sid, false, mf_slice(t->p, t->n));
	NR_UNTIL(r, good->sid == 0);
	assert_int_equal(nr_count(r, MF_REC_LEASE_OPENED), 1);
	assert_true(nr_count(r, MF_REC_AUTHZ_DENIED) >= 1); /* attempts are recorded */
}

/* --- invariant 5 --- */

/* A statement is the attestor's, to the bit, once, and in its session, or it is nobody's. */
static void
test_5_statements_cannot_be_made_or_changed(void **state)
{
	struct nrig *r = *state;
	struct npeer *p = &r->peer[0];
	uint64_t s = 5;
	size_t records = nr_count(r, MF_REC_LEASE_OPENED);
	for (unsigned i = 0; i < 40; i++) {
		MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
		mf_buf_init(&b, MF_INNER_SEALED_MAX);
		r->keep_up = true;
		nr_attach(r, p, 1, "7");
		r->keep_up = false;
		const struct npassed *t = &r->tape[r->tape_n - 1];
		mf_buf_put(&b, t->p, t->n);
		switch (i % 4) {
		case 0:
			b.p[rnd(&s) % b.n] ^= (uint8_t)(1u << rnd(&s) % 8);
			break;
		case 1:
			b.n = rnd(&s) % b.n;
			break;
		case 2:
			mf_buf_put(&b, "x", 1);
			break;
		default: /* two halves of two messages */
			for (size_t k = b.n / 2; k < b.n && k < r->tape[r->tape_n - 2].n; k++)
				b.p[k] = r->tape[r->tape_n - 2].p[k];
			b.p[0] ^= mf_slice_eq(mf_buf_slice(&b), mf_slice(t->p, t->n));
			break;
		}
		nr_data(r, p->sid, false, mf_buf_slice(&b));
		nr_data(r, p->sid, false, mf_slice(t->p, t->n)); /* and then the true one */
		NR_UNTIL(r, p->sid == 0);
		nr_begin(r, p, "");
		if (!nr_join(r, p, NULL, false))
			fail_msg("%u: turned away: %s", i, r->refusal);
	}
	/* Its own handshake, with a key of its own: a stranger, who may join, if he has a token. */
	nr_begin(r, &r->peer[2], p->node);
	memcpy(r->peer[2].value, p->value, sizeof(p->value));
	assert_false(nr_join(r, &r->peer[2], NULL, false));
	nr_status(r);
	assert_int_equal(nr_count(r, MF_REC_LEASE_OPENED), records);
	assert_true(nr_told(r, "does not verify") + nr_told(r, "session") > 0);
}

/* --- what is read: nothing of it is in clear --- */

static void
test_answers_are_for_their_attestor(void **state)
{
	struct nrig *r = *state;
	struct npeer *p = &r->peer[0], *other = &r->peer[1];
	r->keep_down = true;
	nr_attach(r, p, 1, "7");
	size_t from = r->tape_n;
	NR_UNTIL(r, nr_count(r, MF_REC_SVID_ISSUED) == 1 && r->tape_n > from);
	nr_status(r);
	/* The grant goes to the other node: it cannot open it, and its session is over. */
	const struct npassed *t = &r->tape[r->tape_n - 1];
	nr_down(r, other, mf_slice(t->p, t->n));
	assert_null(other->inner);
	assert_int_equal(r->grants, 0);
	nr_down(r, p, mf_slice(t->p, t->n));
	assert_int_equal(r->grants, 1);
	nr_down(r, p, mf_slice(t->p, t->n)); /* twice */
	assert_null(p->inner);
	assert_int_equal(r->grants, 1);
}

/* --- invariant 6 and the acts that add access --- */

struct signer_world {
	struct sign_key key[3]; /* alice, alice again, bob */
	struct mf_buf file;
};

static void
signers_init(struct signer_world *w)
{
	static const char *const names[] = { "alice", "alice", "bob" };
	mf_buf_init(&w->file, MF_LIM_SIGNERS_FILE);
	for (size_t i = 0; i < MF_COUNT(names); i++) {
		mf_sign_key_init(&w->key[i]);
		mf_sign_key_line(&w->key[i], names[i], &w->file);
	}
}

static void
signers_fini(struct signer_world *w)
{
	for (size_t i = 0; i < MF_COUNT(w->key); i++)
		mf_sign_key_fini(&w->key[i]);
	mf_buf_fini(&w->file);
}

static void
policy_digest(void *ctx, uint64_t index, const struct mf_record *rec)
{
	MF_UNUSED(index);
	if (rec->type == MF_REC_POLICY_LOADED)
		(void)snprintf(
		    ctx, 80, "%.*s", (int)rec->s[MF_RS_SHA256].n, (const char *)rec->s[MF_RS_SHA256].p);
}

/* A token's creation with the signatures of ${who} over ${signed_uses}, asked for with ${uses}: "" or the refusal. */
static const char *
signed_token(struct nrig *r, struct signer_world *w, const char *who, const char *nonce, uint32_t signed_uses,
    uint32_t uses)
{
	Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Roles__V1__AdminApproval ap = MAYFLY__ROLES__V1__ADMIN_APPROVAL__INIT;
	ProtobufCBinaryData sigs[4];
	struct mf_buf text, blob[4];
	char digest[80] = "";
	nr_walk(r, policy_digest, digest);
	ap.nonce = (char *)(uintptr_t)nonce;
	ap.policy_sha256 = digest;
	ap.not_after = mf_now().wall_us / 1000000 + 3600;
	const struct mf_admin_head head = { .log = mf_buf_cstr(&r->k.origin),
		.policy = digest,
		.nonce = nonce,
		.not_after_s = ap.not_after };
	q.uses = signed_uses;
	mf_buf_init(&text, MF_LIM_ADMIN_TEXT);
	assert_int_equal(mf_admin_text(&head, &q.base, &text, NULL), MF_OK);
	for (; *who != '\0'; who++) {
		size_t n = ap.n_signatures++;
		mf_buf_init(&blob[n], MF_LIM_SSHSIG);
		mf_sign_text(&w->key[*who - '0'], MF_ADMIN_NAMESPACE, mf_buf_slice(&text), &blob[n]);
		sigs[n] = (ProtobufCBinaryData) { blob[n].n, blob[n].p };
	}
	q.uses = uses;
	ap.signatures = sigs;
	c.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	c.create_join_token = &q;
	c.approval = &ap;
	const char *error = nr_admin(r, &c)->error;
	for (size_t i = 0; i < ap.n_signatures; i++)
		mf_buf_fini(&blob[i]);
	mf_buf_fini(&text);
	return error;
}

static void
says(const char *got, const char *want)
{
	if (strstr(got, want) == NULL)
		fail_msg("wanted \"%s\", got \"%s\"", want, got);
}

/* Persons are counted, not keys; and what it has seen signed once it cannot use for more, or again. */
static void
test_6_nobody_approves_alone(void **state)
{
	static const char one[] = "00112233445566778899aabbccddeeff",
			  two[] = "10112233445566778899aabbccddeeff";
	struct nrig *r = *state;
	struct signer_world w;
	signers_init(&w);
	nr_stop(r);
	nr_start(r, &w.file, 2);
	size_t tokens = nr_count(r, MF_REC_TOKEN_CREATED);
	says(signed_token(r, &w, "0", one, 1, 1), "1 of 2 persons");
	says(signed_token(r, &w, "01", one, 1, 1), "1 of 2 persons"); /* alice's second key */
	says(signed_token(r, &w, "00", one, 1, 1), "1 of 2 persons");
	says(signed_token(r, &w, "02", one, 1, 1000), "another text"); /* more than was signed */
	assert_int_equal(nr_count(r, MF_REC_TOKEN_CREATED), tokens);
	assert_string_equal(signed_token(r, &w, "02", one, 1, 1), "");
	assert_int_equal(nr_count(r, MF_REC_TOKEN_CREATED), tokens + 1);
	says(signed_token(r, &w, "02", one, 1, 1), "used before");
	nr_front(r); /* as another front */
	says(signed_token(r, &w, "20", one, 1, 1), "used before");
	nr_stop(r); /* nor after a restart */
	nr_start(r, &w.file, 2);
	says(signed_token(r, &w, "02", one, 1, 1), "used before");
	assert_string_equal(signed_token(r, &w, "12", two, 1, 1), "");
	assert_int_equal(nr_count(r, MF_REC_TOKEN_CREATED), tokens + 2);
	assert_int_equal(nr_count(r, MF_REC_ADMIN_APPROVED), 2);
	signers_fini(&w);
}

static const char *const adds[] = { "create_join_token", "readmit_node", "extend_job", "confirm_clock",
	"prepare_key", "activate_key", "reload_policy", "unfreeze" };
static const char *const removes[] = { "end_job", "evict_node", "taint_key", "revoke_key", "freeze",
	"end_leaked", "end_credential", "end_sessions" };
static const char *const reads[] = { "list_credentials", "get_status", "list_keys", "get_policy",
	"explain_job", "list_freezes", "get_credential", "get_oidc_documents" };
/* Test tokens, which nobody gets and which are taken back at once. */
static const char *const tries[] = { "probe_cloud" };

static bool
is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

static void
last_index(void *ctx, uint64_t index, const struct mf_record *rec)
{
	MF_UNUSED(rec);
	*(uint64_t *)ctx = index;
}

/* An empty request of each act there is, as a local administrator, and as one from elsewhere with the highest role. */
static void
test_7_acts_that_add_access_need_signatures(void **state)
{
	struct nrig *r = *state;
	struct signer_world w;
	const ProtobufCMessageDescriptor *d = &mayfly__roles__v1__admin_call__descriptor;
	static const char cert[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	size_t seen = 0;
	signers_init(&w);
	nr_stop(r);
	nr_start(r, &w.file, 2);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		bool add = is_one_of(f->name, adds, MF_COUNT(adds));
		if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
			continue;
		seen++;
		if (!add && !is_one_of(f->name, removes, MF_COUNT(removes)) &&
		    !is_one_of(f->name, reads, MF_COUNT(reads)) &&
		    !is_one_of(f->name, tries, MF_COUNT(tries)))
			fail_msg("%s: does it add access? Say so here, and in the threat model", f->name);
		for (unsigned remote = 0; remote < 2; remote++) {
			Mayfly__Roles__V1__AdminCall c = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
			const ProtobufCMessageDescriptor *sub = f->descriptor;
			void *q = calloc(1, sub->sizeof_message);
			uint64_t before = 0, after = 0;
			assert_non_null(q);
			sub->message_init(q);
			c.what_case = (Mayfly__Roles__V1__AdminCall__WhatCase)f->id;
			memcpy((uint8_t *)&c + f->offset, &q, sizeof(q));
			c.remote = remote != 0;
			c.cert_sha256 = (char *)(uintptr_t)(remote != 0 ? cert : "");
			nr_walk(r, last_index, &before);
			const Mayfly__Roles__V1__AdminReply *a = nr_admin(r, &c);
			if (add) {
				says(a->error, "adds access: it needs signatures of 2 person(s)");
				nr_walk(r, last_index, &after);
				assert_int_equal(after, before);
			} else if (strstr(a->error, "signatures") != NULL) {
				fail_msg("%s waits for signatures", f->name); /* removing never waits */
			}
			free(q);
		}
	}
	assert_int_equal(seen, MF_COUNT(adds) + MF_COUNT(removes) + MF_COUNT(reads) + MF_COUNT(tries));
	signers_fini(&w);
}

/* --- all at once --- */

static void
storm_step(struct nrig *r, uint64_t *s)
{
	struct npeer *p = &r->peer[rnd(s) % 2];
	uint64_t sid = rnd(s) % (r->next_sid + 3);
	const struct npassed *t = &r->tape[rnd(s) % (r->tape_n < NR_TAPE ? r->tape_n : NR_TAPE)];
	uint8_t bytes[300];
	switch (rnd(s) % 12) {
	case 0:
		nr_session(r, sid, p->node);
		break;
	case 1:
		nr_close(r, rnd(s) % 4 == 0 ? sid : ++r->next_sid);
		break;
	case 2:
	case 3:
		if (t->p != NULL)
			nr_data(r, rnd(s) % 2 == 0 ? sid : t->sid,
			    rnd(s) % 8 == 0 ? !t->handshake : t->handshake, mf_slice(t->p, t->n));
		break;
	case 4:
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rnd(s);
		nr_data(r, sid, rnd(s) % 2 == 0, mf_slice(bytes, rnd(s) % sizeof(bytes)));
		break;
	case 5:
		nr_credit(r, sid, (uint32_t)rnd(s));
		break;
	case 6: {
		Mayfly__Roles__V1__CertifyServer c = MAYFLY__ROLES__V1__CERTIFY_SERVER__INIT;
		for (size_t i = 0; i < 65; i++)
			bytes[i] = (uint8_t)rnd(s);
		bytes[0] = rnd(s) % 2 == 0 ? 4 : bytes[0];
		c.point = (ProtobufCBinaryData) { rnd(s) % 4 == 0 ? rnd(s) % 65 : 65, bytes };
		nr_send(r, MF_MSG_CERTIFY_SERVER, &c.base);
		break;
	}
	case 7:
		r->keep_up = rnd(s) % 6 == 0;
		r->keep_down = rnd(s) % 6 == 0;
		break;
	case 8:
		if (p->inner != NULL && r->stated_n < 200)
			nr_attach(r, p, 1 + (unsigned)(rnd(s) % 5), "7");
		break;
	case 9:
		if (p->inner != NULL)
			nr_renew(r, p);
		break;
	case 10:
		if (p->inner != NULL && rnd(s) % 3 == 0)
			nr_end(r, p, 1 + (unsigned)(rnd(s) % 5));
		break;
	default:
		(void)nr_turn(r, 0);
		break;
	}
}

/* Whatever it does, in whatever order: the notary lives, what it grants is on record, and its log verifies. */
static void
test_any_order(void **state)
{
	struct nrig *r = *state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		uint64_t s = seed * UINT64_C(0x9e3779b97f4a7c15);
		print_message("   seed %llu\n", (unsigned long long)seed);
		again(r);
		for (unsigned i = 0; i < 250 && r->front != NULL; i++)
			storm_step(r, &s);
	}
	again(r);
	nr_attach(r, &r->peer[0], 99, "7");
	granted(r, &r->peer[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(test_every_message_in_every_state),
		TEST(test_1_no_credential_without_its_record),
		TEST(test_2_no_credential_outlives_its_job),
		TEST(test_3_no_issuance_after_the_end),
		TEST(test_4_a_node_gets_only_what_policy_places_on_it),
		TEST(test_5_statements_cannot_be_made_or_changed),
		TEST(test_answers_are_for_their_attestor),
		TEST(test_6_nobody_approves_alone),
		TEST(test_7_acts_that_add_access_need_signatures),
		TEST(test_any_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
