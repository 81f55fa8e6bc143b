"""The one implementation of every metric, for training, for the benchmark and for every method."""
