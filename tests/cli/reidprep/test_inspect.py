import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from reid_cli.reidprep.main import main

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()", "inspect"]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments), "--no-browser"])


@pytest.fixture
def started(drawn_shards: Path, tmp_path: Path):
    """A running server, its address and the seconds until it was there."""
    begin = time.monotonic()
    options = ["--port", "0", "--no-browser", "--json", "--exclude-file", str(tmp_path / "exclude.csv")]
    with subprocess.Popen(
        [*COMMAND, str(drawn_shards), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            content = json.loads(process.stdout.readline())
            yield process, content, time.monotonic() - begin
        finally:
            process.kill()


def test_serves_until_ctrl_c_and_ends_quietly(started, drawn_shards: Path) -> None:
    from reidprep.shards.reader import ShardSet

    process, content, _ = started
    assert content["kind"] == "shards" and content["samples"] == len(ShardSet.open(drawn_shards))
    address = urlsplit(content["url"])
    assert address.hostname == "127.0.0.1" and address.port
    # Kept open, as browsers do: it must not hold up the end.
    connection = HTTPConnection(address.hostname, address.port, timeout=20)
    for path, status in (("/", 200), ("/image/0/whole", 200), ("/sample/x", 404)):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status and answer.read()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and output == "" and errors == ""
    connection.close()


def test_a_browser_that_is_waited_for_gets_the_page(drawn_shards: Path, tmp_path: Path) -> None:
    browser, got = tmp_path / "browser.py", tmp_path / "got"
    browser.write_text(
        "import sys, urllib.request\n"
        f"open({str(got)!r}, 'wb').write(urllib.request.urlopen(sys.argv[1], timeout=5).read())\n"
    )
    environment = {**os.environ, "BROWSER": shlex.join([sys.executable, str(browser), "%s"])}
    command = [*COMMAND, str(drawn_shards), "--port", "0", "--exclude-file", str(tmp_path / "exclude.csv")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 20
            while time.monotonic() < until and not (got.is_file() and got.stat().st_size):
                time.sleep(0.05)
        finally:
            process.kill()
    assert got.read_bytes().startswith(b"<!DOCTYPE html>")


def test_a_port_in_use(drawn_shards: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke(drawn_shards, "--port", port)
    assert result.exit_code == 1
    assert f"port {port} is in use" in result.output and "--port 0" in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["/nowhere at all"], 1, "no such directory; expected a directory of shards (reidprep build-shards) or"),
        (["{shards}", "--port", "70000"], 2, "--port"),
        (["{shards}", "--host", "no.such.host.invalid"], 1, "--host no.such.host.invalid"),
        (["{shards}", "--host", "192.0.2.1"], 1, "--host 192.0.2.1"),
        (["{shards}", "--source", "{shards}"], 1, "no dataset found"),
        (["{shards}", "--source", "/nowhere at all"], 2, "--source"),
        (["{shards}", "--run", "/nowhere at all"], 1, "there is no such folder"),
        (["{shards}", "--run", "{shards}"], 1, "is no run"),
        (["{shards}", "--exclude-file", "{broken}"], 1, "line 1"),
    ],
)
def test_wrong_use(drawn_shards: Path, tmp_path: Path, arguments: list[str], status: int, message: str) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("nonsense\n", encoding="utf-8")
    port = [] if "--port" in arguments else ["--port", 0]
    result = invoke(*(text.format(shards=drawn_shards, broken=broken) for text in arguments), *port)
    assert result.exit_code == status and message in result.output and "Traceback" not in result.output


def test_shards_that_are_not_complete(drawn_shards: Path, tmp_path: Path) -> None:
    text = (drawn_shards / "manifest.json").read_text(encoding="utf-8").rpartition(',\n "sha256"')[0] + "\n}"
    (tmp_path / "manifest.json").write_text(text.replace('"complete": true', '"complete": false'), encoding="utf-8")
    result = invoke(tmp_path, "--port", 0)
    assert result.exit_code == 1 and "are not complete" in result.output


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_the_missing_extra_is_named(drawn_shards: Path, module: str) -> None:
    without = f"import sys; sys.modules[{module!r}] = None; from reid_cli.reidprep.main import main; main()"
    command = [sys.executable, "-c", without, "inspect", str(drawn_shards), "--port", "0", "--no-browser"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "pip install 'reidprep[inspect]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_address_is_warned_of(drawn_shards: Path) -> None:
    options = ["--host", "0.0.0.0", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*COMMAND, str(drawn_shards), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        try:
            assert b"samples at http://127.0.0.1:" in process.stdout.readline()
        finally:
            process.kill()
        assert b"warning: 0.0.0.0 can be reached from other machines" in process.stderr.read()
