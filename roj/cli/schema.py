"""`roj schema app`: the app file as a JSON Schema, for editors; and docs/app.md, made from the same types."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from collections.abc import Iterator
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

SCHEMA = "https://json-schema.org/draft/2020-12/schema"


@click.group()
def schema() -> None:
    """Print what files are made of, as JSON Schema."""


@schema.command("app")
def app_schema() -> None:
    """Print the JSON Schema of an app file (`roj create -f`), for editors and checks.

    \b
    roj schema app > app.schema.json
    """
    click.echo(json.dumps(schema_of_app(), indent=2, ensure_ascii=False))


def schema_of_app() -> dict[str, Any]:
    """The JSON Schema of an app file, with what each field means."""
    from roj.api.app import AppSpec

    found: dict[str, Any] = AppSpec.model_json_schema()
    models = {model.__name__: model for model in _models(AppSpec)}
    for name, definition in {"AppSpec": found, **found.get("$defs", {})}.items():
        if name in models:
            definition["description"] = _first(models[name].__doc__)
            for field, words in _words(models[name]).items():
                if field in definition.get("properties", {}):
                    definition["properties"][field]["description"] = words
                    definition["properties"][field].pop("title", None)
    return {"$schema": SCHEMA, **found, "title": "roj app"}


def page_of_app() -> str:
    """docs/app.md."""
    from roj.api.app import AppSpec

    lines = [
        "# The app file",
        "",
        "What `roj create NAME:VERSION -f FILE` takes, in YAML or JSON. Made from the types by `make docs`; `roj schema",
        "app` prints the same as JSON Schema. A field that is left out has its default.",
    ]
    for model in _models(AppSpec):
        title = "The file" if model is AppSpec else model.__name__
        lines += [
            "",
            f"## {title}",
            "",
            _first(model.__doc__),
            "",
            "| field | default | what it is |",
            "|---|---|---|",
        ]
        words = _words(model)
        for name, field in model.model_fields.items():
            lines.append(
                f"| `{name}` | {_default(model, name, field)} | {words.get(name, '').replace('|', chr(92) + '|')} |"
            )
    return "\n".join(lines) + "\n"


def _default(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """As a file would have it."""
    if field.is_required():
        return "required"
    value = (
        model.model_construct()
        .model_dump(mode="json", include={name}, exclude_none=True, warnings=False)
        .get(name)
    )
    if isinstance(value, dict):
        value = {key: each for key, each in value.items() if each not in ({}, [])}
    if value in (None, {}, [], False):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A record and the parts in it, each once, in the order in which they are met."""
    found: dict[type[BaseModel], None] = {model: None}
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            found.update(dict.fromkeys(_models(part)))
    return list(found)


def _parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _parts(argument)


def _words(model: type[BaseModel]) -> dict[str, str]:
    """What the source says under each field, in one line."""
    (definition,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, after in itertools.pairwise(definition.body):
        match statement, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _first(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    print(page_of_app(), end="")
