"""What an API server's answers tell of the clock of this machine."""

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from support.cluster.certificates import Authority

from pretrain_trainer.pod.api_server import ApiServer, Refused


class Server(http.server.ThreadingHTTPServer):
    """Answers all requests alike, by a clock of its own."""

    ahead, status, asked = 0.0, 200, 0

    def date(self) -> str | None:
        return formatdate(time.time() + self.ahead, usegmt=True)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response_only(self.server.status)
        if (date := self.server.date()) is not None:
            self.send_header("Date", date)
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PATCH = answer

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    authority = Authority(tmp_path)
    pair = authority.server("server", "127.0.0.1")
    (tmp_path / "token").write_text("secret")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with Server(("127.0.0.1", 0), Handler) as found:
        found.socket = tls.wrap_socket(found.socket, server_side=True)
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> ApiServer:
    return ApiServer("127.0.0.1", server.server_address[1], "n", tmp_path)


class TestSecondsAhead:
    @pytest.mark.parametrize("ahead", [-86400, -600, 5, 600])
    def test_are_those_of_its_clock(self, api: ApiServer, server: Server, ahead: float) -> None:
        server.ahead = ahead
        assert api.seconds_ahead() == pytest.approx(ahead, abs=1.5)

    @pytest.mark.parametrize("ahead", [-0.5, 0, 0.5])
    def test_are_none_where_the_clocks_may_well_agree(self, api: ApiServer, server: Server, ahead: float) -> None:
        server.ahead = ahead
        assert api.seconds_ahead() == 0

    def test_are_of_the_newest_answer(self, api: ApiServer, server: Server) -> None:
        assert api.seconds_ahead() == 0
        server.ahead = 60
        assert api.seconds_ahead() == 0  # nobody asks for it alone
        api.patch("gpt-report", {})
        assert api.seconds_ahead() == pytest.approx(60, abs=1.5)
        assert server.asked == 2

    def test_are_known_from_a_refusal_too(self, api: ApiServer, server: Server) -> None:
        server.ahead, server.status = 60, 403
        with pytest.raises(Refused):
            api.patch("gpt-report", {})
        assert api.seconds_ahead() == pytest.approx(60, abs=1.5)

    @pytest.mark.parametrize(
        "date",
        [
            None, "", "now", "Mon, 30 Nov 2026 07:38:35 +99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 30 Nov 2026 07:38:35", "Mon, 30 Nov 2026 07:38:35 -0000", "Mon, 30 Nov 2020 07:38:35 GMT, x",
        ],
    )  # fmt: skip
    def test_are_none_where_an_answer_has_no_date_of_the_right_form(
        self, api: ApiServer, server: Server, date: str | None
    ) -> None:
        server.date = lambda: date
        assert api.seconds_ahead() == 0
