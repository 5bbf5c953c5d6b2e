"""The published network in PyTorch, answering as `_runner.py` does: `python -m benchmarks._published JSON`.

Any Python can run it, inside `tools`.  It needs PyTorch and a clone of Video-Depth-Anything, but not this package.
Weights are random: the same work.  A window of 32 frames adds 22 to a video.
"""

import json
import resource
import sys
import time

STEP, WINDOW_FRAMES = 22, 32
HEADS = {
    "vits": (64, [48, 96, 192, 384]),
    "vitb": (128, [96, 192, 384, 768]),
    "vitl": (256, [256, 512, 1024, 1024]),
}


def main(wanted: dict) -> None:
    """Answers line by line."""
    sys.path.insert(0, wanted["clone"])
    import torch
    from video_depth_anything.video_depth import VideoDepthAnything

    torch.set_num_threads(wanted["threads"])
    features, channels = HEADS[wanted["preset"]]
    network = VideoDepthAnything(encoder=wanted["preset"], features=features, out_channels=channels).eval()
    frames = torch.rand(1, WINDOW_FRAMES, 3, *wanted["image_shape"])
    half = wanted["precision"] == "bfloat16"

    def window(count: int = WINDOW_FRAMES) -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            network(frames[:, :count])

    window(2)
    print(json.dumps({"said": f"PyTorch {torch.__version__}"}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter(), time.process_time()
        window()
        wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"ms": 1e3 * wall / STEP, "processor_ms": 1e3 * processor / STEP, "peak_mb": peak}
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
