"""The command review: judge the most predictive tiles blinded, and close the review."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from jecur.cli.console import OK, Browser, Whole, app, console

if TYPE_CHECKING:
    from jecur.reading.close import Closing

__all__ = ["review"]


@app.command
def review(
    run: Path,
    *,
    reviewer: str = "",
    tiles: Whole = 0,
    slides: Path | None = None,
    port: Whole = 0,
    browser: Browser = True,
    close: bool = False,
    consensus: Literal["majority", "unanimous", "any", "first"] | None = None,
    unfinished: bool = False,
) -> int:
    """Judge a run's most predictive tiles blinded, in the browser; afterwards close the review.

    With --reviewer: one tile at a time, in an order of this reviewer alone; no score, patient or slide is
    shown. Serves this machine alone (127.0.0.1) until Ctrl-C; the same command goes on. Paper instead of
    a screen: fill in RUN/review/review.csv, or a copy of it, review-AB.csv, AB being initials.

    With --close: joins everybody's answers with the key (RUN/private/review) and writes agreement and Table 3
    into tables, statistics.json and the report.

    Example: jecur review my-study/run --reviewer AB

    Parameters
    ----------
    run
        Folder of a run.
    reviewer
        Initials, one to eight letters and digits.
    tiles
        Judge so many, half of each end; 0 takes all that the run picked.
    slides
        Folder of the slides, if they are no longer where the run found them.
    port
        Of this machine; 0 takes any that is free.
    browser
        Open the page; with --no-browser its address is only printed.
    close
        Open the key and write what was found.
    consensus
        The rule that was stated before the review ([review] consensus); another one is refused.
    unfinished
        Close although a reviewer has not come to the end; the report says so.
    """
    from jecur.errors import SettingsError

    if bool(reviewer) == close:
        raise SettingsError("expected either --reviewer INITIALS, to judge tiles, or --close")
    _require_run(run)
    if reviewer:
        return _judge(run, reviewer, tiles=tiles, slides=slides, port=port, browser=browser)
    from jecur.reading.close import close_review
    from jecur.runs.folder import RunFolder

    _tell(close_review(RunFolder.open(run), consensus=consensus, unfinished=unfinished), run)
    return OK


def _judge(
    run: Path, reviewer: str, *, tiles: int, slides: Path | None, port: int, browser: bool
) -> int:
    from jecur.reading.start import take_seat
    from jecur.reading.tile_pixels import TilePixels
    from jecur.viewer.guard import Guard, GuardSettings, new_token
    from jecur.viewer.serve import address, listen, require_server, serve

    require_server("jecur review")
    from jecur.reading.server import LONGEST_BODY, review_app

    with take_seat(run, reviewer, n_tiles=tiles) as seat:
        pixels = TilePixels(run, slides)
        token, bound = new_token(), listen(port)
        settings = GuardSettings(
            token, methods=frozenset({"GET", "HEAD", "POST"}), longest_body=LONGEST_BODY
        )
        serve(
            Guard(review_app(run, seat.said, seat.key, pixels), settings),
            bound,
            url=address(bound, token),
            browser=browser,
            say=lambda line: console.print(escape(line), soft_wrap=True, highlight=False),
        )
        pixels.close()
        done, total = seat.said.next_look, len(seat.said.order.looks)
    console.print(f"{done} of {total} looks are judged; the same command goes on.")
    return OK


def _require_run(run: Path) -> None:
    from jecur.errors import RunFolderError

    if not (run / "manifest.json").is_file():
        raise RunFolderError(
            f"expected the folder of a run at {run}, found none; name the folder given as --out",
            code="not-a-run",
        )


def _tell(done: "Closing", run: Path) -> None:
    found = done.review
    for row in found.agreement:
        who = (
            f"{row.first} and {row.second}" if row.kind == "between" else f"{row.first}, two looks"
        )
        agreed = "-" if row.agreement is None else f"{100 * row.agreement:.0f} %"
        console.print(
            f"{escape(who)}: {escape(row.feature)}: {agreed} of {row.n} tiles agree, kappa "
            f"{_number(row.kappa)}, AC1 {_number(row.ac1)}",
            soft_wrap=True,
        )
    for feature in found.features.rows:
        console.print(
            f"{escape(feature.feature)}: {feature.with_high} of {feature.n_high} tiles of high score, "
            f"{feature.with_low} of {feature.n_low} of low score",
            soft_wrap=True,
        )
    where = run / "report.html" if done.in_report else run / "tables"
    if not done.in_report:
        console.print("The report is of an earlier version: run the study's command again.")
    console.print(f"Research use only. {escape(str(where))}", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
