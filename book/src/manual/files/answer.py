"""Answers the probes of the manual: plain on one port, with TLS on another."""
import http.server
import json
import ssl
import sys
import threading
import urllib.parse


class Answer(http.server.BaseHTTPRequestHandler):
    def reply(self, status, text, kind="text/plain", **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/moved":
            return self.reply(302, "", Location="/hello")
        if url.path == "/hello":
            return self.reply(200, "hello\n")
        if url.path != "/echo":
            return self.reply(404, "no such page\n")
        length = int(self.headers.get("Content-Length") or 0)
        seen = {
            "method": self.command,
            "query": dict(urllib.parse.parse_qsl(url.query)),
            "type": self.headers.get("Content-Type", ""),
            "visitor": self.headers.get("X-Visitor", ""),
            "host": self.headers.get("Host", ""),
            "body": self.rfile.read(length).decode(),
        }
        self.reply(200, json.dumps(seen), "application/json")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer


plain = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem", "server.key")
    secure = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Answer)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
plain.serve_forever()
