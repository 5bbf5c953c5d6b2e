"""Results are found again by everything they depend on, and by nothing less."""

import math

import pytest

from endodav_jax.tables.result_store import stored_result

IDENTITY = {"weights": "abc", "windows": "vda"}


def never():
    raise AssertionError("computed anew")


def test_a_result_is_computed_once(tmp_path):
    assert stored_result(tmp_path, "row", IDENTITY, lambda: {"abs_rel": 0.1}) == ({"abs_rel": 0.1}, False)
    assert stored_result(tmp_path, "row", dict(reversed(IDENTITY.items())), never) == ({"abs_rel": 0.1}, True)


def test_another_identity_is_another_result(tmp_path):
    stored_result(tmp_path, "row", IDENTITY, lambda: {"abs_rel": 0.1})
    other = IDENTITY | {"windows": "none"}
    assert stored_result(tmp_path, "row", other, lambda: {"abs_rel": 0.2}) == ({"abs_rel": 0.2}, False)
    assert stored_result(tmp_path, "row", IDENTITY, never)[0] == {"abs_rel": 0.1}


def test_a_damaged_file_is_computed_anew(tmp_path):
    stored_result(tmp_path, "row", IDENTITY, lambda: {"abs_rel": 0.1})
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:20])
    assert stored_result(tmp_path, "row", IDENTITY, lambda: {"abs_rel": 0.1}) == ({"abs_rel": 0.1}, False)
    assert stored_result(tmp_path, "row", IDENTITY, never)[1]


def test_nothing_is_kept_of_what_failed(tmp_path):
    with pytest.raises(AssertionError, match="computed anew"):
        stored_result(tmp_path, "row", IDENTITY, never)
    assert not list(tmp_path.iterdir())


def test_a_number_that_json_does_not_know_is_none_at_once_and_later(tmp_path):
    for _ in range(2):
        result, _ = stored_result(tmp_path, "row", IDENTITY, lambda: {"tae": math.nan, "all": (1.0, math.inf)})
        assert result == {"tae": None, "all": [1.0, None]}
