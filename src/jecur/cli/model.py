"""Commands on model files."""

import json
from pathlib import Path

from cyclopts import App
from rich.markup import escape
from rich.table import Table

from jecur.cli.console import OK, AsJson, app, console

__all__ = ["show"]


model_app = App(name="model", help="Model files.")
app.command(model_app)


@model_app.command
def show(file: Path, *, as_json: AsJson = False) -> int:
    """Verify a model file and say what it is.

    Example: jecur model show demo/models/jecur-demonstration.jecur

    Parameters
    ----------
    file
        A .jecur file.
    as_json
        Print the card, every field but the training curve and the digests of who was trained on.
    """
    from jecur.model.card import write_card
    from jecur.model.file import read_bundle
    from jecur.report.model_page import model_page

    bundle = read_bundle(file)
    card = json.loads(write_card(bundle.card))
    if as_json:
        for bulky in ("training_curve", "trained_on"):
            card.pop(bulky, None)
        console.print_json(data=card)
        return OK
    table = Table.grid(padding=(0, 2))
    for heading, text in (*model_page(card), ("SHA-256", bundle.sha256)):
        table.add_row(f"[bold]{heading}[/]", escape(text))
    console.print(table)
    return OK
