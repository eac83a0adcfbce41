"""Command that shows a finished run in the browser: view."""

from pathlib import Path

from rich.markup import escape

from jecur.cli.console import OK, Browser, Whole, app, console

__all__ = ["view"]


@app.command
def view(
    run: Path,
    *,
    slides: Path | None = None,
    model: Path | None = None,
    port: Whole = 0,
    browser: Browser = True,
) -> int:
    """Look at a finished run in the browser: patients, curves, slides and what the model saw.

    Serves this machine alone (127.0.0.1) until Ctrl-C; writes nothing.

    Example: jecur view my-study/run

    Parameters
    ----------
    run
        Folder of a run.
    slides
        Folder of the slides, if they are no longer where the run found them.
    model
        Model file the run was scored with, if the run does not hold it: for normalized colors and nuclei.
    port
        Of this machine; 0 takes any that is free.
    browser
        Open the page; with --no-browser its address is only printed.
    """
    from jecur.viewer.guard import Guard, GuardSettings, new_token
    from jecur.viewer.serve import address, listen, require_server, serve

    require_server("jecur view")
    from jecur.viewer.server import viewer_app

    app_of_run, token, bound = viewer_app(run, slides, model), new_token(), listen(port)
    serve(
        Guard(app_of_run, GuardSettings(token)),
        bound,
        url=address(bound, token),
        browser=browser,
        say=lambda line: console.print(escape(line), soft_wrap=True, highlight=False),
    )
    return OK
