"""HTML pages from the templates beside this module.

A page is one file that opens offline: no request leaves it. Jinja2 escapes every value that a template prints, such as
file names of strangers. Only text that is HTML already is left as it is: the figures of
:mod:`fusion_dfd.reports.plots`, which are :class:`markupsafe.Markup`.
"""

from __future__ import annotations

import base64
import pathlib
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

_FOLDER = pathlib.Path(__file__).parent
STYLE = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))
"""The style sheet of every page."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, title: str, **values: Any) -> str:
    """The page of ``templates/<template>.html.j2``.

    Args:
      template: name of the template, which extends ``page.html.j2``.
      title: of the browser's window; a template may show it as its heading.
      values: what the template prints, by name.
    """
    return _TEMPLATES.get_template(f"{template}.html.j2").render(title=title, style=STYLE, **values)


def printable(text: str) -> str:
    """The text with the bytes of file names that are not UTF-8 replaced."""
    return text.encode("utf-8", "replace").decode()


def data_uri(image: np.ndarray) -> str:
    """A picture uint8 [h, w, 3], RGB, as a ``data:`` URI of a JPEG."""
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return bytes_uri(jpeg.tobytes(), "image/jpeg")


def bytes_uri(data: bytes, kind: str) -> str:
    """The bytes of a file of media type ``kind`` as a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
