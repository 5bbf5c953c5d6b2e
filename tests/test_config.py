"""A configuration is checked as it is built, and every mistake is one line that names the field."""

import dataclasses
import typing

import pytest

from endodav_jax.config import Config, base_config, config_from_dict, load_config_file
from endodav_jax.errors import UserError
from endodav_jax.fields import choices
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import TrainConfig


def test_defaults_survive_the_way_through_a_config_dict():
    assert config_from_dict(base_config().to_dict()) == Config()


def test_a_section_can_be_replaced_whole():
    config = base_config(job="describe", model=DepthModelConfig.vda("vits"))
    assert config_from_dict(config.to_dict()).model == DepthModelConfig.vda("vits")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, r"config\.modle: no such field; did you mean config\.model\?"),
        ({"model": {"prest": "vits"}}, r"config\.model\.prest: no such field; did you mean config\.model\.preset\?"),
        ({"model": {"rank": "four"}}, r"config\.model\.rank: 'four' is a str, expected int"),
        ({"model": {"rank": True}}, r"config\.model\.rank: True is a bool, expected int"),
        ({"model": {"preset": "vitx"}}, r"config\.model\.preset: 'vitx' is not one of vitt, vits, vitb, vitl"),
        ({"model": {"image_shape": (224, 280, 3)}}, r"config\.model\.image_shape: .* expected tuple\[int, int\]"),
        ({"model": {"image_shape": (224, 281)}}, r"config\.model\.image_shape: .* multiples of 14"),
        ({"model": {"adapter": "none"}}, r"config\.model\.temporal_adapter: needs an adapter"),
        ({"model": {"family": "monodepth"}}, r"config\.model\.family: 'monodepth' is not one of vda, endodav, endodac"),
        ({"model": {"min_depth": 0.0}}, r"config\.model\.min_depth: 0\.0 must be positive"),
        ({"model": {"min_depth": 9.0, "max_depth": 1.0}}, r"config\.model\.min_depth: 9\.0 .* below model\.max_depth"),
        ({"data": {"phantom": {"frames": 0}}}, r"config\.data\.phantom\.frames: 0 must be at least 1"),
        ({"data": {"phantom": {"height": 8}}}, r"config\.data\.phantom\.height: 8 must be at least 16"),
        ({"data": {"phantom": {"seed": 2**29}}}, r"config\.data\.phantom\.seed: 536870912 must be below"),
        ({"pretrain": {"other_cameras_of": (("sinus", 0.1),)}}, r"other_cameras_of: 'sinus' is not among pretrain\."),
        ({"pretrain": {"other_cameras_of": (("colon", 2.0),)}}, r"other_cameras_of: colon, 2\.0, must be in \[0, 1\]"),
        ({"model": {"family": "endodac"}}, r"config\.model\.temporal_adapter: EndoDAC has no motion modules"),
    ],
)
def test_a_mistake_is_one_line_naming_the_field(values, message):
    with pytest.raises(UserError, match=message) as caught:
        config_from_dict(values)
    assert "\n" not in str(caught.value)


def fields_with_choices(cls=Config, path=()):
    """(path of the field, its type) of every field of a configuration that has choices."""
    for name, hint in typing.get_type_hints(cls).items():
        if hint is DepthModelConfig:  # in tests its arguments' types are checked before it checks them itself
            continue
        if dataclasses.is_dataclass(hint):
            yield from fields_with_choices(hint, (*path, name))
        elif choices(hint) is not None:
            yield (*path, name), hint


@pytest.mark.parametrize(("path", "hint"), list(fields_with_choices()), ids=lambda value: str(value)[:60])
def test_every_field_with_choices_refuses_any_other(path, hint):
    values = ("nosuch",) if typing.get_origin(hint) is tuple else "nosuch"
    for name in reversed(path):
        values = {name: values}
    with pytest.raises(UserError, match=rf"{path[-1]}: .*nosuch.* is not one of ") as caught:
        config_from_dict(values)
    assert "\n" not in str(caught.value)


SIGNED = {("infer", "baseline")}  # whose sign says which camera the left view is from


def fields_with_numbers(cls=Config, path=()):
    """(path of the field, whether it takes fractions) of every field of a configuration that is one number."""
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint):
            yield from fields_with_numbers(hint, (*path, name))
        elif hint in (int, float):
            yield (*path, name), hint is float


def with_value(path, value) -> dict:
    for name in reversed(path):
        value = {name: value}
    return value


@pytest.mark.parametrize(("path", "fraction"), list(fields_with_numbers()), ids=lambda value: str(value)[:60])
def test_every_number_is_finite_and_not_negative(path, fraction):
    negative = [] if path in SIGNED else [-3.0 if fraction else -3]
    for value in (*negative, *([float("nan"), float("inf")] if fraction else [])):
        with pytest.raises(UserError, match=rf"^config\.([a-z_]+\.)*{path[-1]}: ") as caught:
            config_from_dict(with_value(path, value))
        assert "\n" not in str(caught.value)


def test_a_number_in_a_tuple_is_checked_too():
    with pytest.raises(UserError, match=r"config\.pretrain\.families: inf must be a finite number"):
        config_from_dict({"pretrain": {"families": (("colon", float("inf")),)}})


def test_a_seed_too_large_for_the_generators_is_refused():
    with pytest.raises(UserError, match=r"config\.seed: 4294967296 must be below 2\^32"):
        config_from_dict({"seed": 2**32})


def test_rates_are_checked_wherever_they_are_built():
    rates = dataclasses.replace(TrainConfig().learning_rates, pose=0.0)
    assert rates.pose == 0
    with pytest.raises(ValueError, match=r"train\.learning_rates\.pose: -1 must not be negative"):
        dataclasses.replace(rates, pose=-1)


def test_a_missing_configuration_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.py: no such configuration file"):
        load_config_file(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", r"broken\.py: SyntaxError: '\(' was never closed"),
        ("\ndef get_config():\n    return nothing", r"broken\.py:3: NameError: name 'nothing' is not defined"),
        ("def get_config():\n    pass", r"broken\.py: get_config\(\) returns a NoneType, expected what base_config"),
        ("def get_config():\n    return {}", r"broken\.py: get_config\(\) returns a dict, expected"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_config_file(tmp_path / "broken.py")
    assert "\n" not in str(caught.value)


def test_a_file_without_get_config_is_named(tmp_path):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match=r"empty\.py: defines no get_config"):
        load_config_file(tmp_path / "empty.py")


def test_a_section_that_is_a_single_value_is_one_line():
    with pytest.raises(UserError, match=r"config\.model: 'vits' is a str, expected a section with fields"):
        config_from_dict({"model": "vits"})
