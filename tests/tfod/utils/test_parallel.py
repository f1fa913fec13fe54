"""Work in forked processes: in order, whatever each takes, and no process or silence left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from tfod.utils.console import InputError
from tfod.utils.parallel import map_in_processes


@pytest.fixture
def list_children():
    """`list_children()`: the processes of this one that live and were not there before the test, as its fork server."""

    def read():
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())

    before = read()
    return lambda: read() - before


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 3, 40])
def test_results_come_in_order_from_other_processes(workers, items, list_children):
    def work(item):
        time.sleep(0.02 if item % 7 == 0 else 0)  # so that later ones are done earlier
        return item, os.getpid()

    results = list(map_in_processes(work, range(items), workers))
    assert [item for item, _ in results] == list(range(items))
    assert os.getpid() not in {process for _, process in results}
    assert not list_children()


def test_what_a_worker_raises_is_raised_here_and_ends_all(list_children):
    def work(item):
        if item == 5:
            raise InputError("a.jpg: is empty; replace it")
        return item

    with pytest.raises(InputError, match="a.jpg: is empty; replace it"):
        list(map_in_processes(work, range(1000), 2))
    assert not list_children()


def test_a_killed_worker_is_named_and_waited_for_no_longer(list_children):
    def work(item):
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(InputError, match="a worker process was killed: most likely the memory ran out"):
        list(map_in_processes(work, range(1000), 2))
    assert not list_children()


def test_a_fault_of_our_own_shows_where_it_is():
    with pytest.raises(ZeroDivisionError) as raised:
        list(map_in_processes(lambda item: 1 // item, range(3), 2))
    assert "test_parallel.py" in str(raised.value.__cause__)  # the traceback of the worker


def test_a_caller_that_stops_leaves_no_process(list_children):
    results = map_in_processes(lambda item: item, range(1000), 2)
    assert next(results) == 0
    results.close()
    assert not list_children()
