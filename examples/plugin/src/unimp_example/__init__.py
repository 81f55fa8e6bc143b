"""An extension of UniMP: a task, a baseline and a dataset source."""
