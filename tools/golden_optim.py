#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/optim.h: five updates of a small net's flat parameters by PyTorch in
double: torch.optim.SGD and AdamW, and LARS (arXiv 1708.03888) as SlimCLR has it. Which
parameters get a gradient differs from step to step as widths join and leave; PyTorch leaves
those without one alone. It is run by hand and its output is committed; the build needs neither
Python nor PyTorch.

    python3 tools/golden_optim.py > tests/golden/optim.h
"""

import torch

# Name, shape and owner (-1: shared, else the width) in the order of the flat arrays.
TENSORS = [
    ("conv.weight", (4, 3, 3, 3), -1),
    ("linear.weight", (3, 4), -1),
    ("linear.bias", (3,), -1),
    ("norm@1.scale", (4,), 0),
    ("norm@1.shift", (4,), 0),
    ("norm@0.5.scale", (2,), 1),
    ("norm@0.5.shift", (2,), 1),
]
TOTAL = sum(torch.Size(shape).numel() for _, shape, _ in TENSORS)
# Widths that take part at each step: first to end - 1.
ACTIVE = [(0, 1), (0, 1), (0, 2), (1, 2), (0, 2)]


def lattice(i, a, b, n, scale):
    """Whole multiples of 1/scale, exact in float; tests/learn/optimisers.c has the same."""
    return ((i * a + b) % n - n // 2) / scale


def start():
    flat = torch.tensor([lattice(i, 37, 11, 127, 64) for i in range(TOTAL)], dtype=torch.double)
    flat[108:120] = 0.0  # a weight without length: LARS does not scale it
    return flat


def gradient(step):
    return torch.tensor([lattice(i, 53, 29 * step + 7, 113, 128) for i in range(TOTAL)],
                        dtype=torch.double)


def rate(base, step):
    return base * (1 - step / 8)


class Lars(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum, weight_decay, exclude):
        super().__init__(params, {"lr": lr, "momentum": momentum,
                                  "weight_decay": weight_decay, "exclude": exclude})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                if p.dim() > 1 or not group["exclude"]:
                    g = g + group["weight_decay"] * p
                    length, force = p.norm(), g.norm()
                    if length > 0 and force > 0:
                        g = g * (0.001 * length / force)
                state = self.state[p]
                v = state.setdefault("v", torch.zeros_like(p))
                v.mul_(group["momentum"]).add_(g)
                p.sub_(group["lr"] * v)


def groups(tensors, decay, exclude):
    if not exclude:
        return [{"params": tensors, "weight_decay": decay}]
    return [{"params": [t for t in tensors if t.dim() > 1], "weight_decay": decay},
            {"params": [t for t in tensors if t.dim() == 1], "weight_decay": 0.0}]


def run(kind, base, decay, exclude):
    flat = start()
    tensors, at = [], 0
    for _, shape, _ in TENSORS:
        n = torch.Size(shape).numel()
        tensors.append(flat[at:at + n].reshape(shape).clone().requires_grad_())
        at += n
    if kind == "SGD":
        optimizer = torch.optim.SGD(groups(tensors, decay, exclude), lr=base, momentum=0.9)
    elif kind == "ADAMW":
        optimizer = torch.optim.AdamW(groups(tensors, decay, exclude), lr=base,
                                      betas=(0.9, 0.999), eps=1e-8)
    else:
        optimizer = Lars(tensors, base, 0.9, decay, exclude)
    for step, (first, end) in enumerate(ACTIVE):
        for group in optimizer.param_groups:
            group["lr"] = rate(base, step)
        at, g = 0, gradient(step)
        for tensor, (_, _, owner) in zip(tensors, TENSORS):
            has = owner < 0 or first <= owner < end
            tensor.grad = g[at:at + tensor.numel()].reshape(tensor.shape) if has else None
            at += tensor.numel()
        optimizer.step()
    return torch.cat([t.detach().reshape(-1) for t in tensors])


CASES = [
    ("SGD", 0.1, 0.01, False),
    ("SGD", 0.1, 0.01, True),
    ("LARS", 2.0, 0.01, True),
    ("LARS", 2.0, 0.01, False),
    ("ADAMW", 0.01, 0.1, False),
    ("ADAMW", 0.01, 0.1, True),
]


def main():
    print("/* SPDX-License-Identifier: MIT */")
    print("/*")
    print(" * Parameters after five updates by PyTorch in double, in golden_optim[]. Written by")
    print(" * tools/golden_optim.py, not by hand; start and gradients are computed alike in")
    print(" * tests/learn/optimisers.c.")
    print(" */")
    print("#ifndef TESTS_GOLDEN_OPTIM_H\n#define TESTS_GOLDEN_OPTIM_H\n")
    print('#include "learn/learn.h"\n')
    print("/* clang-format off */")
    print(f"enum {{ GOLDEN_TOTAL = {TOTAL}, GOLDEN_UPDATES = {len(ACTIVE)} }};\n")
    print("/* First width that takes part in an update, and the one after the last. */")
    active = ", ".join(f"{{{first}, {end}}}" for first, end in ACTIVE)
    print(f"static const int golden_active[GOLDEN_UPDATES][2] = {{\n    {active}}};\n")
    print("struct golden_optim {\n    enum sl_optimizer optimizer;\n"
          "    double lr, weight_decay;\n    bool exclude_vectors;\n"
          "    float weight[GOLDEN_TOTAL];\n};\n")
    print("static const struct golden_optim golden_optim[] = {")
    for kind, base, decay, exclude in CASES:
        values = [f"{v:.9g}" for v in run(kind, base, decay, exclude).tolist()]
        values = [v if "." in v or "e" in v else v + ".0" for v in values]
        print(f"    {{SL_OPTIMIZER_{kind}, {base}, {decay}, {str(exclude).lower()},\n     {{", end="")
        lines = [", ".join(f"{v}f" for v in values[i:i + 5]) for i in range(0, TOTAL, 5)]
        print(",\n      ".join(lines) + "}},")
    print("};\n/* clang-format on */\n\n#endif")


main()
