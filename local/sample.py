"""The domains that a lab begins with."""

# The sample of Google's instructions, mode and all, for `demo` and `up`: "enforced" is none of RFC
# 8461's modes, and files like it are about. What can be done with them is worth being seen.
DOMAIN = "solarmora.com"
POLICY = """\
version: STSv1
mode: enforced
mx: mail.solarmora.com
mx: *.solarmora.net
mx: backupmx.solarmora.com
max_age: 604800
"""
RECORD = "v=STSv1; id=20200425085700;"


def well_formed(domain: str) -> str:
    """Return a policy such as most domains have: for `run`, where an event is looked at alone."""
    return f"version: STSv1\r\nmode: enforce\r\nmx: mail.{domain}\r\nmax_age: 604800\r\n"
