"""The HTTP service: `create_app` binds a personalizer and a store to routes."""
