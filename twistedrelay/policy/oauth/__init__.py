"""Logins by OAuth 2.0 bearer token; needs the extra C{[oauth]}, and is imported only where C{oauth_providers} are configured."""
