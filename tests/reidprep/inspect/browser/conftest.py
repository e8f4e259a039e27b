"""The command itself, served to a headless Chromium that may talk to nobody else."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()", "inspect"]


@dataclass(frozen=True)
class Server:
    """A running command and what it serves."""

    url: str
    path: Path
    samples: int
    process: "subprocess.Popen[str]"

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port
        return port


Serve = Callable[..., Server]


@contextmanager
def served(path: Path, *options: object, command: Sequence[str] = COMMAND) -> Iterator[Server]:
    process = subprocess.Popen(
        [*command, str(path), "--port", "0", "--no-browser", "--json", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            pytest.fail(f"the server did not start: {process.communicate(timeout=20)[1]}")
        ready = json.loads(line)
        yield Server(ready["url"].rstrip("/"), path, ready["samples"], process)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors, errors


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts the command on a directory."""
    pytest.importorskip("starlette", reason="needs the extra: pip install 'reidprep[inspect]'")
    with ExitStack() as stack:
        yield lambda path, *options: stack.enter_context(served(path, *options))


@pytest.fixture(scope="session")
def server(drawn: Path, drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The command on drawn shards, which tests must not mark."""
    pytest.importorskip("starlette", reason="needs the extra: pip install 'reidprep[inspect]'")
    path = shutil.copytree(drawn_shards, tmp_path_factory.mktemp("served") / "shards")
    with served(Path(path), "--source", drawn) as running:
        yield running


@pytest.fixture
def shards(drawn_shards: Path, tmp_path: Path) -> Path:
    """Shards of the test's own."""
    return Path(shutil.copytree(drawn_shards, tmp_path / "shards"))


class Complaints(list[str]):
    """What a page did that it must not."""

    def watch(self, page: Any, url: str) -> None:
        origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
        page.on("request", lambda request: request.url.startswith(origin) or self.append(f"asked {request.url}"))
        page.on("pageerror", lambda error: self.append(f"error {error}"))
        page.on("dialog", lambda dialog: (self.append(f"dialog {dialog.message}"), dialog.dismiss()))
        # Violations of the Content-Security-Policy are errors on the console.
        page.on("console", lambda line: line.type in ("error", "warning") and self.append(f"console {line.text}"))


class Window:
    """A page of Playwright, and what tests ask of it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def shown(self) -> list[int]:
        """The samples of the grid."""
        found = self.page.eval_on_selector_all("article.sample", "all => all.map(a => a.dataset.index)")
        return [int(number) for number in found]

    def count(self) -> int:
        """How many samples the page says that the filter has."""
        found = re.search(r"[\d,]+", self.page.inner_text("#count"))
        assert found
        return int(found[0].replace(",", ""))

    def focused(self) -> str | None:
        """The sample that has the keyboard's focus."""
        return self.page.evaluate("document.activeElement.closest('[data-index]')?.dataset.index ?? null")

    def pixels(self, element: Any = None, **options: Any) -> np.ndarray:
        """What the browser paints, (h, w, 3)."""
        picture = Image.open(io.BytesIO((element or self.page).screenshot(**options)))
        return np.asarray(picture.convert("RGB")).astype(int)

    def wait_for_images(self) -> int:
        """Waits until all images are there; returns their number."""
        self.page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        wait_until(lambda: self.page.evaluate("[...document.images].every(image => image.complete)"))
        assert self.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        return self.page.evaluate("document.querySelectorAll('img, image').length")


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Waits for what takes a moment. Playwright's own way is one that the page's security policy forbids."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.05)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition."""
    return wait_until


@pytest.fixture
def listed() -> Callable[[Path], list[str]]:
    """The paths in the exclude.csv of a folder."""

    def read(path: Path) -> list[str]:
        file = path / "exclude.csv"
        if not file.exists():
            return []
        with file.open(newline="", encoding="utf-8") as lines:
            return [row["path"] for row in csv.DictReader(lines)]

    return read


OpenPage = Callable[..., Window]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Complaints about the pages of a test; a test that expects one removes it."""
    found = Complaints()
    yield found
    assert found == []


@pytest.fixture
def open_page(browser: Any, complaints: Complaints) -> Iterator[OpenPage]:
    """Opens an address in a browser profile of its own."""
    contexts = []

    def open_at(url: str, **options: Any) -> Window:
        context = browser.new_context(**options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page, url)
        page.goto(url)
        return Window(page)

    yield open_at
    for context in contexts:
        context.close()
