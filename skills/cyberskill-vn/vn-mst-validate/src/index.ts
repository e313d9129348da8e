// Validates a Vietnamese tax code (mã số thuế). scripts/validate_mst.py is the reference: for every input the
// two give the same bytes, so a change here is a change there.

import { type Bounds, readFields } from "cyberos-guest/input.ts";
import {
  AS_OF,
  PERSONAL_ID_VALID_FROM,
  REASONS,
  type Reason,
  checkDigitFault,
  expectedCheckDigit,
  normalized,
  recognise,
} from "./tax-code.ts";

const VERIFY = "Checks form and arithmetic alone; confirm with the tax authority that the code is registered and active.";

// A legitimate input has under 100 characters and one level; the bounds only keep hostile ones cheap.
const BOUNDS: Bounds = { characters: 4096, depth: 16 };

interface Request {
  readonly mst: string;
  readonly strict: boolean;
}

export function run(input: string): string {
  const fields = readFields(input, BOUNDS, ["mst", "strict"]);
  const mst = fields.text("mst", BOUNDS.characters, ", because a number loses its leading zeros");
  return JSON.stringify(validate({ mst, strict: fields.flag("strict", false) }));
}

function validate({ mst, strict }: Request): object {
  const code = recognise(mst);
  if (typeof code === "string") return { ok: false, format: null, ...because(code), as_of: AS_OF, verify: VERIFY };

  const personal = code.format === "12-digit-personal-id";
  const fault = checkDigitFault(code);
  const refused = strict ? fault : null;
  return {
    ok: refused === null,
    format: code.format,
    ...(refused === null ? {} : because(refused)),
    checksum_ok: personal ? null : fault === null,
    expected_check_digit: expectedCheckDigit(code),
    warnings: fault === null ? [] : [fault],
    checksum: personal ? "not_applicable" : "mod11",
    normalized: normalized(code),
    base: code.base,
    branch: code.branch,
    valid_from: personal ? PERSONAL_ID_VALID_FROM : null,
    as_of: AS_OF,
    verify: VERIFY,
  };
}

function because(reason: Reason): { reason: Reason; message: string } {
  return { reason, message: REASONS[reason] };
}
