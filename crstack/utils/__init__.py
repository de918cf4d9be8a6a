"""Tools of every module that know nothing of exposures: checks, warnings, memory, threads, plug-ins, the log."""
