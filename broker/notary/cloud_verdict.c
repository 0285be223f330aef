#include "broker/notary/cloud_verdict.h"

#include <stdio.h>

#include "base/clock.h"

void
mf_verdict_not_tried(struct cloud_report *r, const char *why)
{
	mf_report_cure(
	    mf_report_add(r, "token", REPORT_FAIL, SIDE_BROKER, "no test token was asked for: %.400s", why),
	    "see the log of mayfly-broker; `mayfly status`");
}

/* A reading of the issuer that failed from here, and did not trouble the provider. */
static void
forgive_issuer(struct cloud_report *r)
{
	struct report_finding *f = mf_report_find(r, "issuer.public");
	if (f == NULL || f->level != REPORT_FAIL)
		return;
	f->level = REPORT_WARN;
	mf_report_cure(f, "the provider can read it, for it gave a token: only the broker cannot (its "
			  "certificate authorities, its "
			  "network), and does not see when the copy becomes stale");
}

void
mf_verdict_minted(struct cloud_report *r, const struct verdict_of *w, int64_t expires, bool late)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf t;
	mf_buf_init(&t, 64);
	mf_time_put_s(&t, expires);
	const char *when = mf_buf_cstr(&t);
	forgive_issuer(r);
	struct report_finding *f = mf_report_add(r, "token", late ? REPORT_WARN : REPORT_OK,
	    late ? SIDE_PROVIDER : SIDE_NONE, "%s gave a test token%s%.200s, until %s; nobody got it",
	    w->target, w->role[0] == '\0' ? "" : " for role ", w->role, when == NULL ? "" : when);
	if (late)
		mf_report_cure(f,
		    "it lives longer than was asked for: the provider decides by itself, and tokens of jobs "
		    "that live too long are taken back instead of given");
}

/* ---- refusals ---- */

static void
say_trust(struct report_finding *f, const struct verdict_of *w, bool published)
{
	if (!published) {
		f->side = SIDE_PUBLICATION;
		mf_report_cure(
		    f, "mend issuer.public first: a provider that cannot read our keys refuses everything");
		return;
	}
	if (strcmp(w->backend, "oauth") == 0)
		mf_report_cure(f,
		    "the authorization server must know issuer %.100s and accept audience %.100s and subject "
		    "%.150s: "
		    "`mayfly setup oauth --profile %.60s`",
		    w->issuer, w->audience, w->subject, w->profile);
	else
		mf_report_cure(f,
		    "at the provider there must be the role, and its trust policy must name issuer %.90s, "
		    "audience %.60s "
		    "and subjects like %.120s: compare with `mayfly setup %s --profile %.60s`",
		    w->issuer, w->audience, w->subject, mf_check_setup_kind(w->backend), w->profile);
}

static const struct {
	const char *word;
	enum report_side side;
	const char *what, *cure;
} words[] = {
	{ "trust", SIDE_PROVIDER, "the provider's trust policy does not take our assertion", NULL },
	{ "denied", SIDE_PROVIDER, "the provider does not permit it", NULL },
	{ "issuer", SIDE_PUBLICATION, "the provider cannot check our assertion by the issuer that it knows",
	    "it must be able to read the documents at the issuer's URL, byte by byte the one that is "
	    "registered there with "
	    "our audience; after a rotation providers may hold old keys for a while" },
	{ "clock", SIDE_CLOCK, "the clocks of broker and provider are too far apart",
	    "set the clock of the broker's machine (chrony, systemd-timesyncd)" },
	{ "scope", SIDE_PROFILE, "the provider does not take the grant's scope",
	    "change `scope` of the grant: actions and resources must be ones that the provider knows and the "
	    "role or client may "
	    "have" },
	{ "config", SIDE_BROKER, "the provider does not know what it was asked for",
	    "see the target's endpoint, region and client_id in broker.yaml, and the grant's role in the "
	    "profile" },
	{ "throttled", SIDE_NETWORK, "the provider wants to be asked less", "try again later" },
	{ "transient", SIDE_NETWORK, "the provider was not reached, or is not well",
	    "see that the broker's machine reaches the target's endpoint, by its name and certificate" },
	{ "unknown", SIDE_NETWORK, "the provider's answer did not come whole",
	    "see that the broker's machine reaches the target's endpoint; the token, if there is one, is "
	    "taken back" },
};

void
mf_verdict_refused(
    struct cloud_report *r, const struct verdict_of *w, const char *word, const char *why, bool published)
{
	for (size_t i = 0; i < MF_COUNT(words); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		struct report_finding *f =
		    mf_report_add(r, "token", REPORT_FAIL, words[i].side, "%s: %.350s", words[i].what, why);
		/* Where our documents are fine, it is what the provider knows of them. */
		if (words[i].side == SIDE_PUBLICATION && published)
			f->side = SIDE_PROVIDER;
		if (words[i].cure == NULL)
			say_trust(f, w, published);
		else
			mf_report_cure(f, "%s", words[i].cure);
		return;
	}
	mf_report_cure(mf_report_add(r, "token", REPORT_FAIL, SIDE_BROKER, "no token came: %.350s", why),
	    "this is a bug: report it with the broker's log");
}

