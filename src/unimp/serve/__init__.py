"""The HTTP service, its store and its page."""
