"""Search: items for words, a picture, or both."""
