"""The item–item structure of a log, in closed form: read by baselines and by UniMP itself."""
