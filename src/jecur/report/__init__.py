"""One self-contained HTML report: figures, tables, words; nothing is computed here."""
