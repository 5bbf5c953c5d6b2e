"""Reports as a single HTML file that opens offline: `write_report` and the blocks it consists of."""

from endodav_jax.report.charts import bars, lines, paths_from_two_sides
from endodav_jax.report.page import Section, definitions, table, text, write_report
from endodav_jax.report.pictures import images

__all__ = [
    "Section", "bars", "definitions", "images", "lines", "paths_from_two_sides", "table", "text", "write_report",
]  # fmt: skip
