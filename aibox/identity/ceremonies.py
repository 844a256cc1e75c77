"""WebAuthn's two ceremonies: what a browser is asked for, and whether what it answers holds (W3C WebAuthn Level 3).

The library is loaded by the first of them: it is heavy, and most servers start without anybody using a passkey.
"""

import binascii
import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from aibox.identity import WebauthnFailed

_MALFORMED = (ValueError, KeyError, TypeError, binascii.Error)
"""What the library raises besides its own for an answer that is none: it reads untrusted CBOR and JSON."""

Options = tuple[bytes, dict[str, Any]]
"""A challenge, and the options for `navigator.credentials` that hold it."""


class Registered(Struct, frozen=True):
    """A passkey as it was made. `public_key` is COSE."""

    id: bytes
    public_key: bytes
    sign_count: int


def registration(rp_id: str, person: tuple[bytes, str, str], known: Sequence[bytes]) -> Options:
    """For `create`. `person` is id, name and display name; `known` are the passkeys that they have."""
    import webauthn  # noqa: PLC0415 - see above
    from webauthn.helpers import structs  # noqa: PLC0415 - see above

    user_id, name, display_name = person
    options = webauthn.generate_registration_options(
        rp_id=rp_id,
        rp_name="AIBox",
        user_id=user_id,
        user_name=name,
        user_display_name=display_name,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.PREFERRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    return options.challenge, json.loads(webauthn.options_to_json(options))


def registered(rp_id: str, origin: str, credential: dict[str, Any], challenge: bytes) -> Registered:
    """The passkey that `credential` shows. Raises `WebauthnFailed`."""
    import webauthn  # noqa: PLC0415 - see above
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415 - see above

    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            require_user_verification=True,
        )
    except (WebAuthnException, *_MALFORMED):
        raise WebauthnFailed() from None
    return Registered(verified.credential_id, verified.credential_public_key, verified.sign_count)


def request(rp_id: str, known: Sequence[bytes] | None = None) -> Options:
    """For `get`: one of the `known` passkeys, or with None any that belongs to this place."""
    import webauthn  # noqa: PLC0415 - see above
    from webauthn.helpers import structs  # noqa: PLC0415 - see above

    options = webauthn.generate_authentication_options(
        rp_id=rp_id,
        allow_credentials=None if known is None else [structs.PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return options.challenge, json.loads(webauthn.options_to_json(options))


def asserted(
    rp_id: str, origin: str, assertion: dict[str, Any], challenge: bytes, *, public_key: bytes, sign_count: int
) -> int:
    """The passkey's new counter, which must not go back. Raises `WebauthnFailed`."""
    import webauthn  # noqa: PLC0415 - see above
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415 - see above

    try:
        verified = webauthn.verify_authentication_response(
            credential=assertion,
            expected_challenge=challenge,
            expected_rp_id=rp_id,
            expected_origin=origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, *_MALFORMED):
        raise WebauthnFailed() from None
    return verified.new_sign_count
