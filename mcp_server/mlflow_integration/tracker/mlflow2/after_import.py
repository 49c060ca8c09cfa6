"""Changing a module right after it is imported, or now if it is imported already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

Change = Callable[[ModuleType], None]


def after_import(applies: Callable[[str], bool], change: Change) -> None:
    """Call `change` once with each module whose name `applies`: importing them all at once would take minutes."""
    for name, module in list(sys.modules.items()):
        if applies(name) and type(module) is ModuleType:
            change(module)
    sys.meta_path.insert(0, _Finder(applies, change))


class _Finder(MetaPathFinder):
    def __init__(self, applies: Callable[[str], bool], change: Change) -> None:
        self._applies = applies
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._applies(fullname):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._change)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, change: Change) -> None:
        self._loader = loader
        self._change = change

    def __getattr__(self, name: str) -> Any:
        # get_source and the like, for tracebacks and inspect.
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)
