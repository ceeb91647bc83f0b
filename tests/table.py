"""The mistakes of docs/examples/mistakes.py, which is no package."""

import importlib.util
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "mistakes.py"
spec = importlib.util.spec_from_file_location("mistakes", SCRIPT)
mistakes = importlib.util.module_from_spec(spec)
sys.modules["mistakes"] = mistakes  # dataclasses look their module up
spec.loader.exec_module(mistakes)