void
mf_verdict_tags(struct cloud_report *r, const struct verdict_of *w)
{
	struct report_finding *f = mf_report_find(r, "token");
	if (f == NULL)
		return;
	f->code = "token.tags";
	(void)snprintf(f->cause, sizeof(f->cause),
	    "the provider's trust policy of %.200s does not let sessions be tagged: the same without tags "
	    "was given",
	    w->role);
	mf_report_cure(f,
	    "allow sts:TagSession (of AWS sts:SetSourceIdentity, too) beside sts:AssumeRoleWithWebIdentity "
	    "in the role's trust policy: "
	    "`mayfly setup %s --profile %.60s`. Without tags nothing could be taken back",
	    mf_check_setup_kind(w->backend), w->profile);
}

/* ---- taking back ---- */

void
mf_verdict_taken(
    struct cloud_report *r, const struct verdict_of *w, uint32_t level, int64_t dead_at, int64_t now_s)
{
	if (level >= 2)
		(void)mf_report_add(r, "revoker", REPORT_OK, SIDE_NONE,
		    "the test token is denied by its tag, which holds in %lld s: the deny list of %.200s can "
		    "be written",
		    (long long)(dead_at > now_s ? dead_at - now_s : 0), w->role);
	else if (level == 1)
		(void)mf_report_add(r, "revoker", REPORT_OK, SIDE_NONE, "the provider ended the test token");
	else
		mf_report_cure(mf_report_add(r, "revoker", REPORT_WARN, SIDE_BROKER,
				   "the test token was not ended at the provider: it is alive for %lld s, "
				   "and nobody has it",
				   (long long)(dead_at > now_s ? dead_at - now_s : 0)),
		    "give the target a way to end tokens (revocation_endpoint of oauth), or keep `ttl` of "
		    "the grant short");
}

static bool
says(const char *why, const char *what)
{
	return strstr(why, what) != NULL;
}

void
mf_verdict_not_taken(struct cloud_report *r, const struct verdict_of *w, const char *why)
{
	bool nobody = says(why, "nobody may write"), reached = says(why, "HTTP 4"),
	     assumes = says(why, "AssumeRole");
	struct report_finding *f =
	    mf_report_add(r, "revoker", nobody && w->expires ? REPORT_WARN : REPORT_FAIL,
		nobody	  ? SIDE_BROKER
		: reached ? SIDE_PROVIDER
			  : SIDE_NETWORK,
		"tokens cannot be taken back at %s: %.380s", w->target, why);
	if (nobody && w->expires)
		mf_report_cure(f,
		    "as the grant says (on_end: expire), permissions end by themselves within max_residual; "
		    "a store with "
		    "deny lists needs revoker_role, or revoker_key_file, of the target in broker.yaml");
	else if (nobody)
		mf_report_cure(f, "set revoker_role, or revoker_key_file, of the target in broker.yaml");
	else if (reached && assumes)
		mf_report_cure(f,
		    "the revoker's role must take assertions about spiffe://%.100s/broker/revoker from "
		    "issuer %.100s: `mayfly "
		    "setup %s --profile %.60s`",
		    w->trust_domain, w->issuer, mf_check_setup_kind(w->backend), w->profile);
	else if (reached)
		mf_report_cure(f,
		    "let the revoker do iam:GetRolePolicy, iam:PutRolePolicy and iam:DeleteRolePolicy on "
		    "%.200s: `mayfly setup %s "
		    "--profile %.60s`",
		    w->role, mf_check_setup_kind(w->backend), w->profile);
	else
		mf_report_cure(
		    f, "see that the broker's machine reaches the target's endpoints; it is tried again");
}

void
mf_verdict_list_read(struct cloud_report *r, const struct verdict_of *w)
{
	(void)mf_report_add(r, "revoker", REPORT_OK, SIDE_NONE,
	    "the revoker may ask for the deny list of %.200s; whether it can be written is seen with the "
	    "first token",
	    w->role);
}

void
mf_verdict_both(struct cloud_report *r, const struct verdict_of *w, bool taken, const char *why)
{
	struct report_finding *f = mf_report_find(r, "token");
	bool assumed = taken || says(why, "RolePolicy");
	if (f == NULL || f->side != SIDE_PROVIDER || (!assumed && !says(why, "AssumeRole")))
		return;
	if (assumed)
		mf_report_cure(f,
		    "issuer, keys and audience are fine, for the revoker's role took them: see that %.150s "
		    "is there, and that its "
		    "trust policy takes subjects like %.150s: compare with `mayfly setup %s --profile %.60s`",
		    w->role, w->subject, mf_check_setup_kind(w->backend), w->profile);
	else
		mf_report_cure(f,
		    "the revoker's role refuses too, so it is what both have in common: the provider must "
		    "know issuer %.120s with "
		    "audience %.80s, byte by byte, and be able to read its keys: compare with `mayfly setup "
		    "%s --profile %.60s`",
		    w->issuer, w->audience, mf_check_setup_kind(w->backend), w->profile);
}
