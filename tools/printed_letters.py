"""Printed letters of six scripts in free fonts, as a folder of pictures: python -m tools.printed_letters FOLDER.

A class is a letter, an alphabet a script, and a picture a font family's. The fonts come from Debian packages, which are
unpacked beside FOLDER and not installed.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from tools import packages, pictures

SIDE, EM, BASELINE = 128, 76, 86  # pixels: of a picture, of the font's em, and from the top to the line it stands on
FAMILIES = 8  # at least, of each letter

# Small letters. Those that look like one of a script above are left out: Greek κ, ν, ο and υ, Cyrillic а, е, к, о, р,
# с, у and х, Armenian զ, հ, յ, ո, ս, ց and օ; so are Armenian տ and ք, for which FreeMono draws other letters.
ALPHABETS = {
    "Latin": "abcdefghijklmnopqrstuvwxyz",
    "Greek": "αβγδεζηθιλμξπρστφχψω",
    "Cyrillic": "бвгджзийлмнптфцчшщъыьэюя",
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "Georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "Armenian": "աբգդեէըթժիլխծկձղճմնշչպջռվրւփֆ",
}


@dataclass(frozen=True)
class Package:
    """A Debian package of fonts; folder: below usr/share/fonts. licence: of the fonts.

    fonts: files, a family each. alphabets: that they draw; none: all whose letters they have.
    """

    name: str
    licence: str
    folder: str
    fonts: tuple[str, ...]
    alphabets: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "fonts-dejavu-core",
        "Bitstream Vera licence",
        "truetype/dejavu",
        ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "DejaVuSerif.ttf"),
    ),
    Package(
        "fonts-freefont-ttf",
        "GPL 3 or later with font exception",
        "truetype/freefont",
        ("FreeMono.ttf", "FreeSans.ttf", "FreeSerif.ttf"),
    ),
    Package(
        "fonts-liberation2",
        "OFL 1.1",
        "truetype/liberation2",
        ("LiberationMono-Regular.ttf", "LiberationSans-Regular.ttf", "LiberationSerif-Regular.ttf"),
    ),
    Package(
        "fonts-linuxlibertine",
        "OFL 1.1, or GPL 2 or later with font exception",
        "opentype/linux-libertine",
        ("LinBiolinum_R.otf", "LinLibertine_R.otf"),
    ),
    Package(
        "fonts-noto-core",
        "OFL 1.1",
        "truetype/noto",
        (
            "NotoSans-Regular.ttf",
            "NotoSerif-Regular.ttf",
            "NotoSansHebrew-Regular.ttf",
            "NotoSerifHebrew-Regular.ttf",
            "NotoSansGeorgian-Regular.ttf",
            "NotoSerifGeorgian-Regular.ttf",
            "NotoSansArmenian-Regular.ttf",
            "NotoSerifArmenian-Regular.ttf",
        ),
    ),
    Package("fonts-roboto-unhinted", "Apache 2.0", "truetype/roboto/unhinted/RobotoTTF", ("Roboto-Regular.ttf",)),
    Package("fonts-sil-gentiumplus", "OFL 1.1", "truetype/gentiumplus", ("GentiumPlus-Regular.ttf",)),
    Package(  # whose Cyrillic letters are those of another tradition, such as m for т
        "fonts-comfortaa", "OFL 1.1", "truetype/comfortaa", ("Comfortaa-Regular.ttf",), ("Latin", "Greek")
    ),
    Package("fonts-ebgaramond", "OFL 1.1", "opentype/ebgaramond", ("EBGaramond12-Regular.otf",)),
    Package("fonts-oldstandard", "OFL 1.0", "truetype/fonts-oldstandard", ("OldStandard-Regular.ttf",)),
    Package(
        "culmus",
        "GPL 2, some with font exception",
        "truetype/culmus",
        ("DavidCLM-Medium.otf", "FrankRuehlCLM-Medium.ttf", "HadasimCLM-Regular.ttf", "MiriamCLM-Book.ttf"),
        ("Hebrew",),
    ),
    Package(
        "fonts-bpg-georgian",
        "GPL 2",
        "truetype/fonts-bpg-georgian",
        (
            "BPG_Algeti_GPL&GNU.ttf",
            "BPG_Chveulebrivi_GPL&GNU.ttf",
            "BPG_Courier_GPL&GNU.ttf",
            "BPG_Elite_GPL&GNU.ttf",
            "BPG_Glaho_GPL&GNU.ttf",
            "BPG_Nateli_GPL&GNU.ttf",
        ),
        ("Georgian",),
    ),
)


def render(folder: Path) -> dict[str, dict[str, Image.Image]]:
    """The pictures of each letter by font, those of a font that took over another's letter once.

    folder: where packages are, or are downloaded to.
    """
    classes: dict[str, dict[str, Image.Image]] = {
        f"{alphabet}/{_name(letter)}": {} for alphabet, letters in ALPHABETS.items() for letter in letters
    }
    for package in PACKAGES:
        fonts = packages.debian(package.name, folder) / "usr/share/fonts" / package.folder
        for file in package.fonts:
            with TTFont(fonts / file, lazy=True) as opened:
                has = opened.getBestCmap()
            font = ImageFont.truetype(fonts / file, EM)
            for alphabet in package.alphabets or ALPHABETS:
                if all(ord(letter) in has for letter in ALPHABETS[alphabet]):
                    for letter in ALPHABETS[alphabet]:
                        drawn, beside = _drawn(letter, font), classes[f"{alphabet}/{_name(letter)}"]
                        if all(drawn.tobytes() != other.tobytes() for other in beside.values()):
                            beside[_source(file)] = drawn
    few = [name for name, beside in classes.items() if len(beside) < FAMILIES]
    if few:
        raise SystemExit(f"fewer than {FAMILIES} families draw {', '.join(few)}")
    return classes


def _drawn(letter: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Black on white, on a line at the same height in all pictures."""
    image = Image.new("L", (SIDE, SIDE), 255)
    ImageDraw.Draw(image).text((SIDE / 2, BASELINE), letter, fill=0, font=font, anchor="ms")
    left, top, right, bottom = image.point(lambda shade: 255 - shade).getbbox() or (0, 0, 0, 0)
    if not 0 < left < right < SIDE or not 0 < top < bottom < SIDE:
        raise SystemExit(f"{font.getname()[0]} draws nothing of {letter}, or more than the picture holds")
    return image


def _name(letter: str) -> str:
    """Such as "short-i"."""
    return unicodedata.name(letter).split("LETTER ")[1].lower().replace(" ", "-")


def _source(file: str) -> str:
    """The family of a font file."""
    return Path(file).stem.split("_GPL")[0].removesuffix("-Regular")


def sources(folder: Path) -> list[str]:
    """A line for each package."""
    return [
        f"{package.name} {packages.version(package.name, folder)}, {package.licence}: {', '.join(package.fonts)}"
        for package in PACKAGES
    ]


if __name__ == "__main__":
    pictures.main(__doc__, render, sources, [_source(file) for package in PACKAGES for file in package.fonts])
