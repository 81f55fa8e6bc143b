"""Several processes and several machines: the only room that knows torch.distributed."""
