import json

import pytest

from reidprep.text import counted, differences, utf8


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((1, "image"), "1 image"),
        ((0, "image"), "0 images"),
        ((1200, "image"), "1,200 images"),
        ((2, "query", "queries"), "2 queries"),
    ],
)
def test_one_is_singular(words: tuple, text: str) -> None:
    assert counted(*words) == text


def test_what_is_called_the_same_is_named_once() -> None:
    old, new = (
        {"a": {"n": 1, "sha": "0" * 64}, "sha": "1" * 64, "b": [1]},
        {"a": {"n": 2, "sha": "2" * 64}, "sha": "3" * 64},
    )
    assert differences(old, new, called=lambda name: "--b" if name == "b" else "the poses") == [
        "the poses 1 -> 2",
        "--b [1] -> None",
    ]


def test_names_that_are_no_text_come_back_from_json() -> None:
    content = {"path": "caf\udce9/é.jpg"}
    assert json.loads(utf8(json.dumps(content, ensure_ascii=False))) == content
