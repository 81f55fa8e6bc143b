"""Encoders of pictures behind one protocol, `VisionEncoder`."""
