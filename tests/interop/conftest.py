"""The fixtures of the end-to-end tests."""

from tests.end_to_end.site import site

__all__ = ["site"]
