"""The tutorial itself: its commands in their order, and what each must have done."""

from __future__ import annotations

import json
import shlex
from typing import Any

from demo.screen import Screen
from demo.stage import NODE, RealStage, Stage, Surprise

__all__ = ["Surprise", "play"]


def play(stage: Stage, screen: Screen) -> None:
    """Play it. Raises Surprise where something does not do what the tutorial says."""
    for name, value in stage.variables.items():
        screen.command(f"export {name}={value}")
    screen.say(
        "in every terminal here; on machines of your own the local Consul agent and Docker are the defaults"
    )
    _declare(stage, screen)
    _register(stage, screen)
    id = _launch(stage, screen)
    if isinstance(stage, RealStage) and stage.docker_command is not None:
        _repair(stage, screen, id)
    _end(stage, screen, id)


def _declare(stage: Stage, screen: Screen) -> None:
    stage.type("roj", "version")
    if stage.real:
        screen.say(f"{stage.image} is a small web server, built by the demo, in a registry on this machine")
    stage.type("roj", "create", "web:v1", stage.image, "-p", f"80:{stage.port}")
    stage.type("roj", "apps")
    stage.type("roj", "nodes")


def _register(stage: Stage, screen: Screen) -> None:
    screen.command(f"roj {shlex.join(stage.agent_command)}")
    screen.say("in another terminal: it runs until it is told to end")
    stage.start_agent()
    stage.wait("the node is ready", lambda: any(row["ready"] for row in _rows(stage, "nodes")))
    stage.show_agent()
    stage.type("roj", "nodes")


def _launch(stage: Stage, screen: Screen) -> str:
    id = stage.type("roj", "deploy", "web:v1", NODE).out.strip()
    took = stage.wait(f"{id} is launched", lambda: _phase(stage, id) == "launched")
    screen.say(f"{took:.1f} s later: the image was pulled, and the container has run for a second")
    stage.type("roj", "instances", NODE)
    if stage.real:
        stage.fetch()
    return id


def _repair(stage: RealStage, screen: Screen, id: str) -> None:
    container = _container(stage, id)
    assert stage.docker_command is not None
    stage.type(stage.docker_command, "rm", "-f", container, shown=f"docker rm -f {container}")
    took = stage.wait("the container is back", lambda: _container(stage, id) not in ("", container))
    stage.wait(f"{id} is launched", lambda: _phase(stage, id) == "launched")
    screen.say(f"somebody removed it by hand; {took:.1f} s later `roj instances` has another")
    stage.fetch()


def _end(stage: Stage, screen: Screen, id: str) -> None:
    stage.type("roj", "undeploy", id, "--wait")
    stage.type("roj", "instances", NODE)
    stage.type("roj", "events")
    screen.command("kill %1")
    screen.say("SIGTERM to the agent")
    code = stage.stop_agent()
    if code != 0:
        raise Surprise(f"the agent ended with exit code {code}")
    stage.type("roj", "nodes")


def _rows(stage: Stage, what: str) -> list[dict[str, Any]]:
    done = stage.ask("roj", what, "-o", "json")
    rows: list[dict[str, Any]] = json.loads(done.out) if done.code == 0 else []
    return rows


def _instance(stage: Stage, id: str) -> dict[str, Any]:
    return next((row for row in _rows(stage, "instances") if row["id"] == id), {})


def _phase(stage: Stage, id: str) -> str:
    return str(_instance(stage, id).get("phase", ""))


def _container(stage: Stage, id: str) -> str:
    """The first characters of the id of the instance's container, as Docker prints it; empty: it has none now."""
    containers = _instance(stage, id).get("containers", [])
    return str(containers[0]["id"])[:12] if containers else ""
