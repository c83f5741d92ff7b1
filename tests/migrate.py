"""The migrations, for tests: any database to any revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config

ROOT = Path(__file__).parent.parent


def configuration(url: str) -> Config:
    """Alembic's configuration, aimed at this database."""
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str = "base") -> None:
    command.downgrade(configuration(url), revision)


def check(url: str) -> None:
    """Fail when the models have something that the migrations do not make."""
    command.check(configuration(url))


def build(url: str) -> None:
    """Every table, straight from the models (until the first migration is written)."""
    from sqlalchemy import create_engine

    import tournee.catalogue  # noqa: F401 - registers the tables
    from tournee.kernel.database import Base

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    engine.dispose()
