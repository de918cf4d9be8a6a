"""The progress bar of ``progress=True``."""

from contextlib import contextmanager

from crstack.exceptions import InputError

__all__ = ["progress_to"]


class _Bars:
    """A bar of tqdm for each stage, in a terminal or a notebook."""

    def __init__(self):
        self._bar = None
        self._stage = None

    def __call__(self, stage, fraction):
        from tqdm.auto import tqdm

        if stage != self._stage:
            self.finish()
            self._stage = stage
            self._bar = tqdm(total=1.0, desc=stage, bar_format="{desc} {percentage:3.0f}% |{bar:30}| [{elapsed}]")
        self._move_to(fraction)

    def _move_to(self, fraction):
        self._bar.update(max(float(fraction) - self._bar.n, 0.0))

    def finish(self, *, complete=True):
        """Close the bar of the latest stage, at 1.0 if it is complete."""
        if self._bar is not None:
            if complete:
                self._move_to(1.0)
            self._bar.close()
        self._bar = self._stage = None


@contextmanager
def progress_to(progress):
    """The function to which stages report: none, that of the user, or a bar for True.

    Parameters
    ----------
    progress : callable, bool or None
        As given by the user.

    Yields
    ------
    report : callable or None
        Called as ``report(stage, fraction)``. A bar reaches 1.0 if the block succeeds.

    Raises
    ------
    InputError
        If it is of another kind.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        bars = _Bars()
        complete = False
        try:
            yield bars
            complete = True
        finally:
            bars.finish(complete=complete)
    elif callable(progress):
        yield progress
    else:
        raise InputError(f"progress must be True, None or a function of a stage and a fraction; got {progress!r}")
