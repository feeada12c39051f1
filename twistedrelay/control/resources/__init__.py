"""The objects of the API, one module for each kind."""
