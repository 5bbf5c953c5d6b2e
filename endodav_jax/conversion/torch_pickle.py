"""The pickle inside a PyTorch file, read without PyTorch and without running anything.

Three fences, each enough on its own for the files it is meant for:

1. `scan` walks the opcodes before anything is built and refuses instructions that `torch.save` never writes, nesting
   and memo indices that would exhaust the stack or the memory, and every global that is not known.
2. `find_class` never imports: it answers a known name with an inert stand-in of this module and refuses all others.
3. The stand-ins build tensors (views of the file's own bytes) and plain containers, and ignore state set on them.
"""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from endodav_jax.errors import UserError

MAX_DEPTH = 100  # a state dict inside a training checkpoint nests about ten deep
MAX_PICKLE_BYTES = 1 << 24  # the tensors lie outside the pickle; that of the largest published file is 0.1 MB

_DTYPES = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
    "int64": np.int64, "int32": np.int32, "int16": np.int16, "int8": np.int8, "bool": np.bool_,
    "uint64": np.uint64, "uint32": np.uint32, "uint16": np.uint16, "uint8": np.uint8,
}  # fmt: skip
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip

# What torch.save writes (protocols 2 to 5).  Absent on purpose: INST, OBJ, NEWOBJ and NEWOBJ_EX (build instances of
# classes), EXT1/2/4 (the process's own registry), PERSID, BYTEARRAY8, NEXT_BUFFER and READONLY_BUFFER.
_OPCODES = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT",
    "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM",
    "SETITEMS", "EMPTY_SET", "ADDITEMS", "FROZENSET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID", "PUT",
    "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET",
))  # fmt: skip
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")


class Refused(Exception):
    """The pickle asks for something that is neither a tensor nor a container; `str` says what."""


class _State(dict):
    """A container whose attributes are dropped: `_metadata` of a state dict, hooks of a tensor."""

    __slots__ = ()

    def __setstate__(self, state):
        """Ignores what a pickle wants to attach."""


class _StandIn:
    """The stand-in for a known global: callable and without attributes, so that a pickle cannot alter it."""

    __slots__ = ("_call",)
    _call: Callable

    def __init__(self, call: Callable):
        object.__setattr__(self, "_call", call)

    def __call__(self, *args):
        return self._call(*args)

    def __setattr__(self, name, value):
        raise Refused("it tries to alter a function")

    def __setstate__(self, state):
        raise Refused("it tries to alter a function")


class _DType(_StandIn):
    """`torch.float32` and the like, or the storage type of that element type (`dtype` None: untyped bytes)."""

    __slots__ = ("dtype",)
    dtype: np.dtype | None

    def __init__(self, dtype: np.dtype | None):
        super().__init__(_not_callable)
        object.__setattr__(self, "dtype", None if dtype is None else np.dtype(dtype))


def _not_callable(*_):
    raise Refused("it calls an element type")


def tensor_view(storage: np.ndarray, offset: int, size: tuple, stride: tuple) -> np.ndarray:
    """Returns a view of the 1-D `storage` as PyTorch describes it; strides and offset count elements.

    Raises:
      Refused: the numbers are not sizes, reach outside the storage, or expand it beyond what it holds.
    """
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers) or len(size) > 32:
        raise Refused(f"a tensor of size {size}, stride {stride}, offset {offset} is malformed")
    count = 1
    for n in size:
        count *= n
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else offset - 1
    if last >= len(storage) or count > len(storage) or offset > len(storage):
        raise Refused(f"a tensor of size {size}, stride {stride}, offset {offset} exceeds its {len(storage)} elements")
    if not count:
        return np.zeros(size, storage.dtype)
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def _rebuild_tensor(storage, offset, size, stride, *_) -> np.ndarray:
    return tensor_view(_typed(storage, None), offset, tuple(size), tuple(stride))


def _rebuild_tensor_v3(storage, offset, size, stride, _grad, _hooks, dtype, *_) -> np.ndarray:
    return tensor_view(_typed(storage, dtype), offset, tuple(size), tuple(stride))


