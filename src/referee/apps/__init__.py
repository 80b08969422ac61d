"""Apps: generated web apps and the source of whatever is analysed. This is the door.

Names are imported when first asked for: the command line mounts this room's commands,
and ``referee --help`` must not pay for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from referee.core.doors import open_door

if TYPE_CHECKING:
    from referee.apps.catalogue import (
        Model,
        ModelEntry,
        get_model,
        import_models,
        list_models,
        make_model_slug,
    )
    from referee.apps.generation import (
        Generation,
        GenerationFailure,
        GenerationState,
        create_generation,
        get_generation,
        list_generations,
        list_record_artifacts,
        register_generation,
        run_generation,
    )
    from referee.apps.holding import AppSource, HeldApp, NothingToRun, hold_app
    from referee.apps.hosts import sweep_app_runs
    from referee.apps.importing_apps import (
        AppFolder,
        FolderImport,
        ImportedApp,
        import_apps,
        read_app_folder,
    )
    from referee.apps.known_templates import (
        KnownTemplate,
        find_template,
        get_template,
        import_template,
        load_template,
        read_template_file,
    )
    from referee.apps.lookups import (
        GenerationFacts,
        can_app_run,
        compute_generation_cost_usd,
        list_apps_by_id,
        list_named_apps,
        list_template_slugs,
        list_written_apps,
        read_generation_facts,
        read_starts,
    )
    from referee.apps.placeholder_records import look_into_folder, note_placeholder
    from referee.apps.room import AppsRoom
    from referee.apps.running import stop_people_runs
    from referee.apps.runs import AppFailed, AppRun, AppRunState, FailureKind
    from referee.apps.service import (
        App,
        SourceLocation,
        count_apps,
        ensure_app,
        get_app,
        list_apps,
        locate_source,
        reserve_app,
    )
    from referee.apps.sources import (
        SourceLimits,
        load_snapshot,
        render_listing,
        sweep_snapshots,
        take_snapshot,
    )

__all__ = [
    "App",
    "AppFailed",
    "AppFolder",
    "AppRun",
    "AppRunState",
    "AppSource",
    "AppsRoom",
    "FailureKind",
    "FolderImport",
    "Generation",
    "GenerationFacts",
    "GenerationFailure",
    "GenerationState",
    "HeldApp",
    "ImportedApp",
    "KnownTemplate",
    "Model",
    "ModelEntry",
    "NothingToRun",
    "SourceLimits",
    "SourceLocation",
    "can_app_run",
    "compute_generation_cost_usd",
    "count_apps",
    "create_generation",
    "ensure_app",
    "find_template",
    "get_app",
    "get_generation",
    "get_model",
    "get_template",
    "hold_app",
    "import_apps",
    "import_models",
    "import_template",
    "list_apps",
    "list_apps_by_id",
    "list_generations",
    "list_models",
    "list_named_apps",
    "list_record_artifacts",
    "list_template_slugs",
    "list_written_apps",
    "load_snapshot",
    "load_template",
    "locate_source",
    "look_into_folder",
    "make_model_slug",
    "note_placeholder",
    "read_app_folder",
    "read_generation_facts",
    "read_starts",
    "read_template_file",
    "register_generation",
    "render_listing",
    "reserve_app",
    "run_generation",
    "stop_people_runs",
    "sweep_app_runs",
    "sweep_snapshots",
    "take_snapshot",
]

__getattr__ = open_door(
    __name__,
    {
        "catalogue": (
            "Model",
            "ModelEntry",
            "get_model",
            "import_models",
            "list_models",
            "make_model_slug",
        ),
        "generation": (
            "Generation",
            "GenerationFailure",
            "GenerationState",
            "create_generation",
            "get_generation",
            "list_generations",
            "list_record_artifacts",
            "register_generation",
            "run_generation",
        ),
        "importing_apps": ("AppFolder", "FolderImport", "ImportedApp", "import_apps", "read_app_folder"),
        "placeholder_records": ("look_into_folder", "note_placeholder"),
        "lookups": (
            "GenerationFacts",
            "can_app_run",
            "compute_generation_cost_usd",
            "list_apps_by_id",
            "list_named_apps",
            "list_template_slugs",
            "list_written_apps",
            "read_generation_facts",
            "read_starts",
        ),
        "holding": ("AppSource", "HeldApp", "NothingToRun", "hold_app"),
        "hosts": ("sweep_app_runs",),
        "room": ("AppsRoom",),
        "running": ("stop_people_runs",),
        "runs": ("AppFailed", "AppRun", "AppRunState", "FailureKind"),
        "service": (
            "App",
            "SourceLocation",
            "count_apps",
            "ensure_app",
            "get_app",
            "list_apps",
            "locate_source",
            "reserve_app",
        ),
        "sources": (
            "SourceLimits",
            "load_snapshot",
            "render_listing",
            "sweep_snapshots",
            "take_snapshot",
        ),
        "known_templates": (
            "KnownTemplate",
            "find_template",
            "get_template",
            "import_template",
            "load_template",
            "read_template_file",
        ),
    },
)
