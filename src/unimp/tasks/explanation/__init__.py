"""Explanation: why an item suits a user, in words."""
