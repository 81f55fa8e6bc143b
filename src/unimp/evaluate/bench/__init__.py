"""One judge for all methods: the same cases, the same masking, the same metrics, ranks kept per user."""
