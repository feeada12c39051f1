"""Accounts that others keep: Dovecot, PAM, a directory by LDAP.  Each module is one strcred checker for C{credential_checkers}."""
