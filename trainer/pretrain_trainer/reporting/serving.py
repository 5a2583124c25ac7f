"""The report as a live page: served on this machine, made anew when the run has gone on, nothing written.

The page itself loads nothing (its content security policy forbids it), so it stands in a frame; the page around it asks
whether there is something new and changes the frame where the reader is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pretrain_api import layout
from pretrain_api.errors import PretrainError, UserError
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.summary import summarise
from pretrain_trainer.reporting.write import page

_LOGGER = logging.getLogger(__name__)
_ENDED = ("Succeeded", "Failed")
_LOOK_MILLISECONDS = 2000
_POLICY = "default-src 'none'; img-src data:; frame-src 'self'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_AROUND = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>pre-training report</title>
<link rel="icon" href="data:,">
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden }}
iframe {{ position: absolute; inset: 0; width: 100%; height: 100%; border: 0 }}
#said {{ position: fixed; right: 1em; bottom: 1em; padding: .3em .8em; border-radius: 1em; background: #333; color: #fff;
  font: 13px sans-serif; opacity: .8 }}
</style>
</head>
<body>
<p id="said" role="status">loading</p>
<script>
"use strict";
const said = document.getElementById("said");
let shown = "", frame = null;

function show(version) {{
  const next = document.createElement("iframe");
  next.title = "report";
  next.src = "/report?" + version;
  next.style.visibility = "hidden";
  next.onload = () => {{
    next.contentWindow.scrollTo(0, frame ? frame.contentWindow.scrollY : 0);
    next.style.visibility = "visible";
    if (frame) frame.remove();
    frame = next;
    document.title = next.contentDocument.title;
    document.body.dataset.version = version;
  }};
  document.body.prepend(next);
}}

async function look() {{
  try {{
    const now = await (await fetch("/version")).json();
    if (now.version !== shown) show(shown = now.version);
    said.textContent = now.ended ? now.state : now.state + ", live";
    if (now.ended) return;
  }} catch (error) {{
    said.textContent = "nobody answers: was pretrain report --serve ended?";
  }}
  setTimeout(look, {_LOOK_MILLISECONDS});
}}
look();
</script>
</body>
</html>
"""


class Live:
    """The newest page of a run. `find` reads what the run has recorded."""

    def __init__(self, find: Callable[[], RunRecords]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._page = b""
        self._made_of = ""

    def version(self) -> dict[str, object]:
        """What a page of now would be made of, as a digest; and the job's state."""
        run = self._find()
        return {"version": _digest(run), "state": run.job.status.state, "ended": run.job.status.state in _ENDED}

    def page(self) -> bytes:
        """The report as it is now; made once for each version."""
        run = self._find()
        with self._lock:
            if self._made_of != (digest := _digest(run)):
                report = summarise(run, run.job.status.state, datetime.now(UTC))
                self._page, self._made_of = page(run, report).encode(), digest
            return self._page


def _digest(run: RunRecords) -> str:
    """Changes with the state, the stages and the commits, which are all that a report is made of."""
    status = run.job.status
    parts = [
        status.state,
        [(s.name, s.state, s.fingerprint) for s in status.stages],
        run.storage.names(layout.COMMIT_LOG),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def serve(live: Live, port: int, told: Callable[[str], None]) -> None:
    """Answer on 127.0.0.1 until the program is interrupted; `told` gets the address. Port 0: any that is free. Raises
    UserError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A name that a page elsewhere gave this machine must not open the report to that page.
            if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
                self.send_error(403)
                return
            try:
                match self.path.partition("?")[0]:
                    case "/":
                        self._answer(_AROUND.encode(), "text/html", _POLICY)
                    case "/version":
                        self._answer(json.dumps(live.version()).encode(), "application/json")
                    case "/report":
                        self._answer(live.page(), "text/html")
                    case _:
                        self.send_error(404)
            except PretrainError as error:
                _LOGGER.warning("%s", error)
                self.send_error(503, explain=str(error))

        def _answer(self, content: bytes, kind: str, policy: str = "") -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """A request every few seconds is no news."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        what = f"port {port} cannot be listened at: {error.strerror}."
        raise UserError(
            "port-taken", "--port", what, "Give another one, or leave it out for any that is free."
        ) from error
    with server:
        told(f"http://127.0.0.1:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.1)
