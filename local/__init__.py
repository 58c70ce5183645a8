"""The product on one machine: an AWS emulator, a world of DNS and HTTPS, the real template."""

import sys
from pathlib import Path

# What a run did is read here as the API reads it. The world itself uses nothing of the product.
sys.path.append(str(Path(__file__).parents[1] / "layers" / "mta_sts"))
