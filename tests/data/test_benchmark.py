"""The benchmark of the pipeline runs and says what it measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


@pytest.mark.slow
def test_the_pipeline_is_measured_against_png_files():
    sizes = ["--frames", "24", "--clips", "40", "--published-clips", "2", "--cores", "2"]
    done = subprocess.run(
        [sys.executable, str(TOOL), "data", *sizes], capture_output=True, text=True, check=True, timeout=600
    )
    result = json.loads(done.stdout)
    assert result["png_bytes_per_frame"] > 1_000_000
    assert result["stored_bytes_per_frame"] > 256 * 320 * 3
    # The wanted factor, with a margin for a machine that has other work to do.
    assert result["ratio"] > 20
