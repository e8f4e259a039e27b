import pytest

from reidprep.text import counted


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