def _typed(storage, dtype) -> np.ndarray:
    """Returns the storage as elements of `dtype` (None: as it is)."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise Refused("a tensor without a storage")
    if dtype is None:
        return storage
    if not isinstance(dtype, _DType) or dtype.dtype is None or storage.nbytes % dtype.dtype.itemsize:
        raise Refused("a tensor whose bytes do not divide into its elements")
    return storage.view(dtype.dtype)


def _rebuild_parameter(data, *_) -> np.ndarray:
    if not isinstance(data, np.ndarray):
        raise Refused("a parameter that is not a tensor")
    return data


def _container(kind: type) -> _StandIn:
    """Returns a stand-in that builds a small container; long ones are filled by instructions of their own."""

    def build(*items):
        if len(items) > 1 or any(not isinstance(item, (list, tuple)) or len(item) > 64 for item in items):
            raise Refused(f"it builds a {kind.__name__} from something that is no short list")
        return kind(*items)

    return _StandIn(build)


def _device(*names) -> str:
    return ":".join(str(name) for name in names)


_GLOBALS: dict[str, _StandIn] = {
    "collections.OrderedDict": _container(_State),
    "torch._utils._rebuild_tensor_v2": _StandIn(_rebuild_tensor),
    "torch._utils._rebuild_tensor_v3": _StandIn(_rebuild_tensor_v3),
    "torch._utils._rebuild_parameter": _StandIn(_rebuild_parameter),
    "torch._utils._rebuild_parameter_with_state": _StandIn(_rebuild_parameter),
    "torch.Size": _container(tuple),
    "torch.device": _StandIn(_device),
    "torch.storage.UntypedStorage": _DType(None),
}
_GLOBALS |= {f"torch.{name}": _DType(dtype) for name, dtype in _DTYPES.items()}
_GLOBALS |= {f"torch.{name}": _DType(_DTYPES[dtype]) for name, dtype in _STORAGES.items()}
for _builtins in ("builtins", "__builtin__"):
    _GLOBALS |= {f"{_builtins}.set": _container(set), f"{_builtins}.frozenset": _container(frozenset)}


def known_global(module: str, name: str) -> _StandIn:
    """Returns the stand-in of `module.name`.

    Raises:
      Refused: it belongs to neither a tensor nor a container.
    """
    known = _GLOBALS.get(f"{module}.{name}")
    if known is None:
        shown = ascii(f"{module}.{name}")[1:-1][:80]
        raise Refused(f"it asks for {shown}, which is neither a tensor nor a container")
    return known


def scan(data: bytes) -> None:
    """Walks the opcodes of a pickle without building anything.

    The depth of every value on the stack is followed through `pickletools`' own description of each opcode: Python's
    hash of a deeply nested tuple overflows the C stack, so depth must be bounded before anything is built.

    Raises:
      Refused: an opcode, a global, a depth or a memo index that no state dict needs.
    """
    stack: list[int | None] = []  # depths; None is a mark
    memo: dict[Any, int | None] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in _OPCODES:
            raise Refused(f"it uses the pickle instruction {opcode.name}, which no state dict needs")
        if opcode.name == "GLOBAL":
            known_global(*argument.split(" ", 1))
        if opcode.name in _PUTS or opcode.name == "MEMOIZE":
            index = len(memo) if opcode.name == "MEMOIZE" else argument
            if index > len(data):
                raise Refused("its memo is larger than the file")
            memo[index] = stack[-1]
            continue
        if opcode.name in _GETS:
            stack.append(memo[argument])
            continue
        depth = 0
        for before in reversed(opcode.stack_before):
            if before is pickletools.stackslice:
                while (top := stack.pop()) is not None:
                    depth = max(depth, top)
            elif before is not pickletools.markobject:  # taken with its slice
                depth = max(depth, stack.pop() or 0)
        if depth >= MAX_DEPTH:
            raise Refused(f"it is nested more than {MAX_DEPTH} deep")
        for after in opcode.stack_after:
            stack.append(None if after is pickletools.markobject else depth + bool(opcode.stack_before))


class _Unpickler(pickle.Unpickler):
    """Knows the names of `_GLOBALS`, and storages through `load_storage(dtype, key, element count)`."""

    def __init__(self, data: bytes, load_storage: Callable):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str):
        return known_global(module, name)

    def persistent_load(self, pid):
        match pid:
            case ("storage", _DType(dtype=dtype), str(key), _, int(count)) if count >= 0:
                return self._load_storage(dtype, key, count)
        raise Refused("it refers to something that is not a tensor's storage")


def load(data: bytes, load_storage: Callable[[np.dtype | None, str, int], np.ndarray]):
    """Returns the object of a pickle: dicts, lists, numbers, strings and arrays.

    Args:
      data: the bytes of `data.pkl`.
      load_storage: from element type (None: bytes), entry name and element count to a 1-D array.

    Raises:
      Refused: the pickle holds something else or would run code.  Nothing has run.
    """
    if len(data) > MAX_PICKLE_BYTES:
        raise Refused(f"its table of contents is {len(data)} bytes long")
    try:
        scan(data)
        return _Unpickler(data, load_storage).load()
    except (Refused, UserError):
        raise
    except Exception as error:  # corrupt bytes can cause a dozen kinds of error, all meaning the same
        raise Refused(f"its table of contents is damaged ({type(error).__name__})") from error
