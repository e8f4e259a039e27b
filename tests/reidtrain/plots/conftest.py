"""Pages that were written, taken apart again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest


class Page(HTMLParser):
    """All start tags with their attributes, and all text, of a document whose elements are all closed."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def alternatives(self) -> list[str]:
        """Alternative text of each image."""
        return [attributes["alt"] for tag, attributes in self.tags if tag == "img"]

    def require_self_contained(self) -> None:
        """Nothing is loaded or run, and every image can be decoded."""
        assert not {"script", "link", "iframe"} & {tag for tag, _ in self.tags}
        text = " ".join(self.text)
        assert "://" not in text and "url(" not in text and "@import" not in text
        for tag, attributes in self.tags:
            assert "href" not in attributes and not any(name.startswith("on") for name in attributes)
            if tag == "img":
                kind, data = attributes["src"].split(",")
                assert kind == "data:image/jpeg;base64"
                encoded = np.frombuffer(base64.b64decode(data, validate=True), np.uint8)
                assert cv2.imdecode(encoded, cv2.IMREAD_COLOR) is not None


@pytest.fixture
def read_page() -> Callable[[Path], Page]:
    """Parse an HTML file."""
    return lambda path: Page(path.read_text(encoding="utf-8"))
