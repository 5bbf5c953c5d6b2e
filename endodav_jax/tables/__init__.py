"""The paper's tables: their rows as data, the inputs of a row, running it, and printing it next to the paper's."""
