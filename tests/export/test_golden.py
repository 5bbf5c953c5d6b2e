"""On the golden weights, exported networks of every family compute what the network computes, in both runtimes."""

import pytest

from endodav_jax.checkpoints import Card, save_model
from endodav_jax.conversion.names import params_from_torch
from endodav_jax.export.export import export_network
from endodav_jax.export.verify import TOLERANCE, verify_export
from endodav_jax.models import DepthModelConfig

pytest.importorskip("jax2onnx", reason="the extra [onnx] is not installed")
pytest.importorskip("openvino", reason="the extra [openvino] is not installed")

SHAPE = (56, 70)


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "family"), [("vda_vits", "vda"), ("endodav_vits_ssb", "endodav"), ("endodac_vits", "endodac")]
)
def test_exported_golden_networks_agree_in_both_runtimes(golden, name, family, tmp_path):
    config = getattr(DepthModelConfig, family)("vits", image_shape=SHAPE)
    weights = tmp_path / name
    params = params_from_torch(golden.state_dict(name), config, name)
    save_model(weights, config, {"depth": params}, Card("golden", "none"))
    export_network(weights, tmp_path / "onnx", "onnx")
    for engine in ("onnxruntime", "openvino"):
        found = verify_export(tmp_path / "onnx", weights, {}, engine)
        assert len(found) == (7 if config.family_entry.windows else 1)  # the stream over 40 frames among them
        assert max(difference.largest for difference in found) < TOLERANCE["float32"], (engine, found)
