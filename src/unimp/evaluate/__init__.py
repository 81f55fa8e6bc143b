"""Evaluation of a run, and the benchmark."""
