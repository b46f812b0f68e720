#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/probe.h: losses of linear probes trained by PyTorch in double, plain and
taught by the full width's probe, by autograd and torch.optim.SGD. One batch is
all rows, so that their order plays no part. It is run by hand and its output is committed; the
build needs neither Python nor PyTorch.

    python3 tools/golden_probe.py > tests/golden/probe.h
"""

import torch
import torch.nn.functional as F

ROWS, CLASSES, DIMS = 24, 4, [6, 4, 3]
LR, MOMENTUM, DECAY = 0.5, 0.9, 0.01


def inputs():
    """Multiples of 1/64, exact in float, with a pull towards the class."""
    torch.manual_seed(9)
    labels = torch.arange(ROWS) % CLASSES
    features = []
    for d in DIMS:
        x = torch.randint(-64, 65, (ROWS, d)).double() / 64
        x[torch.arange(ROWS), labels % d] += 0.75
        features.append(x)
    return features, labels


def train(features, labels, epochs, distill, cosine, shared):
    """Losses of the last epoch, before its update."""
    layers = [torch.nn.Linear(d, CLASSES).double() for d in (DIMS[:1] if shared else DIMS)]
    parameters = [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        torch.nn.init.zeros_(p)
    optimizer = torch.optim.SGD(parameters, LR, momentum=MOMENTUM, weight_decay=DECAY)
    if cosine:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    else:
        schedule = torch.optim.lr_scheduler.MultiStepLR(
            optimizer, [epochs * 6 // 10, epochs * 8 // 10]
        )
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        losses, teacher = [], None
        for w, x in enumerate(features):
            if shared:
                logits = F.linear(x, layers[0].weight[:, : x.shape[1]], layers[0].bias)
            else:
                logits = layers[w](x)
            loss = F.cross_entropy(logits, labels)
            if w == 0:
                teacher = logits.detach().softmax(dim=1)
            elif distill:
                soft = -(teacher * logits.log_softmax(dim=1)).sum(dim=1).mean()
                loss = 0.5 * loss + 0.5 * soft
            losses.append(loss)
        sum(losses).backward()
        optimizer.step()
        schedule.step()
    return [loss.item() for loss in losses]


def numbers(values, form):
    return "{" + ", ".join(form % v for v in values) + "}"


def main():
    features, labels = inputs()
    print(
        """/* SPDX-License-Identifier: MIT */
/*
 * Losses of linear probes by PyTorch in double, in golden_probes[]. Written by
 * tools/golden_probe.py, not by hand. One batch is all rows; features are exact in float.
 */
#ifndef TESTS_GOLDEN_PROBE_H
#define TESTS_GOLDEN_PROBE_H

#include <stdbool.h>

/* clang-format off */"""
    )
    print("enum { GOLDEN_ROWS = %d, GOLDEN_CLASSES = %d, GOLDEN_WIDTHS = 3 };" % (ROWS, CLASSES))
    print("static const int golden_dims[GOLDEN_WIDTHS] = {6, 4, 3};")
    print(
        "static const double golden_lr = %g, golden_momentum = %g, golden_decay = %g;\n"
        % (LR, MOMENTUM, DECAY)
    )
    for w, x in enumerate(features):
        print("static const float golden_features_%d[] = {" % w)
        for row in x.tolist():
            print("    " + " ".join("%.6ff," % v for v in row))
        print("};")
    print(
        """
struct golden_probe {
    int epochs;
    bool distill, cosine;
    double switchable[GOLDEN_WIDTHS], slimmable[GOLDEN_WIDTHS];
};

static const struct golden_probe golden_probes[] = {"""
    )
    for epochs in (1, 2, 5, 20):
        for distill in (False, True):
            for cosine in (True, False):
                own = train(features, labels, epochs, distill, cosine, False)
                shared = train(features, labels, epochs, distill, cosine, True)
                print(
                    "    {%d, %s, %s,\n     %s,\n     %s},"
                    % (
                        epochs,
                        str(distill).lower(),
                        str(cosine).lower(),
                        numbers(own, "%.17g"),
                        numbers(shared, "%.17g"),
                    )
                )
    print("};\n/* clang-format on */\n\n#endif")


main()
