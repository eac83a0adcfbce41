"""Tables that nobody should write, by name: (suffix, bytes, or a function that makes them)."""

import io
import warnings
import zipfile

import openpyxl

HEADING = "patient_id,time,event,age,stage"
ROW = "P1,12.5,1,60,I"
GOOD = f"{HEADING}\n{ROW}\nP2,40,0,55,II\n"
SHEET = "xl/worksheets/sheet1.xml"
_XMLNS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def workbook(rows=None):
    """Bytes of a plain Excel file."""
    book = openpyxl.Workbook()
    for row in rows or [line.split(",") for line in GOOD.split()]:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def repacked(changes, *, drop=(), data=None, compression=zipfile.ZIP_DEFLATED):
    """Excel file with some parts replaced (by name, bytes), left out or added."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data or workbook())) as old,
        zipfile.ZipFile(stream, "w", compression) as new,
    ):
        for name in old.namelist():
            if name not in drop and name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            new.writestr(name, content)
    return stream.getvalue()


def sheet(inner, before="", after=""):
    """Excel file whose sheet holds this XML."""
    text = f"{before}<worksheet {_XMLNS}><sheetData>{inner}</sheetData>{after}</worksheet>"
    return repacked({SHEET: text})


def _merged(*areas):
    listed = "".join(f'<mergeCell ref="{area}"/>' for area in areas)
    return sheet(_cells(1, "A") + _cells(2, "A"), after=f"<mergeCells>{listed}</mergeCells>")


def _cells(row, *columns):
    return f'<row r="{row}">' + "".join(f'<c r="{c}{row}"><v>1</v></c>' for c in columns) + "</row>"


def _styles(inner):
    return repacked({"xl/styles.xml": f"<styleSheet {_XMLNS}>{inner}</styleSheet>"})


def _strings(inner, before=""):
    return repacked({"xl/sharedStrings.xml": f"{before}<sst {_XMLNS}>{inner}</sst>"})


def _lying_size(data):
    """State a size of one byte for every part, in the directory and before each part."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {m.file_size for m in archive.infolist() if m.file_size > 2**20}
    for size in sizes:
        data = data.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    return data


def _encrypted(data):
    """Say of every part that it is encrypted."""
    changed = bytearray(data)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(mark)
        while place >= 0:
            changed[place + at] |= 1
            place = changed.find(mark, place + 1)
    return bytes(changed)


def _twice():
    stream = io.BytesIO(repacked({}))
    with zipfile.ZipFile(stream, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells what is wanted here
        archive.writestr(SHEET, f"<worksheet {_XMLNS}><sheetData/></worksheet>")
    return stream.getvalue()


def _laughs(use):
    steps = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY l0 "lol">{steps}]>', use


DOCTYPE, LAUGH = _laughs("<si><t>&l9;</t></si>")
BLOWUP = f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'

