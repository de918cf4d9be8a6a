"""The joint decision: the probability that each value is hit, from all exposures together."""

from crstack.joint.counts import Counts
from crstack.joint.excess import ExcessVariance
from crstack.joint.method import JointDecision, JointPosterior
from crstack.joint.population import Population
from crstack.joint.posterior import JointResult, joint_posterior

__all__ = [
    "Counts",
    "ExcessVariance",
    "JointDecision",
    "JointPosterior",
    "JointResult",
    "Population",
    "joint_posterior",
]
