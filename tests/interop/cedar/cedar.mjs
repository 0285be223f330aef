// Random policies and requests, decided by Mayfly (tests/tools/policy_batch.c) and by Cedar's own engine.
//
// usage: node cedar.mjs POLICY_BATCH PAIRS SEED
//
// The translation, written here from docs/reference/policy.md and independent of the C code: each of our conditions becomes two
// Cedar expressions, "it is true" and "it is false", both guarded by `has`, so that neither ever meets a missing attribute. A permit
// becomes `permit when true`, a forbid `forbid unless false`: it fires on unknown as well. That is the whole difference.
import { spawnSync } from "node:child_process";
import * as cedar from "@cedar-policy/cedar-wasm/nodejs";

const [batch, pairsArg, seedArg] = process.argv.slice(2);
const PAIRS = Number(pairsArg ?? 100000), PER_POLICY = 100;

// A small generator of our own: the same seed gives the same pairs everywhere.
let state = (Number(seedArg ?? 1) * 2654435761 + 88675123) >>> 0 || 1;
const rnd = (n) => {
  state ^= state << 13; state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5; state >>>= 0;
  return state % n;
};
const pick = (list) => list[rnd(list.length)];
const some = (list, max) => Array.from({ length: 1 + rnd(max) }, () => pick(list));

// ---- what there is to speak of ----
const WORDS = ["a", "b", "c", "ab", "ft-a", "ft-b", "a/b", "x/a/b"];
const PATHS = ["s3://r", "s3://r/a", "s3://r/a/b", "s3://r-x/a", "s3://r/../r", "s3://r/a/", "S3://r/a", "/d", "/d/e", "/d//e", "s3://r/%61"];
const NUMBERS = ["1", "2", "3", "10", "-4", "007", "many", "2.5"];
const ATTRS = {
  "node.pool": WORDS, "node.zone": WORDS, "node.gpus": NUMBERS, "node.path": PATHS,
  "manifest.env": WORDS, "manifest.kind": WORDS, "manifest.image": PATHS, "manifest.ticket": WORDS,
  "manifest.egress": WORDS, "manifest.mounts": PATHS,
  "attested.unix.user": WORDS, "attested.unix.gid": NUMBERS,
};
const KEYS = { uri: PATHS, class: WORDS };
const SETS = ["manifest.egress", "manifest.mounts", "attested.unix.user", "attested.unix.gid", "node.pool"];
const isSet = (a) => a.startsWith("attested.");
const MAX_ELEMENTS = 3;