EXCEL = {
    "six million rows": lambda: sheet("<row/>" * 6_000_000),
    "100 MiB of blanks": lambda: sheet(" " * 100 * 2**20),
    "400,000 cells": lambda: sheet("".join(_cells(r, *"ABCDEFGH") for r in range(1, 50_001))),
    "cells at the far right of 1,000 rows": lambda: sheet(
        "".join(_cells(r, "A", "XFD") for r in range(1, 1001))
    ),
    "a cell beyond the last row": sheet(_cells(1, "A") + _cells(1_048_577, "A")),
    "a row of number 999,999,999": sheet(_cells(1, "A") + '<row r="999999999"><c><v>1</v></c></row>'),
    "a column beyond the last": sheet(_cells(1, "A", "ZZZ")),
    "a cell twice": sheet('<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>'),
    "a row twice": sheet(_cells(1, "A") + _cells(2, "A") + _cells(2, "A")),
    "rows out of order": sheet(_cells(1, "A") + _cells(9, "A") + _cells(2, "A")),
    "cells out of order": sheet(_cells(1, "B", "A")),
    "no rows": sheet(""),
    "no sheet data": repacked({SHEET: f"<worksheet {_XMLNS}/>"}),
    "an empty sheet part": repacked({SHEET: b""}),
    "no sheet part": repacked({}, drop=(SHEET,)),
    "no workbook part": repacked({}, drop=("xl/workbook.xml",)),
    "no content types": repacked({}, drop=("[Content_Types].xml",)),
    "no relations": repacked({}, drop=("xl/_rels/workbook.xml.rels",)),
    "no sheets in the workbook": repacked({"xl/workbook.xml": f"<workbook {_XMLNS}><sheets/></workbook>"}),
    "100,000 sheets": lambda: repacked({"xl/workbook.xml": f"<workbook {_XMLNS}><sheets>"
        + '<sheet name="a" sheetId="1"/>' * 100_000 + "</sheets></workbook>"}),
    "half a sheet": sheet(_cells(1, "A") + '<row r="2"><c r="A2"><v>1'),
    "a sheet of garbage": repacked({SHEET: b"\x00\xff" * 1000}),
    "a sheet in UTF-16": repacked({SHEET: f"<worksheet {_XMLNS}/>".encode("utf-16")}),
    "entities in the sheet": sheet("<row><c><v>&l9;</v></c></row>", DOCTYPE),
    "entities in the strings": _strings(LAUGH, DOCTYPE),
    "one long entity again and again": _strings("<si><t>" + "&a;" * 5000 + "</t></si>", BLOWUP),
    "an entity of another file": _strings("<si><t>&e;</t></si>", OUTSIDE),
    "a document type in the workbook": repacked({"xl/workbook.xml": OUTSIDE + "<workbook/>"}),
    "a document type in the relations": repacked({"_rels/.rels": OUTSIDE + "<Relationships/>"}),
    "three million strings": lambda: _strings("<si><t>a</t></si>" * 3_000_000),
    "a string of 60 MiB": lambda: _strings("<si><t>" + "a" * 60 * 2**20 + "</t></si>"),
    "a string that is not there": sheet('<row r="1"><c r="A1" t="s"><v>999999</v></c></row>'),
    "500,000 styles": lambda: _styles("<cellXfs>" + "<xf/>" * 500_000 + "</cellXfs>"),
    "500,000 number formats": lambda: _styles('<numFmts><numFmt numFmtId="200" formatCode="0"/>'
        + '<numFmt numFmtId="201" formatCode="0"/>' * 500_000 + "</numFmts>"),
    "elements nested 200,000 deep": lambda: sheet("<row>" * 200_000),
    "an integer of 5,000 digits": sheet(f'<row r="1"><c r="A1"><v>{"9" * 5000}</v></c></row>'),
    "a merged area as large as a sheet": _merged("A1:XFD1048576"),
    "100 merged columns": _merged(*(f"A1:A{2**20 - k}" for k in range(100))),
    "a merged area in letters that are entities": _merged("&#65;1:&#66;9"),
    "a merged area that is none": _merged("all"),
    "a size that is a lie": lambda: _lying_size(sheet(" " * 80 * 2**20)),
    "a password": _encrypted(workbook()),
    "a part twice": _twice,
    "5,000 parts": lambda: repacked({f"xl/x{k}.xml": b"<a/>" for k in range(5000)}),
    "another compression": repacked({}, compression=zipfile.ZIP_LZMA),
    "a ZIP of nothing": repacked({}, drop=zipfile.ZipFile(io.BytesIO(workbook())).namelist()),
    "no ZIP": b"PK\x03\x04" + b"\x00" * 1000,
    "half a ZIP": workbook()[:2000],
    "an empty file": b"",
    "a formula without a value": workbook([["patient_id", "time"], ["P1", "=1+1"]]),
}  # fmt: skip

