"""Reads a dictionary of float arrays from a pickle without running the pickle.

The face model that the EVP release needs is a pickle, and a pickle is a program. Here nothing of it is
executed or imported: its opcodes, as the standard library's parser lists them, only build a description of
what it would call (`Call`), and the one shape of description that NumPy writes for an array is then read.
Everything else is refused, whatever it would have done.
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.artefacts import ArtefactError

MAX_OPCODES = 2000
"""A dictionary of two arrays takes about a hundred."""

_RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_FROM_BUFFER = {("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")}
_DTYPE = ("numpy", "dtype")
_NDARRAY = ("numpy", "ndarray")
_ENCODE = ("_codecs", "encode")
_GLOBALS = _RECONSTRUCT | _FROM_BUFFER | {_DTYPE, _NDARRAY, _ENCODE}
_TYPES = ("f2", "f4", "f8")


class _Refused(Exception):
    """Why a pickle is not a dictionary of float arrays."""


@dataclass(frozen=True)
class Global:
    """A name the pickle asked for. It is never looked up."""

    name: tuple[str, str]


@dataclass
class Call:
    """A call the pickle asked for, and the state it then gave to the result. It is never made."""

    function: Any
    arguments: Any
    state: Any = None


@dataclass
class Pairs:
    """A dictionary as its pairs: keys are never hashed, because a hostile key can make that last for ever."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)


def read_arrays(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """The arrays of a pickled `{name: float array}`, protocols 0 to 5, as written by NumPy 1 or 2.

    Raises:
        ArtefactError: the file is missing, larger than `max_bytes`, cut short, or anything but such a
            dictionary.
    """
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: expected a pickled dictionary of arrays")
    size = path.stat().st_size
    if size > max_bytes:
        raise ArtefactError(f"{path} has {size} bytes: expected at most {max_bytes}; it is another file")
    try:
        return _dictionary(_described(path.read_bytes()))
    except (_Refused, ValueError, TypeError, IndexError, KeyError, struct.error) as error:
        raise ArtefactError(
            f"{path} is not a pickled dictionary of float arrays ({error}); nothing in it was executed"
        ) from error


class _Stack(list[Any]):
    """The pickle machine's stack; marks lie on it like values."""

    MARK = object()

    def popped_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.pop()) is not self.MARK:
            items.append(item)
        return items[::-1]


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _described(data: bytes) -> Any:
    """What the pickle would build, as values, `Pairs`, `Global` and `Call`."""
    stack, memo = _Stack(), {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(data))):
        if count >= MAX_OPCODES:
            raise _Refused(f"more than {MAX_OPCODES} opcodes")
        name = opcode.name
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            length = _TUPLES[name]
            if len(stack) < length:
                raise _Refused("a tuple longer than the stack")
            stack[len(stack) - length :] = [tuple(stack[len(stack) - length :])]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _build(name, argument, stack)
    raise _Refused("it has no end")


def _build(name: str, argument: Any, stack: _Stack) -> None:
    if name == "MARK":
        stack.append(_Stack.MARK)
    elif name == "TUPLE":
        stack.append(tuple(stack.popped_to_mark()))
    elif name == "EMPTY_DICT":
        stack.append(Pairs())
    elif name == "DICT":
        stack.append(Pairs(_paired(stack.popped_to_mark())))
    elif name == "SETITEMS":
        items = stack.popped_to_mark()
        _pairs(stack[-1]).extend(_paired(items))
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _pairs(stack[-1]).append((key, value))
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        where = argument.split(" ", 1) if name == "GLOBAL" else (stack.pop(), stack.pop())[::-1]
        stack.append(_global(where))
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(Call(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if not isinstance(stack[-1], Call):
            raise _Refused("it sets the state of something that is no array")
        stack[-1].state = state
    else:
        raise _Refused(f"opcode {name} has no place in it")


def _global(where: Any) -> Global:
    module, name = where
    if not (isinstance(module, str) and isinstance(name, str)):  # before either is hashed or printed
        raise _Refused("it asks for something without a name")
    if (module, name) not in _GLOBALS:
        raise _Refused(f"it asks for {module[:80]}.{name[:80]}")
    return Global((module, name))


def _paired(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, Pairs):
        raise _Refused("it sets items of something that is no dictionary")
    return value.pairs


def _dictionary(value: Any) -> dict[str, np.ndarray]:
    if not isinstance(value, Pairs):
        raise _Refused(f"it holds {_kind(value)}, no dictionary")
    arrays: dict[str, np.ndarray] = {}
    for key, item in value.pairs:
        if not isinstance(key, str):
            raise _Refused(f"a key is {_kind(key)}, no text")
        arrays[key] = _array(item)
    return arrays


def _array(value: Any) -> np.ndarray:
    if not (isinstance(value, Call) and isinstance(value.function, Global)):
        raise _Refused(f"a value is {_kind(value)}, no array")
    if value.function.name in _RECONSTRUCT:
        _, shape, dtype, fortran, data = value.state
    elif value.function.name in _FROM_BUFFER and value.state is None:
        data, dtype, shape, order = value.arguments
        fortran = order == "F"
    else:
        raise _Refused("a value is no array")
    if not (isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)):
        raise _Refused("an array has no shape")
    flat = np.frombuffer(_bytes(data), _dtype(dtype))
    return flat.reshape(shape, order="F" if fortran else "C")


def _dtype(value: Any) -> np.dtype:
    if not (isinstance(value, Call) and value.function == Global(_DTYPE)):
        raise _Refused("an array has no element type")
    name, *_ = value.arguments
    order = value.state[1]
    if name not in _TYPES or order not in ("<", ">"):
        raise _Refused(f"its elements are {_kind(name)} {str(name)[:20]}, not one of {', '.join(_TYPES)}")
    return np.dtype(order + name)


def _bytes(value: Any) -> bytes:
    """Protocols 0 to 2 write bytes as text with the call that encodes it; Python 2 wrote text alone."""
    if isinstance(value, Call) and value.function == Global(_ENCODE):
        value, encoding = value.arguments
        if encoding != "latin1":
            raise _Refused("an array's bytes are encoded in a way unknown to NumPy")
    if isinstance(value, str):
        return value.encode("latin1")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise _Refused(f"an array's data is {_kind(value)}, no bytes")


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
