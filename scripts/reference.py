#!/usr/bin/python3
"""Reference and man pages made from the program's own tables.

  scripts/reference.py [--build DIR] [--check]

writes docs/reference/{commands,configuration,roles,rpcs,records,metrics}.md and docs/man/*; --check only says which of them are not
what it would write (exit code 1). DIR (default: build-dev) holds tests/mf_tables and the daemons. Prose lies in this file;
docs/man/mayfly-policy.yaml.5 is written by hand and only checked: it must name every key that the policy's table has.
"""
import argparse
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECTIONS = {"jobs": "Jobs and their owners", "operators": "Operators", "log": "The log", "machine": "This machine"}
GENERATED = "made by scripts/reference.py from the program's tables: do not edit"


class Verb:
    def __init__(self, f):
        self.section, self.group, self.name, self.args, self.help, more = f
        self.more = more.replace("\\n", " ")
        self.opts = []

    def title(self):
        return " ".join(x for x in ("mayfly", self.group, self.name, self.args) if x)


def tables(build):
    verbs, rpcs, records = [], [], []
    out = subprocess.run([os.path.join(build, "tests/mf_tables")], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        kind, *f = line.split("\t")
        if kind == "verb":
            verbs.append(Verb(f))
        elif kind == "opt":
            verbs[-1].opts.append(f)
        elif kind == "rpc":
            rpcs.append(f)
        elif kind == "record":
            records.append(f)
    return verbs, rpcs, records


def settings(build, program):
    """(flag, variable, help) of each setting, from --help."""
    out = subprocess.run([os.path.join(build, "bin", program), "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (--[\w-]+)\s+(MAYFLY_\w+)\s+(.*)$", out, re.M)


def key_of(source, flag):
    """The key as it is written in the file: nested ones are flags with their parent before them."""
    text = "".join(open(os.path.join(TOP, s), encoding="utf-8").read() for s in source)
    keys = set(re.findall(r'\.key = "(\w+)"', text)) | set(re.findall(r"(?:STRING|DURATION|SIZE|INT|BOOL)\((\w+),", text))
    words = flag[2:].split("-")
    flat = "_".join(words)
    if flat in keys:
        return flat
    for i in range(1, len(words)):
        a, b = "_".join(words[:i]), "_".join(words[i:])
        if a in keys and b in keys:
            return a + "." + b
    return flat


def cell(s):
    return re.sub(r"\s+", " ", s).replace("|", "\\|").strip()


def first_up(s):
    return s[:1].upper() + s[1:]


def opt_text(o, code="`"):
    _, name, letter, arg, _ = o
    return (f"{code}-{letter}{code}, " if letter else "") + f"{code}--{name}{' ' + arg if arg else ''}{code}"


# ---- Markdown ----

def md_head(title, text):
    return f"<!-- {GENERATED} -->\n# {title}\n\n{text}\n"


def commands_md(verbs):
    out = [md_head("Commands and options", "Every command of `mayfly` with its options. What they mean, with examples, is in\n[the command line](cli.md).")]
    common = {}
    for s, title in SECTIONS.items():
        out.append(f"\n## {title}\n")
        for v in (v for v in verbs if v.section == s):
            out.append(f"\n### `{v.title()}`\n\n{first_up(v.help)}. {v.more}".rstrip() + "\n")
            mine = [o for o in v.opts if o[0] == "own"]
            if mine:
                out.append("\n| option | |\n|---|---|\n")
                out += [f"| {cell(opt_text(o))} | {cell(o[4])} |\n" for o in mine]
            names = [o for o in v.opts if o[0] != "own"]
            for o in names:
                common[o[1]] = o
            if names:
                out.append("\nAnd: " + ", ".join(f"`--{o[1]}`" for o in names) + ".\n")
    out.append("\n## Options of many commands\n\n| option | |\n|---|---|\n")
    out += [f"| {cell(opt_text(o))} | {cell(o[4])} |\n" for _, o in sorted(common.items())]
    out.append("| `-h`, `--help` | more about a command |\n")
    return "".join(out)


DAEMONS = (
    ("mayfly-broker", "broker.yaml", "/etc/mayfly/broker.yaml", ["lib/conf/broker_conf.c"]),
    ("mayfly-agent", "agent.yaml", "/etc/mayfly/agent.yaml", ["lib/conf/agent_conf.c"]),
)


def admins_keys():
    text = open(os.path.join(TOP, "lib/conf/admins_conf.c"), encoding="utf-8").read()
    tables_ = {}
    for name, body in re.findall(r"mf_conf_field (\w+)\[\] = \{(.*?)\n\};", text, re.S):
        tables_[name] = re.findall(r'\.key = "(\w+)".*?\.help = "([^"]*)"', body, re.S)
    out = [(k, h) for k, h in tables_["fields"]]
    out += [("bundles.TRUST_DOMAIN." + k, h) for k, h in tables_["bundle_fields"]]
    out += [("admins[]." + k, h) for k, h in tables_["entry_fields"]]
    return out


def configuration_md(build):
    out = [md_head("Configuration", "A flag wins over the environment, that over the file, that over the default. `--print-config` shows what is in force;\n"
                   "the policy file has [a page of its own](policy.md).")]
    for program, name, path, source in DAEMONS:
        out.append(f"\n## `{name}`\n\nOf `{program}`; by default `{path}`.\n\n| key | flag, variable | |\n|---|---|---|\n")
        for flag, var, text in settings(build, program):
            out.append(f"| `{key_of(source, flag)}` | `{flag}`, `{var}` | {cell(text)} |\n")
    out.append("\n## The admins file\n\nWhat `admins` of `broker.yaml` names: [remote administration](../how-to/remote-administration.md).\n\n| key | |\n|---|---|\n")
    out += [f"| `{k}` | {cell(h)} |\n" for k, h in admins_keys()]
    return "".join(out)


ROLES = (("viewer", "see jobs, nodes, credentials (no secrets), status"), ("revoker", "take access away: end jobs, evict nodes, revoke"),
         ("operator", "let in: join tokens, evicted nodes; confirm the clock"), ("admin", "everything"))


def roles_md(rpcs):
    out = [md_head("Roles of administrators", "Who may use the admin socket (root, the admin group, `admin_uids`) may do everything. Who comes over the network has a role, given by the\n"
                   "file that `admins` of `broker.yaml` names: [remote administration](../how-to/remote-administration.md). Each role may do what those\nabove it may.")]
    out.append("\n| role | may |\n|---|---|\n" + "".join(f"| `{r}` | {t} |\n" for r, t in ROLES))
    out.append("\nWhat adds access needs signatures too, where `admin_signers` is set: [acts that need several persons](../how-to/signed-acts.md).\n"
               "\n| RPC of `mayfly.admin.v1.Admin` | least role | adds access |\n|---|---|---|\n")
    out += [f"| `{n}` | `{r}` | {a} |\n".replace("|  |", "| |") for n, r, a in rpcs]
    return "".join(out)


SERVED = [  # file, where it is served and who may call; those of nodes are described in docs/internals/protocols.md
    ("workload.proto", "The SPIFFE Workload API, on the agent's socket. Every call carries the metadata `workload.spiffe.io: true`. The WIT methods answer UNIMPLEMENTED."),
    ("job.proto", "On the agent's socket, beside the Workload API and with the same metadata. The caller is who the kernel says."),
    ("admin.proto", "On the broker's admin socket and, where `admin_listen` is set, over mutual TLS. Who may call what: [roles](roles.md)."),
]


class Proto:
    """What a .proto file of ours says: services with their calls, messages and enums with their fields."""

    def __init__(self, name):
        text = open(os.path.join(TOP, "proto", name), encoding="utf-8").read()
        package = re.search(r"^package ([\w.]+);", text, re.M)
        self.prefix = package.group(1) + "." if package else ""
        service = re.search(r"^service (\w+) \{\n(.*?)^\}", text, re.M | re.S)
        self.service = self.prefix + service.group(1)
        self.calls, said = [], []
        for line in service.group(2).splitlines():
            call = re.match(r"\s*rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\);", line)
            if call:
                self.calls.append((*call.groups(), " ".join(said)))
                said = []
            else:
                said += [line.strip().removeprefix("//").strip()]
        if len(self.calls) != text.count("  rpc "):
            sys.exit("reference.py: a call of proto/%s is written in a way that is not read here" % name)
        self.types = []
        for kind, what, on_it, below in re.findall(r"^(message|enum) (\w+) \{(?:([^\n]*)\}$|[^\n]*\n(.*?)^\})", text, re.M | re.S):
            body = on_it or below
            fields = re.findall(r"^\s*((?:repeated |map<[^>]*> )?(?:[\w.]+ )?)(\w+) = (\d+);[ ]*(?://[ ]*(.*))?$", body.replace("; ", ";\n"), re.M)
            self.types.append((kind, what, fields))
        if sum(len(f) for _, _, f in self.types) != len(re.findall(r"= \d+;", text)):
            sys.exit("reference.py: a field of proto/%s is written in a way that is not read here" % name)


def type_md(kind, what, fields):
    if kind == "enum":
        return "\n`%s` (enum)\n\n| value | number | |\n|---|---|---|\n" % what + "".join("| `%s` | %s | %s |\n" % (n, no, cell(said)) for _, n, no, said in fields)
    if not fields:
        return "\n`%s`: no fields\n" % what
    return "\n`%s`\n\n| field | type | number | |\n|---|---|---|---|\n" % what + "".join("| `%s` | `%s` | %s | %s |\n" % (n, t.strip(), no, cell(said)) for t, n, no, said in fields)


def rpcs_md():
    out = md_head("RPCs", "gRPC services that people and programs call. A client with reflection (`grpcurl`) reads the same from the sockets.\n"
                  "What nodes and roles say to one another stands in [protocols](../internals/protocols.md).")
    for name, where in SERVED:
        p = Proto(name)
        out += "\n## %s\n\n%s\n\n| call | takes | gives | |\n|---|---|---|---|\n" % (p.service, where)
        for call, many_in, takes, many_out, gives, said in p.calls:
            out += "| `%s` | %s`%s` | %s`%s` | %s |\n" % (call, "stream of " if many_in else "", takes, "stream of " if many_out else "", gives, cell(said))
        out += "".join(type_md(*t) for t in p.types)
    return out.replace("|  |", "| |")


def records_md(records):
    out = [md_head("Records of the log", "Every type of record with the fields that it must have beside the envelope (`id`, `ts`, `origin`, `broker`, `boot`, `tenant`, `person`,\n"
                   "`grade`). What they mean, and what may be there besides: [records](../internals/records.md). Removals may use the log's reserve.")]
    out.append("\n| type | removal | fields |\n|---|---|---|\n")
    out += [f"| `{n}` | {r} | {', '.join('`' + x + '`' for x in f.split(', ') if x)} |\n".replace("|  |", "| |") for n, r, f in records]
    return "".join(out)


METRICS = (("Broker", "127.0.0.1:8463 by default", "", ["broker/front/status_pages.c"]),
           ("Agent", "`metrics_listen`; off by default", "mayfly_agent_", ["agent/front/front_status.c"]),
           ("Both, for each listener", "the pages above; the agent's begin with `mayfly_agent_net_`", "mayfly_net_", ["lib/net/net_metrics.c"]))


def metrics_md():
    out = [md_head("Metrics", "OpenMetrics text on `/metrics`. Counters end in `_total` on the page; families that have one are labelled by `listener`.")]
    for title, where, prefix, files in METRICS:
        found = []
        for f in files:
            p = os.path.join(TOP, f)
            text = open(p, encoding="utf-8").read() if os.path.exists(p) else ""
            found += re.findall(r'\{ "(mayfly_\w+)",\s*"((?:[^"\\]|"\s+")*)"', text)
            found += re.findall(r"# HELP (mayfly_\w+) ([^\\]*)\\n", text)
            made = re.findall(r'\b(?:counter|gauge|family)\(\s*(?:b|o),\s*"(\w+)",\s*"([^"]*)"', text)
            found += [(prefix + n, h) for n, h in made]
        if found:
            out.append(f"\n## {title}\n\n" + (f"On {where}.\n\n" if where else "") + "| metric | |\n|---|---|\n")
            for n, h in sorted(set(found)):
                whole = re.sub(r'"\s+"', "", h)
                out.append(f"| `{n}` | {cell(whole)} |\n")
    return "".join(out)


# ---- man ----

def roff(s):
    s = s.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    s = re.sub(r"`([^`]*)`", r'"\1"', s)
    return re.sub(r"^\.", r"\\&.", s)


def man_head(name, section, what, group):
    return f'.\\" {GENERATED}\n.TH {name.upper()} {section} "" "mayfly" "{group}"\n.SH NAME\n{roff(name)} \\- {roff(what)}\n'


def man_opt(o):
    _, name, letter, arg, text = o
    tag = (f"\\fB\\-{letter}\\fR, " if letter else "") + f"\\fB\\-\\-{roff(name)}\\fR" + (f" \\fI{roff(arg)}\\fR" if arg else "")
    return f".TP\n{tag}\n{roff(text)}\n"


def mayfly_1(verbs):
    out = [man_head("mayfly", 1, "identities for jobs that end with the job", "User commands"),
           ".SH SYNOPSIS\n.B mayfly\n.I COMMAND\n.RI [ OPTIONS ]\n.RI [ ARGUMENTS ]\n.SH DESCRIPTION\n",
           "Mayfly gives a job (a training run, an evaluation) a SPIFFE identity that is scoped to that one job and dies with it. This program\n"
           "runs jobs, shows and fetches their identities, and lets operators look, end and revoke. The full reference is docs/reference/cli.md.\n"
           "A job J is named by its short id (j\\-...), its key, or a prefix that only one job has.\n.SH COMMANDS\n"]
    common = {}
    for s, title in SECTIONS.items():
        out.append(f'.SS "{title}"\n')
        for v in (v for v in verbs if v.section == s):
            name = " ".join(x for x in ("mayfly", v.group, v.name) if x)
            out.append(f".TP\n\\fB{roff(name)}\\fR" + (f" \\fI{roff(v.args)}\\fR" if v.args else "") + "\n")
            out.append(roff(f"{first_up(v.help)}. {v.more}".strip()) + "\n")
            mine = [o for o in v.opts if o[0] == "own"]
            for o in v.opts:
                if o[0] != "own":
                    common[o[1]] = o
            if mine:
                out.append(".RS\n" + "".join(man_opt(o) for o in mine) + ".RE\n")
    out.append(".SH OPTIONS\n" + "".join(man_opt(o) for _, o in sorted(common.items())))
    out.append(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nmore about a command\n.TP\n\\fB\\-\\-version\\fR\nrelease, build, and the revision of the SPIFFE specifications\n")
    env = (("SPIFFE_ENDPOINT_SOCKET", "the agent's socket, unix:///path; default unix:///run/mayfly/agent.sock"),
           ("MAYFLY_ADMIN_SOCKET", "the broker's admin socket; default /run/mayfly/admin.sock"),
           ("MAYFLY_BROKER", "a broker elsewhere, https://HOST:PORT, instead of the socket"),
           ("MAYFLY_BROKER_CERT, MAYFLY_BROKER_KEY, MAYFLY_BROKER_CA", "files for it; without them the job's own SVID is shown"),
           ("MAYFLY_STATE", "the directory with broker/log; default /var/lib/mayfly"),
           ("MAYFLY_LIBEXEC", "where mayfly-audit, mayfly-remote and the roles lie; default ../libexec/mayfly beside the program"),
           ("MAYFLY_JOB", "set for the command of mayfly run: the job's short id"),
           ("MAYFLY_RUN", "beside it: the id of the run that the job belongs to, which a requeued job keeps"))
    out.append(".SH ENVIRONMENT\n" + "".join(f".TP\n.B {roff(n)}\n{roff(t)}\n" for n, t in env))
    codes = (("0", "done"), ("1", "refused or failed; audit verify: proven bad"), ("2", "the command line makes no sense"), ("3", "effective, but not recorded yet"),
             ("4", "not reachable or incomplete: assume that nothing was done"), ("125", "mayfly run: it failed itself, or the identity was refused"),
             ("126", "mayfly run: the command cannot be executed"), ("127", "mayfly run: the command is not found"))
    out.append('.SH "EXIT STATUS"\n' + "".join(f".TP\n.B {n}\n{roff(t)}\n" for n, t in codes))
    files = (("/run/mayfly/agent.sock", "Workload API and mayfly.job.v1"), ("/run/mayfly/admin.sock", "mayfly.admin.v1"), ("/var/lib/mayfly/broker/log", "the log"))
    out.append(".SH FILES\n" + "".join(f".TP\n.I {n}\n{roff(t)}\n" for n, t in files))
    out.append('.SH "SEE ALSO"\n.BR mayfly\\-broker (8),\n.BR mayfly\\-agent (8),\n.BR mayfly\\-policy.yaml (5)\n')
    return "".join(out)


def daemon_8(build, program, conf, path, what, more):
    help_ = subprocess.run([os.path.join(build, "bin", program), "--help"], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  (\w+)\s{2,}(.*)$", help_, re.M)
    out = [man_head(program, 8, what, "System administration"), f".SH SYNOPSIS\n.B {roff(program)}\n.RI [ VERB ]\n.RB [ \\-\\-config\n.IR FILE ]\n.RI [ FLAG ...]\n.SH DESCRIPTION\n{more}"]
    out.append(".SH VERBS\n" + "".join(f".TP\n.B {roff(n)}\n{roff(t)}\n" for n, t in verbs))
    own = (("--config FILE", f"the configuration; default {path}"), ("--debug", "more log lines"), ("--print-config", "print what is in force, and end"),
           ("--version", "release and revision of the SPIFFE specifications"), ("--help", "all flags, their variables and defaults"))
    out.append(".SH OPTIONS\nEvery key of the configuration is a flag as well, see\n.BR " + roff(conf) + " (5).\n" +
               "".join(f".TP\n.B {roff(n)}\n{roff(t)}\n" for n, t in own))
    out.append(".SH SIGNALS\n.TP\n.B SIGHUP\nread the files of the configuration again, all or nothing\n.TP\n.B SIGTERM, SIGINT\nend in order; a second one at once\n")
    out.append(f'.SH "SEE ALSO"\n.BR mayfly (1),\n.BR {roff(conf)} (5)\n')
    return "".join(out)


def conf_5(build, program, name, path, source, extra):
    out = [man_head(name, 5, f"configuration of {program}", "File formats"), f".SH DESCRIPTION\n.I {path}\nis YAML; unknown keys, duplicates and anchors are refused, with line, column and cure. A flag of\n"
           f".BR {roff(program)} (8)\nwins over its environment variable, that over the file, that over the default. Durations: 90s, 20m, 2h, 30d; sizes: 64MiB.\n.SH KEYS\n"]
    for flag, var, text in settings(build, program):
        out.append(f".TP\n\\fB{roff(key_of(source, flag))}\\fR (\\fB{roff(flag)}\\fR, \\fB{roff(var)}\\fR)\n{roff(text)}\n")
    out.append(extra + f'.SH "SEE ALSO"\n.BR {roff(program)} (8)\n')
    return "".join(out)


def policy_5_missing():
    """Keys of the policy's tables that its man page does not name."""
    page = open(os.path.join(TOP, "docs/man/mayfly-policy.yaml.5"), encoding="utf-8").read().replace("\\-", "-")
    page = re.sub(r"\\f[BIR]", " ", page)
    keys = set()
    for f in sorted(os.listdir(os.path.join(TOP, "broker/policy"))):
        if f.endswith(".c"):
            keys |= set(re.findall(r'\.key = "(\w+)"', open(os.path.join(TOP, "broker/policy", f), encoding="utf-8").read()))
    return sorted(k for k in keys if not re.search(r"\b" + k + r"\b", page))


def pages(build):
    verbs, rpcs, records = tables(build)
    admins = ".SH \"THE ADMINS FILE\"\nWhat \\fBadmins\\fR names, YAML as well; read again at a reload.\n" + "".join(
        f".TP\n\\fB{roff(k)}\\fR\n{roff(h)}\n" for k, h in admins_keys())
    broker_text = ("The central daemon of Mayfly: issues identities to jobs that policy allows, records everything it does, takes it back. It starts two confined roles:\n"
                   "the front, which serves the network, and the notary, which decides, records and signs.\n")
    agent_text = ("The daemon of a node: finds out which job calls, asks the broker for its identity, serves it on the Workload API, and tells when the job ends. It starts\n"
                  "two confined roles: the front, which serves jobs, and the attestor, which says what is so.\n")
    return {
        "docs/reference/commands.md": commands_md(verbs),
        "docs/reference/configuration.md": configuration_md(build),
        "docs/reference/roles.md": roles_md(rpcs),
        "docs/reference/rpcs.md": rpcs_md(),
        "docs/reference/records.md": records_md(records),
        "docs/reference/metrics.md": metrics_md(),
        "docs/man/mayfly.1": mayfly_1(verbs),
        "docs/man/mayfly-broker.8": daemon_8(build, "mayfly-broker", "mayfly-broker.yaml", "/etc/mayfly/broker.yaml", "the broker of Mayfly", broker_text),
        "docs/man/mayfly-agent.8": daemon_8(build, "mayfly-agent", "mayfly-agent.yaml", "/etc/mayfly/agent.yaml", "the node agent of Mayfly", agent_text),
        "docs/man/mayfly-broker.yaml.5": conf_5(build, "mayfly-broker", "mayfly-broker.yaml", "/etc/mayfly/broker.yaml", DAEMONS[0][3], admins),
        "docs/man/mayfly-agent.yaml.5": conf_5(build, "mayfly-agent", "mayfly-agent.yaml", "/etc/mayfly/agent.yaml", DAEMONS[1][3], ""),
    }


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--build", default="build-dev")
    ap.add_argument("--check", action="store_true")
    args = ap.parse_args()
    stale = []
    for path, text in pages(os.path.join(TOP, args.build) if not os.path.isabs(args.build) else args.build).items():
        full = os.path.join(TOP, path)
        old = open(full, encoding="utf-8").read() if os.path.exists(full) else None
        if old == text:
            continue
        stale.append(path)
        if not args.check:
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
    missing = policy_5_missing()
    for k in missing:
        print(f"docs/man/mayfly-policy.yaml.5 does not name the key {k}")
    if args.check and stale:
        print("not what the tables say, run scripts/reference.py: " + " ".join(stale))
    return 1 if missing or (args.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
