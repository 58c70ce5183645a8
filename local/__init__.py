"""The lab: the whole world on one machine, and what is shown and measured in it."""

import sys
from pathlib import Path

# What a run did is read here as the API reads it. The world itself uses nothing of the product.
sys.path.append(str(Path(__file__).parents[1] / "layers" / "mta_sts"))
