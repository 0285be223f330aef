/*
 * Operators: they make join tokens, end jobs, put nodes out and let them in, move deadlines, change the policy and the
 * keys. Acts that add access carry signatures of persons where the history wants them; some of them are bad on purpose.
 */
#include "sim.h"

#include <stdlib.h>

#include "broker/keys/broker_keys.h"
#include "rpc/admin_text.h"
#include "rpc/pb_check.h"
#include "sign_kit.h"

#define PENDING 64u
#define REQUIRED 2u
#define ANSWER_US (4 * SIM_S) /* a removal is effective before, whatever the disk does */

enum kind { TOKEN, END, EVICT, ADD, FREEZE, THAW };

struct pending {
	uint64_t call; /* 0: free */
	enum kind kind;
	char id[MF_STATE_ID_MAX], name[32]; /* name: of what is frozen, and id its kind */
	size_t agent;
	unsigned persons;   /* that signed, each once; 99: with signatures that were used before */
	struct mf_buf used; /* the call, when it is signed well enough */
};

struct sim_operators {
	bool sign;
	struct sign_key keys[4]; /* ann's two, ben's, cleo's */
	struct pending pending[PENDING];
	uint64_t next_call, life;
	unsigned policy;
	char pool[SIM_AGENTS][16];
	struct mf_buf used;		 /* a signed call that was done */
	char nodes[32][MF_STATE_ID_MAX]; /* put out, to be let in perhaps */
	size_t nodes_n;
};

static const char *const persons[] = { "ann", "ann", "ben", "cleo" };

uint32_t
sim_operators_required(void)
{
	return sim->operators != NULL && sim->operators->sign ? REQUIRED : 0;
}

void
sim_operators_signers(struct mf_buf *to)
{
	for (size_t i = 0; i < MF_COUNT(persons); i++)
		mf_sign_key_line(&sim->operators->keys[i], persons[i], to);
}

struct sim_operators *
sim_operators_new(void)
{
	struct sim_operators *o = sim_alloc(sizeof(*o));
	o->sign = sim_one_in(2);
	for (size_t i = 0; i < MF_COUNT(o->keys); i++)
		mf_sign_key_init(&o->keys[i]);
	mf_buf_init(&o->used, MF_LIM_IPC_MESSAGE);
	return o;
}

void
sim_operators_free(struct sim_operators *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < MF_COUNT(o->keys); i++)
		mf_sign_key_fini(&o->keys[i]);
	for (size_t i = 0; i < PENDING; i++)
		mf_buf_fini(&o->pending[i].used);
	mf_buf_fini(&o->used);
	free(o);
}

/* ---- calls ---- */

static struct pending *
pending_of(struct sim_operators *o, uint64_t call)
{
	for (size_t i = 0; i < PENDING; i++)
		if (o->pending[i].call == call)
			return &o->pending[i];
	return NULL;
}

/* Answers come or the notary dies; a removal may not wait for either. */
static void
overdue(void *arg, uint64_t call)
{
	struct sim_operators *o = arg;
	const struct pending *p = pending_of(o, call);
	if (call != 0 && p != NULL && (p->kind == END || p->kind == EVICT || p->kind == FREEZE))
		sim_violated(7, "the removal of %s was not effective %llu s after it was asked for", p->id,
		    (unsigned long long)(ANSWER_US / SIM_S));
}

static struct pending *
begin(struct sim_operators *o, enum kind kind, const char *id, Mayfly__Roles__V1__AdminCall *call)
{
	struct pending *p = pending_of(o, 0);
	if (p == NULL || !sim_notary_up(sim->notary))
		return NULL;
	*p = (struct pending) { .call = ++o->next_call, .kind = kind };
	mf_buf_init(&p->used, MF_LIM_IPC_MESSAGE);
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	call->call_id = p->call;
	call->loginuid = UINT32_MAX;
	sim_after(ANSWER_US, overdue, o, p->call, &o->life);
	return p;
}

