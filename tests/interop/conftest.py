"""The fixtures of the interoperability tests."""

from tests.end_to_end.site import shared_site, site

__all__ = ["shared_site", "site"]
