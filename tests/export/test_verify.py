"""How far an exported file may be from the network."""

from endodav_jax.export.verify import RANDOM, Difference


def test_rounding_at_single_pixels_of_noise_is_no_fault_but_in_pictures_it_is():
    on_noise = Difference("video", RANDOM, largest=0.1, mean=1e-3)
    in_pictures = Difference("video", "rendered", largest=0.1, mean=1e-3)
    assert not on_noise.excess("float16")
    assert in_pictures.excess("float16") == "above 0.03"
    assert on_noise.excess("float32") == "above 0.0001"
    assert Difference("video", RANDOM, largest=0.1, mean=1e-2).excess("float16") == "mean above 0.005"
