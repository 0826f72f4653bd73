"""SVG files of matplotlib, written in a third of their bytes: the report holds dozens of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_GEOMETRY = ("d", "x", "y", "width", "height", "transform", "points")
_DECIMALS = re.compile(r"(\.\d)\d+")
_FAMILY = re.compile(r"font-family: ([^;]*); ?")

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)


def names_shown(path: str | Path) -> set[str]:
    """The names that ``plots.figure`` was told of what a drawing shows."""
    return {node.text or "" for node in ET.parse(path).iter(f"{{{RDF}}}li")}


def compact(text: str) -> str:
    """Write the same drawing with fewer bytes.

    Groups that only carry a name are dissolved, coordinates have one decimal of a point, equal styles become
    one class, and the font stands once at the root.
    """
    root = ET.fromstring(text)
    root[:] = list(_without_groups(root))
    styles: dict[str, str] = {}
    for node in root.iter():
        for key in node.attrib.keys() & set(_GEOMETRY):
            node.set(key, _DECIMALS.sub(r"\1", " ".join(node.attrib[key].split())))
        if node.get("transform", "").startswith("rotate(-0 "):
            del node.attrib["transform"]
        if family := _FAMILY.search(node.get("style", "")):
            root.set("font-family", family[1].replace("'", ""))
            node.set("style", _FAMILY.sub("", node.attrib["style"]))
        if style := node.attrib.pop("style", None):
            node.set("class", styles.setdefault(style.replace(": ", ":").replace("; ", ";"), f"s{len(styles)}"))
        if node.tag != f"{{{SVG}}}text" and not (node.text or "").strip():
            node.text = None
        node.tail = (node.tail or "").strip() or None
    rules = ET.SubElement(root, f"{{{SVG}}}style")
    rules.text = "".join(f".{name}{{{style}}}" for style, name in styles.items())
    return ET.tostring(root, encoding="unicode")


def _without_groups(node: ET.Element) -> Iterator[ET.Element]:
    """The children of a node, those of nameless groups among them in their place."""
    for child in node:
        child[:] = list(_without_groups(child))
        if child.tag == f"{{{SVG}}}g" and not child.attrib.keys() - {"id"}:
            yield from child
        else:
            yield child
