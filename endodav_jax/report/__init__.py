"""Reports as a single HTML file that opens offline: `write_report` and the blocks it consists of."""

from endodav_jax.report.charts import bars, lines
from endodav_jax.report.page import Section, definitions, table, text, write_report
from endodav_jax.report.pictures import images

__all__ = ["Section", "bars", "definitions", "images", "lines", "table", "text", "write_report"]
