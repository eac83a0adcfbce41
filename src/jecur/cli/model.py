"""Commands on model files."""

import json
from pathlib import Path

from cyclopts import App

from jecur.cli.console import OK, app, console

__all__ = ["show"]

model_app = App(name="model", help="Model files.")
app.command(model_app)


@model_app.command
def show(file: Path) -> int:
    """Verify a model file and show its card.

    Example: jecur model show demo/models/jecur-demonstration.jecur

    Parameters
    ----------
    file
        A .jecur file.
    """
    from jecur.model.card import write_card
    from jecur.model.file import read_bundle

    card = json.loads(write_card(read_bundle(file).card))
    for bulky in ("training_curve", "trained_on"):
        card.pop(bulky, None)
    console.print_json(data=card)
    return OK
