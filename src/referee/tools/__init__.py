"""The tools that judge a subject: ``contract`` says what a tool is, ``registry`` which there are.

Names are imported when first asked for: the command line mounts this room's commands,
and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.tools.contract import (
        Installation,
        InstallKit,
        Parameter,
        ParameterValue,
        RawOutput,
        RunKit,
        Tool,
        ToolDescription,
        ToolPlan,
    )
    from referee.tools.fingerprints import (
        FINGERPRINT_VERSION,
        compute_cluster_key,
        compute_fingerprint,
        compute_fingerprints,
    )
    from referee.tools.install import ToolInstaller
    from referee.tools.parameters import parse_parameter_text, resolve_parameters
    from referee.tools.reading import OutputUnreadable
    from referee.tools.registry import TOOL_NAMES, all_tools, describe_tools, get_tool
    from referee.tools.sarif import SarifInvocation, render_sarif, validate_sarif

__all__ = [
    "FINGERPRINT_VERSION",
    "TOOL_NAMES",
    "InstallKit",
    "Installation",
    "OutputUnreadable",
    "Parameter",
    "ParameterValue",
    "RawOutput",
    "RunKit",
    "SarifInvocation",
    "Tool",
    "ToolDescription",
    "ToolInstaller",
    "ToolPlan",
    "all_tools",
    "compute_cluster_key",
    "compute_fingerprint",
    "compute_fingerprints",
    "describe_tools",
    "get_tool",
    "parse_parameter_text",
    "render_sarif",
    "resolve_parameters",
    "validate_sarif",
]

__getattr__ = open_door(
    __name__,
    {
        "contract": (
            "InstallKit",
            "Installation",
            "Parameter",
            "ParameterValue",
            "RawOutput",
            "RunKit",
            "Tool",
            "ToolDescription",
            "ToolPlan",
        ),
        "fingerprints": (
            "FINGERPRINT_VERSION",
            "compute_cluster_key",
            "compute_fingerprint",
            "compute_fingerprints",
        ),
        "install": ("ToolInstaller",),
        "parameters": (
            "parse_parameter_text",
            "resolve_parameters",
        ),
        "reading": ("OutputUnreadable",),
        "registry": (
            "TOOL_NAMES",
            "all_tools",
            "describe_tools",
            "get_tool",
        ),
        "sarif": (
            "SarifInvocation",
            "render_sarif",
            "validate_sarif",
        ),
    },
)
