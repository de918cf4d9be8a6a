"""Stacks and their results can be sent to other processes, and copied."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from support.processes import masked_in_another_process
from support.stacks import stack_of

from crstack.datasets import make_stack


def again(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def stack():
    return stack_of(make_stack("imaging", (80, 90), seed=1, hit_rate=0.02))


@pytest.mark.parametrize("copied", [again, copy.deepcopy])
@pytest.mark.parametrize("options", [{"method": "joint"}, {"method": "mmcosmic", "aux": "pycosmic"}])
def test_a_stack_with_results_is_copied_without_its_caches(stack, copied, options):
    before = stack.detect(**options)
    image = stack.combine("mediancr").data
    twin = copied(stack)
    assert twin.prepared._kept == {}
    assert stack.prepared._kept
    for masks in (twin.latest_masks(), twin.detect(**options)):
        for name in before:
            np.testing.assert_array_equal(masks.codes[name], before.codes[name])
    np.testing.assert_array_equal(twin.combine("mediancr").data, image)
    assert len(pickle.dumps(stack)) < 8 * stack.exposures.data.nbytes


@pytest.mark.parametrize("copied", [again, copy.deepcopy])
def test_results_are_copied_whole(stack, copied):
    masks = stack.detect("joint")
    made = stack.combine("meancr2", full_output=True)
    twin, image = copied(masks), copied(made)
    assert twin.uuid == masks.uuid
    np.testing.assert_array_equal(twin.probability, masks.probability)
    np.testing.assert_array_equal(twin.crmasks, masks.crmasks)
    np.testing.assert_array_equal(copied(masks.decision).probability, masks.decision.probability)
    np.testing.assert_array_equal(image.ccd.data, made.ccd.data)
    np.testing.assert_array_equal(image.flags, made.flags)
    np.testing.assert_array_equal(stack.combine("meancr2", masks=twin).data, made.ccd.data)


def test_a_stack_works_in_another_process(stack):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        crmasks, image = pool.submit(masked_in_another_process, stack).result(timeout=200)
    np.testing.assert_array_equal(crmasks, stack.detect().crmasks)
    np.testing.assert_array_equal(image, stack.combine("meanjoint").data)


def test_a_stack_in_files_is_copied_to_memory():
    from crstack.utils.memory import Workspace

    workspace = Workspace(1 << 40, ("response",))
    workspace.in_files = True
    twin = again(workspace)
    assert (twin.limit, twin.in_files, twin._whole) == (1 << 40, False, ("response",))
