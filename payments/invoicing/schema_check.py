"""The agency's schema 1.2.3, off line: whether a file is a FatturaPA at all (SdI: 00200)."""

from functools import cache
from pathlib import Path

from lxml import etree

FOLDER = Path(__file__).parent / "schema"
FATTURA = FOLDER / "Schema_del_file_xml_FatturaPA_v1.2.3.xsd"
SIGNATURE = FOLDER / "xmldsig-core-schema.xsd"
IMPORT = "{http://www.w3.org/2001/XMLSchema}import"


def parse(xml: bytes) -> etree._Element:
    """The root of a file. Entities are not resolved and nothing is fetched. Raises etree.XMLSyntaxError."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(xml, parser)


@cache
def schema() -> etree.XMLSchema:
    """The schema, compiled once a process; the signature's schema is read from beside it, not from the W3C."""
    tree = etree.parse(FATTURA, etree.XMLParser(no_network=True))
    (signature,) = tree.getroot().findall(IMPORT)
    signature.set("schemaLocation", SIGNATURE.as_uri())
    return etree.XMLSchema(tree)


def broken_paths(root: etree._Element) -> list[str]:
    """Where a file is not as the schema says: paths of its elements, each once, without namespace and position.

    libxml2's own messages quote the value, which is personal data, so they go no further.
    """
    validator = schema()
    if validator.validate(root):
        return []
    return list(dict.fromkeys(_path(error.path) for error in validator.error_log))


def _path(path: str | None) -> str:
    steps = [step.partition("[")[0].rpartition(":")[2] for step in (path or "").split("/") if step]
    return "/".join(steps[1:])
