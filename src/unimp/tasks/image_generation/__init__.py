"""Image generation, guided by words and history."""
