"""Reports as one HTML file that opens without a network: `write_report` and the blocks it is made of."""

from endodav_jax.report.charts import bars, lines
from endodav_jax.report.page import Section, definitions, table, text, write_report
from endodav_jax.report.pictures import images

__all__ = ["Section", "bars", "definitions", "images", "lines", "table", "text", "write_report"]
