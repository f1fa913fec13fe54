"""Ground module: the same work on many things, in several processes.

The processes are forked, not started anew: they begin in a few milliseconds with all modules loaded, and find what
the work needs (functions, lists of names) in the memory that they share with their parent, so that only small
messages travel. Fork only while no other thread runs, and before TensorFlow is imported: it has threads of its own.
"""

import contextlib
import dataclasses
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal

from tfod.console import InputError

_ENDING = {signal.SIGINT, signal.SIGTERM}


def count_cores():
    """How many cores this process may use: the default number of workers."""
    return len(os.sched_getaffinity(0))


@dataclasses.dataclass
class Worker:
    """A forked process, and the parent's end of the pipe to it."""

    process: multiprocessing.Process
    pipe: multiprocessing.connection.Connection

    def send(self, message):
        """Gives it a message to answer. One that has just died is found by `receive`."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(message)


@contextlib.contextmanager
def fork_workers(function, number):
    """Yields `number` workers. Each answers every message that it is sent with `function(message)`, one by one.

    After the block they are gone, whatever they were at.
    """
    context = multiprocessing.get_context("fork")
    workers = []
    try:
        for _ in range(number):
            ours, theirs = context.Pipe()
            parents_ends = [*(worker.pipe for worker in workers), ours]
            process = context.Process(target=_serve, args=(function, theirs, parents_ends), daemon=True)
            # What is raised while Python forks is lost: a Ctrl-C just then waits until the worker is in the list.
            former = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
            try:
                process.start()
                workers.append(Worker(process, ours))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, former)
            theirs.close()
        yield workers
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _serve(function, pipe, parents_ends):
    """What a worker does. It ends with its parent, whose ends of the pipes it must not hold open itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for end in parents_ends:
        end.close()
    gc.freeze()  # what came with the fork is not searched for cycles again and again
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            message = pipe.recv()
            try:
                answer = (function(message), None)
            except (InputError, OSError) as error:  # anything else is our own fault: its traceback is shown
                answer = (None, error)
            pipe.send(answer)


def receive(workers):
    """Yields (worker, answer) for every answer that is there; waits for the first one.

    Raises what a worker raised, if InputError or OSError, and InputError if a worker was killed.
    """
    by_pipe = {worker.pipe: worker for worker in workers}
    for pipe in multiprocessing.connection.wait(by_pipe):
        try:
            answer, error = pipe.recv()
        except (EOFError, ConnectionResetError):
            process = by_pipe[pipe].process
            process.join()
            if process.exitcode >= 0:
                raise RuntimeError(f"a worker process ended with {process.exitcode}") from None
            name = signal.Signals(-process.exitcode).name
            raise InputError(
                f"a worker process was ended by {name}: most likely the memory ran out (dmesg tells); give fewer"
                " --num_workers, or close other programs"
            ) from None
        if error:
            raise error
        yield by_pipe[pipe], answer


def map_in_processes(function, items, workers):
    """Yields `function(item)` in the order of `items`, worked out by `workers` processes.

    Items and results should be small: they travel through pipes. Few are under way at any moment, so that memory
    does not grow with their number. Raises as `receive` does.
    """
    tasks, done, position, under_way = enumerate(items), {}, 0, 0
    with fork_workers(lambda task: (task[0], function(task[1])), workers) as pool:
        idle = pool * 2  # two tasks each: none waits for its next one
        while True:
            for worker, task in zip(idle, tasks, strict=False):
                worker.send(task)
                under_way += 1
            if not under_way:
                return
            idle = []
            for worker, (number, result) in receive(pool):
                done[number] = result
                under_way -= 1
                idle.append(worker)
            while position in done:
                yield done.pop(position)
                position += 1
