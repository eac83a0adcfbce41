"""Commands of the nuclei network."""

from pathlib import Path

from cyclopts import App

from jecur.cli.console import OK, app, console

__all__ = ["evaluate", "train"]

nuclei_app = App(name="nuclei", help="The nuclei network: train, evaluate.")
app.command(nuclei_app)


@nuclei_app.command
def train(data: Path, *, out: Path) -> int:
    """Train the nuclei network on images with label images and a split.csv.

    Example: jecur nuclei train nuclei-data --out nuclei-model

    Parameters
    ----------
    data
        Folder with split.csv; see docs/nuclei.md.
    out
        Folder for checkpoints and the ONNX file with its card.
    """
    from jecur.training.nuclei_release import train_nuclei

    console.print(str(train_nuclei(data, out).onnx), soft_wrap=True)
    return OK


@nuclei_app.command
def evaluate(*, data: Path, split: str, model: str = "builtin") -> int:
    """Measure a nuclei network on one split; print n, dice, aji, pq ... as JSON.

    Example: jecur nuclei evaluate --data nuclei-data --split val

    Parameters
    ----------
    data
        Folder with split.csv.
    split
        A value of its split column.
    model
        "builtin", or an ONNX file.
    """
    from jecur.nuclei.segmentation import NucleiModel
    from jecur.settings import NucleiSettings
    from jecur.training.nuclei_evaluation import evaluate_nuclei

    network = NucleiModel.load(NucleiSettings(model=model))
    console.print_json(data=evaluate_nuclei(data, split, network).summary())
    return OK
