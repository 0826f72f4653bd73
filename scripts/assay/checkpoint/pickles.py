"""Reads a pickle as data: what it would call is written down, and nothing is called, imported or compared.

A pickle is a program for a small stack machine. ``pickletools`` decodes its opcodes; the machine here carries them out
on records of its own. A name becomes a ``Name``, a call of it becomes an ``Instance`` that remembers the arguments,
the state and the members that it was given. Even dicts and sets are such records, so that no key of the file is hashed
before ``contents`` has looked at its type.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_OPCODES = 2_000_000
MAX_NAME = 1000  # characters of the name of a class or function
MAX_NAMES = 10_000
MAX_NUMBER_BITS = 32_768

# Reductions that only say "an instance of this class": the class is their first argument.
_MAKES_INSTANCE = {"copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__"}
_RENAMED = (
    ("__builtin__.", "builtins."),
    ("copy_reg.", "copyreg."),
)  # pickles keep the names of Python 2


class PickleError(ValueError):
    """The pickle is damaged, or larger than anything that a checkpoint needs."""


@dataclass(eq=False, slots=True, repr=False)
class Name:
    """A class or function by its name, e.g. "torch.nn.functional.silu". It was not looked up."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(eq=False, slots=True, repr=False)
class Instance:
    """What a call in the pickle would have returned.

    Attributes:
        name: what would have been called; for an instance its class. Plain containers are "dict" and "set".
        args: the positional arguments, a tuple of values.
        keywords: the "dict" instance of keyword arguments, or None.
        state: what ``__setstate__`` would have been given, or None.
        members: what would have been appended or added, in order.
        entries: pairs of key and value that would have been set, in order.
    """

    name: str
    args: tuple = ()
    keywords: Any = None
    state: Any = None
    members: list | None = None
    entries: list[tuple[Any, Any]] | None = None

    def __repr__(self) -> str:
        return f"<an instance of {self.name}>"


@dataclass(eq=False, slots=True, repr=False)
class Persistent:
    """What stands outside the pickle under ``key``: for torch, a storage."""

    key: Any

    def __repr__(self) -> str:
        return "<a value outside the pickle>"


@dataclass(frozen=True)
class Pickle:
    """A pickle that was read.

    Attributes:
        root: the value, made of plain values, lists, tuples and the records of this module.
        names: every class and function that it names, sorted.
        persistent: what it wants from outside, in the order of the file.
    """

    root: Any
    names: list[str]
    persistent: list[Persistent]


