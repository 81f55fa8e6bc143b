"""Catalogues and interaction logs: read, validate, filter, split. No torch."""
