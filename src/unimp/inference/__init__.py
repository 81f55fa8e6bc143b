"""From sentences to hidden states and scores: forward pass, continuation, retrieval, attribution."""