/* The call's request, for the text that is signed. */
static const ProtobufCMessage *
request_of(const Mayfly__Roles__V1__AdminCall *call)
{
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(
	    &mayfly__roles__v1__admin_call__descriptor, (unsigned)call->what_case);
	const uint8_t *at = (const uint8_t *)(const void *)call + f->offset;
	return *(const ProtobufCMessage *const *)(const void *)at;
}

/* So many different persons are among the keys of ${mask}. */
static unsigned
persons_of(unsigned mask)
{
	return ((mask & 3) != 0 ? 1u : 0u) + ((mask & 4) != 0 ? 1u : 0u) + ((mask & 8) != 0 ? 1u : 0u);
}

/* Send ${call}, which adds access, signed by the keys of ${mask}. */
static void
send_signed(struct sim_operators *o, struct pending *p, Mayfly__Roles__V1__AdminCall *call, unsigned mask)
{
	Mayfly__Roles__V1__AdminApproval a = MAYFLY__ROLES__V1__ADMIN_APPROVAL__INIT;
	ProtobufCBinaryData sigs[MF_COUNT(persons)];
	struct mf_buf text, log, sig[MF_COUNT(persons)];
	char nonce[33], policy[65];
	p->persons = persons_of(mask);
	if (!o->sign || mask == 0) {
		sim_notary_admin(sim->notary, call);
		return;
	}
	(void)snprintf(nonce, sizeof(nonce), "%016llx%016llx", (unsigned long long)sim_below(UINT64_MAX),
	    (unsigned long long)p->call);
	(void)snprintf(policy, sizeof(policy), "%064x", o->policy + 1);
	mf_buf_init(&text, MF_LIM_ADMIN_TEXT);
	mf_buf_init(&log, 1024);
	sim_notary_origin(&log);
	const struct mf_admin_head head = { .log = mf_buf_cstr(&log),
		.policy = policy,
		.nonce = nonce,
		.not_after_s = sim_now_of(sim_notary_host(sim->notary)).wall_us / 1000000 + 600 };
	if (mf_admin_text(&head, request_of(call), &text, NULL) != MF_OK)
		sim_abort("an act without a text");
	a.nonce = nonce;
	a.not_after = head.not_after_s;
	a.policy_sha256 = policy;
	a.signatures = sigs;
	for (size_t i = 0; i < MF_COUNT(persons); i++) {
		mf_buf_init(&sig[i], MF_LIM_SSHSIG);
		if ((mask & 1u << i) == 0)
			continue;
		mf_sign_text(&o->keys[i], MF_ADMIN_NAMESPACE, mf_buf_slice(&text), &sig[i]);
		sigs[a.n_signatures++] = (ProtobufCBinaryData) { sig[i].n, sig[i].p };
	}
	call->approval = &a;
	if (p->persons >= REQUIRED)
		(void)!mf_pb_pack(&call->base, &p->used, NULL);
	sim_notary_admin(sim->notary, call);
	for (size_t i = 0; i < MF_COUNT(persons); i++)
		mf_buf_fini(&sig[i]);
	mf_buf_fini(&text);
	mf_buf_fini(&log);
}

/* Mostly enough; else one person, with one key or two, or nobody. */
static unsigned
some_keys(void)
{
	static const unsigned good[] = { 5, 6, 9, 12, 7, 13 }, bad[] = { 3, 1, 4, 0, 3 };
	return sim_one_in(4) ? bad[sim_below(MF_COUNT(bad))] : good[sim_below(MF_COUNT(good))];
}

/* The very call that was done before, with its signatures: another node would join, another hour be given. */
static void
send_used_again(struct sim_operators *o)
{
	ProtobufCMessage *m = NULL;
	if (!o->sign || o->used.n == 0 ||
	    mf_pb_unpack(&mayfly__roles__v1__admin_call__descriptor, mf_buf_slice(&o->used), &m, NULL) !=
		MF_OK)
		return;
	Mayfly__Roles__V1__AdminCall *call = (Mayfly__Roles__V1__AdminCall *)(void *)m;
	bool done = pending_of(o, call->call_id) == NULL;
	struct pending *p = done ? begin(o, ADD, "again", call) : NULL;
	if (p != NULL) {
		p->persons = 99;
		sim_notary_admin(sim->notary, call);
	}
	mf_pb_free(m);
}

