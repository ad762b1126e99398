"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """${upgrades if upgrades and upgrades != "pass" else "Say what this adds, and what may still read the old shape."}"""


def downgrade() -> None:
    """Undo `upgrade`."""
