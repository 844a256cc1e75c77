"""`make fuzz-api`: at least 20,000 requests to a whole AIBox (N=…; SEED=…), half of them with an owner's session.

What it asks of others is there: a provider that answers every model call, and a price list.
"""

import os
import sys
from collections import Counter

from tests.fuzz.api import Findings, fuzz, order
from tests.installation import OWNER, StubProvider, installed


def main() -> None:
    """Run, print what came back, and fail on any finding."""
    wanted, number = int(os.environ.get("N", "20000")), int(os.environ.get("SEED", "1"))
    total = Findings(sent=0, statuses=Counter(), wrong=[])
    settings = {"AIBOX_ROUTER_LOCAL": "false", "AIBOX_LOG_LEVEL": "error", "AIBOX_AUTH_ACCESS_MINUTES": "60"}
    with StubProvider() as stub, installed(**settings, **asking(stub)) as one:
        one.admin("providers", "add", "stub", stub.url, "--model", "ok")
        with one.client("") as http:
            del http.headers["Authorization"]
            login = {"username": OWNER["email"], "password": OWNER["password"]}
            bearer = http.post("/v1/auth/login", json=login).json()["access_token"]
            document = order(http.get("/docs/openapi.json").json(), number)
        while total.sent < wanted:
            for credential in (bearer, None):
                found = fuzz(one.url, document, bearer=credential, requests=wanted // 2, number=number)
                total.sent += found.sent
                total.statuses += found.statuses
                total.wrong += found.wrong
            number += 1
    print(
        f"{total.sent} requests: " + ", ".join(f"{status}: {count}" for status, count in sorted(total.statuses.items()))
    )
    for finding in total.wrong:
        print(f"- {finding}")
    sys.exit(1 if total.wrong else 0)


def asking(stub: StubProvider) -> dict[str, str]:
    """Settings by which the server may ask the stub, for prices too."""
    prices = f"http://{stub.authority}/prices"
    return {"AIBOX_HTTP_INTERNAL_HOSTS": stub.authority, "OPENROUTER_MODELS_URL": prices}


if __name__ == "__main__":
    main()
