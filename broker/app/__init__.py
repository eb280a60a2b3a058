"""The composition root: settings in, a working broker out. Only here adapters are named."""

from broker.app.adapters import drains_at, provider_problems
from broker.app.backups import back_up, restore
from broker.app.daemon import run, serving
from broker.app.offline import CleanupReport, cleanup_orphans, sweep_once
from broker.app.reports import present_sweep
from broker.app.web import api_document
from broker.sweeper import SweepReport

__all__ = [
    "CleanupReport",
    "SweepReport",
    "api_document",
    "back_up",
    "cleanup_orphans",
    "drains_at",
    "present_sweep",
    "provider_problems",
    "restore",
    "run",
    "serving",
    "sweep_once",
]
