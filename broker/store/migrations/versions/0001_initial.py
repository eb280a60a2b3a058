"""Sessions, attempts, events, accruals, failures, sightings, and the database's own values."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LIVE = sa.text("status NOT IN ('stopped', 'failed')")
LEASED = sa.text("wanted = 'running' AND status NOT IN ('stopped', 'failed')")
OPEN = sa.text("ends_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    create_sessions()
    create_attempts()
    create_events()
    create_accruals()
    create_failures()
    create_sightings()


def create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("consumer_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("offer_id", sa.Text, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("wanted", sa.String(32), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("instance_id", sa.Text),
        sa.Column("price_per_hour", sa.Text, nullable=False),
        sa.Column("image", sa.Text),
        sa.Column("reason", sa.String(32)),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("hard_max_at", sa.BigInteger, nullable=False),
        sa.Column("lease_ends_at", sa.BigInteger, nullable=False),
        sa.Column("label_deadline", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("running_at", sa.BigInteger),
        sa.Column("stopped_at", sa.BigInteger),
        sa.Column("lost_since", sa.BigInteger),
        sa.Column("idle_since", sa.BigInteger),
        sa.Column("warned_for", sa.BigInteger),
        sa.Column("idle_threshold", sa.BigInteger),
        sa.Column("managed_access", sa.Boolean, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("token_digest", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("access", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
    )
    op.create_index(
        "uq_sessions_live_offer",
        "sessions",
        ["consumer_id", "offer_id"],
        unique=True,
        sqlite_where=LIVE,
    )
    op.create_index("ix_sessions_live", "sessions", ["id"], sqlite_where=LIVE)
    op.create_index("ix_sessions_lease", "sessions", ["lease_ends_at"], sqlite_where=LEASED)
    op.create_index("ix_sessions_consumer", "sessions", ["consumer_id", "created_at"])
    op.create_index("ix_sessions_created", "sessions", ["created_at"])
    op.create_index("ix_sessions_status", "sessions", ["status", "provider"])


def create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("offer", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("price_per_hour", sa.Text, nullable=False),
        sa.Column("instance_id", sa.Text),
        sa.Column("reason", sa.String(32)),
        sa.Column("detail", sa.Text),
        sa.Column("outcome", sa.String(32)),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("accepted_at", sa.BigInteger),
        sa.Column("deadline_at", sa.BigInteger),
        sa.Column("unknown_since", sa.BigInteger),
        sa.Column("verified_at", sa.BigInteger),
        sa.Column("destroy_asked_at", sa.BigInteger),
        sa.Column("destroy_accepted_at", sa.BigInteger),
        sa.Column("gone_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("tombstone_until", sa.BigInteger),
    )


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("session_id", sa.Text),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_session", "events", ["session_id", "id"])


def create_accruals() -> None:
    op.create_table(
        "accruals",
        sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("begins_at", sa.BigInteger, primary_key=True),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("consumer_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("gpu_type", sa.Text, nullable=False),
        sa.Column("price_per_hour", sa.Text, nullable=False),
    )
    op.create_index(
        "uq_accruals_open",
        "accruals",
        ["session_id", "attempt"],
        unique=True,
        sqlite_where=OPEN,
    )
    op.create_index("ix_accruals_consumer", "accruals", ["consumer_id", "begins_at"])
    op.create_index("ix_accruals_ends", "accruals", ["ends_at"])


def create_failures() -> None:
    op.create_table(
        "failures",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("offer_id", sa.Text, nullable=False),
        sa.Column("machine_id", sa.Text),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("gpu_type", sa.Text, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_failures_created", "failures", ["created_at"])


def create_sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("instance_id", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("destroy_asked_at", sa.BigInteger),
    )