/* ---- acts ---- */

static void
ask_token(void *arg, uint64_t agent)
{
	struct sim_operators *o = arg;
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest q = MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry a =
	    MAYFLY__ADMIN__V1__CREATE_JOIN_TOKEN_REQUEST__ATTRIBUTES_ENTRY__INIT;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry speaks = a;
	Mayfly__Admin__V1__CreateJoinTokenRequest__AttributesEntry *pa[2] = { &a, &speaks };
	char key[] = "pool", manager[] = "manager", who[] = "slurm/c1";
	struct pending *p = begin(o, TOKEN, "", &call);
	if (p == NULL) {
		sim_after(SIM_S, ask_token, o, agent, NULL);
		return;
	}
	a.key = key;
	a.value = o->pool[agent];
	speaks.key = manager;
	speaks.value = who;
	q.n_attributes = sim->managed ? 2 : 1;
	q.attributes = pa;
	q.uses = 1;
	p->agent = (size_t)agent;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_CREATE_JOIN_TOKEN;
	call.create_join_token = &q;
	send_signed(o, p, &call, some_keys());
}

void
sim_operators_token(struct sim_operators *o, size_t index, const char *pool)
{
	(void)snprintf(o->pool[index], sizeof(o->pool[index]), "%s", pool);
	sim_after(sim_between(1, 2000) * SIM_MS, ask_token, o, index, NULL);
}

static void
end_job(struct sim_operators *o, const char *job, bool drain)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndJobRequest q = MAYFLY__ADMIN__V1__END_JOB_REQUEST__INIT;
	struct pending *p = begin(o, drain ? ADD : END, job, &call);
	if (p == NULL)
		return;
	p->persons = REQUIRED; /* a drain needs no signatures: it takes access away */
	sim_trace("operator ends %s%s", job, drain ? ", after its drain" : "");
	if (!drain)
		sim_saw_removal_asked(job, false);
	q.match = p->id;
	q.drain = drain;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_JOB;
	call.end_job = &q;
	sim_notary_admin(sim->notary, &call);
}

/* One credential of a job that goes on; ${final}: and what gave it. */
static void
end_credential(struct sim_operators *o, bool final)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EndCredentialRequest q = MAYFLY__ADMIN__V1__END_CREDENTIAL_REQUEST__INIT;
	char id[MF_STATE_ID_MAX];
	struct pending *p =
	    sim_notary_credential(sim->notary, sim_below(1u << 20), id) ? begin(o, ADD, id, &call) : NULL;
	if (p == NULL)
		return;
	p->persons = REQUIRED; /* as a drain */
	sim_trace("operator ends credential %s%s", id, final ? " and its grant" : "");
	q.match = p->id;
	q.final = final;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_END_CREDENTIAL;
	call.end_credential = &q;
	sim_notary_admin(sim->notary, &call);
}

static void
evict(struct sim_operators *o, const char *node)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__EvictNodeRequest q = MAYFLY__ADMIN__V1__EVICT_NODE_REQUEST__INIT;
	struct pending *p = begin(o, EVICT, node, &call);
	if (p == NULL)
		return;
	sim_trace("operator puts node %s out", node);
	sim_saw_removal_asked(node, true);
	q.match = p->id;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EVICT_NODE;
	call.evict_node = &q;
	sim_notary_admin(sim->notary, &call);
}

static void
readmit(struct sim_operators *o)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ReadmitNodeRequest q = MAYFLY__ADMIN__V1__READMIT_NODE_REQUEST__INIT;
	if (o->nodes_n == 0)
		return;
	struct pending *p = begin(o, ADD, o->nodes[--o->nodes_n], &call);
	if (p == NULL)
		return;
	q.match = p->id;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_READMIT_NODE;
	call.readmit_node = &q;
	send_signed(o, p, &call, some_keys());
}

