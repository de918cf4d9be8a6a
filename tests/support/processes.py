"""Functions that tests run in other processes.

A spawned process imports them by name, so they belong to a package that is on its path: modules of tests are not.
"""


def masked_in_another_process(stack):
    """Masks of every exposure, and the image of ``meanjoint``."""
    return stack.detect().crmasks, stack.combine("meanjoint").data
