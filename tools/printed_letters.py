"""Printed letters of six scripts in free fonts, as a folder of pictures: python -m tools.printed_letters FOLDER.

A class is a letter, an alphabet a script, and a picture a font family's. The fonts come from Debian packages, which are
unpacked beside FOLDER and not installed.
"""

from __future__ import annotations

import argparse
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from tools import packages, pictures

SIDE, EM, BASELINE = 128, 76, 86  # pixels: of a picture, of the font's em, and from the top to the line it stands on
FAMILIES = 8  # at least, of each letter

# Small letters. What looks like a letter of a script above it is left out: Greek κ, ν, ο and υ, Cyrillic а, е, к, о, р,
# с, у, х, and Armenian զ, հ, յ, ո, ս, ց, օ.
ALPHABETS = {
    "Latin": "abcdefghijklmnopqrstuvwxyz",
    "Greek": "αβγδεζηθιλμξπρστφχψω",
    "Cyrillic": "бвгджзийлмнптфцчшщъыьэюя",
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "Georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "Armenian": "աբգդեէըթժիլխծկձղճմնշչպջռվտրւփքֆ",
}


@dataclass(frozen=True)
class Font:
    """A font file of a Debian package; licence: of the font."""

    package: str
    file: str
    licence: str

    @property
    def name(self) -> str:
        return Path(self.file).stem


VERA, GPL, OFL, APACHE = "Bitstream Vera", "GPL with font exception", "OFL 1.1", "Apache 2.0"
FONTS: tuple[Font, ...] = ()
