"""Tests of the number of threads."""

import inspect
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.utils import threads
from crstack.utils.threads import VARIABLE, limited_threads, map_threads, n_threads


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_processors_by_default():
    assert 1 <= n_threads() <= min(os.cpu_count(), 8)


@pytest.mark.parametrize("number", ["1", "3", " 12 "])
def test_variable(monkeypatch, number):
    monkeypatch.setenv(VARIABLE, number)
    assert n_threads() == int(number)


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", "²"])
def test_variable_that_is_no_number(monkeypatch, number):
    monkeypatch.setenv(VARIABLE, number)
    with pytest.raises(InputError) as caught:
        n_threads()
    assert str(caught.value) == (
        f"CRSTACK_NUM_THREADS must be an integer at least 1; got {number!r}; set it to a number or unset it"
    )


def test_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    assert n_threads() >= 1


def test_limit_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "3")
    with limited_threads(2):
        assert n_threads() == 2
        with limited_threads(None):
            assert n_threads() == 2
        with limited_threads(5):
            assert n_threads() == 5
        assert n_threads() == 2
    assert n_threads() == 3


@pytest.mark.parametrize("number", [0, 1.5, "2", True])
def test_limit_that_is_no_number(number):
    with pytest.raises(InputError, match="n_threads must be an integer"), limited_threads(number):
        pass


@pytest.mark.parametrize(("limit", "n_used"), [(1, 1), (3, 3), (50, 6)])
def test_so_many_threads_work(limit, n_used):
    # no thread continues before this number of threads works
    barrier = threading.Barrier(n_used)

    def work(item):
        barrier.wait(timeout=60)
        return item, threading.get_ident()

    with limited_threads(limit):
        found = map_threads(work, range(6))
    assert [item for item, _ in found] == list(range(6))
    assert len({thread for _, thread in found}) == n_used
    assert threading.get_ident() in {thread for _, thread in found}


def test_limit_holds_within_threads():
    with limited_threads(2):
        assert map_threads(lambda _: n_threads(), range(4)) == [2] * 4


def test_errors_arrive_and_nothing_more_begins():
    begun = []

    def work(item):
        begun.append(item)
        if item == 0:
            raise ValueError("first")
        threading.Event().wait(0.01)

    with limited_threads(2), pytest.raises(ValueError, match="first"):
        map_threads(work, range(1000))
    assert len(begun) < 1000


def test_the_first_error_in_order_is_raised():
    both = threading.Barrier(2)

    def work(item):
        both.wait(timeout=60)
        raise ValueError(f"item {item}")

    with limited_threads(2), pytest.raises(ValueError, match="item 0"):
        map_threads(work, range(2))


def test_threads_wait_for_the_next_work():
    both = threading.Barrier(2)
    with limited_threads(2):
        for _ in range(5):
            map_threads(lambda _: both.wait(timeout=60), range(2))
            n = threading.active_count()
            map_threads(lambda _: both.wait(timeout=60), range(2))
            assert threading.active_count() == n


def test_calls_within_calls_end():
    with limited_threads(4):
        found = map_threads(lambda i: map_threads(lambda j: map_threads(str, [i, j]), range(5)), range(3))
    assert found == [[[str(i), str(j)] for j in range(5)] for i in range(3)]


def test_calls_within_calls_use_the_threads_without_work():
    both = threading.Barrier(2)
    first_is_done = threading.Event()

    def work(item):
        if item == 0:
            first_is_done.set()
            return None
        first_is_done.wait(timeout=60)
        # the other thread has no item left; it may need a moment to come to its end
        for _ in range(1000):
            used = set(map_threads(lambda _: time.sleep(1e-3) or threading.get_ident(), range(2)))
            if len(used) == 2:
                return map_threads(lambda part: both.wait(timeout=60) and part, range(2))
        return None

    with limited_threads(2):
        assert map_threads(work, range(2))[1] is not None


def test_calls_within_calls_use_no_more_threads():
    at_work, most, lock = [], [], threading.Lock()

    def part(number):
        with lock:
            at_work.append(number)
            most.append(len(at_work))
        time.sleep(1e-3)
        with lock:
            at_work.pop()

    with limited_threads(3):
        map_threads(lambda _: map_threads(part, range(7)), range(5))
        # all threads are free again
        together = threading.Barrier(3)
        map_threads(lambda _: together.wait(timeout=60), range(3))
    assert max(most) <= 3


def test_calls_of_many_threads_end():
    def call(number):
        with limited_threads(3):
            return sum(map_threads(lambda item: item * number, range(50)))

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(call, range(40))) == [number * 1225 for number in range(40)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own():
    with limited_threads(2):
        map_threads(str, range(4))
        child = os.fork()
        if child == 0:
            os._exit(0 if map_threads(str, range(4)) == ["0", "1", "2", "3"] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


#: what is measured is a throughput, a shift and a response of the rows
DIFFERENT = {"scene": "slit", "flux_factors": (0.85, 1, 1.12), "offsets": ((0.3, 0), (0, 0), (-0.3, 0))}


@pytest.mark.parametrize(
    ("settings", "differences"),
    [
        ({"aux": "lacosmic"}, {}),
        ({"aux": "pycosmic"}, {}),
        ({"method": JointPosterior()}, {}),
        ({"method": JointPosterior()}, DIFFERENT),
        ({"method": "mmcosmic", "aux": None}, DIFFERENT),
    ],
)
def test_no_result_depends_on_the_number(monkeypatch, settings, differences):
    # several bands; the joint decision has smaller parts
    shape = (90, 100) if "method" in settings else (180, 400)
    if differences:
        monkeypatch.setattr(threads, "PIXELS_IN_CACHE", 2000)
    simulated = make_stack(**({"scene": "ifu"} | differences), shape=shape, seed=5)
    found = []
    for n in (1, 3):
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, n_threads=n)
        masks = stack.detect(**settings)
        found.append([masks[name] for name in masks] + [stack.combine("meancr2").data])
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)


def test_stack_keeps_to_its_number(monkeypatch):
    simulated = make_stack("ifu", shape=(40, 50), seed=5)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, n_threads=3)
    seen = []
    monkeypatch.setattr(threads, "n_threads", lambda: seen.append(threads._limit.get()) or 1)
    assert stack.statistics.count.shape == (40, 50)
    stack.detect(aux="lacosmic")
    stack.combine("meancr2")
    assert len(seen) > 3
    assert set(seen) == {3}
    assert str(inspect.signature(CRStack.combine)).startswith("(self, name")
    assert CRStack.statistics.__doc__ == "Order statistics of `exposures`."


def threads_of_blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_matrices_take_one_thread_meanwhile():
    with threadpool_limits(2, user_api="blas"):
        before = threads_of_blas()
        with limited_threads(None):
            assert threads_of_blas() <= {1}
            with limited_threads(3):
                assert map_threads(lambda _: threads_of_blas() <= {1}, range(3)) == [True] * 3
            # the inner context must not end the outer one
            assert threads_of_blas() <= {1}
        assert threads_of_blas() == before
        with pytest.raises(ValueError, match="within"), limited_threads(None):
            raise ValueError("within")
        assert threads_of_blas() == before


@pytest.mark.parametrize("number", [0, 2.0, "all"])
def test_stack_with_a_number_that_is_none(number):
    with pytest.raises(InputError, match="n_threads must be an integer"):
        CRStack([], n_threads=number)