// ---- random conditions, as the JSON that the policy file takes ----
function leaf(attr, domain, set) {
  const one = ["eq", "ne", "in", "le", "ge", "under", "glob"], many = ["has", "contains", "subset"];
  const op = pick(set ? many : one.concat(many));
  const plain = domain.filter((v) => !/[%*?\\]|\.\.|\/\/[^a-z]|[a-z]\/\//.test(v.replace("://", ":")) && !/^[A-Z]/.test(v) && v !== "");
  switch (op) {
    case "has": return { has: [attr] };
    case "in": return { in: [attr, some(domain, 3)] };
    case "subset": return { subset: [attr, rnd(5) === 0 ? [] : some(domain, 3)] };
    case "le": case "ge": return { [op]: [attr, pick(["1", "2", "3", "10", "-4"])] };
    case "under": return { under: [attr, pick(plain.length ? plain : ["a"]).replace(/\/\/\//, "/")] };
    case "glob": return { glob: [attr, pick(["ft-*", "*b", "a*", "*", "s3://r/*", "x/*/b", "/d/*"])] };
    default: return { [op]: [attr, pick(domain)] };
  }
}
function element(list, depth) {
  if (depth > 0 && rnd(2)) return group((d) => element(list, d), depth);
  if (list === "manifest.dataset") {
    const key = pick(Object.keys(KEYS));
    return leaf(key, KEYS[key], false);
  }
  return leaf("value", ATTRS[list], false);
}
function group(make, depth) {
  switch (rnd(3)) {
    case 0: return { not: make(depth - 1) };
    case 1: return { all: Array.from({ length: 1 + rnd(3) }, () => make(depth - 1)) };
    default: return { any: Array.from({ length: 1 + rnd(3) }, () => make(depth - 1)) };
  }
}
function condition(depth, only) {
  if (depth > 0 && rnd(2)) return group((d) => condition(d, only), depth);
  if (!only && rnd(4) === 0) {
    const list = rnd(2) ? "manifest.dataset" : pick(SETS);
    return { [pick(["every", "some"])]: [list, element(list, 1)] };
  }
  if (!only && rnd(8) === 0) return rnd(2) ? { has: ["manifest.dataset"] } : leaf("manifest.dataset.class", WORDS, false);
  const attr = pick(Object.keys(ATTRS).filter((a) => !only || a.startsWith("node.")));
  return leaf(attr, ATTRS[attr], isSet(attr));
}
const PROFILES = ["p", "q"];
function rule(i) {
  const forbid = rnd(4) === 0;
  const r = {
    id: `r${i}`, effect: forbid ? "forbid" : "permit", profile: forbid && rnd(3) === 0 ? "*" : pick(PROFILES),
    owner: "o", review_by: "2099-01-01", when: rnd(10) === 0 ? "always" : condition(3, false),
  };
  if (!forbid || rnd(2)) r.nodes = rnd(2) ? "any" : condition(1, true);
  if (!forbid && rnd(5) === 0) r.require = { evidence: some(["ticket", "egress", "dataset.class"], 2) };
  return r;
}

// ---- random requests: attribute -> list of values (known), data sets as objects ----
function request() {
  const attrs = {}, dataset = rnd(3) === 0 ? undefined : Array.from({ length: rnd(MAX_ELEMENTS + 1) }, () => {
    const e = {};
    for (const k of Object.keys(KEYS)) if (rnd(4)) e[k] = pick(KEYS[k]);
    if (!Object.keys(e).length) e.uri = pick(PATHS);
    return e;
  });
  for (const [a, domain] of Object.entries(ATTRS)) {
    if (rnd(3) === 0) continue;
    const list = isSet(a) || a === "manifest.egress" || a === "manifest.mounts" || (a === "node.pool" && rnd(6) === 0);
    attrs[a] = list ? Array.from({ length: rnd(MAX_ELEMENTS + 1) }, () => pick(domain)) : [pick(domain)];
  }
  return { profile: pick(PROFILES), attrs, dataset };
}
function facts(r) {
  const out = [];
  for (const [a, values] of Object.entries(r.attrs)) {
    const dot = a.indexOf("."), ns = a.slice(0, dot), name = a.slice(dot + 1);
    for (const v of values) out.push(`${ns} ${name}=${v}`);
    if (!values.length) out.push(ns === "manifest" ? `${ns} ${name}=` : `${ns} ${name}`);
  }
  if (r.dataset && !r.dataset.length)
    for (const n of ["dataset", "dataset.uri", "dataset.version", "dataset.digest", "dataset.class"]) out.push(`manifest ${n}=`);
  r.dataset?.forEach((e, i) => Object.entries(e).forEach(([k, v]) => out.push(`manifest dataset[${i}].${k}=${v}`)));
  return out;
}

// ---- the same for Cedar ----
const id = (a) => a.replace(/[^a-z0-9]/gi, "_");
const str = (s) => JSON.stringify(s);
const int = (s) => (/^(0|-?[1-9][0-9]*)$/.test(s) ? Number(s) : undefined);
// Spelt so that it can mean one path only; without a / at its end.
function plainPath(s) {
  const m = /^([^/]*?):\/\/([^/]*)(.*)$/s.exec(s);
  let path = s;
  if (m) {
    if (!m[1] || !m[2] || /[A-Z@]/.test(m[1] + m[2])) return undefined;
    path = m[3];
  }
  if (s === "" || /[\x00-\x20\x7f%\\*?]/.test(s)) return undefined;
  const segments = path.replace(/^\//, "").split("/");
  if (path !== "") {
    const last = segments.pop();
    if (segments.some((x) => x === "" || x === "." || x === "..") || last === "." || last === "..") return undefined;
  }
  return s.length > 1 && s.endsWith("/") ? s.slice(0, -1) : s;
}
// Everything that is known of one value, each in a type that Cedar compares.
function views(ctx, name, value) {
  ctx[`one_${name}`] = value;
  const n = int(value), p = plainPath(value);
  if (n !== undefined) ctx[`int_${name}`] = n;
  if (p !== undefined) ctx[`path_${name}`] = p;
}
function addSet(ctx, name, values, partial) {
  const set = [...new Set(values)].sort();
  ctx[`set_${name}`] = set;
  if (partial) ctx[`partial_${name}`] = true;
  if (set.length === 1 && !partial) views(ctx, name, set[0]);
  set.forEach((v, i) => { ctx[`el_${name}_${i}`] = true; views(ctx, `${name}_${i}_value`, v); });
}
function context(r) {
  const ctx = {};
  for (const [a, values] of Object.entries(r.attrs)) addSet(ctx, id(a), values, false);
  if (!r.dataset) return ctx;
  ctx.set_manifest_dataset = [];
  r.dataset.forEach((e, i) => {
    ctx[`el_manifest_dataset_${i}`] = true;
    for (const [k, v] of Object.entries(e)) {
      ctx[`set_manifest_dataset_${i}_${k}`] = [v];
      views(ctx, `manifest_dataset_${i}_${k}`, v);
    }
  });
  for (const k of Object.keys(KEYS)) {
    const have = r.dataset.filter((e) => k in e).map((e) => e[k]);
    if (have.length || !r.dataset.length) addSet(ctx, id(`manifest.dataset.${k}`), have, have.length < r.dataset.length);
  }
  return ctx;
}
const has = (x) => `context has ${x}`;
const all = (xs) => (xs.length ? `(${xs.join(" && ")})` : "true");
const any = (xs) => (xs.length ? `(${xs.join(" || ")})` : "false");
const like = (s) => str(s); // no backslashes in our patterns: * is Cedar's too

// [true when ours is true, true when ours is false]; ${name} of the attribute in the context, ${single}: an element's key.
function cedarLeaf(op, name, args, single) {
  const one = `context.one_${name}`, set = `context.set_${name}`, path = `context.path_${name}`, n = `context.int_${name}`;
  const both = (guard, yes) => [all([guard, yes]), all([guard, `!(${yes})`])];
  const list = (vs) => `[${vs.map(str).join(", ")}]`;
  switch (op) {
    case "has": return single ? [has(`one_${name}`), `!(${has(`one_${name}`)})`] : [has(`set_${name}`), `!(${has(`set_${name}`)})`];
    case "eq": return both(has(`one_${name}`), `${one} == ${str(args[0])}`);
    case "ne": return both(has(`one_${name}`), `${one} != ${str(args[0])}`);
    case "in": return both(has(`one_${name}`), `${list(args[0])}.contains(${one})`);
    case "le": return both(has(`int_${name}`), `${n} <= ${args[0]}`);
    case "ge": return both(has(`int_${name}`), `${n} >= ${args[0]}`);
    case "under": {
      const top = args[0].length > 1 && args[0].endsWith("/") ? args[0].slice(0, -1) : args[0];
      return both(has(`path_${name}`), `(${path} == ${str(top)} || ${path} like ${like(top === "/" ? "/*" : `${top}/*`)})`);
    }
    case "glob": {
      const [before, after] = args[0].split("*");
      const yes = `${one} like ${like(args[0])}`, spans = `${one} like ${like(`${before}*/*${after}`)}`;
      return [all([has(`one_${name}`), yes, `!(${spans})`]), all([has(`one_${name}`), `!(${yes})`])];
    }
    case "contains":
      if (single) return both(has(`one_${name}`), `${one} == ${str(args[0])}`);
      return [all([has(`set_${name}`), `${set}.contains(${str(args[0])})`]),
        all([has(`set_${name}`), `!(${has(`partial_${name}`)})`, `!(${set}.contains(${str(args[0])}))`])];
    case "subset":
      if (single) return both(has(`one_${name}`), args[0].length ? `${list(args[0])}.contains(${one})` : "false");
      return [all([has(`set_${name}`), `!(${has(`partial_${name}`)})`, args[0].length ? `${list(args[0])}.containsAll(${set})` : `${set}.isEmpty()`]),
        all([has(`set_${name}`), args[0].length ? `!(${list(args[0])}.containsAll(${set}))` : `!(${set}.isEmpty())`])];
  }
  throw new Error(op);
}
function cedarOf(c, prefix) {
  const [op, args] = Object.entries(c)[0];
  if (op === "not") { const [t, f] = cedarOf(args, prefix); return [f, t]; }
  if (op === "all" || op === "any") {
    const parts = args.map((x) => cedarOf(x, prefix));
    return op === "all" ? [all(parts.map((p) => p[0])), any(parts.map((p) => p[1]))]
      : [any(parts.map((p) => p[0])), all(parts.map((p) => p[1]))];
  }
  if (op === "every" || op === "some") {
    const name = id(args[0]), known = has(`set_${name}`), whole = `!(${has(`partial_${name}`)})`;
    const els = Array.from({ length: MAX_ELEMENTS }, (_, i) => [has(`el_${name}_${i}`), ...cedarOf(args[1], `${name}_${i}_`)]);
    const every = (k) => all([known, whole, ...els.map(([there, ...p]) => `(!(${there}) || ${p[k]})`)]);
    const one = (k) => all([known, any(els.map(([there, ...p]) => all([there, p[k]])))]);
    return op === "every" ? [every(0), one(1)] : [one(0), every(1)];
  }
  return cedarLeaf(op, prefix + id(args[0]), args.slice(1), prefix !== "");
}
const FIELD = {
  ticket: `(${has("set_manifest_ticket")} && !(context.set_manifest_ticket.isEmpty()))`,
  egress: has("set_manifest_egress"),
  "dataset.class": `(${has("set_manifest_dataset_class")} && !(${has("partial_manifest_dataset_class")}) && !(context.set_manifest_dataset_class.isEmpty()))`,
};
function cedarPolicies(rules) {
  const out = [];
  for (const r of rules) {
    const parts = [r.nodes, r.when].filter((c) => c !== undefined && typeof c === "object").map((c) => cedarOf(c, ""));
    const yes = all(parts.map((p) => p[0])), no = any(parts.map((p) => p[1]));
    const where = r.profile === "*" ? "resource" : `resource == Profile::${str(r.profile)}`;
    if (r.effect === "permit") out.push(`permit(principal, action, ${where}) when { ${yes} };`);
    else out.push(`forbid(principal, action, ${where}) unless { ${no} };`);
    // An obligation of a permit that holds: what it asks for must be there, whatever the other permits say.
    for (const f of r.require?.evidence ?? []) out.push(`forbid(principal, action, ${where}) when { ${yes} && !(${FIELD[f]}) };`);
  }
  return out.join("\n");
}

// ---- compare ----
const policies = [];
for (let n = 0; n < PAIRS; n += PER_POLICY) {
  const rules = Array.from({ length: 1 + rnd(6) }, (_, i) => rule(i));
  policies.push({ rules, requests: Array.from({ length: Math.min(PER_POLICY, PAIRS - n) }, request) });
}
const identity = (p) => ({ purpose: "x", owner: "o", identities: [{ path: `/${p}/{job}` }] });
const text = (rules) => JSON.stringify({ mayfly_policy: 1, profiles: Object.fromEntries(PROFILES.map((p) => [p, identity(p)])), rules });
const input = policies.map((p) => JSON.stringify({ policy: text(p.rules), requests: p.requests.map((r) => ({ profile: r.profile, facts: facts(r) })) })).join("\n");
const ours = spawnSync(batch, { input: `${input}\n`, encoding: "utf8", maxBuffer: 1 << 28 });
if (ours.status !== 0) {
  console.log(`policy_batch ended with ${ours.status}: ${ours.stderr.slice(0, 2000)}`);
  process.exit(1);
}
const lines = ours.stdout.split("\n");
let pairs = 0, permits = 0, wrong = 0;
policies.forEach((p, i) => {
  const staticPolicies = cedarPolicies(p.rules);
  const parsed = cedar.preparsePolicySet("set", { staticPolicies });
  if (parsed.type !== "success") {
    console.log(`Cedar does not take the translation: ${JSON.stringify(parsed.errors)}\n${staticPolicies}`);
    process.exit(1);
  }
  p.requests.forEach((r, k) => {
    const answer = cedar.statefulIsAuthorized({
      principal: { type: "Job", id: "j" }, action: { type: "Action", id: "attach" }, resource: { type: "Profile", id: r.profile },
      context: context(r), preparsedPolicySetId: "set", entities: [],
    });
    if (answer.type !== "success" || answer.response.diagnostics.errors.length) {
      console.log(`Cedar failed: ${JSON.stringify(answer)}\n${staticPolicies}`);
      process.exit(1);
    }
    const theirs = answer.response.decision === "allow" ? "P" : "D";
    pairs++;
    permits += theirs === "P";
    if (theirs === lines[i][k]) return;
    if (wrong++ < 3)
      console.log(`Mayfly ${lines[i][k]}, Cedar ${theirs}\n${JSON.stringify(p.rules)}\n${JSON.stringify(r)}\n${staticPolicies}`);
  });
});
console.log(`${pairs} pairs, ${permits} permitted, ${wrong} differ (Cedar ${cedar.getCedarVersion()}, seed ${seedArg ?? 1})`);
process.exit(wrong === 0 && pairs === PAIRS && permits > pairs / 20 && permits < pairs * 0.95 ? 0 : 1);
