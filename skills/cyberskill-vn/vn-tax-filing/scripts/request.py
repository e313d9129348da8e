"""The input.

The twin of `src/request.ts`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from filing_period import FORMS, Period, period_of
from skill_dates import day_of
from skill_input import Fields, read_fields
from skill_xml_writer import is_xml_text

NAMES = (
    *("period", "invoices_dir", "taxpayer_mst", "taxpayer_name", "taxpayer_address", "tax_office_code"),
    *("tax_office_name", "signer", "industry", "carried_in", "imports", "deductible_input_vat"),
    *("adjust_down", "adjust_up", "other_deducted", "investment_offset", "refund_requested", "no_activity"),
    *("amendment", "bad_files", "return_path", "write", "today"),
)

# A legitimate input has under 2,000 characters and two levels.
MAX_CHARACTERS = 16_384
MAX_DEPTH = 16
_MAX_PATH = 512
_MAX_TEXT = 400
_MAX_CODE = 20
_MAX_DONG = 999_999_999_999_999
_MAX_AMENDMENTS = 99
_NO_PATH = re.compile("[\\\\\x00-\x1f\x7f]")


class Request(NamedTuple):
    """What is asked; `directory` and `target` are as the host takes them, `return_path` is as it is given."""

    period: Period
    directory: str
    taxpayer_mst: str | None
    name: str | None
    address: str | None
    office_code: str
    office_name: str
    signer: str
    industry: tuple[str, str]
    carried_in: int | None
    imports: tuple[int, int]
    deductible: int | None
    adjust_down: int
    adjust_up: int
    other_deducted: int
    investment_offset: int
    refund: int
    no_activity: bool
    amendment: int
    refuse_bad_files: bool
    return_path: str
    target: str
    write: bool
    today: int | None


def read_request(text: str) -> Request:
    """Read the input; raises InputInvalidError."""
    fields = read_fields(text, MAX_CHARACTERS, MAX_DEPTH, NAMES)
    period = period_of(fields.text("period", _MAX_CODE))
    if period is None:
        fields.refuse("period", "must be a quarter, 2026-Q2, or a month, 2026-06")
    directory = "/".join(_plain_path(fields, "invoices_dir", fields.text("invoices_dir", _MAX_PATH)))
    amendment = fields.whole("amendment", 1, _MAX_AMENDMENTS) if fields.has("amendment") else 0
    preset = f"./returns/{period.text}{f'-B{amendment}' if amendment else ''}.xml"
    return_path = fields.optional_text("return_path", _MAX_PATH)
    return_path = preset if return_path is None else return_path
    target = _target_of(fields, return_path, directory)
    imports = fields.object("imports", ("amount", "tax")) if fields.has("imports") else None
    return Request(
        period=period,
        directory=directory,
        taxpayer_mst=fields.optional_text("taxpayer_mst", _MAX_TEXT),
        name=_xml_text(fields, "taxpayer_name", _MAX_TEXT),
        address=_xml_text(fields, "taxpayer_address", _MAX_TEXT),
        office_code=_xml_text(fields, "tax_office_code", _MAX_CODE) or "",
        office_name=_xml_text(fields, "tax_office_name", _MAX_TEXT) or "",
        signer=_xml_text(fields, "signer", _MAX_TEXT) or "",
        industry=_industry_of(fields),
        carried_in=_dong(fields, "carried_in") if fields.has("carried_in") else None,
        imports=(_dong(imports, "amount"), _dong(imports, "tax")) if imports else (0, 0),
        deductible=_dong(fields, "deductible_input_vat") if fields.has("deductible_input_vat") else None,
        adjust_down=_optional_dong(fields, "adjust_down"),
        adjust_up=_optional_dong(fields, "adjust_up"),
        other_deducted=_optional_dong(fields, "other_deducted"),
        investment_offset=_optional_dong(fields, "investment_offset"),
        refund=_optional_dong(fields, "refund_requested"),
        no_activity=fields.flag("no_activity", False),
        amendment=amendment,
        refuse_bad_files=fields.choice("bad_files", ("skip", "refuse"), "skip") == "refuse",
        return_path=return_path,
        target=target,
        write=fields.flag("write", True),
        today=_today_of(fields),
    )


def _dong(fields: Fields, name: str) -> int:
    return fields.whole(name, 0, _MAX_DONG)


def _optional_dong(fields: Fields, name: str) -> int:
    return _dong(fields, name) if fields.has(name) else 0


def _industry_of(fields: Fields) -> tuple[str, str]:
    if not fields.has("industry"):
        return FORMS["industry"]["code"], FORMS["industry"]["name"]
    industry = fields.object("industry", ("code", "name"))
    code = _xml_text(industry, "code", _MAX_CODE)
    if code is None:
        industry.refuse("code", "is missing")
    name = _xml_text(industry, "name", _MAX_TEXT)
    if name is None:
        industry.refuse("name", "is missing")
    return code, name


def _xml_text(fields: Fields, name: str, most: int) -> str | None:
    text = fields.optional_text(name, most)
    if text is not None and not is_xml_text(text):
        fields.refuse(name, "has a character that XML cannot have")
    return text


def _today_of(fields: Fields) -> int | None:
    if not fields.has("today"):
        return None
    day = day_of(fields.text("today", _MAX_CODE))
    if day is None:
        fields.refuse("today", "must be a date, 2026-07-15")
    return day


def _target_of(fields: Fields, path: str, directory: str) -> str:
    """Tell where the return goes: never among the invoices, where it could replace one or be read as one."""
    parts = _plain_path(fields, "return_path", path)
    if not path.endswith(".xml") or not parts:
        fields.refuse("return_path", 'must end in ".xml"')
    if "/".join(parts[:-1]) == directory:
        fields.refuse("return_path", 'lies in "invoices_dir"')
    return "/".join(parts)


def _plain_path(fields: Fields, name: str, path: str) -> list[str]:
    """Return the parts of a path below the workspace."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path or path.startswith("/") or ".." in parts or _NO_PATH.search(path):
        fields.refuse(name, 'must be a path below the workspace, without ".."')
    return parts
