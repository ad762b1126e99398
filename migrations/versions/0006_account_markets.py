"""Where an account takes payments, if in fewer countries and currencies than its provider: routing must know."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.execute("alter table accounts add column countries text[], add column currencies text[]")


def downgrade() -> None:
    """Revert."""
    op.execute("alter table accounts drop column countries, drop column currencies")
