"""Names that the kernel handles and domains declare: permissions and kinds of conflict."""

from __future__ import annotations

from typing import ClassVar, Self


class Declared(str):
    """A name with its description, declared once, in the domain that owns it.

    Each subclass keeps its own names. They are complete once `tournee.catalogue` has imported every domain.
    """

    __slots__ = ("description",)
    declared: ClassVar[dict[str, Self]]
    description: str

    def __init_subclass__(cls) -> None:
        cls.declared = {}

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the declaration of this name; raises ValueError if there is none."""
        if name not in cls.declared:
            raise ValueError(f"There is no {cls.__name__} {name}.")
        return cls.declared[name]

    @classmethod
    def all(cls) -> list[Self]:
        """Return every declaration, sorted by name, since domains are imported in no particular order."""
        return sorted(cls.declared.values())

    def __new__(cls, name: str, description: str) -> Self:
        if name in cls.declared:
            raise TypeError(f"{cls.__name__} {name} is declared twice.")
        made = cls.declared[name] = super().__new__(cls, name)
        made.description = description
        return made
