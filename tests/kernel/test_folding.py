import sys
import unicodedata

from sqlalchemy import literal, select

from tests.support.house import House
from tournee.kernel.folding import fold, folded


def test_case_accents_and_width_are_folded() -> None:
    for text, expected in (
        ("Müller", "muller"),
        ("MU\u0308LLER", "muller"),
        ("Straße", "strasse"),
        ("STRAẞE", "strasse"),
        ("Łódź Øresund", "lodz oresund"),
        ("０３０ Ｂｅｒｌｉｎ", "030 berlin"),
        ("ΟΔΟΣ οδός", "οδοσ οδοσ"),
        ("İstanbul ısı", "istanbul isi"),
        ("Ёлка", "елка"),
        ("ガス ｶﾞｽ", "ガス ガス".replace("ガ", "カ\u3099")),
        ("🙂", "🙂"),
    ):
        assert fold(text) == expected
    assert fold(None) is None


async def test_both_databases_fold_every_character_alike(house: House) -> None:
    known = [chr(n) for n in range(1, sys.maxunicode + 1) if unicodedata.category(chr(n)) not in ("Cn", "Cs")]
    # No accent joins what a line break parts.
    text = "\n".join(known)
    async with house.database.reading(house.organisation_id) as session:
        found = await session.scalar(select(folded(literal(text))))
    assert str(found).split("\n") == str(fold(text)).split("\n")
