"""One calibrated decision per pixel for all exposures."""

from crstack.joint.candidates import Counts
from crstack.joint.excess import ExcessVariance
from crstack.joint.population import Population
from crstack.joint.posterior import JointPosterior, JointResult, joint_posterior

__all__ = ["Counts", "ExcessVariance", "JointPosterior", "JointResult", "Population", "joint_posterior"]
