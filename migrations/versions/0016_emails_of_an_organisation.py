"""An e-mail names one account within its organisation, no longer on the whole server."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("account") as account:
        account.drop_constraint("uq_account_email", type_="unique")
        account.create_unique_constraint("uq_account_organisation_id_email", ["organisation_id", "email"])
    # A sign-in looks an e-mail up without an organisation.
    op.create_index("ix_account_email", "account", ["email"])


def downgrade() -> None:
    """The database refuses this if two organisations have an account with the same e-mail."""
    op.drop_index("ix_account_email", "account")
    with op.batch_alter_table("account") as account:
        account.drop_constraint("uq_account_organisation_id_email", type_="unique")
        account.create_unique_constraint("uq_account_email", ["email"])
