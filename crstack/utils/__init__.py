"""General tools of all modules: checks, warnings, memory, threads, plug-ins, the log."""
