"""The OpenAPI document as a page to read: plain HTML without scripts, so that the strict content policy holds and
nobody needs a network."""

from __future__ import annotations

import json
from html import escape
from typing import Any


def manual(document: dict[str, Any]) -> str:
    routes = [
        _route(method.upper(), path, operation, document)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    title = escape(document["info"]["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title} API</title><link rel="stylesheet" href="/docs/style.css"></head><body><main>'
        f"<h1>{title} {escape(document['info']['version'])}</h1><p>{escape(document['info']['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>.</p>' + "".join(routes) + "</main></body></html>"
    )


def _route(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    return (
        f"<section><h2><code>{method} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
        + _parameters(operation, document)
        + _answers(operation, document)
        + "</section>"
    )


def _parameters(operation: dict[str, Any], document: dict[str, Any]) -> str:
    rows = [
        (one["name"], one["in"], _kind(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", [])
    ]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content["schema"], document)
        fields = schema.get("properties", {"": schema})
        rows += [
            (name, media, _kind(_resolved(one, document)), one.get("description", "")) for name, one in fields.items()
        ]
    if not rows:
        return ""
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<table><thead><tr><th>name</th><th>in</th><th>kind</th><th></th></tr></thead><tbody>{cells}</tbody></table>"
    )


def _answers(operation: dict[str, Any], document: dict[str, Any]) -> str:
    parts = []
    for status, answer in operation["responses"].items():
        parts.append(f"<dt>{status}</dt><dd>{escape(answer.get('description', ''))}{_example(answer, document)}</dd>")
    return f"<dl>{''.join(parts)}</dl>"


def _example(answer: dict[str, Any], document: dict[str, Any]) -> str:
    for content in answer.get("content", {}).values():
        schema = _resolved(content.get("schema", {}), document)
        examples = schema.get("examples", [])
        if examples and "status" not in examples[0]:
            return f"<pre>{escape(json.dumps(examples[0], ensure_ascii=False, indent=1))}</pre>"
    return ""


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        found = next((one for one in schema.get("anyOf", []) if "$ref" in one), schema)
        return found if found is schema else _resolved(found, document)
    resolved: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return resolved


def _kind(schema: dict[str, Any]) -> str:
    kind = str(schema.get("type", "")) or " or ".join(str(one.get("type", "")) for one in schema.get("anyOf", []))
    return "files" if kind == "array" else "file" if schema.get("format") == "binary" else kind
