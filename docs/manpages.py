"""What makes man pages of the manual that are read at 80 columns.

A table becomes a list of terms, since names in narrow columns would be broken; a reference to another chapter says where that is; nothing
is hyphenated, so that names can be copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes

WHOLE = "twistedrelay(8)"  #: the page with all chapters


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _fit_for_man)
    app.connect("build-finished", _do_not_hyphenate)
    return {"parallel_read_safe": True}


def _fit_for_man(app: Any, doctree: nodes.document, docname: str) -> None:
    if app.builder.name != "man":
        return
    elsewhere = "" if docname == "index" else f" in {WHOLE}"
    for reference in list(doctree.findall(nodes.reference)):
        if not reference.get("refuri", "").startswith(("http:", "https:", "mailto:")):
            title = reference.astext()
            reference.replace_self([nodes.emphasis(title, title), nodes.Text(elsewhere)])
    for table in list(doctree.findall(nodes.table)):
        table.replace_self(_list_of(table))


def _list_of(table: nodes.table) -> nodes.definition_list:
    """A term for each row, and below it the other columns; from the third on with their titles."""
    titles = [entry.astext() for head in table.findall(nodes.thead) for entry in head.findall(nodes.entry)]
    items: list[nodes.definition_list_item] = []
    for body in table.findall(nodes.tbody):
        for row in body.findall(nodes.row):
            first, *others = row.children
            if first.astext() or not items:
                term = nodes.term("", "", *(inline for block in first.children for inline in block.children))
                items.append(nodes.definition_list_item("", term, nodes.definition()))
            for place, entry in enumerate(others, 1):
                if entry.astext() and place > 1 and place < len(titles):
                    entry[0].insert(0, nodes.Text(f"{titles[place]}: "))
                items[-1][1] += entry.children
    return nodes.definition_list("", *items)


def _do_not_hyphenate(app: Any, exception: Exception | None) -> None:
    if app.builder.name != "man" or exception is not None:
        return
    for page in Path(app.outdir).glob("*.[1-8]"):
        lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
        heading = next(number for number, line in enumerate(lines) if line.startswith(".TH "))
        before, behind = [*lines[:heading], ".nr HY 0\n"], [".nh\n", ".ad l\n", *lines[heading + 1 :]]
        page.write_text("".join([*before, lines[heading], *behind]), encoding="utf-8")
