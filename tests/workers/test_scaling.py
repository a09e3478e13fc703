"""The simulation of `benchmarks/scaling.py` against what can be worked out by hand."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "scaling.py"


@pytest.fixture(scope="module")
def scaling() -> Any:
    spec = importlib.util.spec_from_file_location("scaling", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("nodes", "per_node", "units"), [(1, 1, 7), (1, 4, 10), (3, 4, 24), (5, 2, 1001), (2, 16, 3)])
def test_constant_work_takes_as_many_rounds_as_it_must(scaling: Any, nodes: int, per_node: int, units: int) -> None:
    cluster = scaling.Cluster(nodes, per_node)
    result = scaling.Simulation(cluster).run([scaling.Phase("score", units, 2.0)])
    rounds = math.ceil(units / (nodes * per_node))
    assert result.wall == pytest.approx(2.0 * rounds)
    assert result.worked == pytest.approx(2.0 * units)
    assert result.utilisation(cluster) == pytest.approx(units / (rounds * nodes * per_node))
    assert (result.done, result.driver, result.wasted, result.losses) == (units, 0, 0, 0)


def test_a_saturated_driver_takes_what_the_units_cost_it(scaling: Any) -> None:
    cluster = scaling.Cluster(10, 16)
    phase = scaling.Phase("score", 5_000, 0.01, submit=0.003, collect=0.001)
    result = scaling.Simulation(cluster).run([phase])
    assert result.driver == pytest.approx(5_000 * 0.004)
    assert result.wall == pytest.approx(result.driver, rel=0.01)
    assert result.utilisation(cluster) == pytest.approx(0.01 / 0.004 / 160, rel=0.01)


def test_the_driver_is_no_limit_while_it_is_quicker_than_the_workers(scaling: Any) -> None:
    """W workers take a unit every work / W seconds: the driver follows as long as its cost is below that."""
    cluster = scaling.Cluster(10, 16)
    for cost, limit in ((0.0025, 1.0 / 160), (0.0125, 0.0125)):
        result = scaling.Simulation(cluster).run([scaling.Phase("score", 16_000, 1.0, submit=cost)])
        assert result.wall == pytest.approx(16_000 * limit, rel=0.03)


def test_asking_costs_by_the_units_in_flight_and_is_shared_by_those_that_ended(scaling: Any) -> None:
    """With all workers in step, the driver asks once a round: each time about those that are in flight."""
    phase = scaling.Phase("score", 400, 10.0, wait=0.5, wait_each=0.01)
    result = scaling.Simulation(scaling.Cluster(1, 100)).run([phase])
    assert result.driver == pytest.approx(4 * 0.5 + 0.01 * (200 + 200 + 200 + 100))


def test_what_the_driver_does_alone_is_time_without_work(scaling: Any) -> None:
    cluster = scaling.Cluster(1, 8)
    phases = [
        scaling.Phase("announce", 0, 0.0, before=3.0),
        scaling.Phase("score", 16, 5.0, before=1.0, after=2.0),
        scaling.Phase("decide", 8, 1.0),
    ]
    result = scaling.Simulation(cluster).run(phases)
    assert result.walls == pytest.approx({"announce": 3.0, "score": 13.0, "decide": 1.0})
    assert result.wall == pytest.approx(17.0)
    assert result.utilisation(cluster) == pytest.approx((16 * 5 + 8) / (17 * 8))


def test_work_with_a_tail_has_its_mean_and_is_never_quicker_than_the_bounds(scaling: Any) -> None:
    cluster = scaling.Cluster(4, 16)
    simulation = scaling.Simulation(cluster, seed=1)
    result = simulation.run([scaling.Phase("score", 20_000, 3.0, tail=0.8)])
    assert result.worked / 20_000 == pytest.approx(3.0, rel=0.04)
    assert result.worked / 64 <= result.wall <= result.worked / 64 + max(simulation.work)  # list scheduling
    again = scaling.Simulation(cluster, seed=1).run([scaling.Phase("score", 20_000, 3.0, tail=0.8)])
    assert again == result


def test_nodes_that_come_up_late_take_their_share_from_then_on(scaling: Any) -> None:
    late = scaling.Simulation(scaling.Cluster(50, 4, start_up=100.0)).run([scaling.Phase("score", 40_000, 1.0)])
    assert late.wall == pytest.approx(40_000 / 200 + 100, rel=0.1)  # 100 s late on average, each


def test_every_unit_is_done_once_whatever_is_lost(scaling: Any) -> None:
    cluster = scaling.Cluster(20, 4, start_up=30.0, mtbf=2_000.0)
    result = scaling.Simulation(cluster, seed=3).run([scaling.Phase("score", 20_000, 10.0)])
    assert result.done == 20_000
    assert result.worked == pytest.approx(200_000.0)
    expected = 20 * result.wall / 2_000
    assert abs(result.losses - expected) < 4 * math.sqrt(expected)
    # a loss takes half a unit of each worker on average, and the node for 43 s
    assert result.wasted / (result.losses * 4) == pytest.approx(5.0, rel=0.25)
    idle = 200_000 / (80 * result.wall)
    assert idle == pytest.approx(1 - (43 + 5) / 2_000, abs=0.02)


def test_units_of_a_lost_node_are_handed_over_again_once_that_is_noticed(scaling: Any) -> None:
    """Two are done at 10 s, two more are lost at 15 s; the two that waited run from 28 s, and then the lost ones."""
    simulation = scaling.Simulation(scaling.Cluster(1, 2, mtbf=1e12, notice=13.0))
    simulation._push(15.0, scaling.LOSS, 0)
    result = simulation.run([scaling.Phase("score", 6, 10.0)])
    assert (result.wall, result.losses, result.done) == (48.0, 1, 6)
    assert (result.worked, result.wasted) == (60.0, 10.0)


def test_phases_of_a_run_follow_from_what_was_measured(scaling: Any) -> None:
    costs = {
        "ray": {
            "hand a unit over": [0.3, 0.5],
            "fetch what came of it": [0.02, 0.02],
            **{f"wait, {count:,} in flight": [0.1 + count / 1e3, 1.0] for count in scaling.IN_FLIGHT},
        },
        "phases": {
            "first, announce": [0.05, 0.0, 0.0, 0.05, 0.1],
            "first, score 0": [0.01, 0.2, 0.03, 0.24, 0.3],
            "again, score 0": [9.0, 9.0, 9.0, 9.0, 9.0],
        },
    }
    announce, score = scaling.phases_of(costs, 1_000)
    assert (announce.units, announce.before) == (0, pytest.approx(0.05))
    assert (score.units, score.work) == (1_000, scaling.WORK["score 0"])
    assert score.submit == pytest.approx(0.0003 + 0.0002)
    assert (score.collect, score.before, score.after) == pytest.approx((0.00002, 0.01, 0.03))
    assert score.wait_each == pytest.approx(1e-6, rel=0.01)
