"""Benchmarks for airspeed velocity (asv): the ten figures that must not become worse."""
