"""The domain that the lab and the demo begin with: the sample of Google's instructions."""

DOMAIN = "solarmora.com"
# Mode and all: "enforced" is none of RFC 8461's modes, and files like it are about.
POLICY = """\
version: STSv1
mode: enforced
mx: mail.solarmora.com
mx: *.solarmora.net
mx: backupmx.solarmora.com
max_age: 604800
"""
RECORD = "v=STSv1; id=20200425085700;"
