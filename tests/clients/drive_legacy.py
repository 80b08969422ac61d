"""Run by the environment of honeyhive 0.2.57: tools and projects by its real classes; prints what came back."""
# mypy: ignore-errors

from __future__ import annotations

import json
import os

from honeyhive import HoneyHive
from honeyhive.models import components, errors


def drive_tools(client: HoneyHive) -> dict[str, object]:
    """Functions that models may call."""
    made = client.tools.create_tool(
        request=components.CreateToolRequest(
            task="default", name="search", parameters={"type": "object"}, type="function", description="Finds"
        )
    )
    tool_id = made.object.result.inserted_id
    client.tools.update_tool(
        request=components.UpdateToolRequest(id=tool_id, name="find", parameters={"type": "object", "n": 1})
    )
    (found,) = client.tools.get_tools().tools
    client.tools.delete_tool(function_id=tool_id)
    return {
        "found": [found.id == tool_id, found.task, found.name, found.description, found.parameters],
        "kind": found.tool_type.value,
        "left": len(client.tools.get_tools().tools),
    }


def drive_projects(client: HoneyHive) -> dict[str, object]:
    """Projects."""
    made = client.projects.create_project(
        request=components.CreateProjectRequest(name="Team B", description="agents")
    ).project
    client.projects.update_project(request=components.UpdateProjectRequest(project_id=made.id, name="Team C"))
    (found,) = client.projects.get_projects(name="Team C").projects
    client.projects.delete_project(name="Team C")
    return {
        "found": [found.id == made.id, found.name, found.description],
        "left": [one.name for one in client.projects.get_projects().projects],
    }


def try_to_create(client: HoneyHive) -> str:
    """Return what a key that is no admin's is told."""
    try:
        client.projects.create_project(request=components.CreateProjectRequest(name="Team D"))
    except errors.SDKError as error:
        return f"{error.status_code} {json.loads(error.body)['message']}"
    return "made"


def open_client(variable: str) -> HoneyHive:
    """Return a client with the key of a variable."""
    return HoneyHive(bearer_auth=os.environ[variable], server_url=os.environ["HH_API_URL"])


if __name__ == "__main__":
    admin = open_client("HH_API_KEY")
    seen = {
        "tools": drive_tools(admin),
        "projects": drive_projects(admin),
        "refused": try_to_create(open_client("HH_WRITE_KEY")),
    }
    print(json.dumps(seen))