def read_pickle(stream: io.BytesIO) -> Pickle:
    """Read the next pickle of ``stream``, of any protocol, and stop behind it.

    Raises:
        PickleError: it is no sound pickle, or has more than 2,000,000 opcodes.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged text holds escapes that Python warns of
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count > MAX_OPCODES:
                    raise PickleError(f"a pickle of more than {MAX_OPCODES:,} steps")
                machine.step(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, EOFError, struct.error, AttributeError, TypeError) as error:
        raise PickleError(f"a damaged pickle: {type(error).__name__}") from None
    if len(machine.stack) != 1 or machine.marks:
        raise PickleError("a pickle that leaves values over")
    return Pickle(machine.stack[0], sorted(machine.names), machine.persistent)


@dataclass
class _Machine:
    """The stack, the stacks that marks have set aside, and the memo."""

    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    names: dict[str, Name] = field(default_factory=dict)
    persistent: list[Persistent] = field(default_factory=list)

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one opcode; one that is in no table is refused."""
        if opcode in _LITERALS:
            self.stack.append(_bounded(argument))
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode]())
        elif opcode in _MEMO_GETS:
            self.stack.append(self.memo[argument])
        elif opcode in _MEMO_PUTS:
            self.memo[argument] = self.stack[-1]
        elif opcode not in _IGNORED:
            _STEPS[opcode](self, argument)

    def pop(self, count: int) -> list[Any]:
        """Take the last ``count`` values from the stack, in their order."""
        if len(self.stack) < count:
            raise PickleError("a pickle that takes more than it has")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def pop_mark(self) -> list[Any]:
        """Take all values since the last mark, and the mark."""
        values, self.stack = self.stack, self.marks.pop()
        return values

    def mark(self, _: Any) -> None:
        """Begin a run of values of unknown length."""
        self.marks.append(self.stack)
        self.stack = []

    def drop(self, _: Any) -> None:
        """Forget the last value, or the mark if that came last."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def drop_to_mark(self, _: Any) -> None:
        """Forget all values since the last mark, and the mark."""
        self.pop_mark()

    def memoize(self, _: Any) -> None:
        """Number the last value by the count of those before it."""
        self.memo[len(self.memo)] = self.stack[-1]

    def tuple_of(self, count: int | None) -> None:
        """Put the last values, or all since the mark, into one tuple."""
        values = self.pop_mark() if count is None else self.pop(count)
        self.stack.append(tuple(values))

    def name(self, text: Any) -> None:
        """Push a name that an opcode spells as "module name"."""
        self.stack.append(self._named(text.partition(" ")[::2]))

    def name_from_stack(self, _: Any) -> None:
        """Push a name whose two parts are the last two values."""
        self.stack.append(self._named(self.pop(2)))

    def extension(self, code: Any) -> None:
        """Push what a registry of the process would look up by number. It is not asked."""
        self.stack.append(self._named(("copyreg", f"extension_{code}")))

    def call(self, _: Any) -> None:
        """Note a call of the value before the last with the last, a tuple of arguments."""
        function, args = self.pop(2)
        self.stack.append(_instance(function, args))

    def call_with_keywords(self, _: Any) -> None:
        """Note a call with positional and keyword arguments."""
        function, args, keywords = self.pop(3)
        self.stack.append(_instance(function, args, keywords))

    def call_since_mark(self, _: Any) -> None:
        """Note a call of the first value since the mark with those behind it."""
        function, *args = self.pop_mark()
        self.stack.append(_instance(function, tuple(args)))

    def call_by_name(self, text: Any) -> None:
        """Note a call of a spelled name with all values since the mark."""
        args = tuple(self.pop_mark())
        self.stack.append(_instance(self._named(text.partition(" ")[::2]), args))

    def build(self, _: Any) -> None:
        """Note the last value as the state of the one before it. Plain containers have no use for one."""
        [state] = self.pop(1)
        if isinstance(self.stack[-1], Instance):
            self.stack[-1].state = state

    def append(self, values: list[Any]) -> None:
        """Add members to the last value."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Instance):
            target.members = target.members or []
            target.members.extend(values)
        else:
            raise PickleError("a pickle that appends to what is no list")

    def set_items(self, values: list[Any]) -> None:
        """Set entries of the last value: keys and values by turns."""
        target = self.stack[-1]
        if not isinstance(target, Instance) or len(values) % 2:
            raise PickleError("a pickle that sets items of what is no dict")
        target.entries = target.entries or []
        target.entries.extend(zip(values[::2], values[1::2], strict=True))

    def dict_since_mark(self, _: Any) -> None:
        """Put all values since the mark into one dict."""
        values = self.pop_mark()
        self.stack.append(Instance("dict"))
        self.set_items(values)

    def set_since_mark(self, _: Any) -> None:
        """Put all values since the mark into one frozen set."""
        values = self.pop_mark()
        self.stack.append(Instance("set", members=values))

    def list_since_mark(self, _: Any) -> None:
        """Put all values since the mark into one list."""
        values = self.pop_mark()
        self.stack.append(values)

    def from_outside(self, key: Any) -> None:
        """Push what stands outside the pickle under ``key``, or the name of a class whose source stands there."""
        if isinstance(key, tuple) and len(key) > 1 and key[0] == "module" and isinstance(key[1], Name):
            self.stack.append(key[1])
            return
        self.persistent.append(Persistent(key))
        self.stack.append(self.persistent[-1])

    def _named(self, parts: Any) -> Name:
        if not all(isinstance(part, str) for part in parts):
            raise PickleError("a pickle with a name that is no text")
        if sum(map(len, parts)) > MAX_NAME:
            raise PickleError(f"a pickle with a name of more than {MAX_NAME} characters")
        name = ".".join(parts)
        for old, new in _RENAMED:
            name = new + name.removeprefix(old) if name.startswith(old) else name
        if len(self.names) >= MAX_NAMES:
            raise PickleError(f"a pickle of more than {MAX_NAMES:,} names")
        return self.names.setdefault(name, Name(name))


def _instance(function: Any, args: Any, keywords: Any = None) -> Instance:
    """The record of a call, under the class that it makes an instance of."""
    if not isinstance(function, Name | Instance) or not isinstance(args, tuple):
        raise PickleError("a pickle that calls what is no function")
    made = args[0] if function.name in _MAKES_INSTANCE and args else None
    return Instance(made.name if isinstance(made, Name) else function.name, args, keywords)


def _bounded(value: Any) -> Any:
    """``value``, unless it is a number so long that reckoning with it takes time."""
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        raise PickleError(f"a number of {value.bit_length()} bits")
    return value


_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "FLOAT", "BINFLOAT",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": lambda: Instance("dict"),
    "EMPTY_SET": lambda: Instance("set"),
}
_MEMO_GETS = {"GET", "BINGET", "LONG_BINGET"}
_MEMO_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MEMOIZE": _Machine.memoize,
    "TUPLE": lambda machine, _: machine.tuple_of(None),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": _Machine.list_since_mark,
    "DICT": _Machine.dict_since_mark,
    "FROZENSET": _Machine.set_since_mark,
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "EXT1": _Machine.extension,
    "EXT2": _Machine.extension,
    "EXT4": _Machine.extension,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_since_mark,
    "INST": _Machine.call_by_name,
    "BUILD": _Machine.build,
    "PERSID": _Machine.from_outside,
    "BINPERSID": lambda machine, _: machine.from_outside(machine.pop(1)[0]),
}
