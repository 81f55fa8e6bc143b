"""The run folder: recipe, artifacts, checkpoint; open it, update its catalogue."""
