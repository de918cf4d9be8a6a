"""Kernels from the common image to each exposure: throughput, shift and seeing."""
