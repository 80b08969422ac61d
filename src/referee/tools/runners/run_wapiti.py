"""Start wapiti without the three libraries that it imports and that a scan does not use.

They read Flash films, the cookies of a person's browsers, and traffic through an intercepting
proxy. The options that would need them are never given; asking for one anyway ends with an error.

Usage: ``python -I run_wapiti.py <wapiti's own arguments>``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ABSENT = ("browser_cookie3", "mitmproxy", "yaswfp")


class _AbsentModule(ModuleType):
    """Has every public name, as a class that cannot be made."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__new__": _refuse})


def _refuse(*_arguments: object, **_named: object) -> object:
    raise RuntimeError("this part of wapiti is not installed")


class _AbsentLibraries(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ABSENT:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def main() -> None:
    """Run wapiti with this process' arguments."""
    sys.meta_path.insert(0, _AbsentLibraries())
    from wapitiCore.main.wapiti import (  # type: ignore[import-not-found]  # noqa: PLC0415 - after the finder
        wapiti_main,
    )

    asyncio.run(wapiti_main())


if __name__ == "__main__":
    main()
