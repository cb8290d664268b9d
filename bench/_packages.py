"""The public names that cases use, looked up in one package or the other: a shape is written once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True, slots=True)
class Package:
    """A package that offers graphs under the public names that both share."""

    name: str

    @property
    def is_installed(self) -> bool:
        """Whether its graphs are: other distributions install savers under the same name."""
        return find_spec(self.name) is not None and find_spec(f"{self.name}.graph") is not None

    def offers(self, module: str) -> bool:
        """Whether a module below the package is installed; `""` is the package."""
        return self.is_installed and (not module or find_spec(f"{self.name}.{module}") is not None)

    @property
    def version(self) -> str:
        try:
            return version(self.name)
        except PackageNotFoundError:
            return "from the checkout"

    def find(self, module: str, name: str) -> Any:
        """`module` is the path below the package: `"graph"`, `"checkpoint.memory"`."""
        return getattr(import_module(f"{self.name}.{module}"), name)

    def builder(self, schema: type) -> Any:
        return self.find("graph", "StateGraph")(schema)

    @property
    def command(self) -> Callable[..., Any]:
        return self.find("types", "Command")  # type: ignore[no-any-return]  # looked up by name

    @property
    def send(self) -> Callable[[str, Any], Any]:
        return self.find("types", "Send")  # type: ignore[no-any-return]  # looked up by name

    def options(self, fn: Callable[..., Any], **wanted: Any) -> dict[str, Any]:
        """Those of the options that `fn` takes here; a case that leans on one says so in its note."""
        known = inspect.signature(fn).parameters
        return {name: value for name, value in wanted.items() if name in known}


START = "__start__"
END = "__end__"

OURS = Package("aiograph")
RIVAL = Package("langgraph")
