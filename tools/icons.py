"""Icons of everyday things from free icon sets, as a folder of pictures: python -m tools.icons FOLDER.

A class is a thing, and a picture is an icon set's, outlined or filled. icons.csv names the icon of each thing in each
set. The sets come from npm packages, which are unpacked beside FOLDER and not installed. Dark or light ink, on paper or
on nothing, takes turns.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import resvg_py
from PIL import Image

from tools import packages, pictures

SIDE, WITHIN = 128, 96  # pixels: of a picture, and of the icon's own square in it
SETS_OF_EACH = 8  # at least, of each thing
TABLE = Path(__file__).with_name("icons.csv")


@dataclass(frozen=True)
class IconSet:
    """An npm package; file: the path of an icon of a name."""

    package: str
    version: str
    licence: str
    file: str


SETS = {
    "lucide": IconSet("lucide-static", "1.62.0", "ISC", "icons/{}.svg"),
    "tabler": IconSet("@tabler/icons", "3.52.0", "MIT", "icons/outline/{}.svg"),
    "bootstrap": IconSet("bootstrap-icons", "1.13.2", "MIT", "icons/{}.svg"),
    "fontawesome": IconSet("@fortawesome/fontawesome-free", "7.3.1", "CC BY 4.0", "svgs/solid/{}.svg"),
    "mdi": IconSet("@mdi/svg", "7.4.47", "Apache 2.0", "svg/{}.svg"),
    "ionicons": IconSet("ionicons", "8.1.0", "MIT", "dist/svg/{}-sharp.svg"),
    "phosphor": IconSet("@phosphor-icons/core", "2.1.1", "MIT", "assets/duotone/{}-duotone.svg"),
    "octicons": IconSet("@primer/octicons", "19.42.0", "MIT", "build/svg/{}-24.svg"),
    "heroicons": IconSet("heroicons", "2.2.0", "MIT", "24/solid/{}.svg"),
    "boxicons": IconSet("boxicons", "2.1.4", "MIT", "svg/regular/bx-{}.svg"),
    "carbon": IconSet("@carbon/icons", "11.89.0", "Apache 2.0", "svg/32/{}.svg"),
}

Colour = tuple[int, int, int]
STYLES: tuple[tuple[Colour, Colour | None], ...] = (  # ink, and paper if there is any
    ((0, 0, 0), (255, 255, 255)),
    ((255, 255, 255), (20, 40, 90)),
    ((0, 0, 0), None),
    ((240, 200, 60), (40, 40, 40)),
    ((255, 255, 255), None),
    ((170, 30, 50), (245, 240, 225)),
)


def render(folder: Path) -> dict[str, dict[str, Image.Image]]:
    """The pictures of each thing by set. folder: where packages are, or are downloaded to."""
    unpacked = {name: packages.npm(item.package, item.version, folder) for name, item in SETS.items()}
    classes: dict[str, dict[str, Image.Image]] = {}
    with TABLE.open(newline="", encoding="utf-8") as lines:
        for row, names in enumerate(csv.DictReader(lines)):
            thing = names.pop("concept")
            classes[thing] = {
                source: _painted(_shape(unpacked[source] / SETS[source].file.format(name)), STYLES[turn % len(STYLES)])
                for turn, (source, name) in enumerate(names.items(), row)
                if name
            }
    few = [thing for thing, beside in classes.items() if len(beside) < SETS_OF_EACH]
    if few:
        raise SystemExit(f"fewer than {SETS_OF_EACH} sets draw {', '.join(few)}")
    return classes


def _shape(file: Path) -> Image.Image:
    """How opaque an icon is, 8 bits."""
    drawn = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_path=str(file), width=WITHIN, height=WITHIN))))
    shape = Image.new("L", (SIDE, SIDE))
    shape.paste(drawn.getchannel("A"), ((SIDE - drawn.width) // 2, (SIDE - drawn.height) // 2))
    if shape.getbbox() is None:
        raise SystemExit(f"{file} draws nothing")
    return shape


def _painted(shape: Image.Image, style: tuple[Colour, Colour | None]) -> Image.Image:
    """In RGB on paper, in RGBA without."""
    ink, paper = style
    if paper is None:
        picture = Image.new("RGBA", shape.size, ink)
        picture.putalpha(shape)
        return picture
    return Image.composite(Image.new("RGB", shape.size, ink), Image.new("RGB", shape.size, paper), shape)


def sources(folder: Path) -> list[str]:
    """A line for each package."""
    return [f"{item.package} {item.version}, {item.licence}" for item in SETS.values()]


if __name__ == "__main__":
    pictures.main(__doc__, render, sources, list(SETS))
