"""Brings a database to the present schema. Imported only where that is due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

SCRIPTS = "broker.store:migrations"


def is_known(revision: str) -> bool:
    """Whether a migration of this program makes `revision`."""
    scripts = ScriptDirectory.from_config(_config())
    return revision in {script.revision for script in scripts.walk_revisions()}


def migrate(connection: sa.Connection) -> None:
    """Run every migration that is missing, in the transaction of `connection`."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config
