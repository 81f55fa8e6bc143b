"""Simple references of the tasks beside recommendation: what a model has to beat to be worth its while."""
