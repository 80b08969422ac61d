"""Entry of the child process: one JSON job on standard input, JSON lines on standard output, files in ``out``."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
import_module("child.jobs").main()
