"""Recipe, objective, loop, checkpoints: one training loop for every task."""
