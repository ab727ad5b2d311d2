"""Functions on their way to a worker, and what they return on the way back.

A function that can be imported travels as its name. One that cannot (of a notebook or script, a lambda, a closure) travels as its code, with its
defaults, the values it closes over, and the globals it names; so a worker needs Python of the same minor version for those, and the check says so.

The file is laid beside every call as ``call.py``, so it needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import builtins
import dis
import importlib
import io
import marshal
import os
import pickle
import sys
import traceback
import types
from typing import Any, Callable, Optional

_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
_ME = "backlot._ship"


def is_importable(thing: Any) -> bool:
    """Whether another process can be expected to find it by its module and name."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if module in (None, "__main__", "__mp_main__") or name is None or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


def _named_globals(code: types.CodeType) -> set[str]:
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in _GLOBALS}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _named_globals(constant)
    return names


def make(code: bytes, name: str, python: tuple[int, int], cells: int) -> types.FunctionType:
    """The function without its state; `fill` gives it that, because it may name itself."""
    if tuple(sys.version_info[:2]) != tuple(python):
        ours, theirs = ".".join(map(str, sys.version_info[:2])), ".".join(map(str, python))
        raise RuntimeError(
            f"{name} was sent as code of Python {theirs} and this is {ours}; "
            "put it into a module that workers can import, or give Executor(python=…) of the same version"
        )
    closure = tuple(types.CellType() for _ in range(cells))
    return types.FunctionType(marshal.loads(code), {"__builtins__": builtins}, name, None, closure)


def fill(function: types.FunctionType, state: dict[str, Any]) -> None:
    """Gives a function what it was sent with."""
    function.__globals__.update(state["globals"])
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__dict__.update(state["dict"])
    function.__qualname__ = state["qualname"]
    function.__doc__ = state["doc"]
    for cell, value in zip(function.__closure__ or (), state["cells"]):
        if value:
            cell.cell_contents = value[0]


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not assigned yet
        return ()


class _Pickler(pickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, types.FunctionType) and not is_importable(thing):
            code = thing.__code__
            named = {name: thing.__globals__[name] for name in sorted(_named_globals(code)) if name in thing.__globals__}
            named["__name__"] = "__main__"
            closure = thing.__closure__ or ()
            state = {
                "globals": named,
                "defaults": thing.__defaults__,
                "kwdefaults": thing.__kwdefaults__,
                "dict": thing.__dict__,
                "qualname": thing.__qualname__,
                "doc": thing.__doc__,
                "cells": [_cell(cell) for cell in closure],
            }
            made = (marshal.dumps(code), thing.__name__, tuple(sys.version_info[:2]), len(closure))
            return make, made, state, None, None, fill
        if isinstance(thing, types.ModuleType):
            if thing.__name__ == "__main__":
                raise pickle.PicklingError("the module __main__ does not travel; import what the function needs from a module")
            return importlib.import_module, (thing.__name__,)
        if isinstance(thing, type) and thing.__module__ == "__main__":
            raise pickle.PicklingError(
                f"the class {thing.__qualname__} of __main__ does not travel; put it into a module that workers can import, "
                "or whose file you give as Executor(modules=[…])"
            )
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return globals()[name] if module == _ME else super().find_class(module, name)


def dumps(thing: Any) -> str:
    """Anything as text."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=4).dump(thing)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def loads(text: str) -> Any:
    """Back from text."""
    return _Unpickler(io.BytesIO(base64.b64decode(text))).load()


def _call(function: Callable[..., Any], arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
    return [function(*positional, **named) for positional, named in arguments]


def run_call(function: str, arguments: str) -> bytes:
    """Does the calls; the results, or the exception that ended them, as bytes."""
    try:
        answer: tuple[Any, ...] = (True, _call(loads(function), loads(arguments)))
        return pickle.dumps(answer, protocol=4)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            error = RuntimeError(f"the function ended its process: {error!r}")
        told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return _failed(error, told)


def _failed(error: BaseException, told: str) -> bytes:
    error.__traceback__ = None
    error.__cause__ = error.__context__ = None
    try:
        sent = pickle.dumps((False, error, told), protocol=4)
        # Some exceptions are written and cannot be read.
        pickle.loads(sent)
        return sent
    except Exception:
        return pickle.dumps((False, None, told), protocol=4)


def main(folder: Optional[str] = None) -> None:
    """What a worker runs."""
    place = folder or os.getcwd()
    with open(os.path.join(place, "function.b64")) as function, open(os.path.join(place, "call.b64")) as call:
        answer = run_call(function.read(), call.read())
    with open(os.path.join(place, "result.pickle"), "wb") as result:
        result.write(answer)


if __name__ == "__main__":
    main()
