"""The page: server-rendered, usable without scripts; htmx only spares reloads."""
