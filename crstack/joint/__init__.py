"""One calibrated decision per pixel for all exposures."""

from crstack.joint.candidates import Counts
from crstack.joint.excess import ExcessVariance
from crstack.joint.method import JointPosterior, JointResult, joint_posterior
from crstack.joint.population import Population

__all__ = ["Counts", "ExcessVariance", "JointPosterior", "JointResult", "Population", "joint_posterior"]
