"""Progress that keeps what was said."""

from jecur.runs.progress import SilentProgress


class Said(SilentProgress):
    """Keeps what was said."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def say(self, message):
        self.lines.append(message)
