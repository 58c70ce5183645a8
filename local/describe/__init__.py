"""Makes docs/openapi.json and docs/input.schema.json out of the code: `python -m local.describe`."""
