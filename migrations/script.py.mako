"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# The oldest revision whose code runs on this schema. An addition that it does not notice: the revision before.
oldest_code = ${repr(up_revision)}


def upgrade() -> None:
    """${upgrades if upgrades and upgrades != "pass" else "Say what this adds, and what may still read the old shape."}"""


def downgrade() -> None:
    """Undo `upgrade`."""
