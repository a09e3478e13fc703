"""Losses of a student on weak soft labels: soft cross-entropy, log-confidence, product confidence.

All are the cross-entropy against a target without gradient, on logits float32 [n, k] and weak labels float32 [n, k],
rows that sum to 1, k >= 2 classes. `weight` float32 [n], not negative, weighs rows; the loss is the weighted mean.

Source: Burns et al. 2023, "Weak-to-Strong Generalization" (arXiv 2312.09390), and the code published with it
(github.com/openai/weak-to-strong), which differ in the ramp of the confidence loss: see `RAMPS`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

BALANCING = 10
"""Rounds over the classes in which thresholds of three classes or more settle."""


def soft_cross_entropy(logits: Tensor, weak: Tensor, weight: Tensor | None = None) -> Tensor:
    """-sum_k weak_k log p_k, mean over rows: scalar. The default loss: it holds for students of any size."""
    per_row = -(weak * log_softmax(logits, dim=1)).sum(dim=1)
    if weight is None:
        return per_row.mean()
    return (weight * per_row).sum() / weight.sum()


def log_confidence(logits: Tensor, weak: Tensor, coefficient: float, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy against (1 - coefficient) · weak + coefficient · the student's own hardened label: scalar.

    `coefficient` in [0, 1], from one of `RAMPS`. A student far weaker than GPT-2 XL seldom gains by it.
    """
    with torch.no_grad():
        own = hardened(log_softmax(logits, dim=1).exp(), weak).to(weak.dtype)
        target = (1 - coefficient) * weak + coefficient * own
    return soft_cross_entropy(logits, target, weight)


def product_confidence(
    logits: Tensor, weak: Tensor, *, alpha: float = 1.0, beta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy against a target in proportion to p^beta · weak^alpha: scalar. `alpha` and `beta` above 0."""
    with torch.no_grad():
        # In logs: p of a sure student times a hard label of the other class would be 0 everywhere.
        tiny = torch.finfo(weak.dtype).tiny
        joint = beta * log_softmax(logits, dim=1) + alpha * weak.clamp_min(tiny).log()
        target = joint.softmax(dim=1)
    return soft_cross_entropy(logits, target, weight)


def hardened(p: Tensor, weak: Tensor) -> Tensor:
    """One-hot labels [n, k] from the student's probabilities p [n, k], as balanced over the batch as the weak labels.

    For two classes the rule of the public code: class 0 where p_0 is at least the quantile of p_0, interpolated
    linearly, at the mean weak probability of class 1. The code knows no others; here they get thresholds t_c, each in
    turn such that p_c - t_c is the largest as often as the mean weak probability of c, which for two classes is the
    same. The balance keeps a student from growing sure of one class.
    """
    prior = weak.mean(dim=0)
    if p.shape[1] == 2:
        return one_hot((p[:, 0] < torch.quantile(p[:, 0], prior[1])).long(), 2)
    levels = (1 - prior).clamp(0, 1)
    margin = p.clone()
    for _ in range(BALANCING):
        for c in range(p.shape[1]):
            others = margin.clone()
            others[:, c] = -torch.inf
            lead = p[:, c] - others.amax(dim=1)
            margin[:, c] = p[:, c] - torch.quantile(lead, levels[c])
    return one_hot(margin.argmax(dim=1), p.shape[1])


def paper_ramp(progress: float, top: float = 0.5, share: float = 0.2) -> float:
    """The coefficient at `progress` in [0, 1] of training: linear up to `top` over the first fifth, then constant.

    Source: Burns et al. 2023; `top` goes up to .75 for their largest students.
    """
    return top * min(1.0, progress / share)


def public_code_ramp(progress: float, top: float = 0.5, share: float = 0.1) -> float:
    """The coefficient as the published code has it: `top` · progress up to `share`, then `top`.

    It climbs to `top` · `share` = .05 and jumps to .5 from there.
    """
    return top * (progress if progress <= share else 1.0)


RAMPS = {"paper": paper_ramp, "public-code": public_code_ramp}
"""What may be asked for by name: progress in [0, 1] to a coefficient."""
