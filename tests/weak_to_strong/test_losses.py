"""Losses are the golden ones, equal float64 references, and pull only on the student."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curation.weak_to_strong import losses

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.4], [-1.0, 1.0]])
WEAK = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.2, 0.8]])


def soft(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(z: np.ndarray, target: np.ndarray) -> float:
    return float(-(target * np.log(soft(z))).sum(axis=1).mean())


def drawn(rows: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    z = 3 * random.normal(size=(rows, classes))
    weak = random.dirichlet(np.arange(1, classes + 1), size=rows)
    return torch.tensor(z, dtype=torch.float32), torch.tensor(weak, dtype=torch.float32)


def test_the_golden_vectors() -> None:
    """methods.md §3.2; threshold and losses at the public code's coefficients."""
    assert losses.soft_cross_entropy(LOGITS, WEAK).item() == pytest.approx(0.542879, abs=1e-6)
    assert losses.product_confidence(LOGITS, WEAK).item() == pytest.approx(0.375091, abs=1e-6)
    ramp = losses.RAMPS["public-code"]
    for progress, value in ((0.05, 0.536879), (0.1, 0.530879), (0.2, 0.422879)):
        assert losses.log_confidence(LOGITS, WEAK, ramp(progress)).item() == pytest.approx(value, abs=1e-6)
    p = soft(LOGITS.double().numpy())
    assert np.quantile(p[:, 0], WEAK.double().numpy().mean(axis=0)[1]) == pytest.approx(0.435366, abs=1e-6)


def test_the_two_ramps_differ_as_the_paper_and_its_code_do() -> None:
    paper, code = losses.RAMPS["paper"], losses.RAMPS["public-code"]
    assert [paper(x) for x in (0, 0.05, 0.1, 0.2, 1)] == pytest.approx([0, 0.125, 0.25, 0.5, 0.5])
    assert [code(x) for x in (0, 0.05, 0.1, 0.1001, 1)] == pytest.approx([0, 0.025, 0.05, 0.5, 0.5])
    assert paper(1, top=0.75) == 0.75


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_they_equal_float64_references(classes: int) -> None:
    logits, weak = drawn(64, classes, classes)
    z, w = logits.double().numpy(), weak.double().numpy()
    p = soft(z)
    assert losses.soft_cross_entropy(logits, weak).item() == pytest.approx(cross_entropy(z, w), rel=1e-5)
    joint = p**0.5 * w**2
    target = joint / joint.sum(axis=1, keepdims=True)
    product = losses.product_confidence(logits, weak, alpha=2, beta=0.5).item()
    assert product == pytest.approx(cross_entropy(z, target), rel=1e-5)
    t = np.zeros(classes)
    for _ in range(losses.BALANCING):
        for c in range(classes):
            others = np.delete(p - t, c, axis=1).max(axis=1)
            t[c] = np.quantile(p[:, c] - others, 1 - w.mean(axis=0)[c])
    # For two classes the thresholds of the others say what the public code's one does.
    mixed = 0.6 * w + 0.4 * np.eye(classes)[(p - t).argmax(axis=1)]
    assert losses.log_confidence(logits, weak, 0.4).item() == pytest.approx(cross_entropy(z, mixed), rel=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_hardened_labels_are_balanced_as_the_weak_ones_though_the_student_is_not(classes: int) -> None:
    random = np.random.default_rng(classes)
    z = torch.tensor(random.normal(size=(4000, classes)) + 2 * np.arange(classes), dtype=torch.float32)
    weak = torch.tensor(random.dirichlet(np.ones(classes) * 2, size=4000), dtype=torch.float32)
    own = losses.hardened(z.softmax(dim=1), weak).float().mean(dim=0)
    argmax = torch.bincount(z.argmax(dim=1), minlength=classes) / 4000
    assert (own - weak.mean(dim=0)).abs().max() < 0.01
    assert (argmax - weak.mean(dim=0)).abs().max() > 0.3


def test_the_gradient_is_that_of_a_fixed_target() -> None:
    logits, weak = drawn(16, 3, 0)
    for loss in (
        losses.soft_cross_entropy,
        lambda z, w: losses.log_confidence(z, w, 0.5),
        losses.product_confidence,
    ):
        z = logits.clone().requires_grad_()
        loss(z, weak).backward()
        target = z.detach().softmax(dim=1) - len(z) * z.grad
        torch.testing.assert_close(target.sum(dim=1), torch.ones(16))
        assert target.min() > -1e-5
    torch.testing.assert_close(losses.log_confidence(logits, weak, 0.0), losses.soft_cross_entropy(logits, weak))


def test_a_row_that_weighs_twice_counts_twice_and_one_of_nothing_not_at_all() -> None:
    weight = torch.tensor([2.0, 1.0, 0.0, 1.0])
    repeated = [0, 0, 1, 3]
    weighed = losses.soft_cross_entropy(LOGITS, WEAK, weight)
    torch.testing.assert_close(weighed, losses.soft_cross_entropy(LOGITS[repeated], WEAK[repeated]))
    weighed = losses.product_confidence(LOGITS, WEAK, weight=weight)
    torch.testing.assert_close(weighed, losses.product_confidence(LOGITS[repeated], WEAK[repeated]))


def test_hard_labels_and_sure_students_give_finite_losses_and_gradients() -> None:
    z = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    weak = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    for value in (losses.product_confidence(z, weak), losses.log_confidence(z, weak, 0.5)):
        (gradient,) = torch.autograd.grad(value, z, retain_graph=True)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
