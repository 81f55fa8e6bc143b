"""Preference prediction: the rating of an item."""
