"""Pages as files: what they are called by, where they can be written, what is escaped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path

import pytest

from tests.reports.made import BREAKING, SCRIPT, classify_report, identify_report
from tests.reports.parsed import checked
from vmacore.errors import VmaError
from vmacore.reports.classified import classify_page
from vmacore.reports.identified import identify_page
from vmacore.reports.page import check_page, fixed, maths, percent, save_page


def test_the_policy_allows_its_own_script_and_style_alone(tmp_path: Path) -> None:
    page = classify_page(classify_report())
    root = checked(page)
    policy = root.one("meta", **{"http-equiv": "Content-Security-Policy"})["content"]
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:; ")


def test_names_are_escaped(tmp_path: Path) -> None:
    for page in (classify_page(classify_report()), identify_page(identify_report(tmp_path))):
        root = checked(page)
        assert len(root.all("script")) == 1
        assert "alert(1)" not in root.one("script").text
        assert SCRIPT in root.text
        assert BREAKING in root.text
        assert SCRIPT not in page


def test_where_a_page_can_be_written(tmp_path: Path) -> None:
    check_page(tmp_path / "new" / "a.html")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VmaError, match=r"ends in \.html"):
        check_page(tmp_path / "a.pdf")
    (tmp_path / "b.html").mkdir()
    with pytest.raises(VmaError, match="choose another place for the report"):
        check_page(tmp_path / "b.html")
    with pytest.raises(VmaError, match="choose another place for the report"):
        save_page(tmp_path / "b.html", "text")
    save_page(tmp_path / "c.html", "a \ud800 name")  # of a file whose name is no text
    assert (tmp_path / "c.html").read_text() == "a ? name"
    assert {path.name for path in tmp_path.iterdir()} == {"b.html", "c.html"}


def test_numbers_in_words() -> None:
    assert [fixed(value) for value in (-1234.567, -0.001, math.nan, None)] == ["−1,234.57", "0.00", "–", "–"]
    assert [percent(value) for value in (0.123, 1.0, -0.0001, math.inf, None)] == [
        "12.3 %",
        "100.0 %",
        "0.0 %",
        "–",
        "–",
    ]
    assert maths("KL_a & <b>, KL_z2, h_q") == "KL<sub>a</sub> &amp; &lt;b&gt;, KL_z2, h<sub>q</sub>"
