"""What is known of items before training: text, pictures, item-item graphs, image codes; cached on disk."""
