"""Training shared among processes that torchrun starts; the only user of torch.distributed."""
