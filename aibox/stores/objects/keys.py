"""Which object keys are good ones, for every backend alike."""

MAX_KEY_BYTES = 900  # S3 takes 1,024 with the prefix
MAX_SEGMENT_BYTES = 200


def require_key(key: str) -> str:
    """`key` itself. Raises ValueError unless it is relative, with segments that are no dots and hold no odd bytes."""
    if not key or len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise ValueError(f"an object key has 1 to {MAX_KEY_BYTES} bytes")
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise ValueError(f"the object key {key!r} has an empty or dot segment")
        if "\\" in segment or not segment.isprintable():
            raise ValueError(f"the object key {key!r} has a character that is not allowed")
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            raise ValueError(f"a segment of an object key has at most {MAX_SEGMENT_BYTES} bytes")
    return key
