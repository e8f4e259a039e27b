import pytest


def test_a_line_says_what_was_skipped_and_how_to_have_it(request: pytest.FixtureRequest) -> None:
    plugins = request.config.pluginmanager.get_plugins()
    skipped_line = next(plugin.skipped_line for plugin in plugins if hasattr(plugin, "skipped_line"))
    reasons = [
        *["Skipped: could not import 'faiss': No module named 'faiss'"] * 2,
        "Skipped: needs the published MoveNet graph: set REID_MODELS to its folder",
        "Skipped: needs MMPose: make setup-mmpose",
        "Skipped: named pipes are POSIX",
    ]
    assert skipped_line(reasons) == (
        "5 skipped: 2 need [faiss], 1 need REID_MODELS, 1 need make setup-mmpose, 1 need another system; "
        "extras: .venv/bin/pip install -c constraints.txt -e '.[faiss]'"
    )
    assert skipped_line([]) == ""
