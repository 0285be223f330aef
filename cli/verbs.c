/* verbs: the table of all commands. --help, the checks of arguments and docs/reference/cli.md follow it. */
#include "cli/verbs.h"

static const struct mf_cli_opt run_opts[] = {
	{ "profile", 0, "P", "the profile to ask for; default: the only one that policy permits" },
	{ "manifest", 0, "F", "what the job is, a JSON file (docs/how-to/policy.md); - reads stdin" },
	{ "name", 0, "N", "a name for people" },
	{ 0 },
};
static const struct mf_cli_opt why_opts[] = {
	{ "profile", 'p', "P",
	    "what would `mayfly run` with this profile get? Nothing is started or granted" },
	{ "manifest", 0, "F", "the same, with this manifest; - reads stdin" },
	{ "name", 0, "N", "the name that the job would have" },
	{ "job", 'j', "J", "of this job, asked of the broker (operators)" },
	{ "admin-socket", 0, "PATH", "who answers with --job; default as in `mayfly status`" },
	{ 0 },
};
static const struct mf_cli_opt fetch_opts[] = {
	{ "write", 0, "DIR", "write svid.pem, key.pem (0600) and bundle.pem into DIR" },
	{ "with-key", 0, NULL, "with -o json: the private keys too" },
	{ "jwt", 0, NULL, "a JWT-SVID instead, for --audience; printed alone on one line" },
	{ "audience", 0, "A", "who the token is for; may be repeated" },
	{ "spiffe-id", 0, "ID", "of this identity, where the job has several" },
	{ 0 },
};
static const struct mf_cli_opt validate_opts[] = {
	{ "audience", 0, "A", "who we are: the token must be for that" },
	{ 0 },
};
static const struct mf_cli_opt watch_opts[] = {
	{ "write", 0, "DIR", "keep svid.pem, key.pem (0600) and bundle.pem in DIR fresh" },
	{ "count", 'n', "N", "end after N updates" },
	{ 0 },
};
static const struct mf_cli_opt bundle_opts[] = {
	{ "output", 'o', "FORMAT",
	    "pem (default), der, json, jwks (the keys that sign JWT-SVIDs) or spiffe (the SPIFFE bundle "
	    "document)" },
	{ "trust-domain", 0, "TD", "of this trust domain, where there are several" },
	{ "admin-socket", 0, "PATH", "who answers outside of a job; default as in `mayfly status`" },
	{ 0 },
};
static const struct mf_cli_opt job_ls_opts[] = {
	{ "all", 'a', NULL, "ended ones too" },
	{ "watch", 'w', NULL, "go on, and show what changes" },
	{ "since", 0, "T", "started or ended since: 90m, 2d, or 2026-11-22T19:37:00Z" },
	{ "label", 'l', "K=V",
	    "those with profile, person, state, tenant, run, name or rule V; may be repeated" },
	{ 0 },
};
static const struct mf_cli_opt job_show_opts[] = {
	{ "watch", 'w', NULL, "go on until it has ended, and show it when it changes" },
	{ 0 },
};
static const struct mf_cli_opt job_end_opts[] = {
	{ "drain", 0, NULL, "announce it: what it has is served until the profile's drain is over" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt token_get_opts[] = {
	{ "output", 'o', "F", "token (default; of a bearer), env, credential-process, json" },
	{ 0 },
};
static const struct mf_cli_opt job_extend_opts[] = {
	{ "by", 0, "D", "so much later than its deadline: 2h, 3d" },
	{ "until", 0, "T", "at this time: 2026-11-22T19:37:00Z" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt reason_opts[] = {
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt all_opts[] = {
	{ "all", 'a', NULL, "evicted ones too" },
	{ "watch", 'w', NULL, "go on, and show what changes" },
	{ 0 },
};
static const struct mf_cli_opt token_opts[] = {
	{ "ttl", 0, "T", "how long it may be used; default: the broker's, 1h" },
	{ "uses", 0, "N", "how many nodes may join with it; default 1" },
	{ "attribute", 0, "K=V", "policy sees it as node.K; may be repeated" },
	{ "address", 0, "HOST:PORT", "where agents find the broker; default: the broker's configuration" },
	{ "public", 0, NULL, "no secret: for nodes that join with a certificate of their own" },
	{ 0 },
};
static const struct mf_cli_opt credential_opts[] = {
	{ "job", 'j', "J", "of this job only" },
	{ "all", 'a', NULL, "those of ended jobs too, until they expire" },
	{ "watch", 'w', NULL, "go on, and show what changes" },
	{ 0 },
};
static const struct mf_cli_opt revoke_opts[] = {
	{ "job", 'j', "J", "end this job for good" },
	{ "node", 'n', "N", "evict this node: its instances end, and it gets nothing more" },
	{ "credential", 'c', "C", "end this one: serial, jti or id of a cloud token, or a unique beginning" },
	{ "final", 0, NULL, "with --credential: end its grant too; the instance gets no other by it" },
	{ "profile", 0, "P", "end every job of this profile, and freeze it: nothing is issued for it" },
	{ "rule", 0, "R", "likewise what this rule gave" },
	{ "person", 0, "P", "likewise this person, as records say it: unix:alice" },
	{ "tenant", 0, "T", "likewise this tenant" },
	{ "all", 0, NULL, "likewise everything" },
	{ "token-file", 0, "F",
	    "end the job whose certificate, JWT, access key or token is in this file (only hashes are "
	    "sent)" },
	{ "role", 0, "R",
	    "with --target: end all sessions of this role of that cloud target that began before now, "
	    "whoever "
	    "has them" },
	{ "target", 0, "T", "the cloud target that --role is of" },
	{ "dry-run", 0, NULL, "with --role: say what that would end, and change nothing" },
	{ "yes", 0, NULL, "with --role: do not ask for the role's name" },
	{ "for", 0, "D",
	    "the freeze ends by itself after so long, e.g. 2h; otherwise `mayfly unfreeze` ends it" },
	{ "wait", 'w', NULL,
	    "until each credential is dead, or it is known when it is; with --timeout T: all dead within T" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt unfreeze_opts[] = {
	{ "profile", 0, "P", "this profile" },
	{ "rule", 0, "R", "this rule" },
	{ "person", 0, "P", "this person" },
	{ "tenant", 0, "T", "this tenant" },
	{ "all", 0, NULL, "the freeze of everything; others stay" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt key_ls_opts[] = {
	{ "all", 'a', NULL, "those that are gone too, for a day" },
	{ 0 },
};
static const struct mf_cli_opt key_opts[] = {
	{ "use", 0, "U",
	    "x509 (default), jwt-svid-es256, jwt-svid-rs256; jwt-assertion- or jwt-selfserve- and an "
	    "algorithm" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt key_activate_opts[] = {
	{ "force", 0, NULL, "now, although not everybody knows the key: who does not refuses what it signs" },
	{ "use", 0, "U",
	    "x509 (default), jwt-svid-es256, jwt-svid-rs256; jwt-assertion- or jwt-selfserve- and an "
	    "algorithm" },
	{ "reason", 'r', "R", "why: stands in the record" },
	{ 0 },
};
static const struct mf_cli_opt doctor_opts[] = {
	{ "profile", 'p', "P",
	    "instead: walk the way of this profile's cloud tokens, with a test token of each grant that "
	    "nobody gets" },
	{ "grant", 'g', "G", "with --profile: of this grant only" },
	{ "no-token", 0, NULL, "with --profile: ask no cloud, and record nothing" },
	{ 0 },
};
static const struct mf_cli_opt dev_opts[] = {
	{ "state", 0, "DIR",
	    "keep everything in DIR, and use what is there; default: a directory that is removed" },
	{ "policy", 0, "FILE", "this policy instead of one with the profile `dev`; SIGHUP reads it again" },
	{ "trust-domain", 0, "TD", "default dev.mayfly.test" },
	{ "broker", 0, "KEY=VALUE", "a setting of broker.yaml, e.g. lease_ttl=10s; may be repeated" },
	{ "agent", 0, "KEY=VALUE", "the same of agent.yaml" },
	{ "quiet", 'q', NULL, "the daemons' log lines go to DIR/daemons.log" },
	{ 0 },
};

#define AGENT (MF_CLI_AGENT | MF_CLI_LONG_TIMEOUT)

const struct mf_cli_verb mf_cli_verbs[] = {
	{ MF_CLI_JOBS, NULL, "run", "-- CMD...", "run CMD as a job with an identity of its own",
	    "Signals and the exit code of CMD are passed on. Failures of `mayfly run` itself: 125; 126 CMD "
	    "cannot be\n"
	    "executed, 127 it is not found. CMD finds SPIFFE_ENDPOINT_SOCKET and, once granted, MAYFLY_JOB "
	    "and\n"
	    "MAYFLY_RUN in its environment.",
	    run_opts, 1, -1, AGENT | MF_CLI_STOP, mf_cli_run },
	{ MF_CLI_JOBS, NULL, "whoami", "", "job, identities, profile, rule, grade, time left, why not more",
	    "Exit code 0 when something is granted, 1 when it is refused or over, 4 while it is undecided.",
	    NULL, 0, 0, AGENT | MF_CLI_JSON, mf_cli_whoami },
	{ MF_CLI_JOBS, NULL, "why", "", "what policy says: the rule, what it fails at, and the cure",
	    "Of this process, and of the last `mayfly run` of this user that was refused. With --profile or "
	    "--manifest:\n"
	    "of a job that this process could start; exit code 0 when it is permitted, 1 when it is not. "
	    "With "
	    "--job: what\n"
	    "the policy in force says about any job now, whole, for operators.",
	    why_opts, 0, 0, AGENT | MF_CLI_JSON, mf_cli_why },
	{ MF_CLI_JOBS, "svid", "fetch", "", "the certificates of this job, or a token",
	    "The first identity's files lie in DIR, further ones in DIR/<hint>/.", fetch_opts, 0, 0,
	    AGENT | MF_CLI_JSON, mf_cli_svid_fetch },
	{ MF_CLI_JOBS, "svid", "watch", "", "one line for each new certificate, until it is interrupted",
	    "A lost agent is tried again, with growing pauses. Exit code 0 when interrupted or after "
	    "--count, 1 when\n"
	    "the job is over or refused, 4 when there was no agent to begin with.",
	    watch_opts, 0, 0, AGENT | MF_CLI_JSON, mf_cli_svid_watch },
	{ MF_CLI_JOBS, "svid", "validate", "[TOKEN]", "is this JWT-SVID good, and whose is it",
	    "Without TOKEN, or with -, it is read from stdin. Exit code 0 when it is valid, 1 when it is "
	    "not.",
	    validate_opts, 0, 1, AGENT | MF_CLI_JSON, mf_cli_svid_validate },
	{ MF_CLI_JOBS, "bundle", "show", "", "the trust domain's CA certificates",
	    "Inside a job the agent answers, elsewhere the broker's admin socket; jwks and spiffe need a "
	    "job.",
	    bundle_opts, 0, 0, AGENT, mf_cli_bundle_show },
	{ MF_CLI_JOBS, NULL, "env", "", "export lines for a shell: eval \"$(mayfly env)\"",
	    "With cloud grants: what their SDKs read too, and files for it in a directory of this user's.",
	    NULL, 0, 0, AGENT, mf_cli_env },
	{ MF_CLI_JOBS, "token", "get", "[GRANT]", "a cloud token of this job",
	    "Without GRANT: of the only one. `-o credential-process` is what AWS configuration files call "
	    "credential_process.",
	    token_get_opts, 0, 1, AGENT, mf_cli_token_get },
	{ MF_CLI_JOBS, "token", "ls", "", "the cloud grants of this job", NULL, NULL, 0, 0,
	    AGENT | MF_CLI_JSON, mf_cli_token_ls },

	{ MF_CLI_OPERATORS, "job", "ls", "[J]", "jobs; with J those whose key or id begins so", NULL,
	    job_ls_opts, 0, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_job_ls },
	{ MF_CLI_OPERATORS, "job", "show", "J", "a job with its instances and credentials", NULL,
	    job_show_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_job_show },
	{ MF_CLI_OPERATORS, "job", "end", "J", "end a job for good",
	    "Says what is in effect, what is on record, and which copies stay accepted until when. Exit code "
	    "3:\n"
	    "effective, not yet recorded.",
	    job_end_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_job_end },
	{ MF_CLI_OPERATORS, "job", "extend", "J", "let a job run longer, up to its profile's max_job",
	    "Either --by or --until. Its nodes are told, and renew what the old deadline cut short.",
	    job_extend_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_job_extend },
	{ MF_CLI_OPERATORS, "node", "ls", "", "nodes", NULL, all_opts, 0, 0, MF_CLI_ADMIN | MF_CLI_JSON,
	    mf_cli_node_ls },
	{ MF_CLI_OPERATORS, "node", "show", "N", "a node: who it is, how it joined, what troubles it", NULL,
	    NULL, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_node_show },
	{ MF_CLI_OPERATORS, "node", "token", "", "a join token for new nodes",
	    "Prints the token alone on stdout. It is shown once; the broker keeps only a hash.", token_opts,
	    0, 0, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_node_token },
	{ MF_CLI_OPERATORS, "node", "evict", "N", "end all instances of a node, and let it in no more", NULL,
	    reason_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_node_evict },
	{ MF_CLI_OPERATORS, "node", "readmit", "N", "let an evicted node in again",
	    "Its agent comes back by itself, by the key it has. Its instances of before stay ended.",
	    reason_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_node_readmit },
	{ MF_CLI_OPERATORS, "credential", "ls", "", "what is live, and until when", NULL, credential_opts, 0,
	    0, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_credential_ls },
	{ MF_CLI_OPERATORS, "credential", "show", "C",
	    "everything known of one: serial, jti, id of a cloud token",
	    "A unique beginning will do. What the log says of it: `mayfly audit find --serial C`.", NULL, 1,
	    1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_credential_show },
	{ MF_CLI_OPERATORS, NULL, "revoke", "",
	    "end what a job, node, profile, person... has, or one credential",
	    "--job and --node do what `job end` and `node evict` do: the verb to remember under stress. The "
	    "others\n"
	    "end every job that matches and freeze issuance for it, until `mayfly unfreeze` or --for. "
	    "--credential\n"
	    "ends one credential of a job that goes on. --role ends what a whole role at a provider holds, "
	    "copies that "
	    "nobody\n"
	    "knows of too; jobs that go on get new tokens. With --wait the exit code is 0 when nothing is "
	    "left "
	    "that\n"
	    "anybody could still take back, and 4 when something was not confirmed in 5 minutes; with "
	    "--timeout it is\n"
	    "0 only when all are dead, by a confirmation or by their own expiry.",
	    revoke_opts, 0, 0, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_revoke_verb },
	{ MF_CLI_OPERATORS, NULL, "unfreeze", "", "let a frozen profile, rule, person or tenant ask again",
	    "Jobs that were ended stay ended.", unfreeze_opts, 0, 0,
	    MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_unfreeze },
	{ MF_CLI_OPERATORS, "freeze", "ls", "", "what is frozen, since when and why", NULL, NULL, 0, 0,
	    MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_freeze_ls },
	{ MF_CLI_OPERATORS, "policy", "apply", "FILE", "check a policy file, install it and put it in force",
	    NULL, NULL, 0, -1, MF_CLI_RAW, mf_cli_policy },
	{ MF_CLI_OPERATORS, "policy", "reload", "", "put the installed policy file in force", NULL, NULL, 0,
	    -1, MF_CLI_RAW, mf_cli_policy },
	{ MF_CLI_OPERATORS, "policy", "test", "CASES | --live",
	    "cases against a policy; --live: what running jobs would lose", NULL, NULL, 0, -1, MF_CLI_RAW,
	    mf_cli_policy },
	{ MF_CLI_OPERATORS, "policy", "lint", "[FILE]", "what is legal in a policy, but suspicious", NULL,
	    NULL, 0, -1, MF_CLI_RAW, mf_cli_policy },
	{ MF_CLI_OPERATORS, "policy", "diff", "OLD NEW",
	    "what changed; --against-log: which decisions would have been others", NULL, NULL, 0, -1,
	    MF_CLI_RAW, mf_cli_policy },
	{ MF_CLI_OPERATORS, "clock", "confirm", "", "say that the broker's clock is right, after it jumped",
	    "Issuance waits after a forward jump of more than 5 minutes, until agents agree or an operator "
	    "says "
	    "so.\n"
	    "Refused when the broker's clock and the clock here are more than 5 minutes apart.",
	    reason_opts, 0, 0, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_clock_confirm },
	{ MF_CLI_OPERATORS, "key", "ls", "", "signing keys: states, who holds what, until when",
	    "AGENTS: how many connected ones have confirmed the bundle with the key. HELD: instances whose "
	    "present\n"
	    "certificate it signed. ACTIVATION: of a prepared key, what it waits for.",
	    key_ls_opts, 0, 0, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_key_ls },
	{ MF_CLI_OPERATORS, "key", "prepare", "", "make the next key and put it into the bundle",
	    "Nothing is signed with it yet. The schedule of broker.yaml does the same by itself.", key_opts,
	    0, 0, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_key_prepare },
	{ MF_CLI_OPERATORS, "key", "activate", "[K]", "sign with the prepared key from now on",
	    "Refused until the key has been in the bundle for key_publish and every connected agent has "
	    "confirmed it.",
	    key_activate_opts, 0, 1, MF_CLI_ADMIN | MF_CLI_JSON | MF_CLI_SIGNED, mf_cli_key_activate },
	{ MF_CLI_OPERATORS, "key", "taint", "K", "have everything renewed that a retired key signed",
	    "Agents renew within seconds; those that are away when they come back. K: an id or a unique "
	    "beginning.",
	    reason_opts, 1, 1, MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_key_taint },
	{ MF_CLI_OPERATORS, "key", "revoke", "K", "take a tainted key out of the bundle",
	    "Verifiers refuse what it signed as soon as they have the new bundle.", reason_opts, 1, 1,
	    MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_key_revoke },
	{ MF_CLI_OPERATORS, NULL, "setup", "aws|rgw|minio|oauth",
	    "what to create at a provider for a profile's cloud grant", NULL, NULL, 0, -1, MF_CLI_RAW,
	    mf_cli_setup },
	{ MF_CLI_OPERATORS, "oidc", "export", "DIR", "the OIDC documents, checked, for a bucket or a CDN",
	    NULL, NULL, 0, -1, MF_CLI_RAW, mf_cli_oidc_export },
	{ MF_CLI_OPERATORS, "oidc", "fetch", "DIR",
	    "the OIDC documents of a broker elsewhere, as they lie in its STATE/public",
	    "Nothing is checked yet: `mayfly oidc export SITE --from DIR --key VKEY` does, by the log's key "
	    "that you got by a\n"
	    "way you trust.",
	    NULL, 1, 1, MF_CLI_ADMIN, mf_cli_oidc_fetch },
	{ MF_CLI_OPERATORS, NULL, "status", "", "how the broker is", NULL, NULL, 0, 0,
	    MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_status },

	{ MF_CLI_LOG, "audit", "verify", "", "recompute the log and check the signed head", NULL, NULL, 0, -1,
	    MF_CLI_RAW, mf_cli_audit },
	{ MF_CLI_LOG, "audit", "tail", "", "the last records; -f goes on", NULL, NULL, 0, -1, MF_CLI_RAW,
	    mf_cli_audit },
	{ MF_CLI_LOG, "audit", "find", "",
	    "records of a job, a node, a serial: --job J, --node N, --serial S", NULL, NULL, 0, -1,
	    MF_CLI_RAW, mf_cli_audit },

	{ MF_CLI_LOG, "audit", "fingerprint", "FILE",
	    "hashes of the certificates and tokens in a file, to look for them without showing them", NULL,
	    NULL, 0, -1, MF_CLI_RAW, mf_cli_audit },

	{ MF_CLI_MACHINE, NULL, "doctor", "", "check this machine; each finding with its cure",
	    "Exit code 1 when something fails; warnings do not count. With --profile each finding names the "
	    "side "
	    "that is wrong.\n"
	    "A plain user sees the agent's side only; the broker's side needs the admin socket or --broker.",
	    doctor_opts, 0, 0, MF_CLI_AGENT | MF_CLI_ADMIN | MF_CLI_JSON, mf_cli_doctor },
	{ MF_CLI_MACHINE, NULL, "completion", "bash|zsh", "a script that completes commands, options and ids",
	    "eval \"$(mayfly completion bash)\" in ~/.bashrc; ids of jobs and nodes come from the broker.",
	    NULL, 1, 1, 0, mf_cli_completion },
	{ MF_CLI_MACHINE, NULL, "dev", "",
	    "broker and agent in the foreground, for a throw-away trust domain",
	    "Prints three export lines and `ready` on stdout when everything serves; ends on SIGINT and "
	    "SIGTERM.\n"
	    "Listens on loopback only.",
	    dev_opts, 0, 0, 0, mf_cli_dev },
};
const size_t mf_cli_verb_count = MF_COUNT(mf_cli_verbs);
