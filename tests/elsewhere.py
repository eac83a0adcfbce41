"""An engine that does its work in processes of this machine and counts what it is given."""

from jecur.runs.worker_pool import work_off


class Elsewhere:
    """Stands for a cluster."""

    def __init__(self):
        self.given = 0

    def work_off(self, work, items, *, workers, limit_s=None):
        self.given += len(items)
        return work_off(work, items, workers=workers, limit_s=limit_s)
