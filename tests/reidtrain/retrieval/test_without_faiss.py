import sys

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidtrain.retrieval.index import build_index, search_index


def test_a_plain_error_where_faiss_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "faiss", None)
    for call in (
        lambda: build_index([np.ones((4, 2))], tmp_path / "index"),
        lambda: search_index(np.ones((1, 2)), tmp_path, [np.ones((4, 2))]),
    ):
        with pytest.raises(ReidError, match=r"pip install 'reidprep\[faiss\]'"):
            call()
