"""Certificates by ACME: asking an authority, answering its challenges, and when to do so."""
