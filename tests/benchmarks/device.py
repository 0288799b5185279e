"""What a GPU makes of the engine: megapixel-iterations a second, share of its peak, memory, a gigapixel.

    python tests/benchmarks/device.py --output FILE
    python tests/benchmarks/device.py --device cpu --side-px 512 --gigapixel-px 1024 --iterations 3

For bfloat16 and for float32 one evaluation (a forward and a gradient pass) of 8192x8192 px and some
iterations of L-BFGS, then one evaluation of 32768x32768 px in the first of both precisions, whose vectors
lie where the planner puts them and whose content features are computed anew. All default layers of VGG-16
with seeded random weights (their values do not change the work); the content is computed where it is read.
Cut and stores are the planner's for the budget. An evaluation is done once before it is timed; each part is
made, run and dropped before the next; what is not done in time ends, and is told.

Of the iterations the first is not timed: each of the others is a gradient, a sweep over the vectors, and
what the line search tried. FLOP a pixel: a convolution 18 x inputs x outputs / stride^2, as much for the
backward pass (weights have no gradient), a Gram matrix 2 x channels^2 / stride^2 both ways. Work is one of
each; computed counts the halos, the second forward pass of tiles that are not kept, and the content besides.
Known peaks are those of dense matrices on the boards with sockets, float32 without TF32, as we compute it.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, final

import torch
from benching import AnonymousPeak, Results, Waves, default_loss, parser, seconds_of, seeded_encoder, settle

from pipeline.budget import Demand, computed_share, kept_share, tiling
from pipeline.config.models import Compute
from pipeline.config.sections import Network, Optimiser
from pipeline.geometry import Size
from pipeline.groups import Part, StoppedError, stop_if
from pipeline.guidance import normalise
from pipeline.layers import CONTENT_LAYERS, STRIDE_PX, STYLE_LAYERS, VGG16
from pipeline.machine import is_out_of_memory
from pipeline.optimiser import Lbfgs, minimise
from pipeline.pyramid import Level
from pipeline.rasters import Checked
from pipeline.rendering.optimisation import Judgement, Work
from pipeline.tiles import cut
from pipeline.workspaces import FolderWorkspace, MemoryWorkspace, Workspace

PRECISIONS = ("bfloat16", "float32")
PEAK_TFLOPS = {name: {"bfloat16": 989.0, "float32": 67.0} for name in ("H200", "H100 80GB HBM3")}
GOALS = "goals on an H200: 100 megapixel-iterations per second, an evaluation of a gigapixel in 10 s"
GPU_BUDGETS_MIB = (100_000, 112_000)
STYLES = [VGG16.layer(name) for name in STYLE_LAYERS]
GRAM_FLOP_PER_PX = sum(2 * layer.channels**2 / layer.stride_px**2 for layer in STYLES)


def main() -> None:
    """Runs the benchmark."""
    arguments = _arguments()
    deadline_s = time.monotonic() + 60 * arguments.minutes
    device = settle(arguments.threads, device=arguments.device).device
    guided = ", two guided regions" if arguments.regions else ""
    results = Results(f"the engine on a device, VGG-16, all layers{guided}", arguments.output, str(device))
    results.say(
        f"{flop_per_px(STYLE_LAYERS):.0f} FLOP a pixel and pass, {flop_per_px(CONTENT_LAYERS):.0f} for the "
        f"content, {GRAM_FLOP_PER_PX:.0f} for one set of Gram matrices"
    )
    bench = _Bench(arguments, device, results, lambda: time.monotonic() > deadline_s)
    parts = [(precision, arguments.side_px, arguments.iterations) for precision in arguments.precisions]
    if arguments.gigapixel_px:
        parts.append((arguments.precisions[0], arguments.gigapixel_px, 0))
    for precision, side_px, iterations in parts:
        results.say("")
        if bench.is_late():
            results.say(f"{precision}, {side_px} px: left out, the {arguments.minutes:g} minutes are over")
            continue
        try:
            bench.run(precision, side_px, iterations)
        except StoppedError:
            results.say(f"  stopped: the {arguments.minutes:g} minutes are over")
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            results.say("  stopped: too little memory")
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    results.say("")
    results.say(GOALS)
    results.save()


def _arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    options.add_argument("--side-px", type=int, default=8192, help="a multiple of 16")
    options.add_argument("--iterations", type=int, default=10)
    options.add_argument("--gigapixel-px", type=int, default=32768, help="the side; 0 leaves it out")
    options.add_argument("--regions", action="store_true", help="guide the style by two regions")
    options.add_argument("--budget-mib", type=int, help="for the planner; its default on a CPU")
    options.add_argument("--host-budget-mib", type=int, help="for vectors in main memory beside a GPU")
    options.add_argument("--peak-tflops", type=float, nargs="+", help="of each precision; some are known")
    options.add_argument("--minutes", type=float, default=9.0, help="what is not done by then is left out")
    options.add_argument("--folder", type=Path, help="where vectors lie that go to files")
    found = options.parse_args()
    if found.peak_tflops is not None and len(found.peak_tflops) != len(found.precisions):
        options.error("--peak-tflops needs a number for each of --precisions")
    return found


def flop_per_px(layers: Iterable[str]) -> float:
    """Of the convolutions as far as the deepest of these layers, in one pass."""
    total, inputs = 0.0, 3
    for layer in VGG16.up_to(layers):
        total += 18 * inputs * layer.channels / layer.stride_px**2
        inputs = layer.channels
    return total


@final
class _Level:
    """A square image, all that an evaluation of it needs, and where its vectors lie."""

    def __init__(self, bench: _Bench, precision: str, side_px: int, iterations: int, folder: Path) -> None:
        level = Level(side_px, Size(side_px, side_px))
        self.size, device, check = level.padded, bench.device, bench.check
        regions = 2 if bench.arguments.regions else 0
        asked: Literal["bfloat16", "float32"] = "bfloat16" if precision == "bfloat16" else "float32"
        demand = Demand(Network(), Optimiser(), regions, max(1, iterations), asked)
        budget_mib, host_budget_mib = bench.budgets_mib
        self.planned = planned = tiling(level, demand, budget_mib, host_budget_mib=host_budget_mib)
        self._gram_sets = max(1, regions)
        tile_px = planned.tile_core_px
        how = "one tile" if tile_px is None else f"cores of {tile_px} px, {planned.keep_tiles} kept"
        bench.results.say(
            f"{precision}, {self.size} px: {how}, vectors in {planned.store}; "
            f"{planned.device_mib} MiB planned of {budget_mib}"
        )
        encoder = seeded_encoder(getattr(torch, precision), device)
        guidance = None
        if regions:
            channels = Checked(Waves(self.size, 0.005, device, channels=2), check)
            cores = cut(self.size, tile_px or side_px, 0, STRIDE_PX)
            guidance = normalise(channels, STYLES, cores, ["crests", "troughs"])
        judgement = Judgement(
            encoder,
            default_loss(encoder, regions),
            Part.whole(self.size),
            Checked(Waves(self.size, 0.01, device), check),
            guidance,
        )
        work = Work(side_px, self.size, iterations, tile_px, planned.keep_tiles, planned.store)
        self.objective = judgement.by_tiles(tile_px, work, lambda *_: check())
        self.workspace: Workspace
        if planned.store == "files":
            self.workspace = FolderWorkspace(folder, device)
        else:
            memory = torch.device("cpu") if planned.store == "host" else device
            self.workspace = MemoryWorkspace(device, memory)
        self.image = self.workspace.hold("image", Checked(Waves(self.size, 0.02, device), check))

    def evaluate(self) -> None:
        """One forward and one gradient pass, the gradient into a new vector."""
        gradient = self.workspace.new("gradient", 3, self.size, torch.float32)
        self.objective.forward(self.image, gradient_follows=True).write_gradient(gradient)
        self.workspace.keep([self.image])

    def flop(self, forwards: int, gradients: int, *, follows: bool = False) -> tuple[float, float]:
        """What these passes ask for, and what is computed for them.

        Args:
            forwards: Forward passes over the image.
            gradients: Gradient passes.
            follows: Whether each forward pass left the content to the gradient that was to follow.
        """
        planned, network = self.planned, flop_per_px(STYLE_LAYERS)
        cut_px = planned.tile_core_px, planned.halo_px
        again = gradients * (1 - kept_share(self.size, *cut_px, planned.keep_tiles))
        contents = 0.0 if planned.store == "memory" else forwards + (0.0 if follows else again)
        grams = (forwards + gradients) * self._gram_sets * GRAM_FLOP_PER_PX
        least = (forwards + gradients) * network
        most = (forwards + gradients + again) * network + contents * flop_per_px(CONTENT_LAYERS)
        haloed = computed_share(self.size, Network(), *cut_px)
        return self.size.area * (least + grams), self.size.area * (haloed * most + grams)


@final
class _Bench:
    """What all parts share: the device, the budgets, the time, and where results go."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        device: torch.device,
        results: Results,
        is_late: Callable[[], bool],
    ) -> None:
        self.arguments = arguments
        self.device = device
        self.results = results
        self.is_late = is_late
        defaults = GPU_BUDGETS_MIB if device.type == "cuda" else (Compute().memory_budget_mib, 0)
        given = arguments.budget_mib, arguments.host_budget_mib
        self.budgets_mib = [
            default if mib is None else mib for mib, default in zip(given, defaults, strict=True)
        ]
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peaks = next((peaks for part, peaks in PEAK_TFLOPS.items() if part in name), {})
        if arguments.peak_tflops is not None:
            self._peaks = dict(zip(arguments.precisions, arguments.peak_tflops, strict=True))

    def check(self) -> None:
        """Raises StoppedError once the time is over."""
        stop_if(self.is_late)

    def run(self, precision: str, side_px: int, iterations: int) -> None:
        """An evaluation, and iterations of L-BFGS if there are to be any."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with tempfile.TemporaryDirectory(dir=self.arguments.folder) as folder, AnonymousPeak() as peak:
            try:
                level = _Level(self, precision, side_px, iterations, Path(folder))
                level.evaluate()
                seconds = seconds_of(level.evaluate, self.device)
                pace = f"{1e6 * seconds / level.size.area:.4f} s per megapixel-evaluation"
                self._tell("an evaluation", precision, seconds, pace, level.flop(1, 1, follows=True))
                if iterations:
                    self._iterate(precision, level, iterations)
            finally:
                if self.device.type == "cuda":
                    allocated = torch.cuda.max_memory_allocated(self.device) / 2**20
                    reserved = torch.cuda.max_memory_reserved(self.device) / 2**20
                    self.results.say(
                        f"  device: {allocated:.0f} MiB allocated, {reserved:.0f} reserved at most"
                    )
                self.results.say(f"  host: {peak.mib:.0f} MiB of anonymous memory at most")

    def _iterate(self, precision: str, level: _Level, iterations: int) -> None:
        done = minimise(
            level.objective,
            level.image,
            Lbfgs(iterations),
            workspace=level.workspace,
            should_stop=self.is_late,
        )
        # The start is no step. The host has waited for each loss, so the device's time is in each step's.
        steps = done.trace[1:]
        if len(steps) > 1:
            seconds, count = steps[-1].seconds - steps[0].seconds, len(steps) - 1
            pace = f"{count * level.size.area / 1e6 / seconds:.2f} megapixel-iterations per second"
            forwards = steps[-1].forward_passes - steps[0].forward_passes
            gradients = steps[-1].gradient_passes - steps[0].gradient_passes
            name = f"{count} iterations of {forwards + gradients} passes"
            self._tell(name, precision, seconds, pace, level.flop(forwards, gradients))
        if done.ending != "iterations":
            self.results.say(f"  L-BFGS ended after {done.work.iteration} iterations: {done.ending}")

    def _tell(self, name: str, precision: str, seconds: float, pace: str, flop: tuple[float, float]) -> None:
        self.results.say(f"  {name}: {seconds:.3f} s, {pace}")
        peak = self._peaks.get(precision)
        for what, count in zip(("work", "computed"), flop, strict=True):
            tflops = count / seconds / 1e12
            share = "" if peak is None else f", {tflops / peak:.1%} of {peak:g}"
            self.results.say(f"    {what}: {count / 1e12:.4g} TFLOP, {tflops:.4g} a second{share}")


if __name__ == "__main__":
    main()
