"""What a process spends its time on."""

import time

import pytest

from tuning.process.spent import KINDS, Clock


def test_what_is_measured_inside_counts_for_itself():
    clock = Clock()
    began = time.perf_counter()
    with clock.on("training"):
        time.sleep(0.05)
        with clock.on("building"):
            time.sleep(0.1)
            clock.add("compiling", 0.04)  # of these 0.1 s
        time.sleep(0.05)
    whole = time.perf_counter() - began
    told = clock.take()
    assert set(told) == set(KINDS)
    assert sum(told.values()) == pytest.approx(whole, abs=0.005)
    assert told["compiling"] == 0.04
    assert told["building"] == pytest.approx(0.06, abs=0.03)
    assert told["training"] == pytest.approx(0.1, abs=0.03)
    assert not any(clock.take().values())


def test_what_fails_is_counted_too():
    clock = Clock()

    def fail():
        with clock.on("other"):
            time.sleep(0.02)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert clock.take()["other"] >= 0.02
