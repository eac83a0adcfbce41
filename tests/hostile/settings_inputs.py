"""Study files that nobody should write, by name."""

HEAD = 'name = "x"\n[cohort.endpoint]\nkind = "overall survival"\nunit = "days"\nevent_values = ["1"]\n'


def _nested(opening, closing, depth, *, lines=False):
    end = "\n" if lines else ""
    return f"x = [{end}" + (opening + end) * depth + "1" + (closing + end) * depth + "]\n"


SETTINGS = {
    "arrays nested 100,000 deep in one line": _nested("[", "]", 100_000),
    "arrays nested 900 deep, a line each": _nested("[", "]", 900, lines=True),
    "arrays nested 90,000 deep, a line each": _nested("[", "]", 90_000, lines=True),
    "tables nested 1,000 deep": "x = " + "{a=" * 1000 + "1" + "}" * 1000,
    "a name of 100,000 parts": "a." * 100_000 + "b = 1",
    "a heading of 60 parts": "[" + "a." * 60 + "b]\n",
    "4,000 headings of 60 parts": "\n".join(
        "[" + ".".join(f"a{j}" for j in range(60)) + f".b{i}]" for i in range(4000)
    ),
    "an integer of 200,000 digits": "x = " + "9" * 200_000,
    "an integer of 300 digits": HEAD + "[training]\nepochs = " + "9" * 300,
    "an integer of 17 digits": HEAD + "[training]\nseed = " + "9" * 17,
    "a hexadecimal integer of 10,000 digits": HEAD + "[training]\nseed = 0x" + "f" * 10_000,
    "a decimal of 1e308": HEAD + "[tiling]\nside_um = 1e308",
    "not a number": HEAD + "[tiling]\nside_um = nan",
    "infinity": HEAD + "[tiling]\nside_um = inf",
    "minus infinity": HEAD + "[tissue]\nclosing_um = -inf",
    "not a number in a list": HEAD + "[statistics]\nhorizons_months = [12.0, nan]",
    "a decimal beyond every float": HEAD + "[tiling]\nside_um = 1e999",
    "a text of 900,000 letters": 'name = "' + "x" * 900_000 + '"',
    "90,000 names": "\n".join(f"k{i} = 1" for i in range(90_000)),
    "100,000 tables in a list": "[[a]]\n" * 100_000,
    "a list of 200,000 texts": HEAD + "[cohort.columns]\n" + "x = [" + '"a",' * 200_000 + "]",
    "2 MiB": HEAD + "#" * 2**21,
    "a terminal escape": 'name = "\\u001b[2J"',
    "a terminal escape in one byte": 'name = "\\u009b2J"',
    "text from right to left": 'name = "a\\u202egpj.exe"',
    "an isolate": 'name = "a\\u2067b"',
    "a NUL": 'name = "a\\u0000b"',
    "a letter without width": 'name = "a\\u200bb"',
    "two lines in a name": 'name = "a\\nb"',
    "a date in place of a text": "name = 1979-05-27T07:32:00Z\n",
    "a table in place of a text": "[name]\na = 1\n",
    "a list in place of a table": 'name = "x"\ncohort = []\n',
    "a truth in place of a number": HEAD + "[tiling]\nside_um = true",
    "a text in place of a number": HEAD + '[tiling]\nside_um = "128"',
    "an empty file": "",
    "no TOML": "\x7fELF",
    "a key twice": "a = 1\na = 2\n",
}
BYTES = {
    "bytes that are no UTF-8": b'name = "\xff\xfe"',
    "NUL bytes": b"\x00" * 1000,
    "UTF-16": HEAD.encode("utf-16"),
}
