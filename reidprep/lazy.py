"""Names that a package offers without importing the modules they live in, until they are used (PEP 562)."""

import sys

# Why and how: `reidprep/__init__.py`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazily(
    package: str, homes: "Mapping[str, str]", extra: str | None = None
) -> "tuple[Callable[[str], object], Callable[[], list[str]]]":
    """The `__getattr__` and `__dir__` of a package.

    Args:
        package: its `__name__`.
        homes: the module that each public name lives in.
        extra: what installs the modules that they need.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            value: object = getattr(import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if extra is None or (error.name or "").partition(".")[0] in ("reidprep", "reidtrain"):
                raise
            message = f"{package}.{name} needs {error.name}, which is not installed: pip install 'reidprep[{extra}]'"
            raise ModuleNotFoundError(message, name=error.name) from None
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *homes})
