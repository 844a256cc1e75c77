"""Opens the backend of `Objects` that the URL in the settings names."""

from pathlib import Path

from aibox.core.errors import BootRefused
from aibox.stores import Objects, ObjectsSettings

__all__ = ["open_objects"]


def open_objects(settings: ObjectsSettings, data: Path) -> Objects:
    """`file:` in the data folder, `file:/path` elsewhere, or `s3://bucket/prefix`. Enter its `run()` before use."""
    scheme, _, rest = settings.url.partition(":")
    match scheme:
        case "file":
            from aibox.stores.objects.files import FileObjects  # noqa: PLC0415 - only the backend in use is imported

            return FileObjects(Path(rest) if rest else data / "objects")
        case "s3":
            from aibox.stores.objects.s3 import S3Objects  # noqa: PLC0415 - boto3 is heavy

            bucket, _, prefix = rest.removeprefix("//").partition("/")
            return S3Objects(settings, bucket=bucket, prefix=prefix)
        case _:
            raise BootRefused("boot_objects", "AIBOX_OBJECTS_URL must begin with `file:` or `s3://`.")
