"""Who may do what: connectors, rights, logins, the verdicts on MAIL and RCPT, limits, and the trace header."""
