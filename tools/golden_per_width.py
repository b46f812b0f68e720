#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/per-width*: three steps with an update after each width, by PyTorch.

The loop of the published CIFAR experiments (docs/analyse.md), with PyTorch's own SGD: for each
width in turn forward, backward, optimiser step, gradients cleared to zeros (so that whatever
once had a gradient moves at every later step); target and keys once a batch, before the first
width; keys enqueued after the last. One linear layer is the head. The third width's loss has
weight 0, and sub-networks join at the second step.

    python3 tools/golden_per_width.py [tests/golden]

The files have the form of golden.py's.
"""
import math
import pathlib
import sys

import torch

import golden

LAMBDA = [1.0, 0.5, 0.0, 1.0]


def run():
    net = golden.Net(linear_head=True)
    params = net.params
    target = {name: p.detach().clone() for name, p in params.items()}
    stats, target_stats = net.stats(), net.stats()
    optimiser = torch.optim.SGD(params.values(), lr=1.0, momentum=golden.MOMENTUM,
                                weight_decay=golden.DECAY)
    queue = torch.tensor(golden.normal(golden.STREAM_QUEUE, 0, 1.0,
                                       golden.QUEUE * golden.DIM)).double()
    queue = queue.reshape(golden.QUEUE, golden.DIM)
    queue = queue / queue.norm(dim=1, keepdim=True)
    position, out = 0, {}
    for step in range(golden.STEPS):
        views = []
        for view in range(2):
            shape = (golden.BATCH, golden.IMAGE, golden.IMAGE, 3)
            x = golden.normal(golden.STREAM_TEST, 2 * step + view, 1.0, math.prod(shape))
            views.append(torch.tensor(x).double().reshape(shape).permute(0, 3, 1, 2))
        active = range(len(golden.WIDTHS) if step >= golden.SLOW_START else 1)
        for group in optimiser.param_groups:
            group["lr"] = golden.rate(step)
        with torch.no_grad():
            for name in target:
                target[name] = (golden.EMA * target[name]
                                + (1.0 - golden.EMA) * params[name])
            k = golden.embed(net, target, target_stats, 0, 1, views[1])
        numbers = {key: torch.zeros(len(golden.WIDTHS))
                   for key in ("loss", "contrast_acc", "emb_std", "grad_norm")}
        total = 0.0
        for w in active:
            q = golden.embed(net, params, stats, w, 1, views[0])
            s = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ queue.T], dim=1)
            contrast = torch.nn.functional.cross_entropy(
                s / golden.TEMPERATURE, torch.zeros(golden.BATCH, dtype=torch.long))
            weight = LAMBDA[w] if len(active) > 1 else 1.0
            (weight * contrast).backward()
            numbers["grad_norm"][w] = math.sqrt(sum(
                float((p.grad ** 2).sum()) for p in params.values()
                if p.grad is not None))
            optimiser.step()
            optimiser.zero_grad(set_to_none=False)
            total += weight * float(contrast.detach())
            numbers["loss"][w] = contrast.detach()
            rest = s[:, 1:].max(dim=1).values
            assert abs(s[:, 0] - rest).min() > 1e-4
            numbers["contrast_acc"][w] = (s[:, 0] > rest).double().mean()
            numbers["emb_std"][w] = (q.detach().std(dim=0, unbiased=False).mean()
                                     * math.sqrt(golden.DIM))
        queue[position:position + golden.BATCH] = k
        position = (position + golden.BATCH) % golden.QUEUE
        out[f"step{step}.total"] = torch.tensor([total])
        for key, values in numbers.items():
            out[f"step{step}.{key}"] = values
        out[f"step{step}.keys"] = k
    out["queue"] = queue
    out.update({name: p.detach() for name, p in params.items()})
    out.update(stats)
    out.update({f"slot.{name}": optimiser.state[p]["momentum_buffer"]
                for name, p in params.items()})
    return {name: v.numpy().reshape(-1) for name, v in out.items()}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    tensors = run()
    golden.write(folder / "per-width.bin", tensors)
    (folder / "per-width.txt").write_text(
        "".join(f"{n} {len(v)}\n" for n, v in tensors.items()))
    print(f"{(folder / 'per-width.bin').stat().st_size} bytes")


if __name__ == "__main__":
    main()
