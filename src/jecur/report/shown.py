"""Results that show themselves: the finding as text, and in a notebook as a paragraph."""

from html import escape
from pathlib import Path

__all__ = ["Shown"]


class Shown:
    """Base of results; what they say is a headline, more words, and where the report lies."""

    __slots__ = ()

    def said(self) -> tuple[str, str, Path | None]:
        """Give headline, detail and the path of the report."""
        raise NotImplementedError

    def __repr__(self) -> str:
        headline, detail, _ = self.said()
        return f"{headline} {detail}".strip()

    def _repr_html_(self) -> str:
        headline, detail, report = self.said()
        lines = [f"<p><b>{escape(headline)}</b></p>"]
        lines += [f"<p>{escape(line)}</p>" for line in detail.split("\n") if line]
        if report is not None:
            lines.append(f'<p><a href="{escape(report.as_posix())}">{escape(report.name)}</a></p>')
        return "".join(lines)
