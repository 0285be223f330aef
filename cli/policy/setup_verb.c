/* setup: `mayfly setup KIND --profile P`: the policy and broker.yaml, and what they need at the provider. Changes nothing. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cli/policy/setup.h"
#include "cli/policy/tool.h"
#include "conf/broker_conf.h"

#define OUT_MAX (256u * 1024u)

static const char usage[] = "usage: mayfly setup aws|rgw|minio|oauth --profile P [--grant G] [--policy FILE] "
			    "[--config FILE] [--terraform]\n"
			    "Prints what to create at the provider, for one cloud grant of profile P: "
			    "commands, or Terraform (aws, rgw). Nothing is\n"
			    "changed anywhere. --grant: which one, where there are several. FILE: the policy "
			    "(default as `mayfly policy lint`), and\n"
			    "broker.yaml (default " MF_BROKER_CONF_FILE ").\n"
			    "exit codes: 0 printed, 1 something is missing, 2 usage\n";

struct args {
	struct mf_tool_opts o;
	const char *kind, *profile, *grant, *config;
	bool terraform, help;
};

static int
say(int code, const char *what, const char *why)
{
	(void)fprintf(stderr, "mayfly setup: %s: %s\n", what, why);
	return code;
}

static int
parse(int argc, char **argv, struct args *a)
{
	static const struct option options[] = { { "profile", required_argument, NULL, 'p' },
		{ "grant", required_argument, NULL, 'g' }, { "policy", required_argument, NULL, 'f' },
		{ "config", required_argument, NULL, 'c' }, { "terraform", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	*a = (struct args) { .config = MF_BROKER_CONF_FILE };
	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		const char **to = opt == 'p'   ? &a->profile
				  : opt == 'g' ? &a->grant
				  : opt == 'f' ? &a->o.policy
				  : opt == 'c' ? &a->config
					       : NULL;
		if (opt == '?')
			return TOOL_USAGE; /* getopt has said why */
		if (to != NULL)
			*to = optarg;
		a->terraform |= opt == 't';
		a->help |= opt == 'h';
	}
	if (a->help)
		return TOOL_OK;
	if (optind + 1 != argc || a->profile == NULL)
		return say(
		    TOOL_USAGE, "arguments", "say aws, rgw, minio or oauth, and --profile P; see --help");
	a->kind = argv[optind];
	return TOOL_OK;
}

static int
load_conf(const char *path, struct mf_broker_conf **ret_c)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf text, out;
	MF_AUTO(mf_problems_free) struct mf_problems *problems = mf_problems_new(path);
	struct mf_err err = { 0 };
	mf_buf_init(&out, OUT_MAX);
	int rc = mf_tool_read(path, MF_LIM_YAML, &text);
	if (rc != TOOL_OK)
		return rc;
	if (problems != NULL &&
	    mf_broker_conf_load(mf_buf_slice(&text), NULL, NULL, NULL, problems, ret_c, &err) == MF_OK)
		return TOOL_OK;
	if (problems != NULL)
		mf_problems_put(problems, &out);
	(void)fwrite(out.p, 1, out.n, stderr);
	return say(TOOL_FAILED, path, err.msg);
}

/* The grant that was named, or the only one whose target is of that kind. */
static int
choose(const struct args *a, const struct mf_policy_profile *p, const struct mf_broker_conf *c, bool oauth,
    const struct mf_policy_cloud **ret_g, const struct mf_cloud_conf_target **ret_t)
{
	const struct mf_cloud_conf_target *t = c->cloud_targets.v;
	size_t fit = 0;
	for (size_t i = 0; i < p->n_cloud; i++) {
		const struct mf_policy_cloud *g = &p->cloud[i];
		if (a->grant != NULL && strcmp(a->grant, g->name) != 0)
			continue;
		for (size_t k = 0; k < c->cloud_targets.n; k++) {
			if (strcmp(t[k].name, g->target) != 0 ||
			    (t[k].backend == MF_CLOUD_CONF_OAUTH) != oauth)
				continue;
			fit++;
			*ret_g = g;
			*ret_t = &t[k];
		}
	}
	if (fit == 0)
		return say(TOOL_FAILED, a->profile,
		    "no cloud grant of that kind, with a target in broker.yaml's cloud_targets: see `cloud:` "
		    "in the profile");
	if (fit > 1)
		return say(TOOL_FAILED, a->profile, "several cloud grants: say which with --grant");
	return TOOL_OK;
}

static const struct mf_policy_profile *
find_profile(const struct mf_policy *p, const char *name)
{
	return mf_policy_profile(p, mf_slice_str(name));
}

static int
print(const struct args *a, enum mf_setup_kind kind, const struct mf_policy_profile *p,
    const struct mf_broker_conf *c)
{
	const struct mf_policy_cloud *g = NULL;
	const struct mf_cloud_conf_target *t = NULL;
	MF_AUTO_IN(mf_buf_fini) struct mf_buf out;
	struct mf_err err = { 0 };
	mf_buf_init(&out, OUT_MAX);
	int rc = choose(a, p, c, kind == MF_SETUP_OAUTH, &g, &t);
	if (rc != TOOL_OK)
		return rc;
	const struct mf_setup s = { .kind = kind,
		.trust_domain = c->trust_domain,
		.profile = p->name,
		.issuer = t->issuer[0] != '\0'	 ? t->issuer
			  : kind == MF_SETUP_RGW ? c->oidc.x5c_issuer
						 : c->oidc.issuer,
		.audience = t->audience[0] != '\0'   ? t->audience
			    : kind == MF_SETUP_OAUTH ? t->endpoint
						     : "sts.amazonaws.com",
		.endpoint = t->admin_endpoint[0] != '\0' ? t->admin_endpoint : t->endpoint,
		.revoker_role = t->revoker_role,
		.client_id = t->client_id,
		.subject = p->identities[0].path,
		.grant = g };
	if ((a->terraform ? mf_setup_terraform(&s, &out, &err) : mf_setup_commands(&s, &out, &err)) != MF_OK)
		return say(TOOL_FAILED, a->profile, err.msg);
	return mf_tool_print(&out, TOOL_OK);
}

int
mf_tool_setup(int argc, char **argv)
{
	char room[4096];
	struct args a;
	MF_AUTO(mf_policy_free) struct mf_policy *policy = NULL;
	MF_AUTO(mf_broker_conf_free) struct mf_broker_conf *conf = NULL;
	int rc = parse(argc, argv, &a), kind = 0;
	if (rc != TOOL_OK)
		return rc;
	if (a.help) {
		(void)fputs(usage, stdout);
		return TOOL_OK;
	}
	while (kind < (int)MF_SETUP_KINDS && strcmp(mf_setup_kinds[kind], a.kind) != 0)
		kind++;
	if (kind == (int)MF_SETUP_KINDS)
		return say(TOOL_USAGE, a.kind, "must be aws, rgw, minio or oauth");
	rc = mf_tool_load(mf_tool_policy_path(&a.o, room, sizeof(room)), NULL, &policy);
	if (rc == TOOL_OK)
		rc = load_conf(a.config, &conf);
	if (rc != TOOL_OK)
		return rc;
	const struct mf_policy_profile *p = find_profile(policy, a.profile);
	return p == NULL ? say(TOOL_FAILED, a.profile, "no such profile in the policy")
			 : print(&a, (enum mf_setup_kind)kind, p, conf);
}
