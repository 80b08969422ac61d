# pylint: skip-file
import sys
