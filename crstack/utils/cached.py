"""Properties that are computed once for each object."""

import functools
from typing import Any, TypeVar, overload

T = TypeVar("T")

__all__ = ["cached_property"]


class cached_property(functools.cached_property[T]):
    """As `functools.cached_property` of Python 3.12 and later, without a lock.

    In Python 3.11 one lock guards a property of all objects of a class. A property that waits for threads, which need
    the same property of other objects, then waits for ever. Two threads that ask one object at the same time may both
    compute the value.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> "cached_property[T]": ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> "cached_property[T] | T":
        """The value, computed at the first call."""
        if instance is None:
            return self
        assert self.attrname is not None
        values = instance.__dict__
        if self.attrname not in values:
            values[self.attrname] = self.func(instance)
        return values[self.attrname]
