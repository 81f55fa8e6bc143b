"""Recommendation: the next item."""
