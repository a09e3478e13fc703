"""How kernels are compiled: `njit(nogil=True, cache=True)` for what Python calls, `njit_inline` for their parts.

numba takes a fifth of a second to import, and a module that describes a stage names its kernels without calling them.
So a kernel is given to numba when it is first called, with all kernels that it calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import update_wrapper
from types import CodeType, ModuleType
from typing import Any

from curation.text import load_numba

_LOCK = threading.RLock()


def prange(count: int) -> range:
    """numba's, in kernels with `parallel=True`."""
    return range(count)


class Kernel:
    """A function that numba compiles, once somebody calls it."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.py_func = function
        self.options = options
        self._dispatcher: Any = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher()(*arguments)

    def dispatcher(self) -> Any:
        """numba's. In the modules of what a kernel calls, theirs take the place of kernels: numba looks there."""
        with _LOCK:
            if self._dispatcher is None:
                numba = load_numba()
                self._dispatcher = numba.njit(**self.options)(self.py_func)
                for module, name in _names(self.py_func):
                    if isinstance(called := module[name], Kernel):
                        module[name] = called.dispatcher()
                    elif called is prange:
                        module[name] = numba.prange
        return self._dispatcher


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit`, with its options."""
    return lambda function: Kernel(function, options)


def njit_inline(function: Callable[..., object]) -> Any:
    """Compile a part of a kernel into its callers. It may not allocate arrays, nor bind one to a name.

    A call in compiled code passes each array as seven words and counts its references up and down; parts of a few
    instructions would spend four fifths of their time on that. Without reference counting (`_nrt`) and inlined they
    cost what they do: English words come three to four times faster.
    """
    return njit(nogil=True, cache=True, forceinline=True, _nrt=False)(function)


def _names(function: Callable[..., Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """What a function may look up, by namespace and name: of its own module, and of modules that this one imports."""
    namespace = function.__globals__
    names = list(_written(function.__code__))
    modules = [vars(namespace[name]) for name in names if isinstance(namespace.get(name), ModuleType)]
    for module in (namespace, *modules):
        yield from ((module, name) for name in names if name in module)


def _written(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _written(constant)
