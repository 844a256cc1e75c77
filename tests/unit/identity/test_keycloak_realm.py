"""The shipped Keycloak realm says what the first row of the table of issuers expects."""

import json
from pathlib import Path
from typing import Any

import aibox
from aibox.identity import PasswordSettings, Settings, TenancySettings
from aibox.identity.issuers import TOKEN_ROLES, table
from aibox.identity.tokens import SERVICE_AUDIENCE

REALM = Path(aibox.__file__).parents[1] / "deploy" / "keycloak" / "aibox-realm.json"


def realm() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(REALM.read_text())
    return read


def audiences(client: dict[str, Any]) -> list[str]:
    return [
        mapper["config"]["included.custom.audience"]
        for mapper in client["protocolMappers"]
        if mapper["protocolMapper"] == "oidc-audience-mapper"
    ]


def test_the_clients_are_those_that_the_settings_name_and_only_ours_flows_are_on() -> None:
    (row,) = table(Settings(issuer="https://id.example/realms/aibox"), TenancySettings())
    clients = {client["clientId"]: client for client in realm()["clients"]}
    assert set(clients) == {row.client_id, PasswordSettings().ropc_client, "aibox-internal"}
    frontend = clients[row.client_id]
    assert frontend["attributes"]["pkce.code.challenge.method"] == "S256"
    assert frontend["redirectUris"] == ["${AIBOX_PUBLIC_URL}/v1/auth/callback"]
    assert not frontend["directAccessGrantsEnabled"]
    assert not any(client["implicitFlowEnabled"] or client["publicClient"] for client in clients.values())
    assert set(row.audiences) <= set(audiences(frontend))
    assert audiences(clients["aibox-internal"]) == [SERVICE_AUDIENCE]


def test_a_new_persons_role_is_mapped_and_no_secret_or_person_is_in_the_file() -> None:
    read = realm()
    given = set(read["defaultRole"]["composites"]["realm"])
    assert given & TOKEN_ROLES.keys() == {"user"}
    assert "users" not in read
    assert all(client["secret"].startswith("${") for client in read["clients"])
