"""Reading an app's dependency files: exact versions with their places, and holes with their reasons."""

from referee.tools.dependencies.model import Declaration, Dependencies
from referee.tools.dependencies.npm import NPM_FILES, find_npm_dependencies
from referee.tools.dependencies.python import PYTHON_FILES, find_python_dependencies

__all__ = [
    "NPM_FILES",
    "PYTHON_FILES",
    "Declaration",
    "Dependencies",
    "find_npm_dependencies",
    "find_python_dependencies",
]
