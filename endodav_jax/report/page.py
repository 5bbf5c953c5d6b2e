"""The page of a report, its style, and its plain blocks: text, tables, definitions.

A block is a piece of HTML returned by a builder; all text passed to a builder is escaped.
"""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from endodav_jax.files import whole_file

Block = str


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

    title: str
    blocks: Sequence[Block]


def write_report(path: Path | str, title: str, sections: Sequence[Section]) -> None:
    """Writes a self-contained page: style, charts and pictures are embedded.

    Raises:
      UserError: it cannot be written.
    """
    style = (resources.files("endodav_jax.report") / "style.css").read_text()
    contents = "".join(f'<a href="#s{n}">{html.escape(section.title)}</a>' for n, section in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{html.escape(section.title)}</h2>{"".join(section.blocks)}</section>'
        for number, section in enumerate(sections)
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1><nav>{contents}</nav>{body}</main></body></html>\n"
    )
    with whole_file(path) as part:
        part.write_text(page, encoding="utf-8")


def text(*paragraphs: str) -> Block:
    """Paragraphs."""
    return "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", strong: Sequence[int] = ()) -> Block:
    """A table; the first column is left-aligned, the others are numbers.

    Args:
      header: column names.
      rows: text of the cells, as many as in the header.
      caption: above it.
      strong: indices of emphasised rows.

    Raises:
      ValueError: a row of another length.
    """
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"a row has other than {len(header)} cells")
    head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in header)
    body = ""
    for number, (first, *others) in enumerate(rows):
        cells = "".join(f"<td>{html.escape(word)}</td>" for word in others)
        mark = ' class="strong"' if number in strong else ""
        body += f'<tr{mark}><th scope="row">{html.escape(first)}</th>{cells}</tr>'
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(values: Mapping[str, object], summary: str = "") -> Block:
    """Names and values, such as a configuration; collapsed under `summary` if given."""
    inside = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in values.items()
    )
    listed = f"<dl>{inside}</dl>"
    return f"<details><summary>{html.escape(summary)}</summary>{listed}</details>" if summary else listed
