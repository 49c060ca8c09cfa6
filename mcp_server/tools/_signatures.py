"""Tool functions with additional parameters: the SDK reads the signature and annotations of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def with_parameters(called: Callable[..., Any], function: Callable[..., Any], *added: inspect.Parameter) -> Any:
    """`called` under the name, docstring and parameters of the tool function, with the added ones; all by keyword."""
    signature = inspect.signature(function, eval_str=True)
    own = (parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values())
    parameters = [*own, *added]
    called.__name__, called.__qualname__, called.__doc__ = function.__name__, function.__qualname__, function.__doc__
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called
