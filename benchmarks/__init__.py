"""Benchmarks of the template beside its peers, on one machine and in one run."""
