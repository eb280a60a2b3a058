"""The tables as they are now. The migrations lead here; a test holds the two together."""

from __future__ import annotations

import sqlalchemy as sa

from broker.model import Outcome, Reason, Status, Wanted, Witness
from broker.store.columns import Duration, Instant, Money, word

HEAD = "0003"
"""The revision of the migrations that makes these tables."""

LIVE = sa.text("status NOT IN ('stopped', 'failed')")
"""Written out, because SQLite uses a partial index only for a query with the same words."""

LEASED = sa.text("wanted = 'running' AND status NOT IN ('stopped', 'failed')")
"""Sessions whose lease is still to end."""

metadata = sa.MetaData()

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("consumer_id", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),  # of the current offer, like the next one
    sa.Column("offer_id", sa.Text, nullable=False),
    sa.Column("status", word(Status), nullable=False),
    sa.Column("wanted", word(Wanted), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("instance_id", sa.Text),
    sa.Column("price_per_hour", Money, nullable=False),
    sa.Column("image", sa.Text),
    sa.Column("reason", word(Reason)),
    sa.Column("error", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("hard_max_at", Instant, nullable=False),
    sa.Column("lease_ends_at", Instant, nullable=False),  # as `lease.due_at` tells
    sa.Column("label_deadline", Instant, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("running_at", Instant),
    sa.Column("stopped_at", Instant),
    sa.Column("lost_since", Instant),
    sa.Column("idle_since", Instant),
    sa.Column("warned_for", Instant),
    sa.Column("idle_threshold", Duration),  # from the request, like the next one
    sa.Column("managed_access", sa.Boolean, nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("token_digest", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),  # JSON, like the next two
    sa.Column("offer", sa.Text, nullable=False),
    sa.Column("access", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # the encrypted environment, until it is forgotten
    sa.Column("held_until", Instant),
    sa.Column("hold_reason", sa.Text),
    sa.Index("uq_sessions_live_offer", "consumer_id", "offer_id", unique=True, sqlite_where=LIVE),
    sa.Index("ix_sessions_live", "id", sqlite_where=LIVE),
    sa.Index("ix_sessions_lease", "lease_ends_at", sqlite_where=LEASED),
    sa.Index("ix_sessions_consumer", "consumer_id", "created_at"),
    sa.Index("ix_sessions_created", "created_at"),
    sa.Index("ix_sessions_status", "status", "provider"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("offer", sa.Text, nullable=False),  # JSON
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("price_per_hour", Money, nullable=False),
    sa.Column("instance_id", sa.Text),
    sa.Column("reason", word(Reason)),
    sa.Column("detail", sa.Text),
    sa.Column("outcome", word(Outcome)),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("accepted_at", Instant),
    sa.Column("deadline_at", Instant),
    sa.Column("unknown_since", Instant),
    sa.Column("verified_at", Instant),
    sa.Column("destroy_asked_at", Instant),
    sa.Column("destroy_accepted_at", Instant),
    sa.Column("gone_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("tombstone_until", Instant),
    sa.Column("absent_at", Instant),
    sa.Column("absent_by", word(Witness)),
    sa.Column("gone_by", word(Witness)),
    sa.Column("due_at", Instant),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("session_id", sa.Text),  # no foreign key: an orphan's session may be unknown here
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("data", sa.Text, nullable=False),  # JSON
    sa.Index("ix_events_session", "session_id", "id"),
    sqlite_autoincrement=True,  # an id is never given twice
)

accruals = sa.Table(
    "accruals",
    metadata,
    sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("begins_at", Instant, primary_key=True),
    sa.Column("ends_at", Instant),
    sa.Column("consumer_id", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("gpu_type", sa.Text, nullable=False),
    sa.Column("price_per_hour", Money, nullable=False),
    sa.Index(
        "uq_accruals_open",
        "session_id",
        "attempt",
        unique=True,
        sqlite_where=sa.text("ends_at IS NULL"),
    ),
    sa.Index("ix_accruals_consumer", "consumer_id", "begins_at"),
    sa.Index("ix_accruals_ends", "ends_at"),
)

failures = sa.Table(
    "failures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("offer_id", sa.Text, nullable=False),
    sa.Column("machine_id", sa.Text),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("gpu_type", sa.Text, nullable=False),
    sa.Column("location", sa.Text),
    sa.Column("reason", word(Reason), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("ix_failures_created", "created_at"),
)

sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("instance_id", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("destroy_asked_at", Instant),
)

carried_out = sa.Table(
    "carried_out",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),  # JSON
    sa.Index("ix_carried_out_created", "created_at"),
)
