"""cloud_log.py RECORDS OPS: the broker's log (`mayfly audit tail -n all -o json`) beside the store's operations log. Prints `ok NAME` or
`FAIL NAME: why`: each cloud token has its intent before it, each intent is closed; each call at the store is of a job that we know."""
import json
import sys

failed = 0


def elements(text):
    """What stands in the store's array, which is never closed: a line is what the store wrote at a time, one element or many, and the
    last line may still be on its way to the disk."""
    decoder, at, found = json.JSONDecoder(), text.find("{"), []
    while at >= 0:
        try:
            element, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            check("operations-log-is-json", "\n" not in text[at:], text[at:at + 200])
            break
        found.append(element)
        at = text.find("{", end)
    return found


def check(name, good, why=""):
    global failed
    failed += not good
    print("ok " + name if good else "FAIL %s: %s" % (name, str(why)[:280]), flush=True)


with open(sys.argv[1]) as f:
    records = [i["record"] for i in json.load(f)["items"]]
with open(sys.argv[2]) as f:
    calls = elements(f.read())
by_type = {}
for at, r in enumerate(records):
    by_type.setdefault(r["type"], {})[r.get("serial")] = (at, r)
intents, issued = by_type.get("cloud.intent", {}), by_type.get("cloud.issued", {})
check("tokens-were-made", len(issued) > 0)
check("intent-before-issue", all(s in intents and intents[s][0] < at for s, (at, _) in issued.items()), sorted(issued))
closed = set(issued) | set(by_type.get("cloud.failed", {})) | set(by_type.get("cloud.reconciled", {}))
check("every-intent-is-closed", set(intents) <= closed, sorted(set(intents) - closed))
sessions = {(r["cloud"]["session"], r["job"]["id"]) for _, r in intents.values()}
calls = [c for c in calls if "sts_info" in c and not c["sts_info"]["sub"].endswith("/broker/revoker")]
strange = [c["sts_info"] for c in calls
           if not any(c["sts_info"]["role_session"] == s and c["sts_info"]["sub"].endswith("/" + j) for s, j in sessions)]
check("calls-at-the-store", len(calls) > 0)
check("every-call-is-a-job's", not strange, strange[:2])
sys.exit(failed != 0)
