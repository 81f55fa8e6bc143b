"""From the model's hidden states to answers: exact ranking of the whole catalogue."""
