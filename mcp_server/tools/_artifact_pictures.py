"""Images of a size that a model can look at."""

from __future__ import annotations

import io
from importlib import import_module
from typing import Any, Final

from mcp_server.analysis.files.file_kinds import mime_type
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.files.artifact_places import FoundArtifact
from mcp_server.mlflow_integration.operations.files.artifacts import Artifacts
from mcp_server.mlflow_integration.operations.threads import off_the_loop
from mcp_server.rendering import Picture, Record
from mcp_server.tools._artifact_streams import whole

PICTURE_LIMIT: Final = 20 * 1024 * 1024
"""Bytes of an image that is fetched."""
SIDE_LIMIT: Final = 1_024
"""Pixels of the longer side; hosts shrink larger images themselves, after they have travelled."""
SENT_LIMIT: Final = 600_000
"""Bytes that are sent; one third more as text."""
PIXELS_LIMIT: Final = 40_000_000
"""Pixels that are unpacked: at most 250 MB of memory. A small file can claim billions."""
WEBP_PIXELS_LIMIT: Final = 12_000_000
"""Of WebP, whose decoder holds 16 bytes for each pixel."""

_FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
_SENT_AS_THEY_ARE: Final = ("PNG", "JPEG", "GIF", "WEBP")


async def picture(artifacts: Artifacts, found: FoundArtifact, facts: dict[str, Any]) -> Picture:
    """An image artifact, made smaller where it is too large.

    Raises: InvalidInputError: it is not a readable image.
    """
    data = await whole(artifacts, found, PICTURE_LIMIT)
    return await off_the_loop(lambda: _picture(data, facts, found.artifact.path))


def _picture(data: bytes, facts: dict[str, Any], path: str) -> Picture:
    try:
        pillow: Any = import_module("PIL.Image")
    except ImportError:
        if len(data) <= SENT_LIMIT:
            return Picture(data, mime_type(path), Record(facts))
        raise InvalidInputError("Large images are made smaller with Pillow, which is not installed.") from None
    try:
        with pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > (WEBP_PIXELS_LIMIT if image.format == "WEBP" else PIXELS_LIMIT):
                raise InvalidInputError(f"'{path}' has {width:,} x {height:,} pixels, too many to unpack.")
            facts = {**facts, "width": width, "height": height}
            kind = image.format or ""
            if kind in _SENT_AS_THEY_ARE and max(width, height) <= SIDE_LIMIT and len(data) <= SENT_LIMIT:
                return Picture(data, f"image/{kind.lower()}", Record(facts))
            image.draft("RGB", (SIDE_LIMIT, SIDE_LIMIT))
            smaller = _smaller(image)
    except pillow.DecompressionBombError:
        raise InvalidInputError(f"'{path}' has too many pixels to unpack.") from None
    except (OSError, ValueError, SyntaxError):
        raise InvalidInputError(f"'{path}' is not an image that can be read.") from None
    sent, mime = _encoded(smaller)
    facts["shown_as"] = f"{smaller.width} x {smaller.height} pixels"
    return Picture(sent, mime, Record(facts))


def _smaller(image: Any) -> Any:
    """At most SIDE_LIMIT pixels a side, in colours that can be sent; a large image is copied only where it must be."""
    if image.mode not in ("RGB", "RGBA", "L", "CMYK", "YCbCr"):  # Palettes and bits cannot be averaged.
        image = image.convert("RGBA" if "transparency" in image.info or "A" in image.mode else "RGB")
    image.thumbnail((SIDE_LIMIT, SIDE_LIMIT))
    return image.convert("RGBA" if image.mode == "RGBA" else "RGB")


def _encoded(image: Any) -> tuple[bytes, str]:
    """As PNG, which keeps lines and letters sharp; as JPEG where that is too large."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    if out.tell() <= SENT_LIMIT:
        return out.getvalue(), "image/png"
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=80)
    return out.getvalue(), "image/jpeg"
