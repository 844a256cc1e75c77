"""AIBox: a self-hosted AI platform for teams who must be able to prove what their AI did."""

import sys

__version__ = "0.1.0"

# structlog draws errors with Rich where it is installed, which Litestar sees to: 7 MB and a tenth of a second for what
# is switched off here (core/telemetry.py: it would print the variables of every frame, prompts among them).
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment] # how Python writes that there is no such module
import structlog  # noqa: E402, F401

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich
