"""The migrations, for tests: any database to any revision."""

from alembic import command

from tournee.migrations import configuration


def upgrade(url: str, revision: str = "head") -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str = "base") -> None:
    command.downgrade(configuration(url), revision)


def check(url: str) -> None:
    """Fail when the models have something that the migrations do not make."""
    command.check(configuration(url))
