"""Forward and backward of one chunk through the default encoder: normalization folded, and the plain form.

    python -m benchmarks.training_step --threads 2 --repeats 15

MobileNetV2, four channels, 224 px, frozen batch statistics. The forms in turn in one process, the folded one
also in bfloat16 where the processor has it; median of the ratios, of the wall clock and of the processor's
time, and how far each gradient is from that in float64.
"""

import copy
import statistics
import time
from contextlib import nullcontext

import torch
from benchmarks.common import Arguments, table

from jecur.training.device import has_fast_bfloat16
from jecur.training.frozen_norm import folded_batch_norm, frozen_batch_norm
from jecur.training.mobilenet import build_encoder


def step(encoder, tiles, *, half: bool):
    """One chunk there and back: wall clock and processor time, seconds."""
    encoder.zero_grad(set_to_none=True)
    wall, busy = time.perf_counter(), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = encoder.features(tiles)
    features.float().sum().backward()
    return time.perf_counter() - wall, time.process_time() - busy


def gradient(encoder):
    """Of all parameters, as one vector."""
    return torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None])


def main() -> None:
    """Take the two forms in turn."""
    parser = Arguments(__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--side", type=int, default=224)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    encoder = build_encoder("mobilenetv2_100", channels=4, start="builtin", seed=0)
    frozen_batch_norm(encoder.train())
    rng = torch.Generator().manual_seed(0)
    tiles = torch.randint(
        0, 256, (asked.chunk, asked.side, asked.side, 4), dtype=torch.uint8, generator=rng
    )
    forms = ["plain", "folded"]
    if has_fast_bfloat16(torch.device("cpu")):
        forms.append("folded, bfloat16")
    times, slopes = {name: [] for name in forms}, {}
    for k in range(asked.repeats + 1):
        for name, found in times.items():
            folded = name != "plain"
            with folded_batch_norm(encoder, encoder.describe, 4) if folded else nullcontext():
                took = step(encoder, tiles, half="bfloat16" in name)
            slopes[name] = gradient(encoder)
            if k:  # the first one also sets up
                found.append(took)
    rows = []
    for name, found in times.items():
        wall, busy = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = [
            statistics.median(p[i] / f[i] for p, f in zip(times["plain"], found, strict=True))
            for i in (0, 1)
        ]
        rows.append((name, f"{wall:.3f}", f"{busy:.3f}", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}"))
    print(
        table(
            ("form", "wall, s", "processor, s", "plain/form, wall", "plain/form, processor"), rows
        )
    )
    exact = copy.deepcopy(encoder).double()
    exact.zero_grad(set_to_none=True)
    pixels = (tiles.permute(0, 3, 1, 2).double() - exact.mean) / exact.std
    exact.describe(pixels).sum().backward()
    truth = gradient(exact)
    for name, slope in slopes.items():
        apart = float((slope.double() - truth).norm() / truth.norm())
        print(f"gradient of the {name} form, from that in float64: {apart:.1e} of its length")


if __name__ == "__main__":
    main()
