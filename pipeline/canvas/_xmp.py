"""Captions as XMP packets, which every format that prints can have carries; ISO 16684-1."""

from __future__ import annotations

from xml.sax.saxutils import escape

from pipeline import __version__
from pipeline.formats import Caption

_PACKET = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:impasto="urn:impasto:1">
{properties}
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_ALTERNATIVE = '<rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt>'
_SEQUENCE = "<rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq>"


def packet(caption: Caption) -> bytes:
    """The caption as XML: title, author and notice in Dublin Core, the record as `impasto:provenance`.

    Other characters than ASCII's are written by number: libpng marks the text as Latin-1.
    """
    found = [
        ("dc:title", _ALTERNATIVE, caption.title),
        ("dc:creator", _SEQUENCE, caption.author),
        ("dc:rights", _ALTERNATIVE, caption.copyright),
        ("xmp:CreatorTool", "{}", f"Impasto {__version__}"),
        ("impasto:provenance", "{}", caption.provenance),
    ]
    properties = [f"<{name}>{form.format(escape(text))}</{name}>" for name, form, text in found if text]
    return _PACKET.format(properties="\n".join(properties)).encode("ascii", "xmlcharrefreplace")