static void
extend(struct sim_operators *o, const char *job)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__ExtendJobRequest q = MAYFLY__ADMIN__V1__EXTEND_JOB_REQUEST__INIT;
	struct pending *p = begin(o, ADD, job, &call);
	if (p == NULL)
		return;
	q.match = p->id;
	q.by_s = (int64_t)sim_between(1, 300); /* mostly more than the profile lets it have */
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_EXTEND_JOB;
	call.extend_job = &q;
	send_signed(o, p, &call, some_keys());
}

static void
change_keys(struct sim_operators *o)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__PrepareKeyRequest prepare = MAYFLY__ADMIN__V1__PREPARE_KEY_REQUEST__INIT;
	Mayfly__Admin__V1__ActivateKeyRequest activate = MAYFLY__ADMIN__V1__ACTIVATE_KEY_REQUEST__INIT;
	struct pending *p = begin(o, ADD, "keys", &call);
	if (p == NULL)
		return;
	if (sim_one_in(2)) {
		call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_PREPARE_KEY;
		call.prepare_key = &prepare;
	} else {
		activate.force = sim_one_in(2);
		call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_ACTIVATE_KEY;
		call.activate_key = &activate;
	}
	send_signed(o, p, &call, some_keys());
}

static const struct {
	const char *kind, *name;
} subjects[] = { { "profile", "train" }, { "profile", "shell" }, { "rule", "alice-trains" },
	{ "rule", "carol-trains" }, { "person", "unix:alice" }, { "person", "unix:bob" },
	{ "person", "unix:carol" }, { "tenant", "default" }, { "all", "" } };

static void
freeze(struct sim_operators *o)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__FreezeRequest q = MAYFLY__ADMIN__V1__FREEZE_REQUEST__INIT;
	size_t i = (size_t)sim_below(MF_COUNT(subjects));
	struct pending *p = begin(o, FREEZE, subjects[i].kind, &call);
	if (p == NULL)
		return;
	(void)snprintf(p->name, sizeof(p->name), "%s", subjects[i].name);
	sim_trace("operator freezes %s %s", p->id, p->name);
	sim_saw_freeze_asked(p->id, p->name);
	q.kind = p->id;
	q.name = p->name;
	q.for_s = sim_one_in(3) ? (int64_t)sim_between(1, 60) : 0;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_FREEZE;
	call.freeze = &q;
	sim_notary_admin(sim->notary, &call);
}

/* Lift one of those that stand; some are signed badly, unless ${well}. */
static void
thaw(struct sim_operators *o, bool well)
{
	Mayfly__Roles__V1__AdminCall call = MAYFLY__ROLES__V1__ADMIN_CALL__INIT;
	Mayfly__Admin__V1__UnfreezeRequest q = MAYFLY__ADMIN__V1__UNFREEZE_REQUEST__INIT;
	const char *kind, *name;
	if (!sim_some_freeze((size_t)sim_below(16), &kind, &name))
		return;
	struct pending *p = begin(o, THAW, kind, &call);
	if (p == NULL)
		return;
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	sim_trace("operator lifts %s %s", p->id, p->name);
	q.kind = p->id;
	q.name = p->name;
	call.what_case = MAYFLY__ROLES__V1__ADMIN_CALL__WHAT_UNFREEZE;
	call.unfreeze = &q;
	send_signed(o, p, &call, well ? 5 : some_keys());
}

static void
thaw_all(void *arg, uint64_t x)
{
	MF_UNUSED(x);
	for (unsigned i = 0; i < 4; i++)
		thaw(arg, true);
	sim_after(2 * SIM_S, thaw_all, arg, 0, NULL);
}

static void
act_of_clouded(struct sim_operators *o)
{
	const char *kind, *name;
	if (!sim_some_freeze(0, &kind, &name) && sim_one_in(3))
		freeze(o);
	else if (sim_one_in(2))
		thaw(o, false);
}

