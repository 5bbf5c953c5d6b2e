"""The configuration of a complete run: what a `configs/*.py` file fills in and what a job receives.

A file in `configs/` returns an `ml_collections.ConfigDict` built by `base_config`, so that any field can
be set on the command line.  Jobs receive frozen dataclasses, which are validated when they are built.  Defaults are
defined only in those dataclasses.
"""

import dataclasses
import difflib
import importlib.util
import traceback
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import ml_collections

from endodav_jax.data.config import DataConfig
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.fields import check_numbers, user_path
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.training.config import TrainConfig

# Former names of fields, which are too different from the current ones to be guessed.
_RENAMED = {"align": "windows", "max_length": "max_len"}

SEEDS = 2**32  # seeds there are
SHIPPED_CONFIGS = Path(__file__).parent / "configs"


@dataclasses.dataclass(frozen=True)
class Config:
    """A run: the job and one section for each stage from file to report.

    Attributes:
      job: a name of `endodav_jax.jobs` that takes a configuration (`describe`, `infer`, `train`, ...).
      weights: folder of a converted checkpoint to start from; `shipped`, or another name of weights shipped with the
        package; empty for random ones (for inference, as in `infer`, empty means `shipped-mixed`).
      seed: seed of every random number in the run, below 2^32.
    """

    job: str = "describe"
    weights: str = ""
    seed: int = 0
    model: DepthModelConfig = DepthModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    pretrain: PretrainConfig = PretrainConfig()
    infer: InferConfig = InferConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def __post_init__(self):
        check_numbers(self, "")
        if self.seed >= SEEDS:
            raise ValueError(f"seed: {self.seed} must be below 2^32")


def base_config(**sections) -> ml_collections.ConfigDict:
    """Returns the defaults as a ConfigDict; `sections` replace whole fields (`model=DepthModelConfig.vda(...)`)."""
    return ml_collections.ConfigDict(dataclasses.asdict(dataclasses.replace(Config(), **sections)))


def config_from_dict(values, cls: type = Config, path: str = "config"):
    """Builds the dataclass `cls` from nested mappings.

    Raises:
      UserError: an unknown field (with the nearest known one), a wrong type, or a contradiction.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{path}: {values!r} is a {type(values).__name__}, expected a section with fields")
    fields = {}
    for name, value in values.items():
        kind = field_type(cls, name, path)
        where = f"{path}.{name}"
        section = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        fields[name] = config_from_dict(value, kind, where) if section else _checked(value, kind, where)
    try:
        return cls(**fields)
    except ValueError as error:
        raise UserError(f"config.{error}") from error


def field_type(cls: type, name: str, path: str):
    """Returns the type of a field of `cls`, the dataclass at `path`.

    Raises:
      UserError: there is no such field; the message suggests the nearest known one, or its current name.
    """
    hints = typing.get_type_hints(cls)
    if name not in hints:
        near = [_RENAMED[name]] if _RENAMED.get(name) in hints else difflib.get_close_matches(name, hints, 1)
        raise UserError(f"{path}.{name}: no such field" + (f"; did you mean {path}.{near[0]}?" if near else ""))
    return hints[name]


def check_field(place: str) -> None:
    """Raises `UserError` unless `place`, such as `config.model.preset`, is a field of a complete configuration."""
    path, *names = place.split(".")
    kind: type = Config
    for name in names:
        if not dataclasses.is_dataclass(kind):
            raise UserError(f"{path}: has no fields of its own, such as {name}")
        kind = field_type(kind, name, path)
        path = f"{path}.{name}"


def config_file(name: str | Path) -> Path:
    """Returns the file of a configuration; a name without a slash or `.py` refers to one shipped with the package.

    Raises:
      UserError: there is no such file or name.
    """
    path = Path(user_path(str(name)))
    if path.name == str(name) and not path.suffix:
        path = SHIPPED_CONFIGS / f"{name}.py"
        if not path.is_file():
            known = sorted(file.stem for file in SHIPPED_CONFIGS.glob("*.py"))
            raise UserError(
                f"{name}: no configuration of that name is shipped with the package; choose from {', '.join(known)}"
            )
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file")
    return path


def read_config(name: str | Path) -> Config:
    """Returns the configuration in a file, or the one with this name that is shipped with the package.

    Raises:
      UserError: there is none, it fails, or it is contradictory.
    """
    return config_from_dict(load_config_file(name).to_dict())


def load_config_file(path: str | Path) -> ml_collections.ConfigDict:
    """Runs `get_config()` of a configuration file, or the name of a configuration shipped with the package.

    Raises:
      UserError: the file is missing, is not Python, has no `get_config`, or this fails or returns something else.
    """
    path = config_file(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        get_config = getattr(module, "get_config", None)
        values = get_config() if get_config is not None else None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        where = f"{path}:{lines[-1]}" if lines else str(path)
        raise UserError(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if get_config is None:
        raise UserError(f"{path}: defines no get_config()")
    if not isinstance(values, ml_collections.ConfigDict):
        raise UserError(f"{path}: get_config() returns a {type(values).__name__}, expected what base_config() returns")
    return values


def _checked(value, kind, where: str):
    """Returns `value` as `kind` (lists become tuples, ints become floats), or raises a `UserError`."""
    if not _matches(value, kind):
        name = getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind).replace("typing.", "")
        raise UserError(f"{where}: {value!r} is a {type(value).__name__}, expected {name}")
    if kind is float:
        return float(value)
    return _expanded(value)


def _expanded(value):
    """Returns a value with lists as tuples, and with `~` expanded in texts, which may be paths."""
    if isinstance(value, str):
        return user_path(value)
    return tuple(map(_expanded, value)) if isinstance(value, (list, tuple)) else value


def _matches(value, kind) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return isinstance(value, str)  # the dataclass itself checks which strings are allowed
    if origin in (types.UnionType, typing.Union):
        return any(_matches(value, option) for option in typing.get_args(kind))
    if origin is tuple:
        options = typing.get_args(kind)
        if not isinstance(value, (tuple, list)):
            return False
        if len(options) == 2 and options[1] is Ellipsis:
            return all(_matches(item, options[0]) for item in value)
        return len(value) == len(options) and all(_matches(v, k) for v, k in zip(value, options, strict=True))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is type(None):
        return value is None
    return isinstance(value, kind)
