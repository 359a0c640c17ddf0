"""Greets whoever asks, with the greeting that was released beside it: server.py PORT."""
import http.server
import pathlib
import sys

GREETING = (pathlib.Path(__file__).parent / "build/greeting.txt").read_text()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            # It is up also where its greeting has a slip: that shows only when somebody asks for it.
            status, text = 200, "up\n" if self.path == "/up" else GREETING.format(who="world")
        except KeyError as slip:
            status, text = 500, f"nobody knows what {slip} is\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words):
        pass


http.server.ThreadingHTTPServer.request_queue_size = 64
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
