"""The first import of many modules, without the search for garbage among them."""

import gc
import sys
from contextlib import contextmanager

__all__ = ["first_imports"]


@contextmanager
def first_imports(module):
    """Context for the first import of ``module`` and all that it needs.

    Modules create many objects that live as long as the process. Python's search for unused objects (the garbage
    collector) would examine them repeatedly, which slows the imports. The search is therefore switched off during the
    imports, and later leaves these objects out. Nothing changes if the module was imported before, or if the user has
    switched the search off.
    """
    if module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
