"""Reports: pictures, numbers and facts in one HTML file that needs nothing else, neither scripts nor the network."""

import base64
import io
from html import escape

_STYLE = """\
body { font: 16px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.9rem 0.2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
th.number, td.number { text-align: right; }
figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #444; }
figure { overflow-x: auto; }
pre { background: #f4f4f4; padding: 0.8rem; overflow-x: auto; }"""


def heading(text):
    """A heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text):
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def program(text):
    """Text as it is, in a fixed-width font."""
    return f"<pre>{escape(text)}</pre>"


def facts(pairs):
    """A table of two columns, from a dict or pairs of names and values."""
    rows = (f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>' for k, v in dict(pairs).items())
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def table(head, rows):
    """A table with a line of heads; numbers are aligned to the right."""
    rows = list(rows)
    right = [
        ' class="number"' if any(isinstance(row[i], (int, float)) for row in rows) else "" for i in range(len(head))
    ]
    heads = zip(head, right, strict=True)
    lines = ["<tr>" + "".join(f'<th scope="col"{kind}>{escape(str(cell))}</th>' for cell, kind in heads) + "</tr>"]
    for row in rows:
        texts = map(number, row)
        cells = (f"<td{kind}>{escape(text)}</td>" for kind, text in zip(right, texts, strict=True))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def number(cell):
    """A number as a reader wants it, a text as it is."""
    if isinstance(cell, float):
        return f"{cell:.4f}" if 1e-3 <= abs(cell) < 1e5 else f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def picture(png, caption):
    """A picture from the bytes of a PNG file; the caption is what those who cannot see it get.

    A page shrinks it to 70% at most, which keeps its texts legible, and scrolls the rest.
    """
    narrowest = int(0.7 * int.from_bytes(png[16:20], "big"))  # a PNG file has its width there
    data = base64.b64encode(png).decode("ascii")
    text = escape(caption, quote=True)
    image = f'<img alt="{text}" style="min-width: {narrowest}px" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def png(figure):
    """A matplotlib figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def page(title, parts):
    """The whole file, str, of a title and parts that the other functions made."""
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{escape(title)}</h1>
{chr(10).join(parts)}
</body>
</html>
"""
