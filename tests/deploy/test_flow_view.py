"""Who waits for whom in `citynerve status`."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from deploy.flow_view import flow_lines, read_flow

FLOW = {
    "headline": "Held up: Kafka does not answer (12 min)",
    "hops": [
        {"state": "fine", "text": "The broker waits for nobody."},
        {"state": "waiting", "text": "The gateway gw-1 has waited for Kafka for 12 min: it spools. " + "word " * 30},
        {"state": "something new", "text": "A state this command does not know."},
    ],
}


class Handler(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body if "lang=vi" in self.path else b"[]")

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_each_hop_is_a_line_with_a_mark_and_long_ones_are_wrapped() -> None:
    lines = flow_lines(FLOW, "en")
    assert lines[1] == "who waits for whom: Held up: Kafka does not answer (12 min)"
    assert lines[2] == "  ok  The broker waits for nobody."
    assert lines[3].startswith("  !!  The gateway gw-1 has waited for Kafka for 12 min")
    assert lines[4].startswith("      word")
    assert lines[-1] == "  ??  A state this command does not know."
    assert max(len(line) for line in lines) <= 110


def test_a_control_center_that_does_not_answer_leaves_it_unknown() -> None:
    assert read_flow(1, "en") is None
    assert flow_lines(None, "en")[-1] == "who waits for whom is not known: the control center does not answer"
    assert flow_lines(None, "vi")[-1] == "không rõ ai đang chờ ai: trung tâm điều hành không trả lời"


def test_what_is_not_a_flow_is_not_taken_for_one() -> None:
    Handler.body = json.dumps(FLOW).encode()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert read_flow(server.server_port, "vi") == FLOW
        assert read_flow(server.server_port, "en") is None
        server.shutdown()
