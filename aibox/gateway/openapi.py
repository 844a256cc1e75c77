"""Litestar as this house uses it: without plugins for other libraries, its OpenAPI document complete with refusals."""

from typing import Any

from litestar import Litestar, Request
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import OpenAPI, OpenAPIMediaType, OpenAPIResponse, Operation, PathItem, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins.base import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin

ERROR = "Error"
REFUSALS = {
    "400": "The request can be read in two ways, or not at all.",
    "401": "No credential, or one that does not stand.",
    "403": "The caller may not do this.",
    "404": "There is no such thing here.",
    "405": "This path does not take that method.",
    "409": "It conflicts with the present state.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "421": "This server does not answer under that name.",
    "422": "Some values are not valid.",
    "429": "Too many requests; see Retry-After.",
    "431": "The headers are too large.",
    "503": "A part that this needs cannot be reached.",
}
"""What Guard, identity, limits and decoding may answer on any route, in the one error body."""
OF_OTHERS = {
    "402": "A budget is used up.",
    "501": "This is not available here.",
    "502": "The provider did not answer as it should.",
    "504": "The provider took too long.",
}
"""What routes that ask a model, a provider or another site may answer besides."""
ASKS_OUTSIDE = (
    "/v1/chat",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/memory",
    "/v1/knowledge",
    "/v1/admin/inference",
    "/v1/admin/observability/prices",
)


class House(Litestar):
    """Litestar whose OpenAPI document is made when somebody asks for it: it takes a third of a second and 6 MB."""

    _is_documented = False

    @property
    def openapi_schema(self) -> OpenAPI:
        document = super().openapi_schema
        if not self._is_documented:
            _document_refusals(document)
            self._is_documented = True
        return document

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """Only what msgspec needs: Litestar loads Pydantic, 12 MB of it, wherever it is installed."""
        return [*plugins, MsgspecDIPlugin()]


class Rendered(JsonRenderPlugin):
    """The document as `House` completes it."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, request.app.openapi_schema.to_schema())


def _document_refusals(document: OpenAPI) -> None:
    """Add the refusals to every operation that does not describe them itself."""
    assert document.components is not None
    document.components.schemas[ERROR] = _error()
    for path, item in (document.paths or {}).items():
        for operation in _operations(item):
            described: dict[str, Any] = {**(operation.responses or {})}
            described.pop("400", None)  # Litestar's own, in a body that we do not send
            refusals = {**REFUSALS, **OF_OTHERS} if path.startswith(ASKS_OUTSIDE) else REFUSALS
            for status, sentence in refusals.items():
                described.setdefault(status, _refusal(sentence))
            operation.responses = described


def _operations(item: PathItem) -> list[Operation]:
    found = (item.get, item.put, item.post, item.patch, item.delete)
    return [operation for operation in found if operation is not None]


def _refusal(sentence: str) -> OpenAPIResponse:
    schema = Reference(ref=f"#/components/schemas/{ERROR}")
    return OpenAPIResponse(description=sentence, content={"application/json": OpenAPIMediaType(schema=schema)})


def _error() -> Schema:
    """The error body. On the routes of other clients' dialects `error` is their object instead of a sentence."""
    sentence = Schema(one_of=[Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.OBJECT)])
    return Schema(
        type=OpenAPIType.OBJECT,
        required=["error", "code"],
        properties={
            "error": sentence,
            "code": Schema(type=OpenAPIType.STRING, description="A stable code"),
            "turn_id": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL]),
            "fields": Schema(
                type=OpenAPIType.ARRAY,
                items=Schema(
                    type=OpenAPIType.OBJECT,
                    properties={
                        "field": Schema(type=OpenAPIType.STRING),
                        "error": Schema(type=OpenAPIType.STRING),
                    },
                ),
            ),
        },
    )
