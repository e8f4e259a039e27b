"""The four part branches at once by grouped layers against one after the other.

    python benchmarks/part_branches.py [--device cuda] [--batch 8] [--compile]

Forward and backward of the shared first convolution and the part branches of the full model, taking turns in one run;
medians. Results are equal, see tests/reidtrain/models/test_attention_driven.py.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from reidprep.skeleton import PARTS
from reidtrain.models.attention_driven import AttentionDrivenConfig, AttentionDrivenNet, PartComputation

COMPUTATIONS: tuple[PartComputation, ...] = ("separate", "grouped")


def network(
    computation: PartComputation, device: torch.device, memory_format: torch.memory_format
) -> AttentionDrivenNet:
    torch.manual_seed(0)
    model = AttentionDrivenNet(AttentionDrivenConfig(branches=PARTS), 751, computation)
    # Without batch statistics features grow until masks underflow, and denormal numbers are slow.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(parts=torch.randn(4, len(PARTS), 3, 96, 192))
    return model.to(device, memory_format=memory_format)


def seconds(call: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bf16", action="store_true", help="run under bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="run under torch.compile")
    arguments = parser.parse_args()
    device: torch.device = arguments.device
    parts = torch.randn(arguments.batch, len(PARTS), 3, 96, 192, device=device)

    for layout, memory_format in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
        for train in (False, True):
            calls = {}
            for computation in COMPUTATIONS:
                model = network(computation, device, memory_format).train(train)
                forward = torch.compile(model) if arguments.compile else model

                def step(forward: torch.nn.Module = forward, train: bool = train) -> None:
                    with (
                        torch.set_grad_enabled(train),
                        torch.autocast(device.type, enabled=arguments.bf16, dtype=torch.bfloat16),
                    ):
                        output = forward(parts=parts)
                    if train:
                        (
                            output.fused_logits.sum() + sum(value.sum() for value in output.branch_logits.values())
                        ).backward()

                calls[computation] = step
                step()
                step()
            times: dict[str, list[float]] = {computation: [] for computation in COMPUTATIONS}
            for _ in range(arguments.rounds):
                for computation, call in calls.items():
                    times[computation].append(seconds(call, device))
            separate, grouped = (1e3 * median(times[name]) / arguments.batch for name in COMPUTATIONS)
            print(
                f"{layout:<14}{'forward and backward' if train else 'forward':<21}"
                f"separate {separate:7.2f} ms/sample, grouped {grouped:7.2f}: {separate / grouped:.2f} x",
                flush=True,
            )


if __name__ == "__main__":
    main()
