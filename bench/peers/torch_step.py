#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The step of `slimclr bench step`, in PyTorch: one whole SlimCLR-MoCo v2 training step.

Slimmable convolutions and linears by slicing, batch norm private to each width, one queue, keys
of a full-width momentum encoder, InfoNCE, distillation from the full width, SGD with decay on
everything. By default all widths go forward and one backward follows, as the reference does;
--sequential goes width by width, forward and backward, as slimclr does. Same sum of gradients,
less memory. Pictures are random numbers made beforehand.

What PyTorch offers to be fast is used: fused SGD, one call for the whole moving average, work in
place wherever autograd allows it, and on demand channels-last memory, autocast to bfloat16 (the
product with the queue included) and torch.compile of the encoder, once for each width.

Prints one JSON line with the keys of `slimclr bench step`. keys_s, update_s and per_width_s are
there with --sequential alone, as the other order does not go width by width. compile_s is what
compiling added to the first step. Wants PyTorch 2.x and nothing else.
"""
import argparse
import functools
import json
import math
import os
import re
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

# name: (bottleneck blocks?, blocks in each stage)
IMAGENET = {"resnet18": (False, (2, 2, 2, 2)), "resnet34": (False, (3, 4, 6, 3)),
            "resnet50": (True, (3, 4, 6, 3)), "resnet101": (True, (3, 4, 23, 3))}
CIFAR = re.compile(r"resnet(20|32|44|56|110)(?:x(\d+))?")


class Widths:
    """The list of widths and the one in use, shared by all layers of a net."""

    def __init__(self, values):
        self.values = values
        self.at = 0

    def of(self, channels):
        return int(channels * self.values[self.at] + 1e-6)


class Conv(nn.Module):
    def __init__(self, widths, c_in, c_out, kernel, stride=1, fixed_in=False):
        super().__init__()
        self.widths, self.stride, self.pad = widths, stride, kernel // 2
        self.fixed_in = fixed_in
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        c_out, c_in = self.weight.shape[:2]
        c_in = c_in if self.fixed_in else self.widths.of(c_in)
        weight = self.weight[:self.widths.of(c_out), :c_in]
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            # A dense copy costs less than what a strided slice makes the convolution do.
            weight = weight.contiguous(memory_format=torch.channels_last)
        if self.macs is not None:
            out = weight.shape[0] * math.prod(-(-side // self.stride) for side in x.shape[2:])
            self.macs.append(out * weight[0].numel())
        return F.conv2d(x, weight, stride=self.stride, padding=self.pad)

    macs = None  # a list while multiply-adds are counted


class Linear(nn.Module):
    def __init__(self, widths, n_in, n_out, fixed_out=False):
        super().__init__()
        self.widths, self.fixed_out = widths, fixed_out
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out))
        bound = 1 / math.sqrt(n_in)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x):
        n_out, n_in = self.weight.shape
        n_out = n_out if self.fixed_out else self.widths.of(n_out)
        n_in = self.widths.of(n_in)
        if Conv.macs is not None:
            Conv.macs.append(n_out * n_in)
        return F.linear(x, self.weight[:n_out, :n_in], self.bias[:n_out])


class Norm(nn.Module):
    """Switchable: scale, shift and statistics of its own for every width."""

    def __init__(self, widths, channels):
        super().__init__()
        self.widths = widths
        self.of_width = nn.ModuleList(nn.BatchNorm2d(int(channels * w + 1e-6))
                                      for w in widths.values)

    def forward(self, x):
        return self.of_width[self.widths.at](x)


class Block(nn.Module):
    def __init__(self, widths, c_in, mid, c_out, stride, bottleneck):
        super().__init__()
        shapes = [(c_in, mid, 1, 1), (mid, mid, 3, stride), (mid, c_out, 1, 1)] if bottleneck \
            else [(c_in, c_out, 3, stride), (c_out, c_out, 3, 1)]
        self.convs = nn.ModuleList(Conv(widths, *shape) for shape in shapes)
        self.norms = nn.ModuleList(Norm(widths, shape[1]) for shape in shapes)
        self.shortcut = None
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(Conv(widths, c_in, c_out, 1, stride),
                                          Norm(widths, c_out))

    def forward(self, x):
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            y = norm(conv(y))
            if i + 1 < len(self.convs):
                y = F.relu(y, inplace=True)
        y += x if self.shortcut is None else self.shortcut(x)
        return F.relu(y, inplace=True)


class Encoder(nn.Module):
    """A residual net and its two-layer head; embeddings are normalised."""

    def __init__(self, arch, values, image_size, dim):
        super().__init__()
        self.widths = widths = Widths(values)
        match = CIFAR.fullmatch(arch)
        if match:
            bottleneck, base = False, 16 * int(match.group(2) or 1)
            blocks = ((int(match.group(1)) - 2) // 6,) * 3
        elif arch in IMAGENET:
            (bottleneck, blocks), base = IMAGENET[arch], 64
        else:
            raise SystemExit(f"torch_step: unknown --arch {arch}")
        large = not match and image_size > 64
        self.conv = Conv(widths, 3, base, 7 if large else 3, 2 if large else 1, fixed_in=True)
        self.norm = Norm(widths, base)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        stages, c_in = [], base
        for s, n in enumerate(blocks):
            mid = base << s
            c_out = mid * (4 if bottleneck else 1)
            for i in range(n):
                stages.append(Block(widths, c_in, mid, c_out, 2 if s and not i else 1, bottleneck))
                c_in = c_out
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(Linear(widths, c_in, c_in), nn.ReLU(inplace=True),
                                  Linear(widths, c_in, dim, fixed_out=True))

    def forward(self, x, width):
        self.widths.at = width
        x = self.pool(F.relu(self.norm(self.conv(x)), inplace=True))
        x = self.stages(x).mean((2, 3))
        return F.normalize(self.head(x).float(), dim=1)


class Stopwatch:
    """Seconds of the parts of each step, by name."""

    def __init__(self):
        self.parts = {}

    def start(self):
        self.at = time.perf_counter()

    def lap(self, name):
        now = time.perf_counter()
        self.parts.setdefault(name, []).append(now - self.at)
        self.at = now

    def median(self, name):
        """Of the timed steps: the first one warmed up."""
        return round(statistics.median(self.parts[name][1:]), 6)


class Step:
    def __init__(self, args):
        self.args = args
        self.query = Encoder(args.arch, args.widths, args.image_size, args.moco_dim)
        self.key = Encoder(args.arch, args.widths, args.image_size, args.moco_dim)
        self.key.load_state_dict(self.query.state_dict())
        if args.channels_last:
            self.query.to(memory_format=torch.channels_last)
            self.key.to(memory_format=torch.channels_last)
        for p in self.key.parameters():
            p.requires_grad = False
        # Widths that the key encoder never runs have norms of their own, averaged all the same.
        self.averaged = list(self.key.parameters()), list(self.query.parameters())
        self.optimizer = torch.optim.SGD(self.query.parameters(), lr=0.06 * args.batch_size / 256,
                                         momentum=0.9, weight_decay=5e-4, fused=True)
        self.queue = F.normalize(torch.randn(args.moco_k, args.moco_dim), dim=1)
        self.at = 0
        full = 1 + sum(args.widths[1:])
        self.weight = [full if len(args.widths) > 1 else 1.0] + [1.0] * (len(args.widths) - 1)
        self.query_at = [functools.partial(self.query, width=i) for i in range(len(args.widths))]
        self.key_full = functools.partial(self.key, width=0)
        if args.compile:
            # A graph for each width and one for the keys; none may fall out of the cache.
            torch._dynamo.config.recompile_limit = 64  # pylint: disable=protected-access
            self.query_at = [torch.compile(f, dynamic=False) for f in self.query_at]
            self.key_full = torch.compile(self.key_full, dynamic=False)
        self.watch = Stopwatch()

    def autocast(self):
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.args.bf16)

    def embed(self, encoder, x):
        with self.autocast():
            return encoder(x)

    def loss(self, q, keys, teacher, width):
        """Loss of one width, and its similarities for the narrower ones."""
        with self.autocast():
            negatives = q @ self.queue.T
        cosines = torch.cat([(q * keys).sum(1, keepdim=True), negatives.float()], dim=1)
        target = torch.zeros(q.shape[0], dtype=torch.long)
        loss = F.cross_entropy(cosines / self.args.moco_t, target)
        if teacher is not None:
            t = 5.0
            soft = -(F.softmax(teacher / t, 1) * F.log_softmax(cosines / t, 1)).sum(1).mean()
            loss = 0.5 * loss + 0.5 * t * t * soft
        return self.weight[width] * loss, cosines

    def __call__(self, query_view, key_view):
        watch = self.watch
        watch.start()
        with torch.no_grad():
            torch._foreach_lerp_(*self.averaged, 1 - 0.99)  # pylint: disable=protected-access
            keys = self.embed(self.key_full, key_view)
        watch.lap("keys")
        self.optimizer.zero_grad(set_to_none=True)
        if self.args.sequential:
            teacher = None
            for i, encoder in enumerate(self.query_at):
                loss, cosines = self.loss(self.embed(encoder, query_view), keys, teacher, i)
                loss.backward()
                teacher = cosines.detach() if i == 0 else teacher
                watch.lap(i)
        else:
            teacher, total = None, 0.0
            embedded = [self.embed(encoder, query_view) for encoder in self.query_at]
            for i, q in enumerate(embedded):
                loss, cosines = self.loss(q, keys, teacher, i)
                total = total + loss
                teacher = cosines.detach() if i == 0 else teacher
            total.backward()
            watch.start()
        self.optimizer.step()
        self.queue[self.at:self.at + keys.shape[0]] = keys
        self.at = (self.at + keys.shape[0]) % self.args.moco_k
        watch.lap("update")

    @torch.no_grad()
    def macs(self):
        """True multiply-adds of one step for one picture, as `slimclr bench step` counts them."""
        side = self.args.image_size
        picture = torch.zeros(1, 3, side, side)
        total = 0
        self.key.eval()
        for i in range(len(self.args.widths)):
            Conv.macs = []
            self.key(picture, i)
            # Backward costs twice the forward, but the first layer has no gradient to pictures.
            total += 3 * sum(Conv.macs) - Conv.macs[0]
            total += 2 * self.args.moco_dim * self.args.moco_k
            total += sum(Conv.macs) if i == 0 else 0
        Conv.macs = None
        self.key.train()
        return total


def since_start():
    """Seconds since this process was made, interpreter and imports included (Linux)."""
    with open("/proc/self/stat", encoding="ascii") as stat:
        # The name of the program stands in brackets and may hold spaces; start time is field 22.
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def widths(text):
    return sorted((float(word) for word in text.split(",")), reverse=True)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--widths", type=widths, default=widths("1,0.75,0.5,0.25"))
    parser.add_argument("--method", choices=["mocov2"], default="mocov2")
    parser.add_argument("--moco-k", type=int, default=4096)
    parser.add_argument("--moco-dim", type=int, default=128)
    parser.add_argument("--moco-t", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=0, help="0 = what PyTorch takes")
    parser.add_argument("--sequential", action="store_true",
                        help="a backward after each width's forward")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--compile", action="store_true",
                        help="torch.compile the encoder, once for each width")
    args = parser.parse_args()
    if args.moco_k % args.batch_size != 0:
        parser.error("--moco-k is not a multiple of --batch-size")
    return args


def main():
    args = read_arguments()
    if args.threads > 0:
        torch.set_num_threads(args.threads)

    torch.manual_seed(0)
    begun = time.perf_counter()
    step = Step(args)
    views = [torch.randn(args.batch_size, 3, args.image_size, args.image_size) for _ in range(2)]
    if args.channels_last:
        views = [v.contiguous(memory_format=torch.channels_last) for v in views]
    times, first, since = [], 0.0, 0.0
    for i in range(args.steps + 1):
        start = time.perf_counter()
        step(*views)
        end = time.perf_counter()
        if i == 0:
            first, since = end - begun, since_start()
        else:
            times.append(end - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    median = statistics.median(times)
    line = {
        "bench": "step", "arch": args.arch, "device": f"torch {torch.__version__}",
        "precision": "bf16" if args.bf16 else "fp32", "image_size": args.image_size,
        "batch": args.batch_size, "queue": args.moco_k, "steps": args.steps,
        "best_s": round(min(times), 6), "median_s": round(median, 6),
        "first_s": round(first, 6), "start_to_first_step_s": round(since, 3),
        "images_per_sec": round(args.batch_size / median, 3),
        "gflops": round(2 * step.macs() * args.batch_size / median / 1e9, 3),
        "peak_rss_mb": round(peak / 1e6, 1)}
    if args.sequential:
        line |= {"keys_s": step.watch.median("keys"), "update_s": step.watch.median("update"),
                 "per_width_s": {f"{w:.2f}": step.watch.median(i)
                                 for i, w in enumerate(args.widths)}}
    if args.compile:
        line["compile_s"] = round(max(0.0, first - median), 3)
    print(json.dumps(line | {
        "sequential": args.sequential, "channels_last": args.channels_last,
        "compile": args.compile, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
