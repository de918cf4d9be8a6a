"""Many stacks: independent jobs on any executor, and a table of the results."""

from crstack.batch.directory import stacks_of_directory
from crstack.batch.runner import run
from crstack.batch.stacks import Stack, stacks_of_document, stacks_of_table

__all__ = ["Stack", "run", "stacks_of_directory", "stacks_of_document", "stacks_of_table"]
