"""What every room may use: errors, configuration, search spaces, progress, files, pretrained weights."""
