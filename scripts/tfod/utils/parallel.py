"""The same work on many things, in several processes.

The processes are forked: they find what the work needs (functions, lists of names) in the memory that they share with
their parent. Fork only while no other thread runs, and before TensorFlow is imported: it has threads of its own.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator

from tfod.utils.console import ENDING, InputError, show_progress


def count_cores() -> int:
    """How many cores this process may use: the default number of workers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # macOS has not got it


def map_in_processes(function: Callable, items: Iterable, workers: int) -> Iterator:
    """Yields `function(item)` in the order of `items`, worked out by `workers` processes.

    Few items are under way at any moment, so that memory does not grow with their number. Raises what `function`
    raises, and InputError if a process was killed.
    """
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), _become_worker, (function,)
    )
    under_way = collections.deque()
    try:
        for item in items:
            former = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # what is raised while Python forks is lost
            under_way.append(executor.submit(_call, item))
            signal.pthread_sigmask(signal.SIG_SETMASK, former)
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except concurrent.futures.process.BrokenProcessPool:
        raise InputError(
            "a worker process was killed: most likely the memory ran out (dmesg tells); give fewer --num_workers, or"
            " close other programs"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def map_chunks(function, items, workers, what, size):
    """Yields `function(list of up to size items)` for each such list, in order, as `map_in_processes` does.

    `what` names the work beside its progress. A single worker is this process itself.
    """
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    workers = min(workers, len(chunks))
    done = 0
    with show_progress(what, len(items)) as update:
        results = map(function, chunks) if workers < 2 else map_in_processes(function, chunks, workers)
        with contextlib.closing(results) if workers > 1 else contextlib.nullcontext():
            for chunk, result in zip(chunks, results, strict=True):
                yield result
                done += len(chunk)
                update(done)


def _become_worker(function):
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _call(item):
    return _function(item)
