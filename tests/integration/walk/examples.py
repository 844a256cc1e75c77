"""The smallest body and query that an operation of the OpenAPI document accepts in form, made from its schemas."""

from typing import Any


class Examples:
    """Values for the schemas of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document.get("components", {}).get("schemas", {})

    def body(self, operation: dict[str, Any]) -> Any:
        """A JSON body, or None when the operation takes none."""
        content = operation.get("requestBody", {}).get("content", {})
        return self.value(content["application/json"]["schema"]) if "application/json" in content else None

    def query(self, operation: dict[str, Any]) -> dict[str, Any]:
        """The required query parameters."""
        return {
            parameter["name"]: self.value(parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query" and parameter.get("required")
        }

    def value(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]])
        for choice in ("oneOf", "anyOf", "allOf"):
            if choice in schema:
                return self.value(next(option for option in schema[choice] if option.get("type") != "null"))
        if "enum" in schema:
            return schema["enum"][0]
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        kind = next(name for name in kind if name != "null") if isinstance(kind, list) else kind
        match kind:
            case "object":
                properties = schema.get("properties", {})
                return {name: self.value(properties[name]) for name in schema.get("required", ())}
            case "array":
                return [self.value(schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 0)))]
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case _:
                return _text(schema)


def _text(schema: dict[str, Any]) -> str:
    match schema.get("format"):
        case "uuid":
            return "00000000-0000-7000-8000-00000000ffff"
        case "date-time":
            return "2026-11-22T00:00:00Z"
        case _:
            return "x" * max(1, int(schema.get("minLength", 0)))
