"""A container credentials endpoint made by hand: endpoint.py PORT FILE SECRET-FILE. Gives FILE's credential to whoever shows
the secret; 403 once FILE is gone, with a reason, as SDKs are to be told. Prints a line for each request."""
import http.server
import json
import sys


class Endpoint(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with open(sys.argv[3]) as f:
            secret = f.read()
        if self.headers.get("Authorization") != secret:
            return self.answer(403, {"code": "NotYours", "message": "no secret"})
        try:
            with open(sys.argv[2]) as f:
                credential = json.load(f)
        except FileNotFoundError:
            return self.answer(403, {"code": "CredentialRevoked", "message": "the job is over"})
        return self.answer(200, credential)

    def log_message(self, format, *args):
        print("asked", *args, flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint)
print("ready", flush=True)
server.serve_forever()
