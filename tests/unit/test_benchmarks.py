"""Benchmarks that are seldom run, at sizes of seconds: that they run, and what they count."""

from __future__ import annotations

import re
from pathlib import Path

from running import TESTS, run

DEVICE = TESTS / "benchmarks" / "device.py"


def measured(folder: Path, *words: object) -> str:
    command = ["python", str(DEVICE), "--device", "cpu", "--threads", "1", *map(str, words)]
    # It would start itself anew to set that.
    done = run(command, folder, {"GOMP_SPINCOUNT": "3000"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_benchmark_of_a_device_runs_on_a_cpu(tmp_path: Path) -> None:
    sizes = ["--side-px", 32, "--iterations", 2, "--gigapixel-px", 320, "--budget-mib", 860]
    how = ["--regions", "--precisions", "float32", "bfloat16", "--peak-tflops", 2, 1]
    text = measured(tmp_path, *sizes, *how, "--output", "told.txt")
    assert (tmp_path / "told.txt").read_text(encoding="utf-8") == text
    # VGG-16 to relu5_1 and to relu4_2; Gram matrices of 64 to 512 channels.
    assert "574848 FLOP a pixel and pass, 482688 for the content, 34816 for one set" in text
    for precision, peak in (("bfloat16", 1), ("float32", 2)):
        (part,) = re.findall(
            rf"^{precision}, 32x32 px: one tile, vectors in memory(.*?)\n\n", text, re.S | re.M
        )
        # Two passes; convolutions, and two regions' Gram matrices.
        assert part.count(f": {2 * 32**2 * (574848 + 2 * 34816) / 1e12:.4g} TFLOP, ") == 4
        assert len(re.findall(rf"s per megapixel-evaluation\n.*% of {peak}\n", part)) == 1
        assert len(re.findall(r"1 iterations of 2 passes: .* megapixel-iterations per second", part)) == 1
        assert "MiB of anonymous memory at most" in part
    (_, large) = text.split("float32, 320x320 px: cores of 128 px, 0 kept, vectors in files")
    # Four tiles of 224 px, each forward twice and backward once, the content's forward once.
    computed = 4 * 224**2 * (3 * 574848 + 482688) + 320**2 * 2 * 2 * 34816
    assert f"computed: {computed / 1e12:.4g} TFLOP, " in large
    assert "iterations of" not in large


def test_what_the_benchmark_of_a_device_has_no_time_for_is_left_out(tmp_path: Path) -> None:
    told = measured(tmp_path, "--minutes", 0).split("\n\n")[2:-1]
    assert told == [
        "bfloat16, 8192 px: left out, the 0 minutes are over",
        "float32, 8192 px: left out, the 0 minutes are over",
        "bfloat16, 32768 px: left out, the 0 minutes are over",
    ]
