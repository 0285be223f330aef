#include "broker/notary/evidence.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/x509_pop.h"
#include "os/jlog.h"
#include "os/secure_file.h"

struct mf_evidence {
	struct mf_role *role;
	char *text; /* the rules point into it */
	struct mf_slice rules[MF_ATTRIBUTES];
	struct mf_attest_conf conf;
	struct mf_verifiers *verifiers;
};

static bool
start(void *ctx)
{
	struct mf_err err = { 0 };
	if (mf_role_ask_helper(((struct mf_evidence *)ctx)->role, "verifier", &err) == MF_OK)
		return true;
	mf_jlog_err(
	    MF_LOG_WARN, "verifier.not_asked", "the supervisor could not be asked for a verifier", &err);
	return false;
}

static enum mf_status
read_rules(struct mf_evidence *e, const char *rules, struct mf_err *err)
{
	e->text = strdup(rules);
	if (e->text == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "node attestors: out of memory");
	for (char *p = e->text; *p != '\0';) {
		size_t n = strcspn(p, ",");
		struct mf_slice rule = mf_slice(p, n);
		const char *why = mf_pop_rule_check(rule);
		if (why != NULL || e->conf.rules_n == MF_COUNT(e->rules))
			return MF_FAIL(err, MF_E_INVALID, "node attestors: attribute %zu %s",
			    e->conf.rules_n + 1, why == NULL ? "is one too many (32)" : why);
		e->rules[e->conf.rules_n++] = rule;
		p += n + (p[n] == ',');
	}
	return MF_OK;
}

/* Not parsed here: a verifier does that, each time anew. */
static enum mf_status
read_ca(int fd, struct mf_buf *to, struct mf_err *err)
{
	mf_buf_init(to, MF_LIM_NODE_CA);
	return mf_file_read_all(fd, to, err);
}

enum mf_status
mf_evidence_new(struct mf_role *role, const char *build_id, int ca_fd, const char *rules,
    void (*done)(void *ctx, uint64_t ticket, const Mayfly__Roles__V1__Verified *said, const char *why),
    void *ctx, struct mf_evidence **ret_e, struct mf_err *err)
{
	MF_AUTO(mf_evidence_free) struct mf_evidence *e = calloc(1, sizeof(*e));
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem = { 0 };
	if (e == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "node attestors: out of memory");
	e->role = role;
	MF_TRY(read_rules(e, rules == NULL ? "" : rules, err));
	e->conf.x509pop = true;
	e->conf.rules = e->rules;
	MF_TRY(read_ca(ca_fd, &pem, err));
	const struct mf_verifiers_conf vc = { .build_id = build_id,
		.anchors = mf_buf_slice(&pem),
		.rules = e->rules,
		.rules_n = e->conf.rules_n,
		.start = start,
		.start_ctx = e,
		.done = done,
		.ctx = ctx };
	MF_TRY(mf_verifiers_new(&vc, &e->verifiers, err));
	*ret_e = MF_TAKE(e);
	return MF_OK;
}

void
mf_evidence_free(struct mf_evidence *e)
{
	if (e == NULL)
		return;
	mf_verifiers_free(e->verifiers);
	free(e->text);
	free(e);
}

const struct mf_attest_conf *
mf_evidence_conf(const struct mf_evidence *e)
{
	return e == NULL ? NULL : &e->conf;
}

bool
mf_evidence_verify(
    struct mf_evidence *e, uint64_t ticket, const Mayfly__Roles__V1__VerifyEvidence *v, struct mf_now now)
{
	return e != NULL && mf_verifiers_submit(e->verifiers, ticket, v, now);
}

static enum mf_status
reload(struct mf_evidence *e, int ca_fd, struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf pem = { 0 };
	MF_TRY(read_ca(ca_fd, &pem, err));
	return mf_verifiers_anchors(e->verifiers, mf_buf_slice(&pem), err);
}

bool
mf_evidence_control(struct mf_evidence *e, const struct mf_control_msg *m)
{
	struct mf_err err = { 0 };
	if (e != NULL && m->type == MF_CONTROL_LINK && strcmp(m->text, "verifier") == 0) {
		mf_verifiers_link(e->verifiers, m->fd, mf_now());
		return true;
	}
	if (e == NULL || m->type != MF_CONTROL_RELOAD || strcmp(m->text, "node_ca") != 0)
		return false;
	if (reload(e, m->fd, &err) != MF_OK)
		mf_jlog_err(MF_LOG_ERROR, "node_ca.rejected", "the node CA in force stays", &err);
	(void)close(m->fd);
	return true;
}

nfds_t
mf_evidence_poll(const struct mf_evidence *e, struct pollfd *to)
{
	int fds[MF_VERIFIERS_RUN];
	size_t n = e == NULL ? 0 : mf_verifiers_fds(e->verifiers, fds);
	for (size_t i = 0; i < n; i++)
		to[i] = (struct pollfd) { fds[i], POLLIN, 0 };
	return n;
}

void
mf_evidence_turn(struct mf_evidence *e, struct mf_now now)
{
	if (e != NULL)
		mf_verifiers_turn(e->verifiers, now);
}
