"""Scores from several sources, mixed with weights that validation chose."""
