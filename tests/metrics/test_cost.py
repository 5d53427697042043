"""Costs by what must hold in any run: orders and bounds, never a time."""

import dataclasses
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from t2i_course.errors import T2IError
from t2i_course.metrics import cost
from t2i_course.metrics.cost import Cost, measure, parameters

MB = 2**20


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "t2i-cost"]


def test_the_peak_holds_what_was_allocated_and_does_not_sink_when_it_is_freed() -> None:
    with measure() as meter:
        before = meter.so_far().peak_memory_bytes
        block = torch.ones(50 * MB)  # 200 MB
        within = meter.so_far().peak_memory_bytes
        del block
    assert within >= before + 150 * MB
    assert meter.cost.peak_memory_bytes >= within
    assert meter.cost.peak_gpu_bytes is None


def test_a_peak_that_is_over_before_the_end_is_seen_by_the_watching_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: memory that reads 7 bytes for the watching thread alone, and 1 for the block."""
    seen = threading.Event()

    def memory_info() -> SimpleNamespace:
        if threading.current_thread() is threading.main_thread():
            return SimpleNamespace(rss=1)
        seen.set()
        return SimpleNamespace(rss=7)

    fake = SimpleNamespace(memory_info=memory_info)
    monkeypatch.setattr(cost.psutil, "Process", lambda: fake)
    with measure() as meter:
        assert seen.wait(timeout=30)
    assert meter.cost.peak_memory_bytes == 7


def test_a_block_that_sleeps_costs_wall_time_and_one_that_works_costs_cpu_time() -> None:
    with measure() as asleep:
        time.sleep(0.3)
    assert asleep.cost.cpu_seconds < asleep.cost.wall_seconds / 2
    with measure() as awake:
        start = time.process_time()
        while (worked := time.process_time() - start) < 0.05:
            pass
    assert awake.cost.cpu_seconds >= worked
    assert awake.cost.cpu_minutes == awake.cost.cpu_seconds / 60


def test_the_cost_so_far_only_rises_and_stands_still_after_the_block() -> None:
    with measure() as meter:
        first = meter.so_far()
        sum(range(100_000))
        second = meter.so_far()
        with pytest.raises(T2IError, match="so_far"):
            _ = meter.cost
    for field in ("wall_seconds", "cpu_seconds", "peak_memory_bytes"):
        assert 0 <= getattr(first, field) <= getattr(second, field) <= getattr(meter.cost, field)
    assert first.wall_seconds < second.wall_seconds < meter.cost.wall_seconds
    assert meter.so_far() == meter.cost
    with pytest.raises(dataclasses.FrozenInstanceError):
        meter.cost.wall_seconds = 0  # type: ignore[misc]


def test_the_watching_thread_ends_with_the_block_and_the_cost_stands_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), measure() as meter:
        assert len(watchers()) == 1
        _ = 1 / 0
    assert watchers() == []
    assert meter.cost.wall_seconds > 0


def test_the_gpu_peak_is_of_the_given_gpu_from_the_start_of_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: a stand-in for two GPUs, of which the second holds 5 bytes, then 9, then 3."""
    peaks = {0: 100, 1: 50}
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks[device])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda device: peaks.update({device: 5})
    )
    for device in ("cuda:1", "cuda"):
        with measure(device) as meter:
            assert meter.so_far().peak_gpu_bytes == 5
            peaks[1] = 9
            assert meter.so_far().peak_gpu_bytes == 9
            peaks[1] = 3
        assert meter.cost.peak_gpu_bytes == 9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_peak_holds_what_was_allocated() -> None:
    with measure("cuda") as meter:
        block = torch.ones(50 * MB, device="cuda")
        del block
    assert (meter.cost.peak_gpu_bytes or 0) >= 200 * MB


def test_the_cost_of_two_sittings_adds_times_and_keeps_the_higher_peaks() -> None:
    """Oracle, by hand; a sitting without a GPU has no GPU peak to offer."""
    cpu, gpu = Cost(1, 2, 30), Cost(10, 20, 3, peak_gpu_bytes=7)
    assert cpu + gpu == gpu + cpu == Cost(11, 22, 30, peak_gpu_bytes=7)
    assert (cpu + cpu).peak_gpu_bytes is None
    assert (gpu + Cost(0, 0, 0, peak_gpu_bytes=9)).peak_gpu_bytes == 9


def test_parameters_count_shared_ones_once_and_frozen_ones_too() -> None:
    """Oracle, by hand: 3 · 2 weights and 2 biases, twice the same layer, then 2 + 2 frozen."""
    linear, norm = nn.Linear(3, 2), nn.LayerNorm(2).requires_grad_(False)
    assert parameters(nn.Sequential(linear, linear, norm)) == 8 + 4
