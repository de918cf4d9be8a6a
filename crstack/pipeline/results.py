"""Results of a run, for its tables, figures and page."""

from dataclasses import dataclass, replace

from crstack.joint import JointDecision
from crstack.masks import exposure_name
from crstack.mmcosmic import MMDecision
from crstack.utils.cached import cached_property

__all__ = ["Results"]


@dataclass(frozen=True)
class Results:
    """Results of a run for tables and figures.

    Attributes
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        Settings.
    stack : `~crstack.CRStack`
        The exposures.
    masks : `~crstack.MaskSet`
        The masks.
    output : `~pathlib.Path`
        Directory of the products.
    """

    configuration: object
    stack: object
    masks: object
    output: object

    def view(self, name):
        """A mask with its images; those of the exposures are the same objects in all views."""
        view = self.stack.plot.mask_view(name, masks=self.masks)
        image = view.image
        for i, (_, exposure) in enumerate(self._exposures):
            if name == exposure_name(i):
                image = exposure
        return replace(view, image=image, others=(view.others[0], *self._exposures))

    @cached_property
    def _exposures(self):
        return tuple((f"exposure {i + 1}", data) for i, data in enumerate(self.stack.exposures.data))

    @property
    def in_diagram(self):
        """The decision of M.M.Cosmic if it used a diagram; otherwise None."""
        decision = self.masks.decision
        return decision if isinstance(decision, MMDecision) and decision.diagram is not None else None

    @property
    def joint_summary(self):
        """Fitted values of the joint decision, as numbers; empty for other methods."""
        return {} if self._joint_result is None else dict(self._joint_result.summary())

    @property
    def joint_in_words(self):
        """The same as readable text; empty for other methods."""
        return {} if self._joint_result is None else self._joint_result.in_words()

    @property
    def _joint_result(self):
        decision = self.masks.decision
        return decision.result if isinstance(decision, JointDecision) else None
