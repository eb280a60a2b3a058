"""Where TensorDock's machines stand: places as people know them, and their ISO country. Pure."""

from __future__ import annotations

import re

from providers.fields import Row, cleaned

_LETTERS = re.compile(r"[A-Za-z]{2}")

_COUNTRIES = """
Argentina AR; Australia AU; Austria AT; Belgium BE; Brazil BR; Bulgaria BG; Canada CA; Chile CL;
China CN; Colombia CO; Croatia HR; Czech Republic CZ; Czechia CZ; Denmark DK; Estonia EE;
Finland FI; France FR; Germany DE; Greece GR; Hong Kong HK; Hungary HU; Iceland IS; India IN;
Indonesia ID; Ireland IE; Israel IL; Italy IT; Japan JP; Korea KR; South Korea KR;
Republic of Korea KR; Latvia LV; Lithuania LT; Luxembourg LU; Malaysia MY; Mexico MX;
Netherlands NL; The Netherlands NL; New Zealand NZ; Nigeria NG; Norway NO; Philippines PH;
Poland PL; Portugal PT; Romania RO; Russia RU; Saudi Arabia SA; Serbia RS; Singapore SG;
Slovakia SK; Slovenia SI; South Africa ZA; Spain ES; Sweden SE; Switzerland CH; Taiwan TW;
Thailand TH; Turkey TR; Türkiye TR; Ukraine UA; United Arab Emirates AE; UAE AE;
United Kingdom GB; UK GB; England GB; United States US; United States of America US; USA US;
Vietnam VN
"""
_CODES = {
    name.casefold(): code
    for name, _, code in (c.strip().rpartition(" ") for c in _COUNTRIES.split(";"))
}


def place_of(row: Row) -> tuple[str | None, str | None]:
    """The place in `city`, `stateprovince` and `country`, and the country's ISO code if known.

    `Chubbuck, Idaho, United States`: as it is told, without what is told twice.
    """
    parts = (cleaned(row.get(name)) for name in ("city", "stateprovince", "country"))
    told = dict.fromkeys(part for part in parts if part)
    country = cleaned(row.get("country"))
    return ", ".join(told) or None, _code(country)


def _code(country: str) -> str | None:
    if _LETTERS.fullmatch(country) and country.upper() != "UK":
        return country.upper()
    return _CODES.get(country.casefold())
