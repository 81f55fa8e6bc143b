"""The demo: generate the shop, train on it, compare, show."""
