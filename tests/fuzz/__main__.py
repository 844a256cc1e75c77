"""`make fuzz-api`: at least 20,000 requests to a whole AIBox (N=…; SEED=…), half of them with an owner's session."""

import os
import sys
from collections import Counter

from tests.fuzz.api import Findings, fuzz, order
from tests.installation import OWNER, installed


def main() -> None:
    """Run, print what came back, and fail on any finding."""
    wanted, number = int(os.environ.get("N", "20000")), int(os.environ.get("SEED", "1"))
    total = Findings(sent=0, statuses=Counter(), wrong=[])
    settings = {"AIBOX_ROUTER_LOCAL": "false", "AIBOX_LOG_LEVEL": "error", "AIBOX_AUTH_ACCESS_MINUTES": "60"}
    with installed(**settings) as one:
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


if __name__ == "__main__":
    main()
