"""The paper's tables: their rows as data, the inputs a row needs, running it, and printing it beside the paper's."""
