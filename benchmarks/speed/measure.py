"""What the speed benchmarks share: clocks, peak memory, the machine's matrix rate, pictures read again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimp.data.catalog import Catalog
from unimp.data.pictures import fit_pixels, open_picture
from unimp.evaluate.bench.environment import PeakMemory

REPEATS, LEAST_SECONDS = 3, 0.3


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work."""

    wall: float
    process: float
    """Of this process, all its threads: what the work itself took on a machine that others use too."""


@dataclass(frozen=True)
class Meter:
    """Clocks and memory of one device."""

    device: torch.device

    @property
    def ruling(self) -> str:
        """Which seconds figures are made of: the process's on the CPU, the wall clock's on an accelerator."""
        return "process" if self.device.type == "cpu" else "wall"

    def figure(self, spent: Spent) -> float:
        return float(getattr(spent, self.ruling))

    def synchronize(self) -> None:
        """Wait for the accelerator: its work goes on after the call that ordered it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def spend(self, work: Callable[[], Any]) -> tuple[Spent, Any]:
        """The seconds of `work`, and what it returned."""
        self.synchronize()
        wall, process = time.perf_counter(), time.process_time()
        result = work()
        self.synchronize()
        return Spent(time.perf_counter() - wall, time.process_time() - process), result

    def peak(self) -> Callable[[], float]:
        """Starts counting; the result says the peak since then, in MiB, what was held before included."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return lambda: torch.cuda.max_memory_allocated(self.device) / 2**20
        return PeakMemory().mebibytes


@dataclass
class Bout:
    """One way's share of a measurement."""

    spent: list[Spent] = field(default_factory=list)
    peak: float = 0.0
    """MiB."""

    def total(self, meter: Meter) -> float:
        return sum(meter.figure(spent) for spent in self.spent)

    def raw(self) -> dict[str, Any]:
        return {"spent": [asdict(spent) for spent in self.spent], "peak MiB": self.peak}


def measured(bout: Bout, meter: Meter, work: Callable[[], Any]) -> Any:
    """Run `work` on the clock; its seconds and its peak memory are the bout's."""
    peak = meter.peak()
    spent, result = meter.spend(work)
    bout.spent.append(spent)
    bout.peak = max(bout.peak, peak())
    return result


@dataclass(frozen=True)
class Product:
    """[rows, inside] x [inside, out], so many times in the model."""

    rows: int
    inside: int
    out: int
    times: int

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.inside * self.out


@dataclass(frozen=True)
class MatrixRate:
    """What the machine does in products of the model's own sizes."""

    per_second: float
    """Floating-point operations, each product counted as often as the model has it."""
    products: list[dict[str, Any]]
    dtype: str


def matrix_rate(
    shapes: Mapping[tuple[int, int], int], rows: int, dtype: torch.dtype, meter: Meter
) -> MatrixRate:
    """`shapes`: (inside, out) -> how often; each is tried a few times, the fastest try counts."""
    found: list[dict[str, Any]] = []
    work = spent = 0.0
    for (inside, out), times in shapes.items():
        product = Product(rows, inside, out, times)
        left = torch.randn(rows, inside, device=meter.device, dtype=dtype)
        right = torch.randn(out, inside, device=meter.device, dtype=dtype).T  # as a linear layer keeps it
        tries = tried(left, right, meter)
        found.append(asdict(product) | {"seconds": tries})
        work += times * product.flops
        spent += times * min(tries)
    return MatrixRate(work / spent, found, str(dtype).removeprefix("torch."))


def tried(left: Tensor, right: Tensor, meter: Meter) -> list[float]:
    """Seconds of each try; a try repeats the product until the clock can tell."""
    torch.mm(left, right)
    repeats = max(1, int(2e8 * REPEATS / (left.shape[0] * left.shape[1] * right.shape[1])))
    if meter.device.type == "cuda":
        repeats *= 100

    def work() -> None:
        for _ in range(repeats):
            torch.mm(left, right)

    tries: list[float] = []
    while len(tries) < REPEATS or (sum(tries) * repeats < LEAST_SECONDS and len(tries) < 20):
        tries.append(meter.figure(meter.spend(work)[0]) / repeats)
    return tries


def linear_shapes(weights: Sequence[Tensor]) -> Counter[tuple[int, int]]:
    """(inside, out) of linear layers' weights, counted."""
    return Counter((weight.shape[1], weight.shape[0]) for weight in weights)


def read_pixels(catalog: Catalog, names: Sequence[str], height: int, width: int) -> np.ndarray:
    """[P, height, width, 3] uint8, decoded from the catalogue's source, each as often as it is named."""
    assert catalog.pictures is not None
    return np.stack(
        [fit_pixels(open_picture(data, name), height, width) for name, data in catalog.pictures.read(names)]
    )


def typical(values: Sequence[float]) -> float:
    """The median, 0 of nothing."""
    return median(values) if values else 0.0
