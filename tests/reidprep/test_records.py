from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given
from hypothesis import strategies as st

from reidprep.records import why_unsafe


@given(st.text(alphabet="ab./\\:\0\n ", max_size=8))
def test_a_path_is_safe_if_it_stays_below_its_folder(path: str) -> None:
    parts = PurePosixPath(path).parts
    absolute = path.startswith("/") or PureWindowsPath(path).drive
    assert (why_unsafe(path) is None) is bool(
        parts and not absolute and ".." not in parts and not {"\0", "\\"} & set(path)
    )