void
sim_operators_act(struct sim_operators *o)
{
	if (sim->clouded && sim_one_in(4)) {
		act_of_clouded(o);
		return;
	}
	const char *job = sim_jobs() == 0 ? NULL : sim_job_id((size_t)sim_below(sim_jobs()));
	const struct sim_agent *a = sim->agents[sim_below(sim->agents_n)];
	uint64_t what = sim_below(16);
	sim_counts.acts++;
	if (what < 6 && job != NULL)
		end_job(o, job, what == 0);
	else if (what == 6 && sim_agent_node(a)[0] != '\0')
		evict(o, sim_agent_node(a));
	else if (what == 7)
		readmit(o);
	else if (what == 8 && job != NULL)
		extend(o, job);
	else if (what == 9)
		change_keys(o);
	else if (what == 10)
		sim_notary_policy(sim->notary, ++o->policy);
	else if (what == 11)
		send_used_again(o);
	else if (what < 14)
		end_credential(o, what == 13);
}

/* The last policy of a history permits somebody everywhere, and who was put out stays out. */
void
sim_operators_calm(struct sim_operators *o)
{
	o->policy += o->policy % 2;
	sim_notary_policy(sim->notary, o->policy);
	if (sim->clouded)
		thaw_all(o, 0);
}

/* ---- answers ---- */

static void
removed(struct sim_operators *o, const struct pending *p, const Mayfly__Admin__V1__RemovalResponse *r)
{
	sim_counts.removals++;
	sim_trace("%s is ended: %s", p->id, r->recorded ? "recorded" : "effective");
	sim_saw_removal_answered(p->id, p->kind == EVICT, r->recorded);
	if (p->kind == EVICT && o->nodes_n < MF_COUNT(o->nodes))
		(void)snprintf(o->nodes[o->nodes_n++], MF_STATE_ID_MAX, "%s", p->id);
}

void
sim_operators_reply(const Mayfly__Roles__V1__AdminReply *reply)
{
	struct sim_operators *o = sim->operators;
	struct pending *at = pending_of(o, reply->call_id);
	if (at == NULL || reply->call_id == 0)
		return;
	struct pending p = *at;
	bool good = reply->error_code[0] == '\0';
	at->call = 0;
	if (good && p.used.n > 0) { /* done, and that is on disk */
		mf_buf_reset(&o->used);
		mf_buf_put_slice(&o->used, mf_buf_slice(&p.used));
	}
	mf_buf_fini(&at->used);
	if (!good)
		sim_trace("operator's act on '%s' is refused: %s", p.id, reply->error);
	switch (p.kind) {
	case TOKEN:
		if (good) {
			sim_saw_act("create_join_token", p.persons);
			sim_saw_token_told(mf_slice_str(reply->join_token->token_id));
			sim_agent_token(sim->agents[p.agent], reply->join_token->token);
		} else {
			sim_after(SIM_S, ask_token, o, p.agent, NULL);
		}
		break;
	case END:
	case EVICT:
		if (good)
			removed(o, &p, reply->removal);
		else
			sim_saw_removal_refused(p.id, p.kind == EVICT);
		break;
	case FREEZE:
		if (good)
			sim_saw_freeze(p.id, p.name, reply->removal->record_index, reply->removal->recorded);
		break;
	case THAW:
		if (good)
			sim_saw_act("unfreeze", p.persons);
		if (good || strstr(reply->error, "not frozen") != NULL)
			sim_saw_not_frozen(p.id, p.name);
		break;
	case ADD:
		if (good)
			sim_saw_act(p.id, p.persons);
		if (good && reply->what_case == MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_READMITTED)
			sim_saw_readmitted(p.id);
		break;
	}
}

void
sim_operators_notary_gone(void)
{
	struct sim_operators *o = sim->operators;
	o->life++;
	for (size_t i = 0; i < PENDING; i++) {
		struct pending p = o->pending[i];
		o->pending[i].call = 0;
		mf_buf_fini(&o->pending[i].used);
		if (p.call != 0 && p.kind == TOKEN)
			sim_after(SIM_S, ask_token, o, p.agent, NULL);
	}
}
