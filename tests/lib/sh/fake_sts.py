"""A fake STS on loopback: fake_sts.py PORT. One line for each request; every role is assumed."""
import datetime
import http.server
import json
import sys
import urllib.parse
import uuid


class H(http.server.BaseHTTPRequestHandler):
    protocol_version="HTTP/1.1"
    def log_message(self,*a): sys.stderr.write("%s %s\n"%(self.path,a[0]%a[1:]))
    def do_POST(self):
        n=int(self.headers.get("Content-Length","0")); q=urllib.parse.parse_qs(self.rfile.read(n).decode())
        q={k:v[0] for k,v in q.items()}
        sys.stderr.write(json.dumps({k:(v[:60]) for k,v in q.items()})+"\n")
        if q.get("Action")=="AssumeRoleWithWebIdentity":
            exp=(datetime.datetime.utcnow()+datetime.timedelta(seconds=int(q.get("DurationSeconds","3600")))).strftime("%Y-%m-%dT%H:%M:%SZ")
            body="""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>x</SubjectFromWebIdentityToken><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/train/%s</Arn><AssumedRoleId>ARO:x</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIAFAKE%s</AccessKeyId><SecretAccessKey>secretkey</SecretAccessKey><SessionToken>sessiontoken</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"""%(q.get("RoleSessionName"),uuid.uuid4().hex[:12].upper(),exp,uuid.uuid4()); ct="text/xml"
        elif "grant_type" in q:
            body=json.dumps({"access_token":"opaque-"+uuid.uuid4().hex,"token_type":"Bearer","expires_in":600,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}); ct="application/json"
        else:
            body="<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"; ct="text/xml"
        b=body.encode(); self.send_response(200); self.send_header("Content-Type",ct); self.send_header("Content-Length",str(len(b))); self.end_headers(); self.wfile.write(b)
http.server.ThreadingHTTPServer(("127.0.0.1",int(sys.argv[1])),H).serve_forever()
