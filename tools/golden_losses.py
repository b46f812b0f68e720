#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/losses.h: values and gradients of the row losses computed by PyTorch
in double, by autograd, from the formulas of the papers that docs/methods.md names. It is
run by hand and its output is committed; the build needs neither Python nor PyTorch.

    python3 tools/golden_losses.py > tests/golden/losses.h
"""

import torch
import torch.nn.functional as F

ROWS, COLS = 3, 6
LABELS = [2, 0, 5]


def inputs(seed):
    """Multiples of 1/64 in [-1, 1], exact in float."""
    torch.manual_seed(seed)
    return torch.randint(-64, 65, (ROWS, COLS)).double() / 64


def cross_entropy(s, _):
    return F.cross_entropy(s / 0.5, torch.tensor(LABELS))


def info_nce(s, _):
    return F.cross_entropy(s / 0.25, torch.zeros(ROWS, dtype=torch.long))


def soft(student, teacher, t_student, t_teacher):
    p = F.log_softmax(student / t_student, dim=1)
    t = F.softmax(teacher / t_teacher, dim=1)
    return -(t * p).sum(dim=1).mean() * t_student**2


def soft_5(s, u):
    return soft(s, u, 5.0, 5.0)


def soft_two(s, u):
    return soft(s, u, 0.5, 2.0)


def mse(s, u):
    return F.mse_loss(s, u)


def atkd(s, u):
    a = F.layer_norm(s, (COLS,), eps=1e-5) * 2.0
    b = F.layer_norm(u, (COLS,), eps=1e-5) * 2.0
    p = F.log_softmax(a / 4, dim=1)
    return F.kl_div(p, F.softmax(b / 4, dim=1), reduction="batchmean") * 16


def dkd(s, u):
    target = torch.zeros_like(s)
    target[:, 0] = 1.0

    def two_way(x):
        p = F.softmax(x, dim=1)
        return torch.stack([(p * target).sum(1), (p * (1 - target)).sum(1)], dim=1)

    tckd = F.kl_div(two_way(s).log(), two_way(u), reduction="sum") / ROWS
    nckd = F.kl_div(
        F.log_softmax(s - 1000.0 * target, dim=1),
        F.softmax(u - 1000.0 * target, dim=1),
        reduction="sum",
    ) / ROWS
    return 1.0 * tckd + 0.5 * nckd


def entropy(u, t_student, t_teacher):
    t = F.softmax(u / t_teacher, dim=1)
    return (-(t * t.log()).sum(1).mean() * t_student**2).item()


CASES = [
    ("GOLDEN_INFO_NCE", "SL_LOSS_CLASS", info_nce, 0.25, 0.0, False),
    ("GOLDEN_CLASS", "SL_LOSS_CLASS", cross_entropy, 0.5, 0.0, True),
    ("GOLDEN_SOFT", "SL_LOSS_SOFT", soft_5, 5.0, 5.0, False),
    ("GOLDEN_SOFT_TWO", "SL_LOSS_SOFT", soft_two, 0.5, 2.0, False),
    ("GOLDEN_MSE", "SL_LOSS_MSE", mse, 0.0, 0.0, False),
    ("GOLDEN_ATKD", "SL_LOSS_ATKD", atkd, 0.0, 0.0, False),
    ("GOLDEN_DKD", "SL_LOSS_DKD", dkd, 0.0, 0.0, False),
]


def table(x, indent):
    lines = []
    for row in x.tolist():
        for begin in range(0, COLS, 3):
            numbers = ", ".join("%.17g" % v for v in row[begin:begin + 3])
            lines.append(" " * indent + numbers + ",")
    return "\n".join(lines)


def main():
    s, u = inputs(1), inputs(2)
    print("/* SPDX-License-Identifier: MIT */")
    print("/*")
    print(" * Row losses and their gradients by PyTorch in double, in golden_losses[]. Written by")
    print(" * tools/golden_losses.py, not by hand. The same logits, teacher and labels serve all")
    print(" * cases; all are exact in float.")
    print(" */")
    print("#ifndef TESTS_GOLDEN_LOSSES_H")
    print("#define TESTS_GOLDEN_LOSSES_H\n")
    print('#include "backend/backend.h"\n')
    print("/* clang-format off */")
    print("enum { GOLDEN_ROWS = %d, GOLDEN_COLS = %d };\n" % (ROWS, COLS))
    for name, x in (("logits", s), ("teacher", u)):
        rows = [", ".join("%.6ff" % v for v in row) for row in x.tolist()]
        print("static const float golden_%s[GOLDEN_ROWS * GOLDEN_COLS] = {" % name)
        print(",\n".join("    " + row for row in rows) + "};\n")
    labels = ", ".join(map(str, LABELS))
    print("static const int32_t golden_labels[GOLDEN_ROWS] = {%s};\n" % labels)
    print("struct golden_loss {")
    print("    const char *name;")
    print("    enum sl_row_loss_kind kind;")
    print("    float temperature, teacher_temperature;")
    print("    bool labels;")
    print("    double value, teacher_entropy;")
    print("    double diff[GOLDEN_ROWS * GOLDEN_COLS];")
    print("};\n")
    print("static const struct golden_loss golden_losses[] = {")
    for name, kind, function, t, t_teacher, labels in CASES:
        x = s.clone().requires_grad_(True)
        value = function(x, u)
        value.backward()
        self = entropy(u, t, t_teacher) if kind == "SL_LOSS_SOFT" else 0.0
        print('    {"%s", %s, %sf, %sf, %s,' % (name[7:].lower(), kind, t, t_teacher,
                                             "true" if labels else "false"))
        print("     %.17g, %.17g, {" % (value.item(), self))
        print(table(x.grad, 6))
        print("     }},")
    print("};")
    print("/* clang-format on */\n")
    print("#endif")


main()
