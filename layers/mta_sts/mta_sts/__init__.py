"""Turns MTA-STS (RFC 8461) off for a mail domain: the domain's rules and its adapters."""
