"""A provider that fails as it is told, for failure injection: bad_sts.py PORT DIR.

Each AssumeRoleWithWebIdentity takes the first line of DIR/modes ("MODE [N]"; one that begins with "+" stays) and does that; without
one it makes a token. DIR/iam, when it is there, is what IAM answers with. DIR/made has the mayfly-cred of each token that
was made, DIR/denied the policy as it stands.
"""
import base64
import datetime
import http.server
import json
import os
import re
import sys
import threading
import urllib.parse
import uuid

PORT, DIR = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
GOOD = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>\
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/train/%s</Arn><AssumedRoleId>ARO:x</AssumedRoleId></AssumedRoleUser>\
<Credentials><AccessKeyId>ASIA%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken>\
<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>%s</RequestId>\
</ResponseMetadata></AssumeRoleWithWebIdentityResponse>"""


def path(name):
    return os.path.join(DIR, name)


def mode():
    with lock:
        try:
            with open(path("modes")) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            lines = []
        if not lines:
            return ["good"]
        if not lines[0].startswith("+"):
            with open(path("modes"), "w") as f:
                f.write("".join(line + "\n" for line in lines[1:]))
        return lines[0].lstrip("+").split()


def error(code):
    return "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code></Error><RequestId>r-1</RequestId></ErrorResponse>" % code


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def say(self, status, text):
        body = text.encode()
        self.wfile.write(self.head(status, len(body)) + body)

    def head(self, status, n):
        return ("HTTP/1.1 %d Status\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % (status, n)).encode()

    def close(self):
        self.close_connection = True

    def assume(self, q):
        claims = q["WebIdentityToken"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        tags = claims.get("https://aws.amazon.com/tags", {}).get("principal_tags", {})
        job = "mayfly-cred" in tags
        m = mode() if job else ["good"]
        what, n = m[0], int(m[1]) if len(m) > 1 else 0
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=int(q.get("DurationSeconds", "3600")))
        key = uuid.uuid4().hex[:12].upper()
        text = GOOD % (q["RoleSessionName"], key, uuid.uuid4().hex * 2, uuid.uuid4().hex * 4,
                       end.strftime("%Y-%m-%dT%H:%M:%SZ"), uuid.uuid4())
        made = job and what in ("good", "slow", "cut", "drop", "huge", "garbage", "truncated")
        if made:
            with lock, open(path("made"), "a") as f:
                f.write(tags["mayfly-cred"][0] + "\n")
        if what in ("good", "slow"):
            threading.Event().wait(n / 1000)
            self.say(200, text)
        elif what == "cut":
            whole = self.head(200, len(text)) + text.encode()
            self.wfile.write(whole[: len(whole) * n // 100])
            self.close()
        elif what == "drop":
            self.close()
        elif what == "huge":
            try:
                self.wfile.write(self.head(200, 100 << 20))
                for _ in range(100):
                    self.wfile.write(b"<a>" + b"x" * ((1 << 20) - 3))
            except OSError:
                pass
            self.close()
        elif what == "garbage":
            self.say(200, "<html>\x01 not what you think </Credentials>")
        elif what == "truncated":
            self.say(200, text[: len(text) // 2])
        else:
            self.say(int(what), error({"403": "AccessDenied", "503": "ServiceUnavailable"}.get(what, "InternalFailure")))

    def policy(self, q):
        if os.path.exists(path("iam")):
            with open(path("iam")) as f:
                self.say(int(f.read()), error("ServiceFailure"))
            return
        with lock:
            if q["Action"] == "GetRolePolicy":
                if not os.path.exists(path("denied")):
                    self.say(404, error("NoSuchEntity"))
                    return
                with open(path("denied")) as f:
                    self.say(200, "<R><PolicyDocument>%s</PolicyDocument></R>" % urllib.parse.quote(f.read()))
                return
            if q["Action"] == "PutRolePolicy":
                with open(path("denied"), "w") as f:
                    f.write(q["PolicyDocument"])
            elif os.path.exists(path("denied")):
                os.unlink(path("denied"))
        self.say(200, "<R><ResponseMetadata><RequestId>r-2</RequestId></ResponseMetadata></R>")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        q = {k: v[0] for k, v in urllib.parse.parse_qs(body).items()}
        if re.match("AssumeRole", q.get("Action", "")):
            self.assume(q)
        else:
            self.policy(q)


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
