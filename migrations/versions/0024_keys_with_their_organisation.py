"""Give refresh tokens a key with their organisation, and look e-mails up in a table of their own."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online, protect

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.change_key("refresh_token", ["organisation_id", "hash"])
    # Tokens on devices do not name their organisation yet.
    online.create_index("ix_refresh_token_hash", "refresh_token", ["hash"])
    family = ["organisation_id", "family_id", "used_at"]
    online.create_index("ix_refresh_token_session", "refresh_token", family)
    online.drop_index("ix_refresh_token_family", "refresh_token")
    op.create_table(
        "sign_in_email",
        sa.Column("email", sa.String(200), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("email", "organisation_id", name=op.f("pk_sign_in_email")),
    )
    protect("sign_in_email")
    # In the transaction that makes the table, so that no server finds it empty. Reading locks no account.
    op.execute(
        "INSERT INTO sign_in_email (email, organisation_id)"
        " SELECT email, organisation_id FROM account WHERE NOT deleted"
    )
    online.drop_index("ix_account_email", "account")


def downgrade() -> None:
    online.create_index("ix_account_email", "account", ["email"])
    op.drop_table("sign_in_email")
    online.create_index("ix_refresh_token_family", "refresh_token", ["family_id", "used_at"])
    online.drop_index("ix_refresh_token_session", "refresh_token")
    online.change_key("refresh_token", ["hash"])
    online.drop_index("ix_refresh_token_hash", "refresh_token")