TEXT = {
    "50,000 columns": ",".join(f"c{k}" for k in range(50_000)).encode() + b"\n" + b"1," * 49_999 + b"1\n",
    "50,000 columns apart by semicolons": lambda: (";".join("c" * 50_000) + "\n").encode() * 2,
    "a heading of one giant name": b"a" * 2**20 + b",time\n1,2\n",
    "a giant cell": GOOD.encode() + b"P3,1,1,60," + b"x" * 2**20 + b"\n",
    "a giant cell in quotes that never end": GOOD.encode() + b'P3,1,1,60,"' + b"x,\n" * 2**18,
    "65 MiB": lambda: GOOD.encode() + b" " * 65 * 2**20,
    "30 million cells": lambda: HEADING.encode() + b"\n" + b"," * 30_000_000,
    "5 million rows": lambda: HEADING.encode() + b"\n" + b"1\n" * 5_000_000,
    "NUL in a cell": GOOD.encode() + b"P3,1\x00,1,60,I\n",
    "NUL bytes": b"\x00" * 10_000,
    "a program": b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 10,
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "half a UTF-16 letter": GOOD.encode("utf-16")[:-1],
    "two encodings": GOOD.encode() + "P3,1,1,60,é".encode() + b"\xe9\n",
    "nothing": b"",
    "a heading alone": HEADING.encode(),
    "blank lines": b"\n" * 10_000,
    "one quote": GOOD.encode() + b'"',
    "a quote inside a cell": GOOD.encode() + b'P3,"1"2,1,60,I\n',
    "too many cells": GOOD.encode() + b"P3,1,1,60,I,7\n",
    "too few cells": GOOD.encode() + b"P3,1\n",
    "a column twice": b"patient_id,time,event,time\nP1,1,1,2\n",
    "a terminal escape in an id": GOOD.encode() + b"\x1b[2J,1,1,60,I\n",
    "a terminal escape of one byte in a level": GOOD.encode() + "P3,1,1,60,\u009b2J\n".encode(),
    "text from right to left in a level": GOOD.encode() + "P3,1,1,60,I\u202eII\n".encode(),
    "an isolate in an id": GOOD.encode() + "P\u20673,1,1,60,I\n".encode(),
    "a level without width": GOOD.encode() + "P3,1,1,60,I\u200bI\n".encode(),
    "two lines in a level": GOOD.encode() + b'P3,1,1,60,"I\nI"\n',
    "NaN as time": GOOD.encode() + b"P3,nan,1,60,I\n",
    "infinity as time": GOOD.encode() + b"P3,inf,1,60,I\n",
    "1e999 as time": GOOD.encode() + b"P3,1e999,1,60,I\n",
    "1e308 as time": GOOD.encode() + b"P3,1e308,1,60,I\n",
    "NaN as age": GOOD.encode() + b"P3,1,1,NaN,I\n",
    "5,000 digits as age": GOOD.encode() + b"P3,1,1," + b"9" * 5000 + b",I\n",
    "a hexadecimal age": GOOD.encode() + b"P3,1,1,0x3c,I\n",
    "an age with low lines": GOOD.encode() + b"P3,1,1,6_0,I\n",
    "an age in Arabic digits": GOOD.encode() + "P3,1,1,٦٠,I\n".encode(),
    "an age in full-width digits": GOOD.encode() + "P3,1,1,６０,I\n".encode(),
    "a formula as age": GOOD.encode() + b"P3,1,1,=60,I\n",
    "a negative time": GOOD.encode() + b"P3,-1,1,60,I\n",
    "a truth as event": GOOD.encode() + b"P3,1,True,60,I\n",
    "an event in full-width digits": GOOD.encode() + "P3,1,１,60,I\n".encode(),
}  # fmt: skip

TABLES = {f"Excel: {name}": (".xlsx", made) for name, made in EXCEL.items()}
TABLES |= {f"text: {name}": (".csv", made) for name, made in TEXT.items()}
