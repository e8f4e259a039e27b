"""What pages of others can do with a server on this machine: nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

pytestmark = pytest.mark.browser

REBOUND = "rebound.example"


@pytest.fixture
def foreign() -> Iterator[str]:
    """The origin of an empty page on another port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><link rel=icon href='data:,'><title>foreign</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def foreign_page(browser: Any, foreign: str) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(foreign)
    yield page
    context.close()


def test_a_rebound_name_shows_nothing(server: Any, browser: Any) -> None:
    """The browser takes the page for the attacker's own, whose scripts may read all of it."""
    page = browser.new_page()
    answer = page.goto(f"http://{REBOUND}:{server.port}/")
    assert answer.status in (400, 421)
    assert page.locator("article").count() == 0
    page.close()


def test_a_foreign_page_reads_nothing(server: Any, foreign_page: Any) -> None:
    for target in ("/", "/image/0/whole", "/static/app.js"):
        assert foreign_page.evaluate("url => fetch(url).then(() => 'read', () => 'refused')", server.url + target) == (
            "refused"
        )
    load = """([tag, url]) => new Promise(resolve => {
        const element = document.createElement(tag);
        element.onload = () => resolve('loaded');
        element.onerror = () => resolve('refused');
        element.src = url;
        document.head.append(element);
    })"""
    assert foreign_page.evaluate(load, ["img", f"{server.url}/image/0/whole"]) == "refused"
    assert foreign_page.evaluate(load, ["script", f"{server.url}/"]) == "refused"


def test_a_foreign_page_changes_nothing(server: Any, foreign_page: Any) -> None:
    send = """([url, options]) => fetch(url, {method: 'POST', body: '{"index": 0, "excluded": true}', ...options})
        .then(() => 'sent', () => 'refused')"""
    for options in (
        {"mode": "no-cors"},
        {"mode": "no-cors", "headers": {"Content-Type": "text/plain"}},
        {"credentials": "include", "headers": {"Content-Type": "application/json", "X-Token": "x"}},
    ):
        foreign_page.evaluate(send, [f"{server.url}/exclude", options])
    foreign_page.set_content(
        f"<form method=post enctype=text/plain action='{server.url}/exclude'>"
        '<input name=\'{"index": 0, "excluded": true, "a": "\' value=\'"}\'><button>go</button></form>'
    )
    foreign_page.click("button")
    foreign_page.wait_for_load_state()
    assert not (server.path / "exclude.csv").exists()


def test_a_foreign_page_frames_nothing(server: Any, foreign_page: Any) -> None:
    foreign_page.set_content(f"<iframe src='{server.url}/'></iframe>")
    foreign_page.wait_for_timeout(1000)
    texts = [frame.locator("article").count() for frame in foreign_page.frames[1:]]
    assert sum(texts) == 0
