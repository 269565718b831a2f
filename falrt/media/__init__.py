"""Pictures in and out: data URIs, JPEG bytes, PIL images, numpy arrays, image headers.

Bytes, paths and data URIs need no image library; pixels need the extra ``images`` (Pillow and numpy).
"""

from __future__ import annotations

from falrt.media.change import Changed
from falrt.media.data_uri import (
    DataURI,
    SlowFormatWarning,
    data_uri,
    encode_image,
    jpeg_bytes,
    parse_data_uri,
)
from falrt.media.fit import Fit
from falrt.media.image_header import ImageFormat, ImageHeader, image_format, read_header
from falrt.media.source import BGR, Channels, Fitted, ImageSource, Size

__all__ = [
    "BGR",
    "Changed",
    "Channels",
    "DataURI",
    "Fit",
    "Fitted",
    "ImageFormat",
    "ImageHeader",
    "ImageSource",
    "Size",
    "SlowFormatWarning",
    "data_uri",
    "encode_image",
    "image_format",
    "jpeg_bytes",
    "parse_data_uri",
    "read_header",
]
