"""Selection: which of several candidates suit."""
